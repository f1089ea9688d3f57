"""`attribute`, `explain` and `predict` by the float64 reference, of which most laws are stated."""

from __future__ import annotations

from functools import partial
from typing import Any

import dftlrp

attribute = partial(dftlrp.attribute, backend="numpy")
explain = partial(dftlrp.explain, backend="numpy")


def predict(*args: Any, **asked: Any) -> Any:
    """The model's own output."""
    return dftlrp.predict(*args, **{"backend": "numpy", **asked}).output
