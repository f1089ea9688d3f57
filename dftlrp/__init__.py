"""Why this output?  Relevance of ONNX models for sound and other signals, to see and to hear.

Names are imported when they are first used, so that ``import dftlrp`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dftlrp.api import explain
    from dftlrp.attribution import Attribution, attribute, predict
    from dftlrp.checking import Check, check
    from dftlrp.composites import Composite
    from dftlrp.explanation import Explanation
    from dftlrp.frontend import FrontEnd
    from dftlrp.inspection import Inspection, inspect
    from dftlrp.ledger import Ledger
    from dftlrp.model import Model, load
    from dftlrp.shipped import embedded
    from dftlrp.spectral import dft_lrp, inverse_dft_lrp, inverse_stft_lrp, stft_lrp
    from dftlrp.types import (
        DftlrpError,
        InputError,
        ModelError,
        NonFiniteError,
        UnsupportedModelError,
    )

__all__ = [
    "Attribution",
    "Check",
    "Composite",
    "DftlrpError",
    "Explanation",
    "FrontEnd",
    "InputError",
    "Inspection",
    "Ledger",
    "Model",
    "ModelError",
    "NonFiniteError",
    "UnsupportedModelError",
    "attribute",
    "check",
    "dft_lrp",
    "embedded",
    "explain",
    "inspect",
    "inverse_dft_lrp",
    "inverse_stft_lrp",
    "load",
    "predict",
    "stft_lrp",
]

_HOME = {
    "Attribution": "attribution",
    "attribute": "attribution",
    "predict": "attribution",
    "Check": "checking",
    "check": "checking",
    "FrontEnd": "frontend",
    "Composite": "composites",
    "Explanation": "explanation",
    "Ledger": "ledger",
    "Model": "model",
    "load": "model",
    "embedded": "shipped",
    "explain": "api",
    "Inspection": "inspection",
    "inspect": "inspection",
    "dft_lrp": "spectral",
    "stft_lrp": "spectral",
    "inverse_dft_lrp": "spectral",
    "inverse_stft_lrp": "spectral",
    "DftlrpError": "types",
    "InputError": "types",
    "ModelError": "types",
    "NonFiniteError": "types",
    "UnsupportedModelError": "types",
}

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dftlrp' has no attribute {name!r}")
    return getattr(import_module(f"dftlrp.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
