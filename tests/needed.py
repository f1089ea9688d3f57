"""What some tests need beside the test extra: a peer, a browser, a registry."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import NoReturn

import pytest

DEMANDED = os.environ.get("DFTLRP_PEERS", "").split()  # .ci/run names those that must be there


def absent(name: str, reason: str) -> NoReturn:
    """Skip the test or module; fail if what is absent is demanded."""
    if name in DEMANDED:
        raise ModuleNotFoundError(f"{reason}, but DFTLRP_PEERS demands it")
    pytest.skip(reason, allow_module_level=True)


def needed(name: str) -> None:
    """Skip, or fail, where a module or program is not installed."""
    if find_spec(name) is None and shutil.which(name) is None:
        absent(name, f"{name} is not installed")
