"""One file per family of ops; importing this package fills the table `OPS`."""

from dftlrp.ops import control, inner, linear, move, pointwise, pool, recurrent, transform
from dftlrp.ops.registry import EXPANSIONS, OPS, At, Op

__all__ = ["EXPANSIONS", "OPS", "At", "Op", "control", "inner", "linear", "move", "pointwise"]
__all__ += ["pool", "recurrent", "transform"]
