"""Sessions of onnxruntime: traced graphs that are loaded and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.types import AnyArray, InputError, ModelError, Real
from dftlrp.engine.auto import Choice
from dftlrp.engine.composites import LayerTable
from dftlrp.engine.plan import Plan
from dftlrp.tracing.assembly import Traced
from dftlrp.tracing.isolation import IsolatedRuntime, Load, is_isolated
from dftlrp.tracing.providers import explain_full_memory
from dftlrp.tracing.runtime import find_notes, first_line, load_here

Arrays = dict[str, AnyArray]


class Seen(NamedTuple):
    """What a trace told of the model: plan, table, shape of the explained output, kind of seed."""

    plan: Plan
    table: LayerTable
    shape: tuple[int, ...]
    seed_kind: Choice[str]


class FailedRunError(InputError):
    """onnxruntime failed on a traced graph; which layer it was, the reference can say."""


@dataclass(frozen=True, eq=False)
class Session:
    """A traced graph that onnxruntime has loaded; ``traced`` holds its weights.

    ``notes`` say which nodes an execution provider leaves to the CPU.
    """

    plan: Plan
    table: LayerTable
    shape: tuple[int, ...]
    seed_kind: Choice[str]
    traced: Traced
    runtime: Any
    any_batch: bool
    notes: tuple[str, ...] = ()

    def explained(self, given: Arrays) -> Real:
        """Return zeros in the shape of the explained output for these inputs."""
        batch = next(iter(given.values())).shape[:1] if self.any_batch else self.shape[:1]
        return np.broadcast_to(np.zeros(()), (*batch, *self.shape[1:]))

    def run(self, feed: Mapping[str, AnyArray]) -> Arrays:
        """Return the outputs of the graph by their names.

        Raises
        ------
        FailedRunError
            If onnxruntime fails.
        InputError
            If memory runs out.
        ModelError
            If it ends the child process in which it runs.
        """
        types = {x.name: TYPES[x.type] for x in self.runtime.get_inputs()}
        given: Arrays = {k: np.ascontiguousarray(feed[k], types[k]) for k in types}
        try:
            results = self.runtime.run(None, given)
        except ModelError:
            raise
        except Exception as error:  # onnxruntime has no type of its own
            rows = (n for name in self.plan.signals for n in given[name].shape[:1])
            if full := explain_full_memory(error, max(rows, default=1)):
                raise InputError(full) from error
            raise FailedRunError(
                f"onnxruntime failed on the traced graph: {first_line(error)}"
            ) from error
        names = (x.name for x in self.runtime.get_outputs())
        return dict(zip(names, results, strict=True))


TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(bool)": np.bool_,
    "tensor(int16)": np.int16, "tensor(uint16)": np.uint16, "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
}  # fmt: skip


def load_runtime(
    graph: bytes,
    options: str = "",
    weights: Arrays | None = None,
    optimised: bool = True,
    name: str = "the model",
) -> Any:
    """Load a graph into a session of onnxruntime, in a child process if that is asked for.

    Parameters
    ----------
    graph : bytes
        A serialised model.
    options : str
        ``PROVIDER:THREADS``, each of which may be left out; a provider goes by onnxruntime's name
        or by the short one (``cuda``).  Without a number of threads it is
        that of OMP_NUM_THREADS, else the number of cores.
    weights : dict of str to array, optional
        Constants that the graph only names.  They are not copied, so that they must be kept as
        long as the session.
    optimised : bool
        Whether onnxruntime may optimise the graph.
    name : str
        What an error calls the model if a child process ends.

    Raises
    ------
    InputError
        If onnxruntime or the execution provider is missing, or the graph cannot be loaded.
    ModelError
        If onnxruntime ends the child process.
    """
    if is_isolated():
        return IsolatedRuntime(Load(graph, options, weights or {}, optimised, name))
    return load_here(graph, options, weights, optimised)


def read_notes(runtime: Any, options: str) -> tuple[str, ...]:
    """Return what there is to say of a session that was loaded with these options."""
    if isinstance(runtime, IsolatedRuntime):
        return runtime.notes
    return find_notes(runtime, options)
