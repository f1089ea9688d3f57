"""Front ends: the Python code that computed a model's input, declared and made part of the graph.

Many exported models read a spectrogram that some code computed before them.  A `FrontEnd` says
how, and becomes nodes in front of the model, so that relevance goes through it to the waveform:

    amplitude -> frames -> DFT -> power -> mel -> log -> DCT -> normalisation -> layout

The linear steps are epsilon-rule maps with epsilon = 0 (relevance on exact zeros, as in a silent
frame, goes to the ledger); power and log are passed through; scales that depend on the whole
recording (peak, mean, deviation, the top of a dB range) are frozen.

As a TOML file next to the model, with the attributes' names::

    [frontend]
    rate = 16000
    n_fft = 400
    hop = 160
    n_mels = 64
    log = "ln"
    layout = ["batch", 1, "frequency", "time"]
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.graph.graph import Graph, Node, Value
from dftlrp.graph.plan import is_setting
from dftlrp.mel import filterbank
from dftlrp.spectral.windows import window_array
from dftlrp.types import AnyArray, InputError

PREFIX = "frontend"
CHOICES: dict[str, tuple[Any, ...]] = {
    "amplitude": ("unit", "int16", "peak", "rms"),
    "transform": ("stft", "dft"),
    "pad_mode": ("constant", "reflect"),
    "log": (None, "ln", "log10", "db"),
    "mel_scale": ("slaney", "htk"),
    "mel_norm": (None, "slaney"),
    "normalise": (None, "utterance", "feature"),
}
AXES = ("batch", "part", "frequency", "time")


@dataclass(frozen=True)
class FrontEnd:
    """How a waveform becomes what a model reads.

    Parameters
    ----------
    rate : float
        Sampling rate that it reads, hertz.
    amplitude : {"unit", "int16", "peak", "rms"}
        Full scale 1; 32768; divided by the recording's peak; by its root mean square.
    transform : {"stft", "dft"}
        Frames, or one DFT of the whole recording (then there is no time axis).
    n_fft, hop : int
        Samples.
    win_length : int, optional
        Samples; ``n_fft`` if not given, else the window is zero-padded on both sides.
    window : str
        A name for `scipy.signal.get_window`, periodic.
    center : bool
        Whether frame t is centred on sample t hop, by ``n_fft // 2`` samples of padding.
    pad_mode : {"constant", "reflect"}
        Zeros or mirror image.
    orthonormal : bool
        Whether the DFT is divided by the square root of its length.
    power : float or None
        2: power, 1: magnitude; None: real and imaginary part (axis ``part``).
    n_mels : int, optional
        Number of mel filters; no mel step if not given.
    fmin, fmax : float
        Hertz; fmax is half the rate if not given.
    mel_scale, mel_norm
        As in `dftlrp.mel.filterbank`.
    log : {None, "ln", "log10", "db"}
        ``"db"``: 10 log10 of a power, 20 log10 of a magnitude.
    floor : float
        What is less counts as this before the logarithm.
    offset : float
        Added before the logarithm (after the floor).
    top_db : float, optional
        Range of a dB scale below the recording's maximum.
    n_mfcc : int, optional
        Number of cepstral coefficients (orthonormal DCT-II).
    mean, std : float or list of float, optional
        Subtracted and divided by, one number or one for each frequency.
    normalise : {None, "utterance", "feature"}
        Zero mean and unit deviation over the recording; over time for each frequency.
    samples : int, optional
        Length of recording that the model was made for; if not given, the shortest that gives the
        number of frames that the model reads.
    layout : tuple
        Axes of the model's input: ``"batch"``, ``"part"``, ``"frequency"``, ``"time"``, or 1.

    Raises
    ------
    InputError
        A value that is not among the choices, or a layout that does not fit.
    """

    rate: float
    amplitude: str = "unit"
    transform: str = "stft"
    n_fft: int = 400
    hop: int = 160
    win_length: int | None = None
    window: str = "hann"
    center: bool = True
    pad_mode: str = "constant"
    orthonormal: bool = False
    power: float | None = 2.0
    n_mels: int | None = None
    fmin: float = 0.0
    fmax: float | None = None
    mel_scale: str = "slaney"
    mel_norm: str | None = "slaney"
    log: str | None = None
    floor: float = 1e-10
    offset: float = 0.0
    top_db: float | None = None
    n_mfcc: int | None = None
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    normalise: str | None = None
    samples: int | None = None
    layout: tuple[str | int, ...] = ("batch", "frequency", "time")

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", tuple(self.layout))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"front end: {name} is {getattr(self, name)!r}; choose from {allowed}"
                )
        if not self.rate > 0:
            raise InputError(f"front end: rate {self.rate!r} must be a positive number of hertz")
        if self.power is None and (self.n_mels or self.log or self.n_mfcc):
            raise InputError("front end: mel, log and n_mfcc need a power or magnitude (power=)")
        if sorted(map(str, (a for a in self.layout if a != 1))) != sorted(self._axes()):
            raise InputError(
                f"front end: layout {self.layout} must hold each of {self._axes()} once"
            )

    def _axes(self) -> list[str]:
        """The axes that there are."""
        part = ["part"] if self.power is None else []
        return ["batch", *part, "frequency", *(["time"] if self.transform == "stft" else [])]

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> FrontEnd:
        """Read the table ``[frontend]`` of a TOML file.

        Raises
        ------
        InputError
            No such file, not TOML, or an unknown key.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: {getattr(error, 'strerror', 'not UTF-8 text')}") from None
        return cls.from_text(text, str(path))

    @classmethod
    def from_text(cls, text: str, where: str = "front end") -> FrontEnd:
        """Read TOML text; see `from_toml`."""
        try:
            table = tomllib.loads(text).get("frontend", {})
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{where}: not TOML: {error}") from None
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(table) - known):
            raise InputError(
                f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
            )
        if "rate" not in table:
            raise InputError(f"{where}: [frontend] needs rate")
        lists = {k: tuple(v) for k, v in table.items() if isinstance(v, list)}
        flags = {"center", "orthonormal"}
        off = {
            k: None for k, v in table.items() if v is False and k not in flags
        }  # TOML has no null
        return cls(**{**table, **lists, **off})

    def to_text(self) -> str:
        """TOML of what differs from the defaults; `from_text` reads it back."""
        changed = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {k: v for k, v in changed.items() if k == "rate" or v != _DEFAULTS[k]}
        return "\n".join(["[frontend]", *(f"{k} = {_toml(v)}" for k, v in changed.items())]) + "\n"

    def length(self, frames: int) -> int:
        """Number of samples that gives this many frames."""
        if self.samples:
            return self.samples
        inner = (frames - 1) * self.hop
        return max(1, inner) if self.center else inner + self.n_fft


_DEFAULTS = {f.name: f.default for f in fields(FrontEnd)}


def _toml(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


class _Builder:
    """Appends nodes one after the other; ``value`` is the last one's output."""

    def __init__(self, signal: str) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, AnyArray] = {}
        self.value = signal

    def constant(self, array: Any, dtype: Any = np.float64) -> str:
        name = f"{PREFIX}/constant{len(self.constants)}"
        self.constants[name] = np.asarray(array, dtype)
        return name

    def add(self, name: str, op: str, *others: str, source: str | None = None, **attrs: Any) -> str:
        """One node on the current value (or ``source``); its name is unique."""
        taken = {node.output for node in self.nodes}
        output = f"{PREFIX}/{name}"
        while output in taken:
            output += "'"
        inputs = (self.value if source is None else source, *others)
        self.nodes.append(Node(output, op, inputs, attrs, opset=17))
        self.value = output
        return output


def _frozen(b: _Builder, name: str, op: str, **attrs: Any) -> str:
    """A statistic of the current value that carries no relevance; the value stays current."""
    value = b.value
    b.add(f"{name}_of", op, **attrs)
    b.add(name, "Freeze")
    b.value, frozen = value, b.value
    return frozen


def _amplitude(fe: FrontEnd, b: _Builder) -> None:
    signal = b.value
    if fe.amplitude == "int16":
        b.add("amplitude", "Mul", b.constant(32768.0))
    elif fe.amplitude == "peak":
        b.add("absolute", "Abs")
        top = _frozen(b, "peak", "ReduceMax", axes=[-1])
        b.add(
            "amplitude",
            "Div",
            b.add("peak_guard", "Max", b.constant(1e-12), source=top),
            source=signal,
        )
    elif fe.amplitude == "rms":
        b.add("square", "Pow", b.constant(2.0))
        b.value = _frozen(b, "mean_square", "ReduceMean", axes=[-1])
        b.add("guard", "Max", b.constant(1e-24))
        b.add("amplitude", "Div", b.add("rms", "Sqrt"), source=signal)


def _transform(fe: FrontEnd, b: _Builder) -> None:
    """To (batch, time, frequency, 2), or (batch, frequency, 2) for one DFT."""
    if fe.transform == "dft":
        b.add("column", "Unsqueeze", b.constant([-1], np.int64))
        b.add("dft", "DFT", axis=1, onesided=1)
        return
    if fe.center:
        half = fe.n_fft // 2
        b.add("pad", "Pad", b.constant([0, half, 0, half], np.int64), mode=fe.pad_mode)
    taps, _ = window_array(fe.window, fe.win_length or fe.n_fft, "front end: window")
    window, _ = window_array(taps, fe.n_fft, "front end: window")
    b.add("column", "Unsqueeze", b.constant([-1], np.int64))
    numbers = (b.constant(fe.hop, np.int64), b.constant(window), b.constant(fe.n_fft, np.int64))
    b.add("stft", "STFT", *numbers)


def _power(fe: FrontEnd, b: _Builder) -> None:
    b.add("squares", "Pow", b.constant(2.0))
    b.add("power", "ReduceSum", b.constant([-1], np.int64), keepdims=0)
    if fe.power == 1:
        b.add("magnitude", "Sqrt")
    elif fe.power != 2:
        b.add("magnitude", "Pow", b.constant(fe.power / 2))  # type: ignore[operator]


def _mel(fe: FrontEnd, b: _Builder) -> None:
    bank = filterbank(fe.rate, fe.n_fft, fe.n_mels, fe.fmin, fe.fmax, fe.mel_scale, fe.mel_norm)  # type: ignore[arg-type]
    b.add("mel", "MatMul", b.constant(bank.T))


def _log(fe: FrontEnd, b: _Builder) -> None:
    b.add("floor", "Max", b.constant(fe.floor))
    if fe.offset:
        b.add("offset", "Add", b.constant(fe.offset))
    b.add("log", "Log")
    scale = {"ln": 1.0, "log10": 1 / np.log(10), "db": 10 * (2 / fe.power) / np.log(10)}[fe.log]  # type: ignore[index, operator]
    if scale != 1:
        b.add("decibel" if fe.log == "db" else "log10", "Mul", b.constant(scale))
    if fe.top_db is not None:
        levels = b.value
        top = _frozen(b, "top", "ReduceMax", axes=[-2, -1])
        low = b.add("bottom", "Sub", b.constant(fe.top_db), source=top)
        b.add("range", "Max", low, source=levels)


def _cepstrum(fe: FrontEnd, b: _Builder) -> None:
    from scipy.fft import dct

    matrix = dct(np.eye(fe.n_mels or fe.n_fft // 2 + 1), norm="ortho")[:, : fe.n_mfcc]
    b.add("mfcc", "MatMul", b.constant(matrix))


def _normalise(fe: FrontEnd, b: _Builder) -> None:
    if fe.mean is not None:
        b.add("centred", "Sub", b.constant(fe.mean))
    if fe.std is not None:
        b.add("scaled", "Div", b.constant(fe.std))
    if fe.normalise:
        axes = [-2, -1] if fe.normalise == "utterance" and fe.transform == "stft" else [-2]
        axes = [-1] if fe.transform == "dft" else axes
        centre = _frozen(b, "mean", "ReduceMean", axes=axes)
        centred = b.add("centred", "Sub", centre)
        b.add("deviations", "Pow", b.constant(2.0))
        b.value = _frozen(b, "variance", "ReduceMean", axes=axes)
        b.add("variance_guard", "Max", b.constant(1e-24))
        b.add("scaled", "Div", b.add("deviation", "Sqrt"), source=centred)


def _layout(fe: FrontEnd, b: _Builder, name: str) -> None:
    """To the model's axes, and under the name of its input."""
    have = ["batch", *(["time"] if fe.transform == "stft" else []), "frequency"]
    have += ["part"] if fe.power is None else []
    wanted = [axis for axis in fe.layout if axis != 1]
    if wanted != have:
        b.add("layout", "Transpose", perm=[have.index(str(axis)) for axis in wanted])
    ones = [i for i, axis in enumerate(fe.layout) if axis == 1]
    b.add(
        "axes", "Unsqueeze" if ones else "Identity", *([b.constant(ones, np.int64)] if ones else [])
    )
    b.nodes[-1] = replace(b.nodes[-1], output=name)


def prepend(graph: Graph, fe: FrontEnd) -> Graph:
    """The graph that reads a waveform (batch, samples) and computes its former input itself.

    Raises
    ------
    InputError
        The model has several inputs that are signals, or its rank is not the layout's.
    """
    signals = {k: v for k, v in graph.inputs.items() if not is_setting(v)}
    if len(signals) != 1:
        raise InputError(f"a front end needs a model with one signal, not {list(signals)}")
    name, value = next(iter(signals.items()))
    if value.dims is not None and len(value.dims) != len(fe.layout):
        raise InputError(
            f"front end: layout {fe.layout}, but input {name!r} has shape {value.dims}"
        )
    b = _Builder("waveform" if name != "waveform" else "signal")
    inputs = {b.value: Value(_waveform_dims(fe, value), value.dtype)}
    inputs |= {k: v for k, v in graph.inputs.items() if k != name}
    _amplitude(fe, b)
    if fe.orthonormal:
        size = fe.n_fft if fe.transform == "stft" else (_waveform_dims(fe, value)[1] or 1)
        b.add("orthonormal", "Mul", b.constant(size**-0.5))
    _transform(fe, b)
    steps = [(_power, fe.power), (_mel, fe.n_mels), (_log, fe.log), (_cepstrum, fe.n_mfcc)]
    for step, wanted in steps:
        if wanted is not None:
            step(fe, b)
    _normalise(fe, b)
    _layout(fe, b, name)
    nodes, constants = (*b.nodes, *graph.nodes), graph.constants | b.constants
    return replace(
        graph,
        nodes=nodes,
        inputs=inputs,
        constants=constants,
        reads=name,
        front=frozenset(n.key for n in b.nodes),
    )


def _waveform_dims(fe: FrontEnd, value: Value) -> tuple[int | None, int | None]:
    """(batch, samples): the number of samples follows from a fixed number of frames or bins."""
    if value.dims is None:
        return None, None
    size: Mapping[Any, int | None] = dict(zip(fe.layout, value.dims, strict=True))
    if fe.transform == "dft":
        bins = size["frequency"]
        return size["batch"], None if bins is None else 2 * (bins - 1)
    frames = size["time"]
    return size["batch"], None if frames is None else fe.length(frames)
