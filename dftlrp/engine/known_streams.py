"""Streaming models that are so common that their chunks are known, though no file states them.

A model is one of these if its states have their names and shapes.  What a row says is tried on the
model before it is believed, and told to the user.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dftlrp.graph.structure import Dims, Graph


@dataclass(frozen=True)
class KnownStream:
    """A kind of streaming model.

    Attributes
    ----------
    name : str
        What it is called.
    states : dict of str to dims
        Its states.
    chunks : dict of int to (int, int)
        By rate in hertz: new samples in each run, and earlier samples that it reads again.
    """

    name: str
    states: Mapping[str, Dims]
    chunks: Mapping[int, tuple[int, int]]


KNOWN = (
    KnownStream("Silero VAD 5", {"state": (2, None, 128)}, {16000: (512, 64), 8000: (256, 32)}),
    KnownStream(
        "Silero VAD 5 at 16 kHz", {"h": (1, 1, 128), "c": (1, 1, 128)}, {16000: (512, 64)}
    ),
    KnownStream(
        "Silero VAD 3 and 4", {"h": (2, None, 64), "c": (2, None, 64)},
        {16000: (512, 0), 8000: (256, 0)},
    ),
)  # fmt: skip


def find_known_stream(graph: Graph, states: Mapping[str, str], signal: str) -> KnownStream | None:
    """Return the kind of streaming model that this one is, if it is known."""
    dims = {name: graph.inputs[name].dims for name in states}
    width = (graph.inputs[signal].dims or (None,))[-1]
    for known in KNOWN:
        if known.states == dims and (
            width is None or width in {chunk + context for chunk, context in known.chunks.values()}
        ):
            return known
    return None
