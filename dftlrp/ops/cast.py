"""Cast: floats keep the dtype that is computed in, whatever their width in the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from dftlrp.core.maps import Array, Route, move
from dftlrp.core.types import UnsupportedModelError
from dftlrp.ops.registry import At, Inputs, register_route

DType = np.dtype[Any]


def is_floating(dtype: DType) -> bool:
    """Return whether a dtype is a float, also one of those that NumPy itself does not have."""
    return dtype.kind == "f" or dtype.name.startswith(("bfloat", "float"))


def is_computed(dtype: DType) -> bool:
    """Return whether a dtype is one of the floats that NumPy computes in."""
    return dtype.kind == "f" and dtype.itemsize > 1


def round_to_narrow(x: Array, dtype: DType, saturate: bool = True) -> Array:
    """Return floats rounded to a dtype of 8 or fewer bits, in the dtype they had."""
    import ml_dtypes

    if saturate:
        limits = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
        x = np.clip(x, float(limits.min), float(limits.max))
    return x.astype(np.float32).astype(dtype).astype(x.dtype)


def _find_target_dtype(at: At) -> DType:
    """Return the dtype that a Cast or CastLike asks for."""
    import onnx

    if at.node.op == "CastLike":
        target: DType = at.args[1].dtype
        return target
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(at.get_attr("to")))


def _evaluate_cast(at: At) -> Array:
    x, target = at.x, _find_target_dtype(at)
    if target.kind == "O" or x.dtype.kind in "OSU":
        raise UnsupportedModelError(f"node {at.node.key!r} ({at.node.op}): no text can be cast")
    if is_floating(target):
        wide = x if is_computed(x.dtype) else x.astype(np.float64)
        narrow = target.itemsize == 1
        return round_to_narrow(wide, target, bool(at.get_attr("saturate", 1))) if narrow else wide
    if target.kind == "V":  # NumPy casts to whole numbers of less than 8 bits only from 8 bits
        return x.astype(np.int64).astype(np.int8).astype(target)
    return x.astype(target)


@register_route("Cast", "CastLike", evaluate=_evaluate_cast, inputs=Inputs(frozen=(1,)))
def cast(at: At) -> Route:
    """Relevance passes to floats and is stopped where floats become other types."""
    if is_floating(at.x.dtype) and not is_floating(_find_target_dtype(at)):
        return move(lambda v: 0 * v, lambda r: (0 * r,), covered=0 * at.x)
    return move(lambda v: v, lambda r: (r,))
