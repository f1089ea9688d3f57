"""Which inputs of a model are states and settings, and how it is run over a recording.

Names and shapes propose (`dftlrp.engine.states`), and what is proposed is tried on the file itself:
it runs, its states keep their shapes, and something depends on them.  Everything that is taken is
said in words; what is not clear is an error with the command that says it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dftlrp.core.names import find_name
from dftlrp.core.types import AnyArray, InputError
from dftlrp.engine.chunks import Chunking, check_states
from dftlrp.engine.known_streams import KnownStream, find_known_stream
from dftlrp.engine.model import Model
from dftlrp.engine.states import States, find_states, make_start, propose_settings
from dftlrp.graph.frontend import FrontEnd
from dftlrp.graph.structure import Dims
from dftlrp.tracing.following import Runner, Stream

SIZES = (
    1, 16, 32, 64, 80, 96, 128, 160, 192, 256, 288, 320, 400, 480, 512, 576, 640, 768, 800, 960,
    1024, 1280, 1536, 1600, 2048, 4096,
)  # chunks that are tried  # fmt: skip
ALIKE = 1e-4  # of the largest output: what one run and two may differ by
BANDS = 16  # a spectrum has more numbers


@dataclass(frozen=True, eq=False)
class Recognised:
    """What of a model's inputs is no signal.

    Attributes
    ----------
    bound : dict of str to value
        Settings, and states that stay at zero.
    words : tuple of str
        What was taken, and why.
    stream : Stream, optional
        How the model is run over a recording, where it keeps a state from chunk to chunk.
    rate : float, optional
        Hertz that it reads, where that is known.
    """

    bound: Mapping[str, Any]
    words: tuple[str, ...] = ()
    stream: Stream | None = None
    rate: float | None = None


@dataclass(frozen=True)
class Rates:
    """Rates in hertz: the one that a model is known to read, and that of the recording."""

    read: float | None = None
    own: float | None = None


def recognise_inputs(
    model: Model,
    bound: Mapping[str, Any],
    rates: Rates,
    output: str | None = None,
    frontend: FrontEnd | None = None,
) -> Recognised:
    """Return what of a model's inputs are states and settings, and how it reads a recording.

    Of a model of one signal and nothing else it says nothing.

    Parameters
    ----------
    bound : dict of str to value
        Inputs that are given as settings.
    output : str, optional
        The output that is explained.
    frontend : FrontEnd, optional
        What makes its frames.

    Raises
    ------
    InputError
        Its states or its chunks cannot be told, or it refuses them; the message says what to give.
    """
    states = _settle_states(model, bound)
    known = _find_known(model, states, bound) if states.pairs and frontend is None else None
    rate = _settle_rate(model, rates, known)
    words, bound = list[str](), dict(bound)
    for name, value, why in propose_settings(model.graph, rate or rates.own):
        if name not in bound:
            bound[name] = value
            words.append(f"setting {name!r} is {value:g}, {why}; another one: --bind {name}=VALUE")
    for name in states.starts:
        bound[name] = make_start(model.graph.inputs[name])
        words.append(f"state {name!r} ({states.words[name]}): it is zero")
    if not states.pairs:
        return Recognised(bound, tuple(words), None, rate)
    signal = _find_only_signal(model, states, bound)
    others = (o for o in model.graph.outputs if o not in states.pairs.values())
    shown = find_name(output or next(others, ""), model.graph.outputs, "unknown output")
    axis = _find_axis(model, signal, frontend)
    trial = _Trial(model, Chunking(states.pairs, 1, 0, axis, shown, signal), bound, frontend)
    how, told = _find_chunk(trial, known, rate)
    if how is None:
        words += [f"state {n!r} ({states.words[n]}): it is zero" for n in states.pairs]
        zeros = {n: make_start(model.graph.inputs[n]) for n in states.pairs}
        return Recognised(bound | zeros, (*words, told), None, rate)
    trial.how = how
    tried = trial.try_states()
    words += [f"state {n!r} ({states.words[n]}; tried: {tried[n]})" for n in states.pairs]
    stream = Stream(model, how, bound, frontend)
    return Recognised(bound, (*words, told), stream, rate)


# -- states


def _settle_states(model: Model, bound: Mapping[str, Any]) -> States:
    """Return the states that were given, or those that are recognised."""
    pairs = model.hints.states
    found = find_states(model.graph, {*bound, *(pairs or {})})
    if not pairs:
        if found.unclear:
            _refuse_unclear(model, found)
        return found
    check_states(model.graph, pairs)
    words = {i: f"its next value is {o!r}, as given" for i, o in pairs.items()}
    return States(pairs, found.starts, {**found.words, **words})


def _refuse_unclear(model: Model, found: States) -> None:
    """Raise the error of states that cannot be told apart."""
    names = [*found.pairs, *found.unclear]
    told = [f"--state {i}={found.pairs.get(i, 'OUTPUT')}" for i in names]
    outputs = [o for o in model.graph.outputs if o not in found.pairs.values()]
    raise InputError(
        f"{model.path}: which output is the next value of state {found.unclear[0]!r} is not clear "
        f"among {outputs}: say it, as in {write_command(model, *told)}"
    )


def write_command(model: Model, *options: str) -> str:
    """Return the command that explains a recording with these options."""
    return " ".join(["dftlrp explain", model.path.name, "RECORDING", *options])


def _find_only_signal(model: Model, states: States, bound: Mapping[str, Any]) -> str:
    """Return the one input that is left beside states and settings."""
    left = [n for n in model.graph.signals if n not in {*states.pairs, *bound}]
    if len(left) == 1:
        return left[0]
    told = [f"--state {i}={o}" for i, o in states.pairs.items()]
    raise InputError(
        f"{model.path}: beside the states {list(states.pairs)} there must be one signal, not "
        f"{left}: give all states, as in {write_command(model, *told)}, or settings (--bind)"
    )


# -- rate


def _find_known(model: Model, states: States, bound: Mapping[str, Any]) -> KnownStream | None:
    signal = _find_only_signal(model, states, {**bound, **dict.fromkeys(states.starts)})
    return find_known_stream(model.graph, states.pairs, signal)


def _settle_rate(model: Model, rates: Rates, known: KnownStream | None) -> float | None:
    """Return the rate that the model reads: as given, else as models of its kind do.

    Raises
    ------
    InputError
        Models of its kind do not read the rate given.
    """
    if known is None:
        return rates.read
    if rates.read is None:
        own = rates.own
        return own if own is not None and own in known.chunks else float(max(known.chunks))
    if rates.read not in known.chunks and model.hints.chunk is None:
        rate = max(known.chunks)
        raise InputError(
            f"{model.path}: {known.name} reads {' or '.join(f'{r} Hz' for r in known.chunks)}, not "
            f"{rates.read:g} Hz: {write_command(model, f'--rate {rate}')}"
        )
    return rates.read


# -- axes


def _find_axis(model: Model, signal: str, frontend: FrontEnd | None) -> int:
    """Return the axis of the signal along which a recording goes on.

    Raises
    ------
    InputError
        The signal holds frames, and no front end says how they are made.
    """
    dims = model.graph.inputs[signal].dims
    if dims is None:
        raise InputError(
            f"{model.path}: input {signal!r} has no declared shape: export it with one"
        )
    if frontend is not None:
        return list(frontend.layout).index("time" if "time" in frontend.layout else "frequency")
    if model.hints.axis is not None:
        return model.hints.axis % len(dims)
    many = [i for i, d in enumerate(dims) if (i or len(dims) == 1) and (d is None or d > 1)]
    if len(many) != 1 or _is_spectrum(dims[many[0]]):
        raise InputError(_ask_for_front_end(model, signal, dims))
    return many[0]


def _is_spectrum(size: int | None) -> bool:
    """Return whether an axis is as long as half a spectrum: a power of two, and one more."""
    return size is not None and size > BANDS and (size - 1) & (size - 2) == 0


def _ask_for_front_end(model: Model, signal: str, dims: Dims) -> str:
    """Return the error of a model that reads frames which nothing makes."""
    shown = tuple("any" if d is None else d for d in dims)
    bins = max((d for d in dims[1:] if d), default=0)
    axes: list[str | int] = ["batch"]
    axes += ["frequency" if d == bins else "part" if d == 2 else 1 for d in dims[1:]]
    if 1 in axes:
        axes[axes.index(1)] = "time"
    layout = ", ".join(f'"{a}"' if isinstance(a, str) else str(a) for a in axes)
    size, power = 2 * (bins - 1), "false" if "part" in axes else "1"
    spectrum = f"n_fft = {size}, hop = {size // 2}, power = {power}, " if _is_spectrum(bins) else ""
    return (
        f"{model.path}: input {signal!r} of shape {shown} reads frames: say how they are made, "
        f"{write_command(model, '--frontend FILE.toml')}, in which [frontend] holds the rate and "
        f"what else it was trained with, as {spectrum}layout = [{layout}]"
    )


# -- chunks


def _find_chunk(
    trial: _Trial, known: KnownStream | None, rate: float | None
) -> tuple[Chunking | None, str]:
    """Return how a recording is cut, or None where the model reads it whole; and in words.

    Raises
    ------
    InputError
        It is not known.
    """
    hints, how = trial.model.hints, trial.how
    size = (trial.model.graph.inputs[how.signal or ""].dims or ())[how.axis]
    if hints.chunk is not None:
        return trial.cut(hints.chunk, hints.context or 0, "as given")
    if known is not None and rate in known.chunks:
        chunk, context = known.chunks[int(rate)]  # type: ignore[arg-type]
        if hints.context is not None:
            context = hints.context
        return trial.cut(chunk, context, f"as {known.name} does at {rate:g} Hz")
    if size is not None:
        context = hints.context or 0
        free = hints.context is None and trial.frontend is None
        more = "; if it reads some of them again in the next run: --context N" if free else ""
        return trial.cut(size - context, context, f"by the shape of {how.signal!r}{more}")
    accepted = trial.list_accepted()
    if accepted and trial.reads_whole(accepted[len(accepted) // 2]):
        return None, "one run over the whole recording says what chunks do (tried)"
    pairs = [f"--state {i}={o}" for i, o in how.states.items()]
    proposed = max((n for n in accepted if n <= 512), default=512)
    told = f"it accepts {_list_sizes(accepted)}" if accepted else "none that was tried is accepted"
    raise InputError(
        f"{trial.model.path}: how many {trial.unit} {how.signal!r} reads in one run is not known, "
        f"{told}: say it, as in {write_command(trial.model, *pairs, f'--chunk {proposed}')}"
    )


def _list_sizes(sizes: Sequence[int]) -> str:
    return f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 4 else ", ".join(map(str, sizes))


class _Trial:
    """Runs of the file itself on faint noise, to see what it accepts."""

    def __init__(
        self, model: Model, how: Chunking, bound: Mapping[str, Any], frontend: FrontEnd | None
    ) -> None:
        self.model, self.how, self.frontend = model, how, frontend
        self.runner = Runner(model, how, bound)
        self.zeros = self.runner.make_starts()

    @property
    def unit(self) -> str:
        """What a recording is counted in."""
        return "frames" if self.frontend else "samples"

    def cut(self, chunk: int, context: int, why: str) -> tuple[Chunking, str]:
        """Return chunks of some length, and what is said of them.

        Raises
        ------
        InputError
            The model refuses them.
        """
        if chunk < 1:
            raise InputError(f"chunk {chunk} must be at least 1, and context {context} at least 0")
        before = f" and {context} before them" if context else ""
        unit = self.unit.removesuffix("s") if chunk == 1 else self.unit
        words = f"signal {self.how.signal!r}: {chunk} {unit}{before} in each run, {why}"
        return replace(self.how, chunk=chunk, context=context), words

    def make_noise(self, size: int) -> AnyArray:
        """Return faint noise in the shape of the signal, of some length."""
        dims = [d or 1 for d in self.model.graph.inputs[self.how.signal or ""].dims or ()]
        dims[self.how.axis] = size
        return np.random.default_rng(0).normal(size=dims) * 0.1

    def list_accepted(self) -> list[int]:
        """Return the lengths on which the model runs, twice, and its states keep their shapes."""
        return [size for size in SIZES if self._accepts(size)]

    def _accepts(self, size: int) -> bool:
        try:
            _, after = self.runner.run(self.make_noise(size), self.zeros)
            self.runner.run(self.make_noise(size), after)
        except InputError:
            return False
        return all(after[n].shape == a.shape for n, a in self.zeros.items())

    def reads_whole(self, size: int) -> bool:
        """Return whether one run gives what two give that hand on the state."""
        noise = self.make_noise(2 * size)
        early, late = np.split(noise, 2, axis=self.how.axis)
        try:
            once, end = self.runner.run(noise, self.zeros)
            first, between = self.runner.run(early, self.zeros)
            second, after = self.runner.run(late, between)
        except InputError:
            return False
        if once.ndim != first.ndim or first.shape != second.shape:
            return False
        grown = [i for i in range(once.ndim) if once.shape[i] == 2 * first.shape[i]]
        if not grown or not any(map(np.any, between.values())):
            return False
        twice = np.concatenate([first, second], axis=grown[0])
        return _is_alike(twice, once) and all(_is_alike(after[n], end[n]) for n in end)

    def try_states(self) -> dict[str, str]:
        """Return for each state whether anything depends on it.

        Raises
        ------
        InputError
            The model refuses the chunk; a state and its next value are not of one shape, or it is
            not finite.
        """
        how, zeros = self.how, self.zeros
        noise = self.make_noise(how.chunk + how.context)
        output, after = self.runner.run(noise, zeros)
        for name, array in after.items():
            if array.shape != zeros[name].shape or not np.isfinite(array).all():
                raise InputError(
                    f"{self.model.path}: output {how.states[name]!r} of shape {array.shape} is no "
                    f"next value of {name!r} of shape {zeros[name].shape}: say which is, "
                    f"{write_command(self.model, f'--state {name}=OUTPUT')}"
                )
        found = dict[str, str]()
        for name in zeros:
            changed, then = self.runner.run(noise, {**zeros, name: after[name]})
            pairs = [(changed, output), *((then[n], after[n]) for n in then)]
            moves = any(not np.array_equal(a, b) for a, b in pairs)
            found[name] = "the outputs depend on it" if moves else "nothing depends on it"
        return found


def _is_alike(a: AnyArray, b: AnyArray) -> bool:
    scale = max(float(np.abs(b).max(initial=0)), 1e-9)
    return a.shape == b.shape and float(np.abs(a - b).max(initial=0)) <= ALIKE * scale
