"""`Model` and `load`: an ONNX file, checked, with what is kept of earlier questions about it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dftlrp.assets import MODELS, embedded
from dftlrp.core.backend import Backend
from dftlrp.core.names import find_alike, match_name, suggest
from dftlrp.core.progress import doing
from dftlrp.core.rule_text import Rule
from dftlrp.core.text import make_printable
from dftlrp.core.types import AnyArray, InputError, ModelError
from dftlrp.engine.cache import Recent
from dftlrp.engine.chunks import Chunking, StreamHints, Stretch, make_chunked
from dftlrp.engine.composites import Composite, LayerTable, make_layer_table
from dftlrp.engine.evaluate import Values, cast_constants
from dftlrp.engine.integers import write_out
from dftlrp.engine.plan import Plan, make_plan, refuse_unexplainable
from dftlrp.graph.frontend import FrontEnd, prepend
from dftlrp.graph.load import load_graph, parse_graph
from dftlrp.graph.structure import Dims, Graph

T = TypeVar("T")


def make_key(output: str | None, bind: Mapping[str, Any] | None) -> tuple[Any, ...]:
    """Return a key for an output and values of settings, small however large these are."""
    values = {k: np.asarray(v) for k, v in (bind or {}).items()}
    shown = ((k, a.shape, a.dtype.str, _sum_bytes(a)) for k, a in sorted(values.items()))
    return output, tuple(shown)


def _sum_bytes(array: AnyArray) -> bytes:
    return hashlib.sha256(array.tobytes()).digest()


class Cache:
    """What a model keeps of earlier questions.

    A copy or a pickle of the model starts with an empty one.

    Attributes
    ----------
    plans : Recent of Plan
        Plans by output and values of settings.
    constants : Recent of Values
        Weights by backend and dtype.
    models : Recent of Model
        The model behind a front end, by the front end's declaration.
    """

    def __init__(self) -> None:
        self.plans = Recent[Plan](16)
        self.constants = Recent[Values](4)
        self.models = Recent["Model"](4)
        self._parts: dict[type[Any], Any] = {}

    def part(self, kind: type[T]) -> T:
        """Return what another room keeps with the model: an instance of its own class."""
        if kind not in self._parts:
            self._parts[kind] = kind()
        part: T = self._parts[kind]
        return part

    def __reduce__(self) -> tuple[type[Cache], tuple[()]]:
        return Cache, ()


NO_FRONT_END = "none"  # says that a model reads a waveform itself


@dataclass(frozen=True, eq=False)
class Model:
    """A validated ONNX model that can be explained; equal to itself alone.

    Attributes
    ----------
    path : Path
        Where it came from.
    graph : Graph
        Nodes, inputs, outputs, weights.
    rate : float or None
        Sampling rate in hertz that it reads, where known.
    frontend : FrontEnd or None
        The front end that computes its input from a waveform, if any.
    data : bytes
        The file, where it was made in memory; else it lies at the path.
    waveform : bool
        Whether it was said that it reads a waveform, whatever its input looks like.
    hints : StreamHints
        What was said of its states and chunks, see `streaming`.
    cache : Cache
        What earlier questions left behind; a copy of the model starts without.

    See Also
    --------
    load : Makes one.

    Examples
    --------
    >>> model = dftlrp.load("waveform")
    >>> model.labels[:3], model.rate
    (('zero', 'one', 'two'), 8000.0)
    >>> print(model.table("EpsilonPlus", {"conv1": "zbox(-1, 1)"}))
    layer    op                    rule (EpsilonPlus)
    ...

    Behind a front end it reads a waveform:

    >>> bare = dftlrp.load("spectrum")
    >>> whole = bare.behind(dftlrp.FrontEnd.from_text(bare.graph.metadata["frontend"]))
    >>> whole.rate
    8000.0
    """

    path: Path
    graph: Graph
    rate: float | None = None
    frontend: FrontEnd | None = None
    data: bytes = field(default=b"", repr=False, compare=False)
    waveform: bool = False
    hints: StreamHints = field(default_factory=StreamHints, repr=False)
    cache: Cache = field(default_factory=Cache, init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        values = {**self.graph.signals, **self.graph.outputs}
        told = {
            k: f"{make_printable(k)} {v.dtype} {_write_dims(v.dims)}" for k, v in values.items()
        }
        reads = ", ".join(told[k] for k in self.graph.signals)
        gives = ", ".join(told[k] for k in self.graph.outputs)
        rate = f" at {self.rate:g} Hz" if self.rate else ""
        named = f", {len(self.labels)} labels" if self.labels else ""
        name = make_printable(self.path.name)
        return f"Model {name}: reads {reads}{rate}, gives {gives}{named}"

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, from the file's metadata (key ``labels``, a JSON list)."""
        try:
            labels = json.loads(self.graph.metadata.get("labels", ""))
        except (ValueError, RecursionError):
            return ()
        return tuple(map(str, labels)) if isinstance(labels, list) else ()

    def behind(self, frontend: FrontEnd) -> Model:
        """Return the model that reads a waveform and computes its input by this front end.

        Parameters
        ----------
        frontend : FrontEnd
            What stands before the model from now on.

        Returns
        -------
        Model
            One graph, through which relevance goes back to the waveform.

        Raises
        ------
        InputError
            The front end does not fit the model.
        """

        def make() -> Model:
            graph = prepend(self.graph, frontend)
            make_plan(graph)  # refuses what cannot be explained
            return Model(self.path, graph, frontend.rate, frontend, self.data)

        return self.cache.models.find(repr(frontend), make)

    def chained(
        self,
        states: Mapping[str, str],
        chunk: int,
        context: int = 0,
        *,
        axis: int = -1,
        output: str | None = None,
        stretch: Stretch | None = None,
    ) -> Model:
        """Return the model over a whole recording, whose states go on from chunk to chunk.

        Parameters
        ----------
        states, chunk, context, axis, output
            As of `dftlrp.engine.chunks.Chunking`.
        stretch : Stretch, optional
            The only chunks that run, from the states that the earlier ones left; the output is then
            that of the last of them.

        Returns
        -------
        Model
            It reads a recording of any number of chunks.

        Raises
        ------
        InputError
            As of `dftlrp.engine.chunks.make_chunked`.

        See Also
        --------
        Model.streaming : Says the same to `explain`, which finds what is left out.

        Examples
        --------
        >>> over = model.chained({"h": "h_next"}, chunk=160)  # doctest: +SKIP
        """
        return self.cut(Chunking(states, chunk, context, axis, output), stretch)

    def cut(self, how: Chunking, stretch: Stretch | None = None) -> Model:
        """Return the model over a whole recording, as `chained` does.

        Parameters
        ----------
        how : Chunking
            States, chunk, context, axis and output in one.
        stretch : Stretch, optional
            As of `chained`.

        Returns
        -------
        Model
            It reads a recording of any number of chunks.

        Examples
        --------
        >>> over = model.cut(Chunking({"h": "h_next"}, 160))  # doctest: +SKIP
        """
        graph = make_chunked(self.graph, how, stretch)
        return Model(self.path, graph, self.rate, self.frontend)

    def streaming(
        self,
        states: Mapping[str, str] | None = None,
        chunk: int | None = None,
        context: int | None = None,
        *,
        axis: int | None = None,
    ) -> Model:
        """Return the model with what is known of its states and chunks, for `dftlrp.explain`.

        What is left out is recognised, see docs/guides/streams.md.

        Parameters
        ----------
        states : dict of str to str, optional
            From each input that is a state to the output that is its next value.
        chunk, context : int, optional
            Number of new samples (frames) in each run, and of earlier ones that it reads again.
        axis : int, optional
            Axis of the signal along which chunks follow each other.

        Returns
        -------
        Model
            The same, with these hints.

        Raises
        ------
        InputError
            A length is below 1.

        Examples
        --------
        >>> model = dftlrp.load("waveform").streaming(chunk=160)
        >>> model.hints.chunk
        160
        """
        if (chunk is not None and chunk < 1) or (context or 0) < 0:
            raise InputError(f"chunk {chunk} must be at least 1, and context {context} at least 0")
        return replace(self, hints=StreamHints(states or None, chunk, context, axis))

    def plan(self, output: str | None = None, bind: Mapping[str, Any] | None = None) -> Plan:
        """Return the graph with an output and values of settings chosen.

        Parameters
        ----------
        output : str, optional
            The output to explain; the first if not given.
        bind : dict of str to array, optional
            Values of inputs that are settings.

        Returns
        -------
        Plan
            ``signals`` it reads, ``path`` of nodes that carry relevance, ``explained`` and
            ``output``.

        Raises
        ------
        InputError
            An input that is a setting has no value; further as of `dftlrp.engine.plan.make_plan`.

        Examples
        --------
        >>> plan = dftlrp.load("waveform").plan()
        >>> list(plan.signals), plan.output
        (['waveform'], 'logits')
        """
        missing = self.graph.inputs.keys() - self.graph.signals - (bind or {}).keys()
        if missing:
            name = sorted(missing)[0]
            value = self.graph.inputs[name]
            raise InputError(
                f"{self.path}: input {name!r} ({value.dtype}, shape {value.dims}) is a setting: "
                f"give its value with bind={{{name!r}: ...}} or --bind {name}=VALUE"
            )
        key = make_key(output, bind)
        return self.cache.plans.find(key, lambda: make_plan(self.graph, output, bind))

    def constants(self, bk: Backend, dtype: np.dtype[Any]) -> Values:
        """Return the weights as arrays of a backend, floats in the dtype to compute in.

        Parameters
        ----------
        bk : Backend
            From `dftlrp.core.backend.get_backend`.
        dtype : dtype
            Of floats; integers keep theirs.

        Returns
        -------
        dict of str to array
            By their names in the file.

        Examples
        --------
        >>> from dftlrp.core.backend import get_backend
        >>> weights = dftlrp.load("waveform").constants(get_backend("numpy"), np.dtype("float64"))
        >>> len(weights) > 0
        True
        """
        key = (bk.name, dtype.name)
        return self.cache.constants.find(key, lambda: cast_constants(self.graph, bk, dtype))

    def table(
        self,
        composite: str | Composite = "EpsilonAlpha2Beta1",
        overrides: Mapping[str, str | Rule] | None = None,
        *,
        output: str | None = None,
    ) -> LayerTable:
        """Return the rule of every layer; ``print`` it.

        Parameters
        ----------
        composite : str or Composite
            A preset of rules.
        overrides : dict of str to str, optional
            Rules by layer, as of `dftlrp.attribute`.
        output : str, optional
            The output to explain; the first if not given.

        Returns
        -------
        LayerTable
            ``layers`` from input to output, each with name, op and rule.

        Raises
        ------
        InputError
            A composite or rule is unknown, or a key of the overrides matches no layer.

        See Also
        --------
        inspect : With shapes, parameters and receptive fields.
        """
        return make_layer_table(make_plan(self.graph, output), composite, overrides)


def load(path: Any, *, rate: float | None = None, example: Any = None) -> Model:
    """Read, validate and check an ONNX model, or a framework's own.

    Parameters
    ----------
    path : path or object
        An ONNX file, opset 9 to the newest; the name of an embedded model where there is no such
        file (``"waveform"``, see `dftlrp.embedded`); or a torch module, exported in memory.
    rate : float, optional
        Sampling rate in hertz that the model reads; the file's metadata entry ``sample_rate``
        if not given.
    example : array, or dict of str to array, optional
        Input of a framework's model that does not declare what it reads; batch first.

    Returns
    -------
    Model
        Validated; every node that the first output needs can be explained.

    Raises
    ------
    ModelError
        The file is missing, broken or not ONNX; a framework cannot export its model.
    UnsupportedModelError
        Some node that the first output needs has no rule; all of them are named.
    InputError
        It is not a model of any kind known here.

    See Also
    --------
    inspect : What is in it, also where `load` refuses.
    dftlrp_torch.load, dftlrp_tensorflow.load : With more to choose.

    Examples
    --------
    >>> dftlrp.load("waveform")
    Model waveform.onnx: reads ...
    >>> dftlrp.load("model.onnx", rate=8000).rate
    8000
    """
    if isinstance(path, str | os.PathLike):
        path = _find_embedded(path)
        with doing(f"loading {make_printable(Path(path).name)}"):
            model = _make_model(load_graph(path), Path(path))
    else:
        model = _choose_loader(path).load()(path, example=example)
    return replace(model, rate=rate or model.rate)


def _find_embedded(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the file of an embedded model by its name, and any other path as it is."""
    if os.path.exists(path) or Path(path).suffix or Path(path).name != os.fspath(path):
        return path
    if name := match_name(path, MODELS):
        return embedded(name)
    if find_alike(path, MODELS):
        raise ModelError(f"{path}: no such file; of the embedded models, {suggest(path, MODELS)}")
    return path


def from_bytes(data: bytes, name: str) -> Model:
    """Return the model in the bytes of an ONNX file; raises as `load` does."""
    return replace(_make_model(parse_graph(data, Path(name)), Path(name)), data=data)


def as_model(source: Any, example: Any = None) -> Model:
    """Return a model as it is, or load what `load` takes."""
    return source if isinstance(source, Model) else load(source, example=example)


def _make_model(graph: Graph, path: Path) -> Model:
    """Return the model of a graph whose first output can be explained."""
    graph = write_out(graph)
    refuse_unexplainable(graph)
    return Model(path, graph, _read_rate(graph.metadata))


def find_packages(source: Any) -> list[str]:
    """Return the packages that define an object's class and its bases, its own first."""
    return [kind.__module__.partition(".")[0] for kind in type(source).__mro__]


@cache
def _find_loaders() -> dict[str, EntryPoint]:
    """Return functions ``load(obj, *, example=None) -> Model`` by the package of the object."""
    return {point.name: point for point in entry_points(group="dftlrp.loaders")}


def _choose_loader(source: Any) -> EntryPoint:
    """Return the loader for the first of an object's classes that has one."""
    known = _find_loaders()
    if found := next((known[p] for p in find_packages(source) if p in known), None):
        return found
    raise InputError(
        f"an object of type {type(source).__name__!r} is no model: "
        f"give an ONNX file, or a model of {', '.join(sorted(known))}"
    )


def attach_front_end(model: Model, frontend: FrontEnd | str | os.PathLike[str] | None) -> Model:
    """Return the model behind a front end, so that it reads a waveform.

    The front end is that of `find_front_end`; where there is none, the model is returned as it is.
    ``"none"`` says that it reads the waveform itself.

    Raises
    ------
    InputError
        The front end does not fit the model, or the model has one already.
    """
    if frontend == NO_FRONT_END:
        return replace(model, waveform=True)
    found = find_front_end(model, frontend)
    return model if found is None else model.behind(found)


def find_front_end(
    model: Model, frontend: FrontEnd | str | os.PathLike[str] | None
) -> FrontEnd | None:
    """Return the front end of a model that is behind none yet.

    It is the one given; else the file's metadata entry ``frontend``; else a TOML file of the
    model's name in its folder; else, and behind a front end, there is none.

    Raises
    ------
    InputError
        The declaration cannot be read, or the model has a front end already.
    """
    if frontend == NO_FRONT_END:
        return None
    if model.frontend is not None:
        if frontend is None:
            return None
        raise InputError(f"{model.path}: the model is behind a front end already")
    if isinstance(frontend, FrontEnd):
        return frontend
    beside = model.path.with_suffix(".toml")
    text = model.graph.metadata.get("frontend", "")
    if frontend is None and "[frontend]" in text:  # others use the key for words of their own
        return FrontEnd.from_text(text, f"{model.path}: metadata")
    if frontend is None and not beside.is_file():
        return None
    return FrontEnd.from_toml(beside if frontend is None else frontend)


def _write_dims(dims: Dims | None) -> str:
    """Return a shape as declared, with ``?`` for what is open."""
    if dims is None:
        return "(any)"
    return f"({', '.join('?' if d is None else str(d) for d in dims)})"


def _read_rate(metadata: Mapping[str, str]) -> float | None:
    """Return the sampling rate that a file declares; None where it is missing or no rate."""
    try:
        rate = float(metadata.get("sample_rate", ""))
    except ValueError:
        return None
    return rate if 0 < rate < float("inf") else None
