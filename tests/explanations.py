"""Explanations made by hand, for the tests of sound, figures, report and numbers.

The signal is two tones, 440 Hz in the first half and 1250 Hz in the second (at 8000 Hz).  The
multiplier m is the signal with the low tone kept and the high tone times -0.4: the first tone
speaks for the target, the second against it, so the right picture and sound are known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import fft

from dftlrp.core.ledger import Ledger, LedgerRow
from dftlrp.results.explanation import Explanation
from dftlrp.spectral import Mel, dft_lrp, stft_for, stft_lrp

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


def stacked(*parts: Explanation, **changed: Any) -> Explanation:
    """Several channels: the arrays of explanations of one channel each, one above the other."""
    groups = {
        g: {d: np.stack([getattr(p, g)[d] for p in parts]) for d in parts[0].domains}
        for g in ("signal", "relevance")
    }
    return replace(parts[0], **{**groups, **changed})


def quake(count: int = 3000, rate: float = 100.0) -> Explanation:
    """Three components of a seismogram: two bursts each, the second one against the target."""
    noise = np.random.default_rng(0).normal(size=(3, count))
    loud = np.array([[1.0], [0.6], [0.3]])
    rows = loud * two_tones(count) + 0.01 * noise
    parts = [
        explanation(x, "P", rate, total=3.0 * a) for x, a in zip(rows, loud[:, 0], strict=True)
    ]
    return stacked(*parts, channel_names=("Z", "N", "E"), ledger=ledger(5.7))


def with_mel(e: Explanation, bands: int = 24) -> Explanation:
    """Also in mel bands: cells pooled with weights that sum to 1 in each bin."""
    _, seconds = e.axes["time-frequency"]
    mel = Mel(e.rate, bands, e.stft["n_fft"])
    *pooling, between = mel.weights
    cells, R = e.signal["time-frequency"], e.relevance["time-frequency"]
    return replace(
        e,
        signal={**e.signal, "mel": np.sqrt(pooling @ np.abs(cells) ** 2)},
        relevance={**e.relevance, "mel": pooling @ R},
        axes={**e.axes, "mel": (mel.centres, seconds)},
        rest={**e.rest, "mel": float((between @ R).sum())},
    )


def with_input(e: Explanation, features: np.ndarray, relevance: np.ndarray) -> Explanation:
    """Also at what the model itself reads."""
    return replace(
        e,
        signal={**e.signal, "input": features},
        relevance={**e.relevance, "input": relevance},
    )


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
