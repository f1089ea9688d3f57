"""`attribute` and `explain` by the float64 reference, of which most laws are stated."""

from __future__ import annotations

from functools import partial

import dftlrp

attribute = partial(dftlrp.attribute, backend="numpy")
explain = partial(dftlrp.explain, backend="numpy")
