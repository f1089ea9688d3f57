"""Sessions of onnxruntime in a process of their own, whose end is an error and not the program's.

onnxruntime runs what a model file says, and some files end the process that runs them: an integer
is divided by zero, an index is not checked.  With DFTLRP_ISOLATE=1 in the environment (on the
command line ``--isolate``) a child process loads and runs all sessions.  If it ends, `ModelError`
names the model and the node, and the next session gets a new child.  The child is no sandbox: it
may read and write what its user may.

Parent and child talk over pipes: a line of JSON, then the bytes of the arrays that it lists.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from onnx import ModelProto, ValueInfoProto

from dftlrp.core.types import AnyArray, InputError, ModelError
from dftlrp.tracing.runtime import (
    DROP,
    ISOLATE,
    LOAD,
    RUN,
    make_environment,
    name_end,
    receive,
    send,
)

SECONDS = 600.0  # that one answer may take


def is_isolated() -> bool:
    """Return whether sessions belong in a child; a worker of a data set is one already."""
    asked = os.environ.get(ISOLATE, "0") not in {"", "0"}
    return asked and not multiprocessing.current_process().daemon


def prepare_child() -> None:
    """Start the child now, if sessions belong in one: it gets ready while this process goes on."""
    if is_isolated():
        _find_child()


class Value(NamedTuple):
    """An input or output of a session, as onnxruntime describes it."""

    name: str
    type: str
    shape: list[Any]


@dataclass(frozen=True)
class Load:
    """What a session is made of, for the child and for finding the node at which it ended."""

    graph: bytes
    options: str
    weights: Mapping[str, AnyArray]
    optimised: bool
    name: str


class IsolatedRuntime:
    """A session in the child, with the methods of ``onnxruntime.InferenceSession`` used here."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.key = next(KEYS)
        self.child = _find_child()
        head, _ = self._ask({"do": LOAD, **_describe(load)}, _arrays_of(load))
        self.inputs = [Value(*row) for row in head["inputs"]]
        self.outputs = [Value(*row) for row in head["outputs"]]
        self.notes = tuple(head["notes"])
        weakref.finalize(self, self.child.drop, self.key)

    def get_inputs(self) -> list[Value]:
        """Return name, type and shape of each input."""
        return self.inputs

    def get_outputs(self) -> list[Value]:
        """Return name, type and shape of each output."""
        return self.outputs

    def run(self, names: Sequence[str] | None, feed: Mapping[str, AnyArray]) -> list[AnyArray]:
        """Return outputs, all of them if no names are given.

        Raises
        ------
        InputError
            If onnxruntime refuses.
        ModelError
            If the child ended.
        """
        wanted = [v.name for v in self.outputs] if names is None else list(names)
        _, arrays = self._ask({"do": RUN, "outputs": wanted}, feed)
        return [arrays[name] for name in wanted]

    def _ask(
        self, head: dict[str, Any], arrays: Mapping[str, AnyArray]
    ) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        try:
            return self.child.ask({**head, "key": self.key}, arrays)
        except ChildError as error:
            feed = arrays if head["do"] == RUN else None
            node = _find_culprit(self.load, feed)
            raise ModelError(f"{self.load.name}: {error}{node}") from None


class ChildError(Exception):
    """How the child ended."""


@dataclass(eq=False)
class _Child:
    """A child process; one question at a time, from any thread."""

    process: subprocess.Popen[bytes]
    owner: int = field(default_factory=os.getpid)
    lock: threading.Lock = field(default_factory=threading.Lock)
    dropped: list[int] = field(default_factory=list)

    def drop(self, key: int) -> None:
        """Let the child forget a session with the next question; called by the collector."""
        self.dropped.append(key)

    def ask(
        self, head: dict[str, Any], arrays: Mapping[str, AnyArray]
    ) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """Return the answer; raise `ChildError` if the child ended, `InputError` if it refused."""
        assert self.process.stdin
        assert self.process.stdout
        with self.lock:
            gone, self.dropped = self.dropped, []
            timer = threading.Timer(SECONDS, self.process.kill)
            timer.start()
            try:
                send(self.process.stdin, {**head, DROP: gone}, arrays)
                answer, found = receive(self.process.stdout)
            except (EOFError, OSError, ValueError):
                late = not timer.is_alive()
                raise ChildError(_describe_end(self._end(), late)) from None
            finally:
                timer.cancel()
        if "error" in answer:
            raise InputError(answer["error"])
        return answer, found

    def _end(self) -> int:
        """Return the exit code of a child whose pipe is broken."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # else it is not dead but confused
            self.process.wait(timeout=5)
        return self.close()

    def close(self) -> int:
        """End the child and return its exit code."""
        self.process.kill()
        status = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                assert pipe
                pipe.close()
        return status


KEYS = count()
_CHILDREN: list[_Child] = []  # at most one
_STARTING = threading.Lock()


def _find_child() -> _Child:
    """Return the child of this process, a new one if there is none or it ended."""
    with _STARTING:
        mine = [child for child in _CHILDREN if child.owner == os.getpid()]
        alive = [child for child in mine if child.process.poll() is None]
        for child in mine if not alive else ():
            child.close()
        _CHILDREN[:] = alive or [_start_child()]
        return _CHILDREN[0]


@atexit.register
def _close_children() -> None:
    for child in _CHILDREN:
        if child.owner == os.getpid():
            child.close()


def _start_child() -> _Child:
    command = [sys.executable, "-m", "dftlrp.tracing.child"]
    env = make_environment()
    pipe = subprocess.PIPE
    try:
        return _Child(subprocess.Popen(command, stdin=pipe, stdout=pipe, env=env))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"no process for onnxruntime: {reason}; without it: {ISOLATE}=0") from None


def _describe_end(status: int, late: bool) -> str:
    if late:
        return f"onnxruntime took more than {SECONDS:g} s and was ended"
    return f"onnxruntime ended its process ({name_end(status)})"


def _find_culprit(load: Load, feed: Mapping[str, AnyArray] | None) -> str:
    """Return the first node with which a child ends, in words; nothing if none can be found."""
    proto = ModelProto.FromString(load.graph)
    nodes, low, high = proto.graph.node, 0, len(proto.graph.node)
    if not _ends(load, proto, high, feed):
        return ""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _ends(load, proto, middle, feed) else (middle, high)
    return f" at node {nodes[high - 1].output[0]!r} ({nodes[high - 1].op_type})"


def _ends(load: Load, proto: ModelProto, size: int, feed: Mapping[str, AnyArray] | None) -> bool:
    """Return whether the first nodes of a graph end a child."""
    some = ModelProto()
    some.CopyFrom(proto)
    names = [name for name in some.graph.node[size - 1].output if name]
    del some.graph.node[size:], some.graph.output[:]
    some.graph.output.extend(ValueInfoProto(name=name) for name in names)
    part = Load(some.SerializeToString(), load.options, load.weights, load.optimised, load.name)
    child, key = _start_child(), next(KEYS)
    try:
        child.ask({"do": LOAD, "key": key, **_describe(part)}, _arrays_of(part))
        if feed is not None:
            child.ask({"do": RUN, "key": key, "outputs": names}, feed)
    except ChildError:
        return True
    except InputError:
        pass
    finally:
        child.close()
    return False


def _describe(load: Load) -> dict[str, Any]:
    return {"options": load.options, "optimised": load.optimised, "weights": list(load.weights)}


def _arrays_of(load: Load) -> dict[str, AnyArray]:
    """Return the weights and, by an empty name, the graph."""
    return {**load.weights, "": np.frombuffer(load.graph, np.uint8)}
