"""Whether an exported graph computes what the framework's own model does; and a quiet terminal.

A loader calls the framework's model a few times, exports it, and gives both to `find_export_error`.
So a graph that an exporter wrote wrongly is never explained.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import NamedTuple

import numpy as np

from dftlrp.core.backend import get_backend
from dftlrp.core.identity import Difference, allow_deviation, find_difference, measure_deviation
from dftlrp.core.types import AnyArray, DftlrpError, ModelError, UnsupportedModelError
from dftlrp.engine.evaluate import evaluate
from dftlrp.engine.forward import gather_arrays
from dftlrp.engine.model import Model
from dftlrp.frameworks.checking.match import match_parts
from dftlrp.tracing.session import TYPES, load_runtime

Arrays = Mapping[str, AnyArray]
INVALID = ("INVALID_GRAPH", "INVALID_PROTOBUF", "InferenceError")  # in onnxruntime's errors
ORIGIN = re.compile(r" \[Caused by| Defined at: ")  # what follows is about exporters' own code
LONGEST = 240  # characters of an exporter's own words


class Call(NamedTuple):
    """A call of the framework's own model.

    Attributes
    ----------
    inputs, outputs : dict of str to array
        By name.
    parts : dict of str to array
        What each part gave, by its path, in the order of execution.
    dtype : str
        What the model computes in.
    """

    inputs: Arrays
    outputs: Arrays
    parts: Arrays
    dtype: str = "float32"


def find_export_error(
    data: bytes, model: Model, call: Call, by_engine: bool = False
) -> Difference | None:
    """Return the first layer at which an exported graph differs from the model's own call.

    The graph is run by onnxruntime without optimisations.  Where its outputs differ from the
    model's by more than round-off, or onnxruntime has no kernel for a node, the engine runs the
    graph in float64: it tells round-off from error.

    Parameters
    ----------
    data : bytes
        The exported ONNX file.
    model : Model
        The same graph, loaded.
    call : Call
        What the framework's own model gives.
    by_engine : bool
        Whether the engine must agree, even where onnxruntime does.

    Returns
    -------
    Difference or None
        None where every output agrees.

    Raises
    ------
    DftlrpError
        Neither onnxruntime nor the engine can run the graph on these inputs.
    """
    got = _run_plainly(data, call.inputs)
    right = got is not None and not find_difference(got, call.outputs, allow_deviation(call.dtype))
    if right and not by_engine:
        return None
    for name, want in call.outputs.items():
        found = _compare_engine(model, call, name, want, got)
        if found is not None:
            return found
    return None


def _compare_engine(
    model: Model, call: Call, name: str, want: AnyArray, got: Arrays | None
) -> Difference | None:
    """Return the first layer at which the engine, on the way to an output, differs from a call.

    It runs in float64; where it differs also in float32, since at a jump (the side of a phase, a
    winner among equals) the dtype decides.
    """
    for dtype in ("float64", "float32"):
        values = _run_engine(model, call.inputs, name, dtype)
        noise = measure_deviation(got[name], values[name]) if got else 0.0
        off, allowed = measure_deviation(values[name], want), allow_deviation(call.dtype, noise)
        if off <= allowed:
            return None
    pairs = match_parts(model.graph, values, dict(call.parts), allowed, differ=True)
    first = next((p.part for p in pairs if not p.deviation <= allowed), name)
    return Difference(first, off, allowed)


def _run_plainly(data: bytes, inputs: Arrays) -> Arrays | None:
    """Return the graph's outputs by onnxruntime without optimisations; None where it has no kernel.

    Raises
    ------
    ModelError
        The graph is not valid.
    """
    try:
        session = load_runtime(data, optimised=False)
        types = {x.name: TYPES.get(x.type, np.float64) for x in session.get_inputs()}
        made = session.run(None, {k: np.asarray(inputs[k], types[k]) for k in types})
    except Exception as error:  # onnxruntime's errors have no type of their own
        if any(code in str(error) for code in INVALID):
            raise ModelError(word_error(error)) from error
        return None
    return dict(zip((x.name for x in session.get_outputs()), made, strict=True))


def _run_engine(model: Model, inputs: Arrays, output: str, dtype: str) -> dict[str, AnyArray]:
    """Return every value on the way to an output, by the engine."""
    bk, floats = get_backend("numpy"), np.dtype(dtype)
    settings = {k: a for k, a in inputs.items() if k not in model.graph.signals}
    plan = model.plan(output, settings)
    signals = {k: a for k, a in inputs.items() if k in plan.signals}
    given = gather_arrays(model, plan, signals, bk, floats)
    return evaluate(plan, given, bk, floats).values


# -- what exporters say


@contextmanager
def silence() -> Iterator[None]:
    """Keep everything that is said meanwhile from the terminal: by Python, by C++, by loggers.

    This holds for the whole process, other threads included.
    """
    with ExitStack() as after, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        after.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)
        for number in (1, 2):
            after.enter_context(_silenced(number))
        after.enter_context(redirect_stdout(StringIO()))
        after.enter_context(redirect_stderr(StringIO()))
        yield


@contextmanager
def _silenced(number: int) -> Iterator[None]:
    """Let what is written to a file descriptor go nowhere."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    try:
        kept = os.dup(number)
    except OSError:  # it is closed: nothing is written to it
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


def word_error(error: BaseException) -> str:
    """Return the cause of an exporter's error as one short line."""
    while error.__cause__ is not None and not isinstance(error, DftlrpError):
        error = error.__cause__
    text = ORIGIN.split(" ".join(str(error).split()))[0]
    line = text if isinstance(error, DftlrpError) else f"{type(error).__name__}: {text}"
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def refuse_export(name: str, errors: Mapping[str, Exception], advice: str) -> ModelError:
    """Return the error of a model that no exporter writes rightly.

    Parameters
    ----------
    errors : dict of str to Exception
        By exporter, why there is no graph of it.
    advice : str
        What to do.
    """
    told = "; ".join(f"{exporter}: {word_error(e)}" for exporter, e in errors.items())
    line = f"{name} cannot be exported: {told}. Advice: {advice}"
    without = [e for e in errors.values() if isinstance(e, UnsupportedModelError)]
    return UnsupportedModelError(line, without[0].reasons) if without else ModelError(line)
