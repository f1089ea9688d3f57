"""A recording of any length in as few numbers as a picture shows, read part by part."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

from dftlrp.attribution.whole import Whole
from dftlrp.core.progress import steps
from dftlrp.core.types import Real
from dftlrp.results.timeline_data import Overview

POINTS, COLUMNS, ROWS = 60_000, 2000, 128  # at most
PART = 2**18  # samples that are read at once


def summarise(whole: Whole, n_fft: int) -> Overview:
    """Return ranges of the samples, and the power of frames without overlap under a Hann window.

    Parameters
    ----------
    n_fft : int
        Samples in a frame.
    """
    length, rate = whole.length, whole.rate or 1.0
    column = n_fft * ceil(length / n_fft / COLUMNS)
    point = column
    while point % 2 == 0 and 2 * length <= POINTS * point:
        point //= 2
    size = column * ceil(PART / column)
    group = ceil((n_fft // 2 + 1) / ROWS)  # bins in a row
    window = np.hanning(n_fft + 1)[:-1]
    parts: list[tuple[Real, Real, Real]] = []
    for start in steps(range(0, length, size), "looking"):
        x = whole.read(start, min(size, length - start))
        cells = -(-x.shape[1] // column)
        filled = np.pad(x, [(0, 0), (0, cells * column - x.shape[1])])
        own = -(-x.shape[1] // point)
        ranges = np.pad(x, [(0, 0), (0, own * point - x.shape[1])], mode="edge")
        ranges = ranges.reshape(len(x), own, point)
        frames = filled.reshape(len(x), cells, -1, n_fft) * window
        power = np.square(np.abs(np.fft.rfft(frames))).mean(axis=2)
        parts.append((ranges.min(axis=2), ranges.max(axis=2), _add_rows(power, group)))
    low, high, power = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    bins = np.minimum(np.arange(0, power.shape[2] + 1) * group, n_fft // 2 + 1)
    return Overview(
        _place(low.shape[1], point, length) / rate, low, high,
        _place(power.shape[1], column, length) / rate,
        np.clip(bins - 0.5, 0, n_fft / 2) * rate / n_fft, power.transpose(0, 2, 1),
    )  # fmt: skip


def _add_rows(power: Real, group: int) -> Real:
    """Return the mean power of neighbouring frequencies."""
    starts = np.arange(0, power.shape[-1], group)
    counts = np.diff(np.append(starts, power.shape[-1]))
    return np.asarray(np.add.reduceat(power, starts, axis=-1) / counts)


def _place(count: int, size: int, length: int) -> Any:
    """Return the edges of so many cells, in samples; the last one stops with the whole."""
    return np.minimum(np.arange(count + 1) * size, length)
