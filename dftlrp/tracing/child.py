"""The child process in which `isolation` runs onnxruntime: sessions are loaded and run as told."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import numpy as np

from dftlrp.core.types import AnyArray
from dftlrp.tracing.runtime import DROP, LOAD, find_notes, load_here, receive, send


def main() -> None:
    """Load and run sessions until the parent closes the pipe."""
    answers, questions = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    os.dup2(2, 1)  # what onnxruntime prints is no answer
    with contextlib.suppress(ImportError):  # whoever needs it says so
        import onnxruntime  # noqa: F401  # now, not when the first graph is here
    sessions: dict[int, Any] = {}
    while True:
        try:
            head, arrays = receive(questions)
        except EOFError:
            return
        for key in head[DROP]:
            sessions.pop(key, None)
        try:
            if head["do"] == LOAD:
                graph = arrays.pop("").tobytes()
                runtime = load_here(graph, head["options"], arrays, head["optimised"])
                sessions[head["key"]] = runtime, arrays  # which the session does not copy
                notes = find_notes(runtime, head["options"])
                send(answers, {**_describe_session(runtime), "notes": notes}, {})
            else:
                runtime = sessions[head["key"]][0]
                made = map(_make_array, runtime.run(head["outputs"], arrays))
                send(answers, {}, dict(zip(head["outputs"], made, strict=True)))
        except Exception as error:
            send(answers, {"error": str(error) or type(error).__name__}, {})


def _describe_session(runtime: Any) -> dict[str, Any]:
    described = {"inputs": runtime.get_inputs(), "outputs": runtime.get_outputs()}
    return {k: [[v.name, v.type, v.shape] for v in values] for k, values in described.items()}


def _make_array(y: Any) -> AnyArray:
    """Return an output as an array that needs no pickle: scores without labels, text as text."""
    array = np.array([list(row.values()) for row in y]) if isinstance(y, list) else np.asarray(y)
    return array.astype(str) if array.dtype.kind == "O" else array


if __name__ == "__main__":
    main()
