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
    width = (graph.inputs[signal].dims or (None,))[-1]
    for known in _find_alike(graph, states):
        if width is None or width in {sum(each) for each in known.chunks.values()}:
            return known
    return None


def find_known_rate(graph: Graph, states: Mapping[str, str]) -> float | None:
    """Return the highest rate in hertz that known models with these states read."""
    rates = [rate for known in _find_alike(graph, states) for rate in known.chunks]
    return float(max(rates)) if rates else None


def _find_alike(graph: Graph, states: Mapping[str, str]) -> list[KnownStream]:
    """Return the kinds with states of these names and shapes."""
    dims = {name: graph.inputs[name].dims for name in states}
    return [known for known in KNOWN if known.states == dims]
