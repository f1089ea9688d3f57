"""References: the signal that an explanation compares the recording with, and what it asks.

A reference is a question: why this score, and not that of silence, of another recording, of
background noise?  `find_references` reads what a user asks for; `dftlrp.engine.difference` has the
mathematics.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.core.files import regular
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.settings import AUTO, NONE, SILENCE

MEAN, NOISE = "mean", "noise"
NAMES = (AUTO, NONE, SILENCE, MEAN, NOISE)
DRAWS = 8  # of noise
Read = Callable[[Any], Real]


@dataclass(frozen=True, eq=False)
class References:
    """What a recording is compared with.

    Attributes
    ----------
    words : str
        What it is, as in "the score is compared with that of ...".
    points : tuple of array
        The signals, in the shape of the recording's; the explanation is the mean over them.
    """

    words: str
    points: tuple[Real, ...]

    @property
    def sha256(self) -> str:
        """What tells the signals from others."""
        return hashlib.sha256(np.stack(self.points).astype(np.float64).tobytes()).hexdigest()


def find_reference(inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Return silence in the shapes of the inputs: zeros where a recording enters the model."""
    return {name: np.zeros_like(array) for name, array in inputs.items()}


def find_references(asked: Any, samples: Real, read: Read) -> References | None:
    """Return what a recording is compared with, or None where nothing is asked for.

    Parameters
    ----------
    asked : str, path, array or list
        ``"none"``, ``"silence"``, ``"noise"``; a recording; several of them; or a list that begins
        with ``"mean"``: the mean of the recordings behind it.
    samples : array
        The recording, as the model reads it.
    read : callable
        From a path or array to samples at the model's rate, of any length.

    Raises
    ------
    InputError
        A recording has another length or is the same as the one that is explained, or none is
        given to take the mean of.
    """
    several = list(asked) if isinstance(asked, list | tuple) else [asked]
    if len(several) == 1 and (several[0] is None or is_word(several[0], NONE)):
        return None
    mean = bool(several) and is_word(several[0], MEAN)
    given = several[1:] if mean else several
    if mean and (not given or any(isinstance(one, str) and one in NAMES for one in given)):
        raise InputError("reference 'mean' needs recordings: give [\"mean\", FILE, ...]")
    if not given:
        raise InputError(f"no reference is given: name a recording or one of {', '.join(NAMES)}")
    found = [_find_one(one, samples, read) for one in given]
    points = [p for _, each in found for p in each]
    words = ", ".join(dict.fromkeys(told for told, _ in found))
    if mean:
        points, words = [np.mean(points, axis=0)], f"the mean of {len(points)} recordings"
    elif len(found) > 1:
        words = f"each of {len(points)} recordings, on average"
    if all(np.array_equal(p, samples) for p in points):
        raise InputError(f"the reference, {words}, is the recording itself: nothing is to explain")
    return References(words, tuple(points))


def identify_references(asked: Any) -> list[str]:
    """Return by what references are told apart: their names, or hashes of what they hold."""
    several = list(asked) if isinstance(asked, list | tuple) else [asked]
    return [_identify_one(one) for one in several]


def _identify_one(one: Any) -> str:
    if one is None or (isinstance(one, str) and one in NAMES):
        return str(one)
    if not isinstance(one, str | os.PathLike):
        return hashlib.sha256(np.asarray(one, np.float64).tobytes()).hexdigest()
    with regular(Path(one), InputError, f"reference: {one}") as (opened, _):
        return hashlib.sha256(opened.read()).hexdigest()


def is_word(asked: Any, word: str) -> bool:
    """Return whether that is asked for, which an array is not."""
    return isinstance(asked, str) and asked == word


def _find_one(asked: Any, samples: Real, read: Read) -> tuple[str, list[Real]]:
    """Return what one reference is in words, and its signals."""
    if is_word(asked, SILENCE):
        return SILENCE, [np.zeros_like(samples)]
    if is_word(asked, NOISE):
        words = f"stationary noise with the recording's spectrum ({DRAWS} draws, on average)"
        return words, [draw_noise(samples, i) for i in range(DRAWS)]
    if isinstance(asked, str) and asked in NAMES:
        raise InputError(f"reference {asked!r} stands alone: leave the others out")
    named = isinstance(asked, str | os.PathLike)
    words = f"the recording {os.path.basename(asked)}" if named else "another signal"
    try:
        point = read(asked)
    except InputError as error:
        raise InputError(f"reference: {error}; or give one of {', '.join(NAMES)}") from None
    if point.shape != samples.shape:
        raise InputError(
            f"the reference, {words}, has the shape {point.shape} and the recording "
            f"{samples.shape}: they must be aligned, sample by sample"
        )
    return words, [point]


def draw_noise(samples: Real, seed: int) -> Real:
    """Return noise with the magnitudes of a recording's spectrum, and random phases.

    Channels get the same turns, so that they stay as alike as they were.

    Parameters
    ----------
    samples : array (N,) or (channels, N)
    seed : int
        Of the phases.
    """
    spectrum = np.abs(np.fft.rfft(samples, axis=-1))
    turned = np.random.default_rng(seed).uniform(0, 2 * np.pi, spectrum.shape[-1:])
    turned[0] = 0.0
    if samples.shape[-1] % 2 == 0:
        turned[-1] = 0.0  # this one is real, too
    return np.fft.irfft(spectrum * np.exp(1j * turned), samples.shape[-1], axis=-1)
