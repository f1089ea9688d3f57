"""Arrays in the page: whole numbers with a stated scale, deflated, in base64.

``decode.js`` reads them.  Relevance is rounded so that its running sums are right to one step: what
a span of any length holds is then off by less than two steps, a few millionths of the largest cell,
however many cells it has.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np

from dftlrp.core.types import AnyArray, NonFiniteError, Real

STEPS = 32_000  # of the largest value; one more, by rounding, still fits into 16 bits
LEVELS = 255
COARSE = 127


def pack_levels(values: Real) -> dict[str, Any]:
    """Return numbers from 0 to 1, to a 255th."""
    whole = np.rint(np.clip(values, 0.0, 1.0) * LEVELS).astype(np.uint8)
    return _pack_whole(whole, 1 / LEVELS)


def pack_values(values: Real) -> dict[str, Any]:
    """Return numbers, each to a 32 000th of the largest."""
    scale = _choose_scale(values)
    return _pack_whole(np.rint(np.asarray(values) / scale).astype("<i2"), scale)


def pack_coarse(values: Real) -> dict[str, Any]:
    """Return numbers, each to a 127th of the largest: those of pictures that are not measured."""
    scale = _choose_scale(values) * STEPS / COARSE
    whole = np.rint(np.asarray(values) / scale) + COARSE
    return {**_pack_whole(whole.astype(np.uint8), scale), "offset": -COARSE * scale}


def pack_amounts(values: Real) -> dict[str, Any]:
    """Return numbers such that also sums of neighbours, along the last axis, are right.

    Raises
    ------
    NonFiniteError
        If a value is NaN or infinite.
    """
    scale = _choose_scale(values)
    running = np.rint(np.cumsum(np.asarray(values, np.float64) / scale, axis=-1))
    return _pack_whole(np.diff(running, axis=-1, prepend=0.0).astype("<i2"), scale)


def write_json(value: Any) -> str:
    """Return a value as JSON that no tag can end."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _choose_scale(values: Real) -> float:
    """Return the value of one step."""
    if not np.isfinite(values).all():
        raise NonFiniteError("the explanation holds values that are not finite: no page shows them")
    return float(np.max(np.abs(values), initial=0.0)) / STEPS or 1.0


def _pack_whole(whole: AnyArray, scale: float) -> dict[str, Any]:
    """Return whole numbers of 8 or 16 bits; low bytes first, which deflate better by themselves."""
    raw = np.ascontiguousarray(whole).reshape(-1, 1).view(np.uint8).T.tobytes()
    return {
        "type": str(whole.dtype),
        "shape": list(whole.shape),
        "scale": scale,
        "offset": 0,
        "data": base64.b64encode(zlib.compress(raw, 9)).decode(),
    }
