"""What a process needs to run onnxruntime for another: a graph is loaded, arrays go through a pipe.

The child of `isolation` knows this module and little else, so that it is ready before it is asked.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from dftlrp.core.types import AnyArray, InputError
from dftlrp.tracing.providers import (
    CPU,
    RECORD,
    check_device,
    choose_provider,
    tell_left_nodes,
)

ISOLATE = "DFTLRP_ISOLATE"  # in the environment: whether sessions belong in a child process
LOAD, RUN, DROP = "load", "run", "drop"


def load_here(
    graph: bytes,
    options: str = "",
    weights: Mapping[str, AnyArray] | None = None,
    optimised: bool = True,
) -> Any:
    """Load a graph into a session of onnxruntime here; `session.load_runtime` says more."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise InputError("backend 'onnx' needs onnxruntime: pip install onnxruntime") from error
    asked, _, threads = options.partition(":")
    provider = choose_provider(asked, ort.get_available_providers())
    if threads and not (threads.isdecimal() and int(threads)):
        raise InputError(f"threads {threads!r}: a positive number is needed")
    settings = ort.SessionOptions()
    settings.log_severity_level = 4  # what goes wrong is raised
    usual = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    threads = threads or (usual if usual.isdecimal() else "") or str(count_cores())
    if not optimised:  # it answers once or a few times and leaves nothing behind
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        settings.enable_cpu_mem_arena = settings.enable_mem_pattern = False
        settings.add_session_config_entry("session.disable_prepacking", "1")
    settings.intra_op_num_threads = int(threads)
    if provider != CPU:
        settings.add_session_config_entry(RECORD, "1")
    given = {k: ort.OrtValue.ortvalue_from_numpy(a) for k, a in (weights or {}).items()}
    settings.add_external_initializers(list(given), list(given.values()))
    try:
        runtime = ort.InferenceSession(graph, settings, providers=[provider], enable_fallback=0)
    except Exception as error:
        raise InputError(
            f"onnxruntime cannot load the traced graph: {first_line(error)}"
        ) from error
    check_device(runtime, provider)
    return runtime


def find_notes(runtime: Any, options: str) -> tuple[str, ...]:
    """Return what there is to say of a session that `load_here` has loaded with these options."""
    provider = choose_provider(options.partition(":")[0], runtime.get_providers())
    return tell_left_nodes(runtime, provider)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if there is none."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def make_environment() -> dict[str, str]:
    """Return the environment of a child: it finds the same modules, and starts no child itself."""
    return os.environ | {ISOLATE: "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def name_end(status: int) -> str:
    """Return how a process ended, in words: the signal, or its exit code."""
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"exit code {status}"


def count_cores() -> int:
    """Return how many cores this process may use; where the system does not say, all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def send(pipe: IO[bytes], head: dict[str, Any], arrays: Mapping[str, AnyArray]) -> None:
    """Write a line of JSON, then the bytes of the arrays that it lists."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    listed = [[name, a.dtype.str, np.shape(arrays[name])] for name, a in whole.items()]
    pipe.write(json.dumps({**head, "arrays": listed}).encode() + b"\n")
    for array in whole.values():
        pipe.write(array.reshape(-1).view(np.uint8).data if array.size else b"")
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[dict[str, Any], dict[str, AnyArray]]:
    """Return what was sent; raise EOFError if the other end is gone."""
    line = pipe.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    head = json.loads(line)
    arrays = {}
    for name, kind, shape in head["arrays"]:
        dtype = np.dtype(kind)
        data = pipe.read(math.prod(shape) * dtype.itemsize)
        arrays[name] = np.frombuffer(bytearray(data), dtype).reshape(shape)
    return head, arrays
