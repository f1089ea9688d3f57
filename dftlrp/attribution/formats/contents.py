"""What a file holds, whatever its format; and what a reader is given and may say."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from dftlrp.core.types import InputError, Real

# Bytes as float64.  What a file may hold depends on its size: 512 bytes for each of its own are
# more than Opus at 6 kbit/s makes.
DECODED_FLOOR, DECODED_PER_BYTE = 2**27, 512
MOST_CHANNELS_READ = 4096
SHOWN_NAMES = 30
DIFFERENT = 1e-3  # of two rates
UNEVEN = 0.5  # samples by which a time may be off the grid
SLACK = 1.25  # times as far off the grid of a round rate as off that of first and last time


class Source(NamedTuple):
    """A regular file that is not empty, open for reading; its position is anywhere."""

    path: Path
    file: BinaryIO
    size: int


class Channel(NamedTuple):
    """One channel of a file.

    Attributes
    ----------
    frames : int
        Samples.
    rate : float or None
        Hertz, where the file states it.
    name, unit : str
        Empty where the file has none.
    start : float
        Seconds after the start of the recording.
    """

    frames: int
    rate: float | None = None
    name: str = ""
    unit: str = ""
    start: float = 0.0


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes
    ----------
    channels : tuple of Channel
        At least one, of at least one sample.
    read : callable
        ``read(channels, start, stop)`` returns the samples from ``start`` to before ``stop`` of
        the channels of these indices, as float64 (channels, stop - start).
    is_sound : bool
        Whether full scale is 1 and several channels may be mixed to one.
    notes : tuple of str
    beside : tuple of Path
        Other files that hold a part of it.
    """

    channels: tuple[Channel, ...]
    read: Callable[[Sequence[int], int, int], Real]
    is_sound: bool = False
    notes: tuple[str, ...] = ()
    beside: tuple[Path, ...] = ()


@contextmanager
def refuse_undecodable(what: str) -> Iterator[None]:
    """Turn whatever a reader of somebody else's raises into one line; its warnings are silent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        line = (getattr(error, "error_string", "") or str(error)).strip().splitlines()
        reason = line[0] if line else type(error).__name__
        raise InputError(f"not {what} that can be read ({reason})") from None


def import_reader(module: str, extra: str, what: str, otherwise: str = "") -> Any:
    """Return a package that is installed by an extra.

    Raises
    ------
    InputError
        It is not there.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(module)
    except ImportError:
        raise InputError(
            f"{what} is read by {module}: pip install 'dftlrp[{extra}]'{otherwise}"
        ) from None


def check_claim(numbers: int, size: int) -> None:
    """Refuse a file that claims to hold more numbers than one of its size can hold."""
    if numbers * 8 > DECODED_FLOOR + DECODED_PER_BYTE * size:
        raise InputError(f"{numbers} numbers in {size} bytes are too many; cut it first")


def list_names(names: Sequence[str]) -> str:
    """Return names for a message, some of many."""
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(map(repr, names[:SHOWN_NAMES])) + more


def check_rate(rate: float) -> float:
    """Return a rate in hertz, or refuse it."""
    if not 0 < rate < float("inf"):
        raise InputError(f"states a rate of {rate:g} Hz")
    return rate


def agree_on_rate(stated: float | None, found: float) -> float:
    """Return the rate that is stated, or that of the times; refuse those that differ."""
    if stated and abs(found / stated - 1) > DIFFERENT:
        raise InputError(f"states {stated:g} Hz, but its times are those of {found:g} Hz")
    return stated or found


def find_rate(seconds: Real, row: str, first: int = 0) -> float:
    """Return the rate of times that lie evenly: the roundest number that fits them.

    Parameters
    ----------
    seconds : array (N,)
    row : str
        What a message calls one of them.
    first : int
        The number of the first in a message.

    Raises
    ------
    InputError
        They have a gap, or do not rise evenly.
    """
    finite = np.isfinite(seconds)
    if not finite.all():
        raise InputError(f"{row} {first + int(np.argmin(finite))}: its time is missing")
    steps = np.diff(seconds)
    if not steps.size:
        raise InputError("one time tells no rate")
    if (least := int(np.argmin(steps))) >= 0 and steps[least] < 0:
        raise InputError(f"{row} {first + least + 1}: its time lies before that of the one above")
    step = float(seconds[-1] - seconds[0]) / len(steps)
    if not step:
        raise InputError("its times are all the same")
    count = np.arange(len(seconds))
    off = _measure_off(seconds, count * step) / step
    if off > UNEVEN + 1e-6:
        at = int(np.argmax(steps))
        gap = steps[at] / np.median(steps) if np.median(steps) else np.inf
        said = f"a gap of {steps[at]:g} s" if gap > 1 + UNEVEN else "times that do not lie evenly"
        raise InputError(f"{row} {first + at + 1}: {said}; resample it, or cut it there")
    allowed = SLACK * off * step + 4 * np.spacing(np.abs(seconds).max())
    rates = (round(1 / step, digits) for digits in range(16))
    fitting = (r for r in rates if r and _measure_off(seconds, count / r) <= allowed)
    return next(fitting, 1 / step)


def _measure_off(seconds: Real, grid: Real) -> float:
    """Return how far times lie from a grid that is laid through their middle."""
    late = seconds - grid
    return float(late.max() - late.min()) / 2
