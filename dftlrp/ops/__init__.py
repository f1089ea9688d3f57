"""One file per family of ops; importing this package fills the table `OPS`."""

from dftlrp.ops import (
    cast,
    constant,
    control,
    einsum,
    gather,
    inner,
    linear,
    move,
    norm,
    pointwise,
    pool,
    quant,
    recurrent,
    reduce,
    resample,
    sample,
    scatter,
    signal,
    softmax,
    transform,
)
from dftlrp.ops.registry import EXPANSIONS, OPS, At, Op

__all__ = ["EXPANSIONS", "OPS", "At", "Op"]
__all__ += [
    "cast",
    "constant",
    "control",
    "einsum",
    "gather",
    "inner",
    "linear",
    "move",
    "norm",
    "pointwise",
    "pool",
    "quant",
    "recurrent",
    "reduce",
    "resample",
    "sample",
    "scatter",
    "signal",
    "softmax",
    "transform",
]
