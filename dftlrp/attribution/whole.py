"""A recording of which any stretch can be read, at the rate that a model reads.

It is read in parts and never held, each part with the margins that resampling needs, so that a
stretch has the same samples whichever part it was read in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.attribution.fitting import count_at_rate, describe_resampling, read_at_rate
from dftlrp.attribution.recording import Recording, from_array, open_recording
from dftlrp.core.types import Real


@dataclass(frozen=True, eq=False)
class Whole:
    """A recording of which any stretch can be read, at the rate that a model reads.

    Attributes
    ----------
    own, rate : float or None
        Hertz of the recording, and those that the model reads; None where none is known.
    frames : int
        Samples per channel, at its own rate.
    frames_between : callable
        From (start, stop), inside the recording, to the frames (channels, n).
    about : Recording
        Its name, hash, channels and notes, without samples.
    """

    own: float | None
    rate: float | None
    frames: int
    frames_between: Callable[[int, int], Real]
    about: Recording

    @property
    def length(self) -> int:
        """Samples per channel at the model's rate."""
        return count_at_rate(self.frames, self.own, self.rate)

    @property
    def seconds(self) -> float:
        """Duration; a sample is a second where no rate is known."""
        return self.frames / (self.own or self.rate or 1.0)

    def read(self, start: int, count: int) -> Real:
        """Return samples (channels, count) at the model's rate; zeros beyond the ends."""
        samples = read_at_rate(self._read_padded, self.own, self.rate, start, count)
        samples[:, max(self.length - start, 0) :] = 0.0  # where the filter rings on
        return samples

    def cut(self, start: int, count: int) -> Recording:
        """Return a stretch as a recording, which says where it starts."""
        rate = self.rate or 1.0
        told = f"{count / rate:.4g} of {self.seconds:.4g} s are explained, from {start / rate:.3f}"
        notes = [*self.about.notes, f"{told} to {(start + count) / rate:.3f} s"]
        if self.own and self.rate and self.own != self.rate:
            notes.append(describe_resampling(self.own, self.rate))
        if (missing := start + count - self.length) > 0:
            notes.append(f"padded at the end with {missing} samples ({missing / rate:.3f} s)")
        samples = self.read(start, count)
        kept = samples if len(samples) > 1 else samples[0]
        return replace(self.about, samples=kept, notes=tuple(notes), start=start / rate)

    def _read_padded(self, start: int, stop: int) -> Real:
        inside = max(start, 0), min(stop, self.frames)
        frames = self.frames_between(*inside)
        return np.pad(frames, [(0, 0), (inside[0] - start, stop - inside[1])])


@contextmanager
def open_whole(
    signal: Any,
    channels: int,
    own: float | None,
    rate: float | None,
    chosen: Sequence[str] = (),
) -> Iterator[Whole]:
    """Open a file, or take an array, of which stretches are read.

    Parameters
    ----------
    signal : path or array
    channels : int
        What the model reads.
    own, rate : float or None
        Hertz of a signal that does not state them, and those that the model reads.
    chosen : list of str
        Which channels of a file, by name; all if empty.
    """
    if not isinstance(signal, str | os.PathLike):
        array = from_array(signal, own, channels, chosen)
        rows = np.atleast_2d(array.samples)
        about = replace(array, samples=rows[:, :0], rate=rate or own)
        yield Whole(own, rate or own, rows.shape[1], lambda a, b: rows[:, a:b], about)
        return
    with open_recording(signal, channels, chosen) as opened:
        header = opened.header
        found = header.rate or own
        names = header.names if len(header.names) == channels else ()
        about = Recording(
            np.zeros((channels, 0)), rate or found, (*opened.notes, *header.notes),
            Path(signal).name, header.sha256, names, header.rate is not None,
        )  # fmt: skip
        yield Whole(found, rate or found, header.frames, opened.read, about)
