"""The network that a graph was exported from, as what checks the graph sees it."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import onnx

from dftlrp.core.backend import get_backend
from dftlrp.core.types import AnyArray, DftlrpError, InputError
from dftlrp.engine.model import Model, packages
from dftlrp.tracing.session import runtime_of

Arrays = dict[str, AnyArray]


class Ran(NamedTuple):
    """Outputs by name, and what each part gave, by its path, in the order of execution."""

    outputs: Arrays
    parts: Arrays


class Native(Protocol):
    """A network that runs in its own framework.

    Attributes
    ----------
    name : str
        As shown in results.
    dtype : str
        What it computes in.
    example : dict of str to array
        What it reads, by its own names in its own order; empty where it does not say.
    backend : str
        The backend that computes as it does; empty if none.
    notes : tuple of str
        What is odd about it.
    """

    name: str
    dtype: str
    example: Arrays
    backend: str
    notes: tuple[str, ...]

    def run(self, inputs: Arrays) -> Ran:
        """The forward pass."""

    def gradient(self, inputs: Arrays, output: str, c: AnyArray) -> Arrays | None:
        """Of sum(c * output) with respect to each input, by the framework's autodiff, if any."""


@cache
def _adapters() -> dict[str, EntryPoint]:
    """By framework: ``native(source, example=None) -> Native`` of its own models, or a `Model`."""
    return {point.name: point for point in entry_points(group="dftlrp.natives")}


def native_of(against: Any, model: Model, example: Any) -> Native:
    """What a graph is compared with.

    Parameters
    ----------
    against : object or str
        A framework's model; ``"FILE.py:FUNCTION"``, which returns (model, example inputs);
        a framework's name: the graph itself, run by it; ``"onnx"``: by onnxruntime.

    Raises
    ------
    InputError
        None of these, or it is not installed.
    """
    if against == "onnx":
        return Runtime(model)
    if isinstance(against, str) and ".py:" in against:
        against, example = _built(against)
    known = _adapters()
    if isinstance(against, str):
        if against not in known:
            raise InputError(
                f"against {against!r}: give one of onnx, {', '.join(sorted(known))}, or "
                "FILE.py:FUNCTION, which returns (model, example inputs)"
            )
        get_backend(against).asarray(np.zeros(1))  # says what is not installed
        return cast(Native, known[against].load()(model))
    if found := next((known[p] for p in packages(against) if p in known), None):
        return cast(Native, found.load()(against, example))
    raise InputError(
        f"against an object of type {type(against).__name__!r}: "
        f"give a model of {', '.join(sorted(known))}"
    )


def _built(place: str) -> tuple[Any, Any]:
    """What a function in a file of the user's returns."""
    file, _, name = place.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"against {place!r}: there is no file {file}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.fspath(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
        built = getattr(module, name)()
    except DftlrpError:
        raise
    except Exception as error:
        raise InputError(f"against {place!r}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if not (isinstance(built, tuple) and len(built) == 2):
        raise InputError(f"against {place!r}: it must return (model, example inputs)")
    return built


class Runtime:
    """The file as onnxruntime runs it, without its optimisations: every value is an output."""

    name, dtype, backend = "onnxruntime", "float32", ""
    example: Arrays = {}  # noqa: RUF012
    notes: tuple[str, ...] = ("onnxruntime has no autodiff: gradients are not compared",)

    def __init__(self, model: Model) -> None:
        if not model.path.is_file():
            raise InputError(f"{model.path}: is no file: check it against its own module")
        proto = onnx.load(model.path)
        self.outputs = [v.name for v in proto.graph.output]
        self.parts = [name for n in proto.graph.node for name in n.output if name]
        named = (onnx.ValueInfoProto(name=k) for k in self.parts if k not in self.outputs)
        proto.graph.output.extend(named)
        self.session = runtime_of(proto.SerializeToString(), optimised=False)

    def run(self, inputs: Arrays) -> Ran:
        """The forward pass."""
        types = {x.name: x.type for x in self.session.get_inputs()}
        wide = "tensor(double)"
        given = {
            k: a.astype(np.float64 if types[k] == wide else np.float32)
            if a.dtype.kind == "f"
            else a
            for k, a in inputs.items()
        }
        made = [x.name for x in self.session.get_outputs()]
        found = dict(zip(made, self.session.run(None, given), strict=True))
        return Ran(*({k: found[k] for k in names} for names in (self.outputs, self.parts)))

    def gradient(self, inputs: Arrays, output: str, c: AnyArray) -> None:
        """It has no autodiff."""
