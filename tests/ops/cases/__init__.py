"""Every op that dftlrp knows, in every form its versions have had: the cases of the ops' laws.

Each file here states ``CASES``, a list of `ops.case.Case`, and is found by its being here.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from graphs import linearised

from dftlrp.core.maps import Affine, Route
from dftlrp.ops import OPS
from ops.case import Case

FILES = [import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__)]
CASES: dict[str, Case] = {
    f"{c.op}-{c.opset or 'newest'}-{number}": c
    for number, c in enumerate(c for file in FILES for c in file.CASES)
}
MAPS = {name: c for name, c in CASES.items() if c.live and OPS[c.op].linearise is not None}
KINDS = {name: type(linearised(c.at())) for name, c in MAPS.items()}
AFFINE = {name: c for name, c in MAPS.items() if KINDS[name] is Affine}
ROUTES = {name: c for name, c in MAPS.items() if KINDS[name] is Route}
