"""A front end as nodes in front of a model's graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.core.types import AnyArray, InputError
from dftlrp.graph.frontend.declaration import FrontEnd, changes_frames, make_taps
from dftlrp.graph.structure import Dims, Graph, Node, Value
from dftlrp.spectral.mel import make_filterbank, make_mel_triangles

PREFIX = "frontend"
FAR = 2**62  # an index beyond the end of every axis


class _Builder:
    """Appends nodes one after the other; ``value`` is the output of the last one."""

    def __init__(self, signal: str) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, AnyArray] = {}
        self.value = signal

    def add_constant(self, array: Any, dtype: Any = np.float64) -> str:
        name = f"{PREFIX}/constant{len(self.constants)}"
        self.constants[name] = np.asarray(array, dtype)
        return name

    def add(self, name: str, op: str, *others: str, source: str | None = None, **attrs: Any) -> str:
        """Append a node on the current value (or ``source``) and return its unique name."""
        taken = {node.output for node in self.nodes}
        output = f"{PREFIX}/{name}"
        while output in taken:
            output += "'"
        inputs = (self.value if source is None else source, *others)
        self.nodes.append(Node(output, op, inputs, attrs, opset=17))
        self.value = output
        return output

    def add_slice(
        self, name: str, axis: int, start: int | None = None, end: int | None = None,
        step: int = 1, source: str | None = None,
    ) -> str:  # fmt: skip
        """Append ``value[start:end:step]`` along an axis, with the meaning of Python's."""
        ends = (0, FAR) if step > 0 else (-1, -FAR)
        bounds = [
            given if given is not None else own
            for given, own in zip((start, end), ends, strict=True)
        ]
        numbers = [self.add_constant([n], np.int64) for n in (*bounds, axis, step)]
        return self.add(name, "Slice", *numbers, source=source)


def _freeze_statistic(b: _Builder, name: str, op: str, **attrs: Any) -> str:
    """Append a statistic of the current value that carries no relevance; return its name.

    The current value stays what it was.
    """
    value = b.value
    b.add(f"{name}_of", op, **attrs)
    b.add(name, "Freeze")
    b.value, frozen = value, b.value
    return frozen


def _add_amplitude(fe: FrontEnd, b: _Builder) -> None:
    signal = b.value
    if fe.amplitude == "int16":
        b.add("amplitude", "Mul", b.add_constant(32768.0))
    elif fe.amplitude == "peak":
        b.add("absolute", "Abs")
        top = _freeze_statistic(b, "peak", "ReduceMax", axes=[-1])
        guarded = b.add("peak_guard", "Max", b.add_constant(1e-12), source=top)
        b.add("amplitude", "Div", guarded, source=signal)
    elif fe.amplitude == "rms":
        b.add("square", "Pow", b.add_constant(2.0))
        b.value = _freeze_statistic(b, "mean_square", "ReduceMean", axes=[-1])
        b.add("guard", "Max", b.add_constant(1e-24))
        b.add("amplitude", "Div", b.add("rms", "Sqrt"), source=signal)


def _add_transform(fe: FrontEnd, b: _Builder, samples: int | None) -> None:
    """Append the transform to (batch, time, frequency, 2), or (batch, frequency, 2) for one DFT."""
    if fe.orthonormal:
        if (size := fe.size or samples) is None:
            raise InputError("front end: orthonormal needs the length of the DFT: declare samples")
        b.add("orthonormal", "Mul", b.add_constant(size**-0.5))
    if fe.transform == "dft":
        b.add("column", "Unsqueeze", b.add_constant([-1], np.int64))
        b.add("dft", "DFT", axis=1, onesided=1)
        return
    _add_padding(fe, b)
    taps = make_taps(fe)
    before = (fe.n_fft - len(taps)) // 2 if fe.frame == "n_fft" else 0
    if changes_frames(fe):
        _add_changed_frames(fe, b, taps, before)
    else:
        b.add("column", "Unsqueeze", b.add_constant([-1], np.int64))
        numbers = (
            b.add_constant(fe.hop, np.int64),
            b.add_constant(np.pad(taps, (before, fe.n_fft - len(taps) - before))),
            b.add_constant(fe.n_fft, np.int64),
        )
        b.add("stft", "STFT", *numbers)
    if fe.drop_last:
        b.add_slice("kept", axis=1, end=-1)


def _add_padding(fe: FrontEnd, b: _Builder) -> None:
    """Append what is put before and behind the recording."""
    before, behind = fe.padding
    if fe.pad_mode != "symmetric" and (before or behind):
        pads = b.add_constant([0, before, 0, behind], np.int64)
        b.add("pad", "Pad", pads, mode=fe.pad_mode)
    elif before or behind:
        whole = b.value
        first = b.add_slice("mirrored_start", axis=1, start=before - 1, step=-1, source=whole)
        last = b.add_slice("mirrored_end", axis=1, end=-behind - 1, step=-1, source=whole)
        parts = [first] * (before > 0) + [whole] + [last] * (behind > 0)
        b.add("pad", "Concat", *parts[1:], source=parts[0], axis=1)
    if rest := fe.n_fft - fe.span:
        b.add("zeros", "Pad", b.add_constant([0, 0, 0, rest], np.int64), mode="constant")


def _add_changed_frames(fe: FrontEnd, b: _Builder, taps: AnyArray, before: int) -> None:
    """Append spectra of frames that are changed before the window, as one convolution.

    With the mean taken away by D, pre-emphasis P, the window w and the DFT F, all of which are
    linear, the spectrum of a frame x is F diag(w) P D x.
    """
    size, bins = len(taps), fe.n_fft // 2 + 1
    change = np.eye(size) - fe.preemphasis * np.eye(size, k=-1)
    change[0, 0] -= fe.preemphasis  # as if the first sample stood before the frame, too
    if fe.remove_dc:
        change -= change.mean(axis=1, keepdims=True)
    waves = np.fft.rfft(np.pad(taps[:, None] * change, ((before, 0), (0, 0))), fe.n_fft, axis=0)
    kernels = np.zeros((bins, 2, 1, fe.n_fft))
    kernels[:, 0, 0, before : before + size] = waves.real
    kernels[:, 1, 0, before : before + size] = waves.imag
    b.add("row", "Unsqueeze", b.add_constant([1], np.int64))
    b.add("frames", "Conv", b.add_constant(kernels.reshape(2 * bins, 1, -1)), strides=[fe.hop])
    b.add("time_major", "Transpose", perm=[0, 2, 1])
    b.add("stft", "Reshape", b.add_constant([0, 0, bins, 2], np.int64))


def _add_power(fe: FrontEnd, b: _Builder) -> None:
    b.add("squares", "Pow", b.add_constant(2.0))
    b.add("power", "ReduceSum", b.add_constant([-1], np.int64), keepdims=0)
    if fe.power == 1:
        b.add("magnitude", "Sqrt")
    elif fe.power != 2:
        b.add("magnitude", "Pow", b.add_constant(fe.power / 2))  # type: ignore[operator]


def _add_mel(fe: FrontEnd, b: _Builder) -> None:
    band = (fe.fmin, fe.fmax)
    if fe.triangles == "mel":
        bank = make_mel_triangles(fe.rate, fe.size, fe.n_mels, band, fe.mel_scale)  # type: ignore[arg-type]
    else:
        bank = make_filterbank(fe.rate, fe.size, fe.n_mels, band, fe.mel_scale, fe.mel_norm)  # type: ignore[arg-type]
    b.add("mel", "MatMul", b.add_constant(bank.T))


def _add_log(fe: FrontEnd, b: _Builder) -> None:
    b.add("floor", "Max", b.add_constant(fe.floor))
    if fe.offset:
        b.add("offset", "Add", b.add_constant(fe.offset))
    b.add("log", "Log")
    scale = {"ln": 1.0, "log10": 1 / np.log(10), "db": 10 * (2 / fe.power) / np.log(10)}[fe.log]  # type: ignore[index, operator]
    if scale != 1:
        b.add("decibel" if fe.log == "db" else "log10", "Mul", b.add_constant(scale))
    if fe.top_db is not None:
        levels = b.value
        top = _freeze_statistic(b, "top", "ReduceMax", axes=_list_feature_axes(fe))
        low = b.add("bottom", "Sub", b.add_constant(fe.top_db), source=top)
        b.add("range", "Max", low, source=levels)


def _add_cepstrum(fe: FrontEnd, b: _Builder) -> None:
    from scipy.fft import idct

    bins = fe.n_mels or fe.size // 2 + 1  # type: ignore[operator]
    units = np.eye(fe.n_mfcc or bins, bins)
    b.add("mfcc", "MatMul", b.add_constant(idct(units, norm="ortho").T))


def _add_stack(fe: FrontEnd, b: _Builder) -> None:
    """Append the joining of frames (batch, time, frequency), the outermost repeated at both ends.

    With m frames joined every n, (m - 1) // 2 are put in front and m // 2 behind: of T frames that
    leaves ceil(T / n).
    """
    count, before = fe.stack, (fe.stack - 1) // 2
    if count > 1:
        pads = b.add_constant([0, before, 0, 0, count // 2, 0], np.int64)
        b.add("repeated", "Pad", pads, mode="edge")
    whole = b.value
    parts = [
        b.add_slice("member", 1, i, i - count + 1 or None, fe.stack_hop, whole)
        for i in range(count)
    ]
    if count > 1:
        b.add("stack", "Concat", *parts[1:], source=parts[0], axis=2)


def _list_feature_axes(fe: FrontEnd) -> list[int]:
    """Return all axes but the batch, counted from the end."""
    return list(range(1 - len(fe.axes), 0))


def _add_normalisation(fe: FrontEnd, b: _Builder) -> None:
    # A list has one number for each frequency, which is the last axis or stands before the parts.
    shape = (-1, 1) if "part" in fe.axes else (-1,)
    if fe.mean is not None:
        b.add("centred", "Sub", b.add_constant(np.reshape(fe.mean, shape)))
    if fe.std is not None:
        b.add("scaled", "Div", b.add_constant(np.reshape(fe.std, shape)))
    if fe.normalise:
        time = fe.axes.index("time") - len(fe.axes) if "time" in fe.axes else -1
        axes = _list_feature_axes(fe) if fe.normalise == "utterance" else [time]
        centre = _freeze_statistic(b, "mean", "ReduceMean", axes=axes)
        centred = b.add("centred", "Sub", centre)
        if fe.normalise == "mean":
            return
        b.add("deviations", "Pow", b.add_constant(2.0))
        b.value = _freeze_statistic(b, "variance", "ReduceMean", axes=axes)
        b.add("variance_guard", "Max", b.add_constant(1e-24))
        b.add("scaled", "Div", b.add("deviation", "Sqrt"), source=centred)


def _add_layout(fe: FrontEnd, b: _Builder, name: str) -> None:
    """Append the change to the model's axes, under the name of its input."""
    wanted = tuple(axis for axis in fe.layout if axis != 1)
    if wanted != fe.axes:
        b.add("layout", "Transpose", perm=[fe.axes.index(str(axis)) for axis in wanted])
    ones = [i for i, axis in enumerate(fe.layout) if axis == 1]
    if ones:
        b.add("axes", "Unsqueeze", b.add_constant(ones, np.int64))
    else:
        b.add("axes", "Identity")
    b.nodes[-1] = replace(b.nodes[-1], output=name)


def prepend(graph: Graph, fe: FrontEnd) -> Graph:
    """Return the graph that reads a waveform (batch, samples) and computes its former input.

    Raises
    ------
    InputError
        The model has not one input that is a signal, or one of another shape than the front end
        makes.
    """
    signals = graph.signals
    if len(signals) != 1:
        raise InputError(f"a front end needs a model with one signal, not {list(signals)}")
    name, value = next(iter(signals.items()))
    dims = _find_waveform_dims(fe, name, value.dims)
    b = _Builder("waveform" if name != "waveform" else "signal")
    inputs = {b.value: Value(dims, value.dtype)}
    inputs |= {k: v for k, v in graph.inputs.items() if k != name}
    _add_amplitude(fe, b)
    _add_transform(fe, b, dims[1])
    steps = [
        (_add_power, fe.power),
        (_add_mel, fe.n_mels),
        (_add_log, fe.log),
        (_add_cepstrum, fe.n_mfcc),
    ]
    for step, wanted in steps:
        if wanted is not None:
            step(fe, b)
    if fe.stack > 1 or fe.stack_hop > 1:
        _add_stack(fe, b)
    _add_normalisation(fe, b)
    _add_layout(fe, b, name)
    nodes, constants = (*b.nodes, *graph.nodes), graph.constants | b.constants
    front = frozenset(node.key for node in b.nodes)
    return replace(graph, nodes=nodes, inputs=inputs, constants=constants, reads=name, front=front)


def _find_waveform_dims(
    fe: FrontEnd, name: str, dims: Dims | None
) -> tuple[int | None, int | None]:
    """Return (batch, samples) as declared, or as a fixed number of frames or bins implies."""
    if dims is None:
        return None, fe.samples
    if len(dims) != len(fe.layout):
        raise InputError(f"front end: layout {fe.layout}, but input {name!r} has shape {dims}")
    size = dict(zip(fe.layout, dims, strict=True))
    samples, frames, bins = fe.samples, size.get("time"), size["frequency"]
    if frames is not None:
        samples = fe.length(frames)
    elif bins is not None and fe.features is None:
        samples = max(1, 2 * (bins - 1))
    _refuse_misfit(fe, name, dims, samples)
    return size["batch"], samples


def _refuse_misfit(fe: FrontEnd, name: str, dims: Dims, samples: int | None) -> None:
    """Raise InputError if the front end makes another shape than the model declares."""
    makes = {"part": 2, "frequency": fe.features, 1: 1}
    makes["time"] = None if samples is None else fe.frames(samples)
    for axis, wanted in zip(fe.layout, dims, strict=True):
        made = makes.get(axis)
        if None not in {made, wanted} and made != wanted:
            raise InputError(
                f"front end: its axis {axis!r} has length {made}, but input {name!r} of shape "
                f"{dims} reads {wanted}"
            )


def find_levels(graph: Graph) -> str:
    """Return the value (batch, time, ...) of a front end that is zero in silent frames, or ""."""
    steps = [f"{PREFIX}/{step}" for step in ("mel", "power", "stft")]
    return next((s for s in steps if s in graph.front and steps[-1] in graph.front), "")


def reads_mel(graph: Graph) -> bool:
    """Return whether a declared front end pools frequencies to mel bands."""
    return f"{PREFIX}/mel" in graph.front


def note_empty_filters(graph: Graph) -> tuple[str, ...]:
    """Return a note on the mel filters that hold no bin, of which librosa warns, too, or none."""
    banks = [node.inputs[1] for node in graph.nodes if node.output == f"{PREFIX}/mel"]
    if not (banks and f"{PREFIX}/mel" in graph.front):
        return ()
    bank = graph.constants[banks[0]]
    empty, count = int((~bank.any(axis=0)).sum()), bank.shape[1]
    if not empty:
        return ()
    return (
        f"warning: {empty} of {count} mel filters hold no bin: what the model makes of them has no "
        "sound (fewer n_mels or a larger n_fft would fill them)",
    )
