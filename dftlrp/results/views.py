"""The table of domains: how each is computed, exactly, from the waveform; how it is drawn and told.

A domain is one row of `DOMAINS`.  To add one, write a function from a `Waveform` to a `View` and
put it into a row with its axes and one of the looks of `dftlrp.results.panels`; `explain`,
figure, report, files and command line then know it.  Channels, if there are several, are leading
axes throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp import spectral
from dftlrp.core.names import find_name
from dftlrp.core.types import Axes, InputError, Real
from dftlrp.results.data import Axis, Domain, ExplanationData, View, Waveform
from dftlrp.results.panels import CELLS, LINE, READ, WAVE

SILENCE = 1e-4  # of the peak (-80 dB): quieter samples are not divided by, see `make_waveform`

SAMPLES = Axis("time (s)", "s", lambda e: 1 / e.rate, told=("ms", 1000.0), starts=True)
FRAMES = Axis("time (s)", "s", lambda e: e.stft.get("hop", 1) / e.rate, told=("ms", 1000.0))
HERTZ = Axis("frequency (Hz)", "Hz", lambda e: e.rate / 2, told=("Hz", 1.0))
BANDS = Axis("frequency (Hz)", "Hz", told=("bands", 1.0))  # not equally wide


def compute_time(w: Waveform) -> View:
    """Return the waveform as it is."""
    return View(w.x, w.R, np.arange(w.x.shape[-1]) / w.rate, 0.0)


def compute_frequency(w: Waveform) -> View:
    """Return the one-sided DFT of the whole signal."""
    moved = spectral.dft_lrp(w.x, multiplier=w.m)
    hertz = np.fft.rfftfreq(w.x.shape[-1], 1 / w.rate)
    return View(moved.spectrum, moved.relevance.copy(), hertz, w.lost + float(moved.rest.sum()))


def compute_time_frequency(w: Waveform) -> View:
    """Return the short-time Fourier transform."""
    moved = spectral.stft_lrp(w.x, multiplier=w.m, **w.stft)
    axes = (np.fft.rfftfreq(w.stft["n_fft"], 1 / w.rate), moved.domain.times / w.rate)
    return View(moved.spectrum, moved.relevance.copy(), axes, w.lost + float(moved.rest.sum()))


def compute_mel(w: Waveform) -> View:
    """Return time-frequency pooled with weights that sum to 1 in each bin, with a rest band."""
    return pool_mel(compute_time_frequency(w), w)


def pool_mel(tiles: View, w: Waveform) -> View:
    """Return the mel bands of a view of time-frequency."""
    n_fft = w.stft["n_fft"]
    count = max(1, min(64, n_fft // 8))
    mel = spectral.Mel(w.rate, count, n_fft)
    *bands, between = mel.weights
    magnitude = np.sqrt(bands @ np.abs(tiles.signal) ** 2)
    rest = tiles.rest + float((between @ tiles.relevance).sum())
    return View(magnitude, bands @ tiles.relevance, (mel.centres, tiles.axes[1]), rest)


INPUT = "input"  # what the model itself reads, behind a front end
ROWS = (
    Domain("time", "Time", "signal", (SAMPLES,), compute_time, WAVE, table="segments"),
    Domain("frequency", "Frequency", "spectrum", (HERTZ,), compute_frequency, LINE,
           table="bands"),
    Domain("time-frequency", "Time and frequency", "spectrogram", (HERTZ, FRAMES),
           compute_time_frequency, CELLS),
    Domain("mel", "Time and mel bands", "mel bands", (BANDS, FRAMES), compute_mel, CELLS),
    Domain(INPUT, "What the model reads", "what the model reads", (), None, READ),
)  # fmt: skip
DOMAINS = {row.name: row for row in ROWS}  # in the order in which they are drawn
DEFAULT = ("time", "frequency", "time-frequency")


def make_waveform(
    x: Real, R: Real, m: Real | None, rate: float, stft: Mapping[str, Any]
) -> Waveform:
    """Return a signal (..., N) with its relevance and its multiplier, which is exact if known.

    A rule that gives each sample its share whatever its size (flat, wsquare, zbox) has no
    multiplier: R / x is taken, which has no bound where x is nearly silent.  So the relevance of
    samples 80 dB below the peak is not divided but part of the rest.
    """
    if m is not None:
        return Waveform(x, R, m, 0.0, rate, stft)
    heard = np.abs(x) > SILENCE * np.abs(x).max(axis=-1, keepdims=True)
    m = np.divide(R, x, out=np.zeros_like(R), where=heard)
    return Waveform(x, R, m, float(R[~heard].sum()), rate, stft)


def choose_domains(domains: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the domains that are asked for, each once.

    Raises
    ------
    InputError
        If a domain is unknown, or none is given.
    """
    known = ", ".join(DOMAINS)
    try:
        chosen = (domains,) if isinstance(domains, str) else tuple(domains)
    except TypeError:
        raise InputError(f"domains is {domains!r}: give a list of {known}") from None
    if not chosen:
        raise InputError(f"no domain is asked for: choose among {known}")
    return tuple(dict.fromkeys(find_domain(name).name for name in chosen))


def find_domain(name: str) -> Domain:
    """Return the row of a domain; raise InputError if there is none."""
    return DOMAINS[find_name(name, DOMAINS, "unknown domain")]


def compute_views(w: Waveform, domains: Sequence[str], read: View | None) -> dict[str, View]:
    """Return the view of each domain; ``read`` is that of what the model itself reads."""
    rows = [find_domain(name) for name in domains]
    found = {row.name: row.compute(w) if row.compute else read for row in rows}
    return {name: view for name, view in found.items() if view is not None}


def count_from(start: float, name: str, axes: Axes) -> Axes:
    """Return the axes of a domain with times that count from the start of the recording."""
    if not start:
        return axes
    several = axes if isinstance(axes, tuple) else (axes,)
    rows = DOMAINS[name].axes or [None] * len(several)
    moved = tuple(
        points + start if row is not None and row.unit == "s" else points
        for row, points in zip(rows, several, strict=True)
    )
    return moved if isinstance(axes, tuple) else moved[0]


def align_starts(explanations: Sequence[ExplanationData]) -> list[ExplanationData]:
    """Return explanations whose times count from the start of each, where these differ."""
    if len({e.start for e in explanations}) < 2:
        return list(explanations)
    return [
        replace(e, start=0.0, axes={k: count_from(-e.start, k, a) for k, a in e.axes.items()})
        for e in explanations
    ]
