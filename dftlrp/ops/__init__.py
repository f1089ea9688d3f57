"""One file per family of ops; importing this package fills the table `OPS`."""

from dftlrp.ops import (
    cast,
    constant,
    einsum,
    gather,
    linear,
    move,
    norm,
    pointwise,
    pool,
    quant,
    reduce,
    resample,
    sample,
    scatter,
    signal,
    softmax,
    transform,
)
from dftlrp.ops.registry import OPS, At, Op

__all__ = ["OPS", "At", "Op"]
__all__ += [
    "cast",
    "constant",
    "einsum",
    "gather",
    "linear",
    "move",
    "norm",
    "pointwise",
    "pool",
    "quant",
    "reduce",
    "resample",
    "sample",
    "scatter",
    "signal",
    "softmax",
    "transform",
]
