"""The rules of other libraries by their own names, as rules of this one.

They are those of zennit 0.5, captum 0.9 and iNNvestigate 2.1 (docs/reference/rules.md).
iNNvestigate puts the whole bias into both denominators and guards a division only where z = 0 (its
``SafeDivide``).
"""

from __future__ import annotations

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
