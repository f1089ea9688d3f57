"""One file per family of ops; importing this package fills the table `OPS`."""

from dftlrp.ops import (
    cast,
    constant,
    control,
    gather,
    inner,
    linear,
    move,
    norm,
    pointwise,
    pool,
    recurrent,
    reduce,
    scatter,
    softmax,
    transform,
)
from dftlrp.ops.registry import EXPANSIONS, OPS, At, Op

__all__ = [
    "EXPANSIONS",
    "OPS",
    "At",
    "Op",
    "cast",
    "constant",
    "control",
    "gather",
    "inner",
    "linear",
    "move",
    "norm",
    "pointwise",
    "pool",
    "recurrent",
    "reduce",
    "scatter",
    "softmax",
    "transform",
]
