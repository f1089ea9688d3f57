"""Which backends are tested: those that ``DFTLRP_TEST_BACKENDS`` names, else those that can run."""

from __future__ import annotations

import os
from importlib.util import find_spec

NEEDS = {
    "numpy": "numpy",
    "onnx": "onnxruntime",
    "torch": "torch",
    "tensorflow": "tensorflow",
    "jax": "jax",
}


def chosen(demanded: str | None = os.environ.get("DFTLRP_TEST_BACKENDS")) -> list[str]:
    """Names of backends; one that is demanded is there, or its tests fail."""
    if demanded:
        return [name for name in demanded.replace(",", " ").split() if name]
    return [name for name in NEEDS if find_spec(NEEDS[name])]


def left_out() -> list[str]:
    """Those that are not tested."""
    return [name for name in NEEDS if name not in chosen()]
