"""What each field of a front end may hold, in one table."""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import Callable
from numbers import Real as Number
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.types import InputError

MOST_SAMPLES = 2**28  # of a recording: 2 GiB in float64
MOST_N_FFT = 2**22
MOST_WEIGHTS = 2**26  # of the mel filters or the cosine transform: 512 MiB
MOST_STACK = 2**10  # frames that are joined to one


class Kind(NamedTuple):
    """What a field may hold.

    ``words`` say it in a message; ``read`` returns a value in the type that is kept, or raises
    ValueError.
    """

    words: str
    read: Callable[[Any], Any]


def allow_whole(most: int) -> Kind:
    """Return the kind of whole numbers from 1 to ``most``."""

    def read(value: Any) -> int:
        _require(not isinstance(value, bool) and 1 <= operator.index(value) <= most)
        return operator.index(value)

    return Kind(f"a whole number from 1 to {most}", read)


def allow_number(words: str, fits: Callable[[float], bool] = lambda _: True) -> Kind:
    """Return the kind of finite numbers for which ``fits`` is true."""

    def read(value: Any) -> float:
        _require(isinstance(value, Number) and not isinstance(value, bool) and math.isfinite(value))
        _require(fits(float(value)))
        return float(value)

    return Kind(words, read)


def allow_choice(*allowed: Any) -> Kind:
    """Return the kind of the given texts, and of None if it is among them."""

    def read(value: Any) -> Any:
        _require((value is None or isinstance(value, str)) and value in allowed)
        return value

    return Kind(f"one of {allowed}", read)


def allow_none(kind: Kind) -> Kind:
    """Return a kind that also allows None."""
    return Kind(f"{kind.words}, or none", lambda v: None if v is None else kind.read(v))


def allow_list(kind: Kind) -> Kind:
    """Return a kind that also allows a list of such values."""

    def read(value: Any) -> Any:
        return tuple(map(kind.read, value)) if _is_list(value) else kind.read(value)

    return Kind(f"{kind.words}, or a list of them", read)


def _read_flag(value: Any) -> bool:
    _require(isinstance(value, bool | np.bool_))
    return bool(value)


def _read_window(value: Any) -> Any:
    _require(isinstance(value, str) or _is_list(value))
    return value if isinstance(value, str) else tuple(np.asarray(value, object).tolist())


def _read_layout(value: Any) -> tuple[str | int, ...]:
    _require(
        _is_list(value) and all(isinstance(a, str) or (type(a) is int and a == 1) for a in value)
    )
    return tuple(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)


def _require(good: bool) -> None:
    if not good:
        raise ValueError


FLAG = Kind("true or false", _read_flag)
FINITE = allow_number("a finite number")
HERTZ = allow_number("a number of hertz >= 0", lambda v: v >= 0)

FIELDS: dict[str, Kind] = {
    "rate": allow_number("a positive number of hertz, at most 1e9", lambda v: 0 < v <= 1e9),
    "amplitude": allow_choice("unit", "int16", "peak", "rms"),
    "transform": allow_choice("stft", "dft"),
    "n_fft": allow_whole(MOST_N_FFT),
    "hop": allow_whole(MOST_SAMPLES),
    "win_length": allow_none(allow_whole(MOST_N_FFT)),
    "window": Kind("a name, a list of a name and parameters, or samples", _read_window),
    "periodic": FLAG,
    "frame": allow_choice("n_fft", "window"),
    "center": FLAG,
    "pad_mode": allow_choice("constant", "reflect", "symmetric"),
    "drop_last": FLAG,
    "remove_dc": FLAG,
    "preemphasis": allow_number("a number from 0 to 1", lambda v: 0 <= v <= 1),
    "orthonormal": FLAG,
    "power": allow_none(allow_number("a positive number", lambda v: v > 0)),
    "n_mels": allow_none(allow_whole(MOST_WEIGHTS)),
    "fmin": HERTZ,
    "fmax": allow_none(HERTZ),
    "mel_scale": allow_choice("slaney", "htk"),
    "mel_norm": allow_choice(None, "slaney"),
    "triangles": allow_choice("hertz", "mel"),
    "log": allow_choice(None, "ln", "log10", "db"),
    "floor": allow_number("a number >= 0", lambda v: v >= 0),
    "offset": FINITE,
    "top_db": allow_none(allow_number("a positive number of decibels", lambda v: v > 0)),
    "n_mfcc": allow_none(allow_whole(MOST_WEIGHTS)),
    "stack": allow_whole(MOST_STACK),
    "stack_hop": allow_whole(MOST_STACK),
    "mean": allow_none(allow_list(FINITE)),
    "std": allow_none(allow_list(allow_number("a finite number, not 0", lambda v: v != 0))),
    "normalise": allow_choice(None, "utterance", "feature", "mean"),
    "samples": allow_none(allow_whole(MOST_SAMPLES)),
    "layout": Kind("a list of axes: 'batch', 'part', 'frequency', 'time' or 1", _read_layout),
}


def read_field(name: str, value: Any) -> Any:
    """Return the value of a field in the type that a front end keeps.

    Raises
    ------
    InputError
        The value is not allowed; the message names the field, the value and what is allowed.
    """
    kind = FIELDS[name]
    try:
        return kind.read(value)
    except (ValueError, TypeError, OverflowError):
        shown = " ".join(reprlib.repr(value).split())
        raise InputError(f"front end: {name} is {shown}, but must be {kind.words}") from None
