"""What a test needs beyond the package: it is skipped without, or fails where that is demanded."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

DEMANDED = os.environ.get("DFTLRP_PEERS", "").split()  # .ci/run names those that must be there


def needed(peer: str) -> None:
    """Skip the module where a peer is not installed; fail if it is demanded."""
    if find_spec(peer) is None:
        reason = f"{peer} is not installed: no peer to test with"
        if peer in DEMANDED:
            raise ModuleNotFoundError(f"{reason}, but DFTLRP_PEERS demands it")
        pytest.skip(reason, allow_module_level=True)
