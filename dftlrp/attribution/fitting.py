"""Samples at the rate and of the length that a model reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from dftlrp.core.types import InputError, Real

RINGING = 3e-5  # of the peak: -90 dB
FILTER = 10  # samples of the lower rate on each side that `scipy.signal.resample_poly` reads
# Bytes as float64: what is kept for a model, and what may be made by resampling and padding.
KEPT, MADE_FLOOR, MADE_PER_BYTE = 2**31, 2**27, 32


class Fitted(NamedTuple):
    """Samples (channels, N), what was done to them, and the first frame that was kept of them."""

    samples: Real
    notes: tuple[str, ...]
    start: int = 0


def fit_blocks(
    blocks: Iterable[Real], own: float | None, rate: float | None, length: int | None
) -> Fitted:
    """Return samples at another rate and length, and what was done to them.

    Parameters
    ----------
    blocks : iterable of array (channels, N)
    own : float or None
        Rate of the samples in hertz, where known.
    rate, length : optional
        As of `dftlrp.attribution.recording.fit`.

    Raises
    ------
    InputError
        If the rate cannot be reached, or much more memory would be needed than the samples take.
    """
    up, down = _ratio(own, rate)
    start, margin, notes = None, 0, list[str]()
    if length is None:
        samples = np.concatenate(list(blocks), axis=-1)
    else:
        count, margin = -(-length * down // up), _margin(up, down)
        samples, start = _find_loudest(blocks, count, margin)
        if start is not None:
            told = f"{_tell(count, own)}, which start at {_tell(start, own)}"
            notes.append(f"cropped to the loudest {told}")
    if own and rate and own != rate:
        told = f"from {own:g} Hz to {rate:g} Hz"
        _check_room(samples, samples.shape[-1] * up / down, f"resample {told}")
        samples = _resample(samples, up, down)
        notes.append(describe_resampling(own, rate))
    if length is None:
        return Fitted(samples, tuple(notes))
    if start is not None:
        samples = samples[:, margin * up // down :]
    if (missing := length - samples.shape[-1]) > 0:
        told = f"from {_tell(length - missing, rate or own)} to {_tell(length, rate or own)}"
        _check_room(samples, length, f"pad {told}")
        samples = np.pad(samples, [(0, 0), (0, missing)])
        notes.append(f"padded at the end {told}")
    return Fitted(samples[:, :length], tuple(notes), start or 0)


def read_at_rate(
    read: Callable[[int, int], Real], own: float | None, rate: float | None, start: int, count: int
) -> Real:
    """Return samples of a recording at another rate, reading only what they depend on.

    Parameters
    ----------
    read : callable
        From (start, stop), which may lie beyond the ends, to frames (channels, n) at rate ``own``.
    own, rate : float or None
        Hertz.
    start, count : int
        Samples at ``rate``, counted from the start of the recording.
    """
    up, down = _ratio(own, rate)
    margin, whole = _margin(up, down), start // up
    first = whole * down
    last = -(-(start + count) * down // up)
    samples = read(first - margin, last + margin)
    if up != down:
        samples = _resample(samples, up, down)[:, margin * up // down + start - whole * up :]
    return samples[:, :count]


def describe_resampling(own: float, rate: float) -> str:
    """Say what resampling does."""
    return f"resampled from {own:g} Hz to {rate:g} Hz, and silence below -90 dB cut"


def count_at_rate(frames: int, own: float | None, rate: float | None) -> int:
    """Return how many samples a recording has at another rate."""
    up, down = _ratio(own, rate)
    return -(-frames * up // down)


def _ratio(own: float | None, rate: float | None) -> tuple[int, int]:
    """Return by what to multiply and to divide the number of samples."""
    if not own or not rate or own == rate:
        return 1, 1
    ratio = (Fraction(rate) / Fraction(own)).limit_denominator(10**4)
    if not ratio:
        raise InputError(f"cannot resample from {own:g} Hz to {rate:g} Hz")
    return ratio.numerator, ratio.denominator


def _margin(up: int, down: int) -> int:
    """Return how many samples beside a stretch its resampling depends on: a multiple of down."""
    return 0 if up == down else down * -(-FILTER * max(up, down) // (up * down))


def _tell(count: int, rate: float | None) -> str:
    return f"{count} samples" + (f" ({count / rate:.3f} s)" if rate else "")


def _find_loudest(blocks: Iterable[Real], count: int, margin: int) -> tuple[Real, int | None]:
    """Return the stretch of ``count`` samples with the most energy, and where it starts.

    It comes with ``margin`` samples more on both sides (zeros beyond the ends).  If there are not
    more than ``count`` in all, all are returned without margins, and None.
    """
    width, place, best = count + 2 * margin, 0, -1.0
    loudest: Real = np.zeros((1, 0))
    start = 0
    for held, last in _gather(blocks, width, margin):
        if last and not place and held.shape[-1] <= width:
            return held[:, margin : held.shape[-1] - margin], None
        energy = _energies(held[:, margin : held.shape[-1] - margin], count)
        at = int(np.argmax(energy)) if energy.size else 0
        if energy.size and (not loudest.size or energy[at] > best):
            best, loudest, start = energy[at], held[:, at : at + width].copy(), place + at
        place += len(energy)
    return loudest, start


def _gather(blocks: Iterable[Real], width: int, margin: int) -> Iterator[tuple[Real, bool]]:
    """Yield long parts of all samples between margins of zeros, and whether each is the last.

    A part begins with the ``width`` - 1 last samples of the one before it.
    """
    held: list[Real] = []
    for block in blocks:
        held = held or [np.zeros((len(block), margin))]
        held.append(block)
        if sum(part.shape[-1] for part in held) >= 2 * width:
            whole = np.concatenate(held, axis=-1)
            yield whole, False
            held = [whole[:, whole.shape[-1] - width + 1 :]]
    yield np.concatenate([*held, np.zeros((len(held[0]), margin))], axis=-1), True


def _energies(x: Real, count: int) -> Real:
    """Return the sum of squares over each stretch of so many samples of all channels."""
    with np.errstate(all="ignore"):  # what overflows is the loudest
        total: Real = np.concatenate([[0.0], np.cumsum(np.square(x).sum(axis=0))])
        return total[count:] - total[:-count]


def _resample(x: Real, up: int, down: int) -> Real:
    """Return the samples at another rate, by SciPy's polyphase filter; its ringing is cut."""
    from scipy.signal import resample_poly

    y = np.asarray(resample_poly(x, up, down, axis=-1))
    # The filter rings on in silence, far below 16 bits; a multiplier R / x has no bound there.
    made: Real = np.where(np.abs(y) < RINGING * np.abs(y).max(), 0, y)
    return made


def _check_room(samples: Real, count: float, what: str) -> None:
    """Refuse to make so many samples per channel of these, where the memory is not asked for."""
    made, given = len(samples) * count * 8, samples.nbytes
    if made > min(KEPT, MADE_FLOOR + MADE_PER_BYTE * given):
        raise InputError(f"cannot {what}: {count:.0f} samples of {samples.shape[-1]} are too many")
