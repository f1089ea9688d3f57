"""The domains a result is shown in: each moves the waveform's relevance there, exactly.

A domain is one entry of `DOMAINS`: a function from the waveform, its relevance and multiplier to a
`View`.  Channels, if there are several, are leading axes throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dftlrp import spectral
from dftlrp.core.types import AnyArray, Axes, InputError, Real

SILENCE = 1e-4  # of the peak (-80 dB): quieter samples are not divided by, see `waveform`


class View(NamedTuple):
    """Signal and relevance in one domain, in the same shape; see `dftlrp.results.explanation`."""

    signal: AnyArray
    relevance: Real
    axes: Axes
    rest: float


class Waveform(NamedTuple):
    """What every domain starts from.

    ``x`` (..., N) signal, ``R`` its relevance, ``m`` its multiplier, ``lost`` the relevance on
    samples that m leaves out, ``rate`` in hertz, ``stft`` the keyword arguments of `spectral.Stft`.
    """

    x: Real
    R: Real
    m: Real
    lost: float
    rate: float
    stft: Mapping[str, Any]


def waveform(x: Real, R: Real, m: Real | None, rate: float, stft: Mapping[str, Any]) -> Waveform:
    """Signal (..., N), relevance and multiplier, which is exact where known.

    A rule that gives each sample its share whatever its size (flat, wsquare, zbox) has no
    multiplier: R / x is taken, without bound where x is as good as silent.  So what sits on samples
    80 dB below the peak is not divided but part of the rest.
    """
    if m is not None:
        return Waveform(x, R, m, 0.0, rate, stft)
    heard = np.abs(x) > SILENCE * np.abs(x).max(axis=-1, keepdims=True)
    m = np.divide(R, x, out=np.zeros_like(R), where=heard)
    return Waveform(x, R, m, float(R[~heard].sum()), rate, stft)


def _time(w: Waveform) -> View:
    return View(w.x, w.R, np.arange(w.x.shape[-1]) / w.rate, 0.0)


def _frequency(w: Waveform) -> View:
    moved = spectral.dft_lrp(w.x, multiplier=w.m)
    hertz = np.fft.rfftfreq(w.x.shape[-1], 1 / w.rate)
    return View(moved.spectrum, moved.relevance.copy(), hertz, w.lost + float(moved.rest.sum()))


def _time_frequency(w: Waveform) -> View:
    moved = spectral.stft_lrp(w.x, multiplier=w.m, **w.stft)
    axes = (np.fft.rfftfreq(w.stft["n_fft"], 1 / w.rate), moved.domain.times / w.rate)
    return View(moved.spectrum, moved.relevance.copy(), axes, w.lost + float(moved.rest.sum()))


def _mel(w: Waveform) -> View:
    """Time-frequency relevance pooled with weights that sum to 1 in each bin, and a rest band."""
    tiles = _time_frequency(w)
    n_fft = w.stft["n_fft"]
    count = max(1, min(64, n_fft // 8))
    mel = spectral.Mel(w.rate, count, n_fft)
    *bands, between = mel.weights
    magnitude = np.sqrt(bands @ np.abs(tiles.signal) ** 2)
    rest = tiles.rest + float((between @ tiles.relevance).sum())
    return View(magnitude, bands @ tiles.relevance, (mel.centres, tiles.axes[1]), rest)


DOMAINS = {"time": _time, "frequency": _frequency, "time-frequency": _time_frequency, "mel": _mel}
INPUT = "input"  # what the model itself reads, behind a front end
DEFAULT = ("time", "frequency", "time-frequency")


def checked(domains: str | Sequence[str]) -> tuple[str, ...]:
    """The domains asked for, each once.

    Raises
    ------
    InputError
        Unknown, or none.
    """
    known = (*DOMAINS, INPUT)
    try:
        chosen = (domains,) if isinstance(domains, str) else tuple(domains)
    except TypeError:
        raise InputError(f"domains is {domains!r}: give a list of {', '.join(known)}") from None
    if unknown := [d for d in chosen if d not in known]:
        raise InputError(f"unknown domain {unknown[0]!r}: choose among {', '.join(known)}")
    if not chosen:
        raise InputError(f"no domain is asked for: choose among {', '.join(known)}")
    return tuple(dict.fromkeys(chosen))


def in_domains(w: Waveform, domains: Sequence[str], read: View) -> dict[str, View]:
    """Signal, relevance, axes and rest in each domain; ``read`` is what the model itself reads."""
    return {domain: read if domain == INPUT else DOMAINS[domain](w) for domain in domains}
