"""What the fields of a front end may hold, alone and together: one table each."""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import Callable
from numbers import Real as Number
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dftlrp.core.types import InputError
from dftlrp.spectral.windows import window_array

if TYPE_CHECKING:
    from dftlrp.graph.frontend.declaration import FrontEnd

MOST_SAMPLES = 2**28  # of a recording: 2 GiB in float64
MOST_N_FFT = 2**22
MOST_WEIGHTS = 2**26  # of the mel filters or the cosine transform: 512 MiB


class Kind(NamedTuple):
    """What a field may hold: in words, and a function that gives it as kept or a ValueError."""

    words: str
    read: Callable[[Any], Any]


def whole(most: int) -> Kind:
    """A whole number from 1 on."""

    def read(value: Any) -> int:
        _when(not isinstance(value, bool) and 1 <= operator.index(value) <= most)
        return operator.index(value)

    return Kind(f"a whole number from 1 to {most}", read)


def number(words: str, fits: Callable[[float], bool] = lambda _: True) -> Kind:
    """A finite number that fits."""

    def read(value: Any) -> float:
        _when(isinstance(value, Number) and not isinstance(value, bool) and math.isfinite(value))
        _when(fits(float(value)))
        return float(value)

    return Kind(words, read)


def choice(*allowed: Any) -> Kind:
    """One of these."""

    def read(value: Any) -> Any:
        _when((value is None or isinstance(value, str)) and value in allowed)
        return value

    return Kind(f"one of {allowed}", read)


def optional(kind: Kind) -> Kind:
    """Nothing, too."""
    return Kind(f"{kind.words}, or none", lambda v: None if v is None else kind.read(v))


def one_or_list(kind: Kind) -> Kind:
    """A value, or a list of values."""

    def read(value: Any) -> Any:
        return tuple(map(kind.read, value)) if _is_list(value) else kind.read(value)

    return Kind(f"{kind.words}, or a list of them", read)


def _flag(value: Any) -> bool:
    _when(isinstance(value, bool | np.bool_))
    return bool(value)


def _window(value: Any) -> Any:
    _when(isinstance(value, str) or _is_list(value))
    return value if isinstance(value, str) else tuple(np.asarray(value, object).tolist())


def _layout(value: Any) -> tuple[str | int, ...]:
    _when(_is_list(value) and all(isinstance(a, str) or (type(a) is int and a == 1) for a in value))
    return tuple(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)


def _when(good: bool) -> None:
    if not good:
        raise ValueError


FLAG = Kind("true or false", _flag)
FINITE = number("a finite number")
HERTZ = number("a number of hertz >= 0", lambda v: v >= 0)

FIELDS: dict[str, Kind] = {
    "rate": number("a positive number of hertz, at most 1e9", lambda v: 0 < v <= 1e9),
    "amplitude": choice("unit", "int16", "peak", "rms"),
    "transform": choice("stft", "dft"),
    "n_fft": whole(MOST_N_FFT),
    "hop": whole(MOST_SAMPLES),
    "win_length": optional(whole(MOST_N_FFT)),
    "window": Kind("a name, a list of a name and parameters, or samples", _window),
    "center": FLAG,
    "pad_mode": choice("constant", "reflect"),
    "orthonormal": FLAG,
    "power": optional(number("a positive number", lambda v: v > 0)),
    "n_mels": optional(whole(MOST_WEIGHTS)),
    "fmin": HERTZ,
    "fmax": optional(HERTZ),
    "mel_scale": choice("slaney", "htk"),
    "mel_norm": choice(None, "slaney"),
    "log": choice(None, "ln", "log10", "db"),
    "floor": number("a number >= 0", lambda v: v >= 0),
    "offset": FINITE,
    "top_db": optional(number("a positive number of decibels", lambda v: v > 0)),
    "n_mfcc": optional(whole(MOST_WEIGHTS)),
    "mean": optional(one_or_list(FINITE)),
    "std": optional(one_or_list(number("a finite number, not 0", lambda v: v != 0))),
    "normalise": choice(None, "utterance", "feature"),
    "samples": optional(whole(MOST_SAMPLES)),
    "layout": Kind("a list of axes: 'batch', 'part', 'frequency', 'time' or 1", _layout),
}


class Law(NamedTuple):
    """What fields must fulfil together; the words are formatted with the front end as ``fe``."""

    holds: Callable[[FrontEnd], bool]
    words: str


def _top(fe: FrontEnd) -> float:
    return fe.rate / 2 if fe.fmax is None else fe.fmax


def _named(fe: FrontEnd) -> list[str]:
    return sorted(str(axis) for axis in fe.layout if axis != 1)


def _lists(fe: FrontEnd) -> list[tuple[float, ...]]:
    return [v for v in (fe.mean, fe.std) if isinstance(v, tuple)]


def _weights(fe: FrontEnd) -> int:
    """The largest matrix."""
    bins = (fe.size or 0) // 2 + 1
    return max(bins * (fe.n_mels or 0), (fe.n_mels or bins) * (fe.n_mfcc or 0))


def _has_size(fe: FrontEnd) -> bool:
    """Whether the length of the DFT is known where something is made for it."""
    made = bool(fe.n_mels or fe.n_mfcc or _lists(fe))
    return fe.size is not None or not made


LAWS = (
    Law(
        lambda fe: fe.power is not None or not (fe.n_mels or fe.log or fe.n_mfcc),
        "mel, log and n_mfcc need a power or magnitude (power=)",
    ),
    Law(
        lambda fe: _named(fe) == sorted(fe.axes),
        "layout {fe.layout} must hold each of {fe.axes} once",
    ),
    Law(
        lambda fe: (fe.win_length or 1) <= fe.n_fft,
        "win_length is {fe.win_length}, more than n_fft = {fe.n_fft}",
    ),
    Law(
        lambda fe: fe.fmin < _top(fe) <= fe.rate / 2,
        "fmin = {fe.fmin:g} and fmax = {fe.fmax}: 0 <= fmin < fmax <= rate / 2 is needed",
    ),
    Law(
        lambda fe: fe.log is None or fe.floor + fe.offset > 0,
        "floor = {fe.floor:g} and offset = {fe.offset:g}: a logarithm needs floor + offset > 0",
    ),
    Law(lambda fe: fe.top_db is None or fe.log == "db", "top_db is for log = 'db' only"),
    Law(
        lambda fe: fe.normalise != "feature" or "time" in fe.axes,
        "normalise = 'feature' is over time, which transform = 'dft' has not; use 'utterance'",
    ),
    Law(
        _has_size,
        "transform = 'dft' with n_mels, n_mfcc or a list of mean or std needs samples, the length "
        "of recording that it was made for",
    ),
    Law(
        lambda fe: fe.samples is None or fe.frames(fe.samples) >= 1,
        "samples = {fe.samples} is too short for one frame of n_fft = {fe.n_fft}",
    ),
    Law(
        lambda fe: fe.samples is None or fe.samples >= fe.shortest,
        "pad_mode = 'reflect' needs at least {fe.shortest} samples, not {fe.samples}",
    ),
    Law(
        lambda fe: _weights(fe) <= MOST_WEIGHTS,
        f"the mel filters or the cosine transform have more than {MOST_WEIGHTS} weights",
    ),
    Law(
        lambda fe: (fe.n_mfcc or 0) <= (fe.n_mels or (fe.size or 0) // 2 + 1),
        "n_mfcc is {fe.n_mfcc}, more than there are frequencies (n_mels)",
    ),
    Law(
        lambda fe: all(len(v) == fe.features for v in _lists(fe)),
        "mean or std is a list of another length than the {fe.features} frequencies",
    ),
)


def check(fe: FrontEnd) -> None:
    """Bring every field to the type that is kept, and refuse what does not fit.

    Raises
    ------
    InputError
        One line with the field, its value and what it may hold.
    """
    for name, kind in FIELDS.items():
        value = getattr(fe, name)
        try:
            kept = kind.read(value)
        except (ValueError, TypeError, OverflowError):
            shown = " ".join(reprlib.repr(value).split())
            raise InputError(f"front end: {name} is {shown}, but must be {kind.words}") from None
        object.__setattr__(fe, name, kept)
    window_array(fe.window, fe.win_length or fe.n_fft, "front end: window")
    for law in LAWS:
        if not law.holds(fe):
            raise InputError(f"front end: {law.words.format(fe=fe)}")
