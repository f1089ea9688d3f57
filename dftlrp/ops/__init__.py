"""One file per family of ops; importing this package fills the table `OPS`."""

from dftlrp.ops import (
    cast,
    constant,
    gather,
    linear,
    move,
    norm,
    pointwise,
    pool,
    reduce,
    scatter,
    softmax,
    transform,
)
from dftlrp.ops.registry import OPS, At, Op

__all__ = [
    "OPS",
    "At",
    "Op",
    "cast",
    "constant",
    "gather",
    "linear",
    "move",
    "norm",
    "pointwise",
    "pool",
    "reduce",
    "scatter",
    "softmax",
    "transform",
]
