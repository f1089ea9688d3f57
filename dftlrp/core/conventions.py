"""Rules as text: other libraries' by their own names, and the numbers in a rule's brackets.

zennit 0.5, captum 0.9, iNNvestigate 2.1 (formulas in ``docs/rules.md``).  iNNvestigate puts the
whole bias into both denominators and guards a division only where z = 0 (its ``SafeDivide``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

_WHOLE, _NONE = "epsilon=1e-7, at_zero=1, bias=2", "epsilon=1e-7, at_zero=1, bias=0"

CONVENTIONS = {
    "zennit": {
        "Epsilon": "epsilon",
        "Norm": "epsilon",
        "ZPlus": "zplus",
        "AlphaBeta": "alpha_beta",
        "Gamma": "gamma",
        "WSquare": "wsquare",
        "Flat": "flat",
        "ZBox": "zbox",
        "Pass": "pass",
    },
    "captum": {
        "EpsilonRule": "epsilon(1e-9)",
        "GammaRule": "gamma(epsilon=1e-9, bias=2, split=0)",
        "Alpha1_Beta0_Rule": "zplus(1e-9, bias=2, split=0)",
        "IdentityRule": "pass",
    },
    "innvestigate": {
        "Z": "epsilon(1e-7, at_zero=1)",
        "ZIgnoreBias": f"epsilon({_NONE})",
        "Epsilon": "epsilon(1e-7)",
        "EpsilonIgnoreBias": "epsilon(1e-7, bias=0)",
        "WSquare": f"wsquare({_NONE})",
        "Flat": "flat(1e-7, at_zero=1)",
        "AlphaBeta": f"alpha_beta({_WHOLE})",
        "AlphaBetaIgnoreBias": f"alpha_beta({_NONE})",
        "Alpha2Beta1": f"alpha_beta(2, 1, {_WHOLE})",
        "Alpha2Beta1IgnoreBias": f"alpha_beta(2, 1, {_NONE})",
        "Alpha1Beta0": f"alpha_beta(1, 0, {_WHOLE})",
        "Alpha1Beta0IgnoreBias": f"alpha_beta(1, 0, {_NONE})",
        "ZPlus": f"zplus({_NONE})",
        "ZPlusFast": f"zplus({_NONE}, split=0)",
        "Bounded": "zbox(epsilon=1e-7, at_zero=1)",
    },
}


def numbers(inner: str, places: list[str], params: Mapping[str, float]) -> dict[str, float]:
    """What stands in brackets, by place or by name, beside the numbers given already.

    Raises
    ------
    ValueError
        A piece that is no finite number, has no place, or a name given twice.
    """
    given = dict(params)
    for position, piece in enumerate(filter(None, (p.strip() for p in inner.split(",")))):
        key, _, value = piece.rpartition("=")
        try:
            key = key.strip() or places[position]
            number = float(value)
        except (ValueError, IndexError):
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"bad parameter {piece!r}")
        if key in given:
            raise ValueError(f"parameter {key!r} is given twice")
        given[key] = number
    return given
