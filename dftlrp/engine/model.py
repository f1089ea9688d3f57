"""A loaded model: what `dftlrp.load` gives."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.rules import Rule
from dftlrp.core.types import InputError
from dftlrp.engine.chunks import make_chunked
from dftlrp.engine.composites import Composite, LayerTable, layer_table
from dftlrp.engine.evaluate import Values, cast_constants
from dftlrp.engine.plan import Plan, make_plan, refuse_unexplainable
from dftlrp.graph.frontend import FrontEnd, prepend
from dftlrp.graph.load import load_graph, parse_graph
from dftlrp.graph.structure import Graph


def settings_key(output: str | None, bind: Mapping[str, Any] | None) -> tuple[Any, ...]:
    """What an output and values of settings are known by."""
    values = {k: np.asarray(v) for k, v in (bind or {}).items()}
    shown = ((k, a.shape, a.dtype.str, a.tobytes()) for k, a in sorted(values.items()))
    return output, tuple(shown)


@dataclass(frozen=True)
class Model:
    """A validated ONNX model that can be explained.

    Attributes
    ----------
    path : Path
        Where it came from.
    graph : Graph
        Nodes, inputs, outputs, weights.
    rate : float or None
        Sampling rate in hertz that it reads, where known.
    frontend : FrontEnd or None
        What it is behind.
    """

    path: Path
    graph: Graph
    rate: float | None = None
    frontend: FrontEnd | None = None
    _constants: dict[tuple[str, str], Values] = field(default_factory=dict, repr=False)
    _sessions: dict[Any, Any] = field(default_factory=dict, repr=False)  # of the onnx backend
    _behind: dict[str, Model] = field(default_factory=dict, repr=False)  # by front end
    _plans: dict[Any, Plan] = field(default_factory=dict, repr=False)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs' classes, from the file's metadata (key ``labels``, JSON)."""
        try:
            labels = json.loads(self.graph.metadata.get("labels", ""))
        except (ValueError, RecursionError):
            return ()
        return tuple(map(str, labels)) if isinstance(labels, list) else ()

    def behind(self, frontend: FrontEnd) -> Model:
        """The model that reads a waveform and computes its input by this front end; made once."""
        key = repr(frontend)
        if key not in self._behind:
            graph = prepend(self.graph, frontend)
            make_plan(graph)
            self._behind[key] = Model(self.path, graph, frontend.rate, frontend)
        return self._behind[key]

    def chained(
        self,
        states: Mapping[str, str],
        chunk: int,
        context: int = 0,
        *,
        axis: int = -1,
        output: str | None = None,
    ) -> Model:
        """The model over a whole recording, its states carried from chunk to chunk.

        Parameters, errors: `dftlrp.engine.chunks.chunked`.
        """
        graph = make_chunked(self.graph, states, chunk, context, axis, output)
        return Model(self.path, graph, self.rate, self.frontend)

    def plan(self, output: str | None = None, bind: Mapping[str, Any] | None = None) -> Plan:
        """The graph with an output and settings chosen, made once; see `graph.plan.make_plan`.

        Raises
        ------
        InputError
            Also where an input that is a setting has no value.
        """
        missing = self.graph.inputs.keys() - self.graph.signals - (bind or {}).keys()
        if missing:
            name = sorted(missing)[0]
            value = self.graph.inputs[name]
            raise InputError(
                f"{self.path}: input {name!r} ({value.dtype}, shape {value.dims}) is a setting: "
                f"give its value with bind={{{name!r}: ...}} or --bind {name}=VALUE"
            )
        key = settings_key(output, bind)
        if key not in self._plans:
            self._plans[key] = make_plan(self.graph, output, bind)
        return self._plans[key]

    def constants(self, bk: Backend, dtype: np.dtype[Any]) -> Values:
        """The weights in a dtype, cast once."""
        key = (bk.name, dtype.name)
        if key not in self._constants:
            self._constants[key] = cast_constants(self.graph, bk, dtype)
        return self._constants[key]

    def table(
        self,
        composite: str | Composite = "EpsilonAlpha2Beta1",
        overrides: Mapping[str, str | Rule] | None = None,
        *,
        output: str | None = None,
    ) -> LayerTable:
        """Which rule stands at which layer; ``print`` it."""
        return layer_table(make_plan(self.graph, output), composite, overrides)


def load(path: Any, *, rate: float | None = None, example: Any = None) -> Model:
    """Read, validate and check an ONNX model, or a framework's own.

    Parameters
    ----------
    path : path or object
        An ONNX file, opset 9 to the newest; or a torch module, exported in memory.
    rate : float, optional
        Sampling rate in hertz that the model reads; the file's metadata entry ``sample_rate``
        if not given.
    example : array, or dict of str to array, optional
        What a framework's model reads, where it does not declare that itself; batch first.

    Raises
    ------
    ModelError
        Missing, broken or not ONNX; what a framework cannot export.
    UnsupportedModelError
        Some node on the way to the first output has no rule; all of them are named.
    InputError
        Not a model of any kind known here.
    """
    if isinstance(path, str | os.PathLike):
        model = _checked(load_graph(path), Path(path))
    else:
        model = _loader(path).load()(path, example=example)
    return replace(model, rate=rate or model.rate)


def from_bytes(data: bytes, name: str) -> Model:
    """The model in an ONNX file's bytes, for those who export in memory; errors as of `load`."""
    return _checked(parse_graph(data, Path(name)), Path(name))


def as_model(source: Any, example: Any = None) -> Model:
    """A model as it is; what `load` can load, loaded."""
    return source if isinstance(source, Model) else load(source, example=example)


def _checked(graph: Graph, path: Path) -> Model:
    refuse_unexplainable(graph)
    return Model(path, graph, _declared_rate(graph.metadata))


def packages(source: Any) -> list[str]:
    """The packages that an object's classes come from, its own first."""
    return [kind.__module__.partition(".")[0] for kind in type(source).__mro__]


@cache
def _loaders() -> dict[str, EntryPoint]:
    """By the package whose objects it loads: ``load(obj, *, example=None) -> Model``."""
    return {point.name: point for point in entry_points(group="dftlrp.loaders")}


def _loader(source: Any) -> EntryPoint:
    """The loader for the first of an object's classes that has one."""
    known = _loaders()
    if found := next((known[p] for p in packages(source) if p in known), None):
        return found
    raise InputError(
        f"an object of type {type(source).__name__!r} is no model: "
        f"give an ONNX file, or a model of {', '.join(sorted(known))}"
    )


def behind_front_end(model: Model, frontend: FrontEnd | str | os.PathLike[str] | None) -> Model:
    """The model that reads a waveform, behind the front end given, its own or the one beside it.

    Its own is the file's metadata entry ``frontend``; beside it lies a TOML file of its name.  A
    model that is behind one already stays as it is.

    Raises
    ------
    InputError
        The front end does not fit the model, or the model has one already.
    """
    if model.frontend is not None:
        if frontend is None:
            return model
        raise InputError(f"{model.path}: the model is behind a front end already")
    if isinstance(frontend, FrontEnd):
        return model.behind(frontend)
    beside = model.path.with_suffix(".toml")
    text = model.graph.metadata.get("frontend", "")
    if frontend is None and "[frontend]" in text:  # others use the key for words of their own
        return model.behind(FrontEnd.from_text(text, f"{model.path}: metadata"))
    if frontend is None and not beside.is_file():
        return model
    return model.behind(FrontEnd.from_toml(beside if frontend is None else frontend))


def _declared_rate(metadata: Mapping[str, str]) -> float | None:
    try:
        rate = float(metadata.get("sample_rate", ""))
    except ValueError:
        return None
    return rate if 0 < rate < float("inf") else None
