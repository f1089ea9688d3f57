"""From an op of ONNX to the map it is at its current inputs; one file for each family of ops.

In come a node and the values that it reads; out goes an `Affine`, a `Route` or a `Stop`, and the
value that the node makes.  Importing the package fills the table `OPS`.  This room must never know
a rule, nor which backend computes: an op is written in the primitives of the contract and in
NumPy's functions.
"""

from dftlrp.ops import (
    cast,
    classical,
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
    rotary,
    sample,
    scatter,
    signal,
    softmax,
    tokens,
    transform,
)
from dftlrp.ops.registry import EXPANSIONS, OPS, At, Op

__all__ = ["EXPANSIONS", "OPS", "At", "Op"]
__all__ += [
    "cast",
    "classical",
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
    "rotary",
    "sample",
    "scatter",
    "signal",
    "softmax",
    "tokens",
    "transform",
]
