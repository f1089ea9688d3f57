"""Cast: floats stay in the dtype that is computed in, whatever their width in the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from dftlrp.core.maps import Array, Route, move
from dftlrp.core.types import UnsupportedModelError
from dftlrp.ops.registry import At, route

DType = np.dtype[Any]


def floating(dtype: DType) -> bool:
    """Whether a dtype is a float, also one of those that NumPy itself does not have."""
    return dtype.kind == "f" or dtype.name.startswith(("bfloat", "float"))


def computed(dtype: DType) -> bool:
    """Whether it is one of the floats that NumPy computes in."""
    return dtype.kind == "f" and dtype.itemsize > 1


def narrowed(x: Array, dtype: DType, saturate: bool = True) -> Array:
    """Floats rounded to a dtype of 8 or fewer bits, but kept in their own."""
    import ml_dtypes

    if saturate:
        limits = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
        x = np.clip(x, float(limits.min), float(limits.max))
    return x.astype(np.float32).astype(dtype).astype(x.dtype)


def _target(at: At) -> DType:
    import onnx

    if at.node.op == "CastLike":
        target: DType = at.args[1].dtype
        return target
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(at.attr("to")))


def _cast(at: At) -> Array:
    x, target = at.x, _target(at)
    if target.kind == "O" or x.dtype.kind in "OSU":
        raise UnsupportedModelError(f"node {at.node.key!r} ({at.node.op}): no text can be cast")
    if floating(target):
        wide = x if computed(x.dtype) else x.astype(np.float64)
        narrow = target.itemsize == 1
        return narrowed(wide, target, bool(at.attr("saturate", 1))) if narrow else wide
    if target.kind == "V":  # whole numbers of less than 8 bits: by way of 8
        return x.astype(np.int64).astype(np.int8).astype(target)
    return x.astype(target)


@route("Cast", "CastLike", evaluate=_cast, frozen=(1,))
def cast(at: At) -> Route:
    """Between floats, and from whole numbers: the identity.  From floats to others: nothing."""
    if floating(at.x.dtype) and not floating(_target(at)):
        return move(lambda v: 0 * v, lambda r: (0 * r,), covered=0 * at.x)
    return move(lambda v: v, lambda r: (r,))
