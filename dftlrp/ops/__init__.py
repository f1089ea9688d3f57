"""From an op of ONNX to the map it is at its current inputs; one file for each family of ops.

In come a node and the values that it reads; out goes an `Affine`, a `Route` or a `Stop`, and the
value that the node makes.  Importing the package imports every file in it, and these fill the table
`OPS`.  This room must never know a rule, nor which backend computes: an op is written in the
primitives of the contract and in NumPy's functions.
"""

from importlib import import_module
from pkgutil import iter_modules

from dftlrp.ops.registry import EXPANSIONS, OPS, STATIC, At, Inputs, Op

for _file in iter_modules(__path__):
    import_module(f"{__name__}.{_file.name}")

__all__ = ["EXPANSIONS", "OPS", "STATIC", "At", "Inputs", "Op"]
