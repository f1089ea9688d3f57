"""Explanations made by hand, for the tests of sound, figures and report.

The signal is two tones, 440 Hz in the first half and 1250 Hz in the second (at 8000 Hz).  The
multiplier m is the signal with the low tone kept and the high tone times -0.4: the first tone
speaks for the target, the second against it, so the right picture and sound are known.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import fft

from dftlrp.explanation import Explanation
from dftlrp.ledger import Ledger, LedgerRow
from dftlrp.spectral import dft_lrp, stft_for, stft_lrp

LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DOMAINS = ("time", "frequency", "time-frequency")
SPLIT = 0.1  # between the two tones, as a share of the rate


def two_tones(count: int = 4000, rate: float = 8000.0) -> np.ndarray:
    """Two bursts, (count,): 0.055 and 0.15625 of the rate, one after the other."""
    n = np.arange(count)
    bursts = [np.sin(np.pi * np.clip(2 * n / count - half, 0, 1)) ** 2 for half in (0, 1)]
    tones = [np.sin(2 * np.pi * f * n) for f in (0.055, 0.15625)]
    return 0.4 * (bursts[0] * tones[0] + bursts[1] * tones[1])


def explanation(
    x: np.ndarray | None = None,
    label: str = "seven",
    rate: float = 8000.0,
    total: float = 7.9,
    against: float = -0.4,
    **changed: Any,
) -> Explanation:
    """An Explanation whose relevance sums to `total` (unless the signal is silent)."""
    x = two_tones(rate=rate) if x is None else np.asarray(x, np.float64)
    settings = stft_for(rate)
    sign = np.where(fft.rfftfreq(len(x)) < SPLIT, 1.0, against)
    m = fft.irfft(sign * fft.rfft(x), len(x))
    m *= total / (x @ m) if np.any(x) else 1.0
    bins, cells = dft_lrp(x, multiplier=m), stft_lrp(x, multiplier=m, **settings)
    cell_axes = (fft.rfftfreq(settings["n_fft"], 1 / rate), cells.domain.times / rate)
    known = label in LABELS
    target = LABELS.index(label) if known else 7
    labels = LABELS if known else (*LABELS[:7], label, *LABELS[8:])
    explained = np.linspace(-3.0, 2.0, 10)
    explained[target] = total + 0.36
    fields: dict[str, Any] = {
        "signal": {"time": x, "frequency": bins.spectrum, "time-frequency": cells.spectrum},
        "relevance": {"time": x * m, "frequency": bins.relevance,
                      "time-frequency": cells.relevance},
        "axes": {"time": np.arange(len(x)) / rate, "frequency": fft.rfftfreq(len(x), 1 / rate),
                 "time-frequency": cell_axes},
        "rest": dict.fromkeys(DOMAINS, 0.0),
        "rate": rate,
        "target": target,
        "label": label,
        "labels": labels,
        "output": explained.copy(),
        "explained": explained,
        "ledger": ledger(total),
        "stft": settings,
        "notes": ("resampled from 44100 Hz to 8000 Hz", "padded from 3800 to 4000 samples"),
        "provenance": {"model_sha256": "0f" * 32, "composite": "EpsilonPlus", "seed": "logit",
                       "backend": "numpy", "versions": {"dftlrp": "0.1.0", "numpy": "2.4.0"}},
    }  # fmt: skip
    return Explanation(**{**fields, **changed})


def ledger(total: float) -> Ledger:
    """Three nodes: the output's bias takes 0.3, the convolution's 0.05, the stabiliser 0.01."""
    accounts = [
        ("logits", "Gemm", "epsilon", total + 0.36, total + 0.06, 0.30, 0.0),
        ("relu_1", "Relu", "pass", total + 0.06, total + 0.06, 0.0, 0.0),
        ("conv_1", "Conv", "zplus", total + 0.06, total, 0.05, 0.01),
    ]
    return Ledger(tuple(_row(*account) for account in accounts))


def _row(node: str, op: str, rule: str, *amounts: float) -> LedgerRow:
    came, went, bias, stabiliser = (np.array([a]) for a in amounts)
    return LedgerRow(node, op, rule, came, went, bias, stabiliser, np.zeros(1), abs(amounts[0]))
