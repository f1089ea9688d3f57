"""The native network that a graph was exported from, as `check` uses it."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import onnx

from dftlrp.core.backend import get_backend
from dftlrp.core.files import locate
from dftlrp.core.types import AnyArray, DftlrpError, InputError
from dftlrp.engine.model import Model, find_packages
from dftlrp.tracing.session import load_runtime

Arrays = dict[str, AnyArray]


class Ran(NamedTuple):
    """Outputs by name, and the output of each part by its path, in the order of execution."""

    outputs: Arrays
    parts: Arrays


class Native(Protocol):
    """A network that runs in its own framework.

    Attributes
    ----------
    name : str
        Name in results.
    dtype : str
        The dtype that it computes in.
    example : dict of str to array
        Example inputs, by its own names in its own order; empty if it has none.
    backend : str
        Name of the backend of its framework; empty if there is none.
    notes : tuple of str
        Notes for the result of the check.
    """

    name: str
    dtype: str
    example: Arrays
    backend: str
    notes: tuple[str, ...]

    def run(self, inputs: Arrays) -> Ran:
        """Run the forward pass."""

    def gradient(self, inputs: Arrays, output: str, c: AnyArray) -> Arrays | None:
        """Return the gradient of sum(c * output) by autodiff, or None if there is no autodiff."""


@cache
def _find_adapters() -> dict[str, EntryPoint]:
    """Return by framework the function ``native(model, example=None)`` that makes a `Native`."""
    return {point.name: point for point in entry_points(group="dftlrp.natives")}


def find_native(against: Any, model: Model, example: Any) -> Native:
    """Return the network that a graph is compared with.

    Parameters
    ----------
    against : object or str
        A framework's model; ``"FILE.py:FUNCTION"``, which returns (model, example inputs); the
        name of a framework that runs the graph itself; or ``"onnx"`` for onnxruntime.

    Raises
    ------
    InputError
        If it is none of these, or the framework is not installed.
    """
    if against == "onnx":
        return Runtime(model)
    if isinstance(against, str) and ".py:" in against:
        against, example = _build_from_file(against)
    known = _find_adapters()
    if isinstance(against, str):
        if against not in known:
            raise InputError(
                f"against {against!r}: give one of onnx, {', '.join(sorted(known))}, or "
                "FILE.py:FUNCTION, which returns (model, example inputs)"
            )
        get_backend(against).asarray(np.zeros(1))  # raises if it is not installed
        return cast(Native, known[against].load()(model))
    if found := next((known[p] for p in find_packages(against) if p in known), None):
        return cast(Native, found.load()(against, example))
    raise InputError(
        f"against an object of type {type(against).__name__!r}: "
        f"give a model of {', '.join(sorted(known))}"
    )


def _build_from_file(place: str) -> tuple[Any, Any]:
    """Call a function in a Python file; return (model, example inputs)."""
    file, _, name = place.rpartition(":")
    path = locate(file)
    if not path.is_file():
        raise InputError(f"against {place!r}: there is no file {file}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.fspath(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, name):
            raise InputError(f"against {place!r}: {file} has no function {name!r}")
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
    """The file run by onnxruntime without optimisations, with every value as an output."""

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
        self.session = load_runtime(proto.SerializeToString(), optimised=False)

    def run(self, inputs: Arrays) -> Ran:
        """Run the forward pass."""
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
        """Return None: onnxruntime has no autodiff."""
