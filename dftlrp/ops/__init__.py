"""One file per family of ops; importing this package fills the table `OPS`."""

from dftlrp.ops import linear, move, pointwise, pool, transform
from dftlrp.ops.registry import OPS, At, Op

__all__ = ["OPS", "At", "Op", "linear", "move", "pointwise", "pool", "transform"]
