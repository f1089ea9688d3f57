"""Whether what a model reads is a waveform, or features that somebody must compute from one.

Nothing in a file says so for certain.  A declared rate settles it; otherwise the name of the input,
its shape and what is done to it first are looked at, and what looks like features is refused with
the question to answer.
"""

from __future__ import annotations

import os
import re
from typing import Any

from dftlrp.attribution.recording import read_header
from dftlrp.attribution.waveform import WaveformInput, count_channels
from dftlrp.core.types import InputError
from dftlrp.engine.model import Model
from dftlrp.graph.structure import Graph, Node

WAVES = re.compile(r"wav|audio|speech|sound|pcm|samples|signal|ecg|eeg|emg|seism", re.IGNORECASE)
FEATURES = re.compile(
    r"mfcc|(?<![a-z])mel|spec|fbank|filter_?bank|feat|stft|cqt|cepst|lfcc|chroma|bark|embed",
    re.IGNORECASE,
)
# A picture rather than several signals: more channels than these, and few samples for each of them.
MOST_LEADS, LEAST_SAMPLES = 8, 16
MANY = 20  # channels of which any number of samples may come: rather features of frames
MOST_COEFFICIENTS, MOST_NUMBERS = 128, 2**14  # of a flat vector that is folded into frames
COEFFICIENTS, FRAMES = (10, 12, 13, 20, 26, 39, 40), range(20, 201)  # of keyword spotters
PASSED = {
    "Identity", "Cast", "Flatten", "Squeeze", "Unsqueeze", "Mul", "Add", "Sub", "Div",
    "BatchNormalization", "QuantizeLinear", "DequantizeLinear", "Transpose", "Dropout",
}  # fmt: skip


def refuse_features(
    model: Model, read: WaveformInput, signal: Any, rate: float | None = None
) -> None:
    """Refuse to take for a waveform what looks like features.

    Parameters
    ----------
    signal, rate
        What is to be read, as of `dftlrp.explain`: with a rate, and several channels as the model
        has them, it is a waveform.

    Raises
    ------
    InputError
        With what it looks like, and the three ways on.
    """
    graph = model.graph
    if not graph.inputs[read.name].is_float:
        raise InputError(
            f"input {read.name!r} reads whole numbers, not a waveform: use dftlrp.attribute"
        )
    if model.rate or model.waveform or graph.front or _has_those_channels(signal, read, rate):
        return
    if found := _describe_features(graph, read):
        shape = tuple("any" if d is None else d for d in read.dims)
        raise InputError(
            f"input {read.name!r} of shape {shape} looks like {found}, not like a waveform: "
            "declare the front end that computes it (--frontend FILE.toml; 'dftlrp frontend init' "
            "writes one), give the features themselves (--features FILE.npy, "
            "dftlrp.explain_features), or say that it is a waveform (--frontend none)"
        )


def _has_those_channels(signal: Any, read: WaveformInput, rate: float | None) -> bool:
    """Return whether a signal has a rate, and as many channels as a model that reads several."""
    if read.channels < 2 or signal is None:
        return False
    if not isinstance(signal, str | os.PathLike):
        return bool(rate) and count_channels(signal) == read.channels
    try:
        header = read_header(signal, read.chosen)
    except InputError:
        return False
    return bool(header.rate or rate) and header.channels == read.channels


def _describe_features(graph: Graph, read: WaveformInput) -> str:
    """Return what an input looks like that is rather no waveform; or nothing."""
    count, length = read.channels, read.length
    first = _find_first_step(graph, read.name)
    if FEATURES.search(read.name):
        return "features, by its name"
    if WAVES.search(read.name):
        return ""
    if count == 1:
        return _describe_vector(graph, first, read.name, length or 0)
    few = count >= MANY if length is None else length < LEAST_SAMPLES * count
    if len(read.dims) > 3 or (few and count > MOST_LEADS) or _is_picture(graph, first):
        sizes = ["any" if d is None else str(d) for d in read.dims if d != 1][-2:]
        return f"features ({' by '.join(sizes)})"
    return ""


def _find_first_step(graph: Graph, name: str) -> Node | None:
    """Return what reads an input first, behind what only scales or moves it."""
    while True:
        readers = [node for node in graph.nodes if name in node.inputs]
        if len(readers) != 1:
            return readers[0] if readers else None
        (node,) = readers
        if node.op not in PASSED:
            return node
        name = node.output


def _describe_vector(graph: Graph, first: Node | None, name: str, length: int) -> str:
    """Return of how many frames a flat vector seems to be made; or nothing."""
    if first is None or not length:
        return ""
    if first.op == "Reshape" and len(first.inputs) > 1 and first.inputs[1] in graph.constants:
        shape = [int(d) for d in graph.constants[first.inputs[1]].reshape(-1)]
        sizes = [length // max(_multiply_known(shape, length), 1) if d == -1 else d for d in shape]
        sizes = [d for d in sizes if d not in {0, 1}]
        if len(sizes) == 2 and max(length, 1) <= MOST_NUMBERS and sizes[1] <= MOST_COEFFICIENTS:
            return f"features ({sizes[0]} frames of {sizes[1]}?)"
    if first.op in {"MatMul", "Gemm"} and len(graph.inputs[name].dims or ()) == 2:
        for each in COEFFICIENTS:
            if length % each == 0 and length // each in FRAMES:
                return f"features ({length // each} frames of {each}?)"
    return ""


def _multiply_known(shape: list[int], length: int) -> int:
    """Return the numbers of a shape but for the batch and what is left open."""
    known = 1
    for d in shape:
        known *= d if d > 0 else 1
    return known if length % known == 0 else length


def _is_picture(graph: Graph, first: Node | None) -> bool:
    """Return whether an input goes into a convolution over both its axes."""
    if first is None or first.op != "Conv" or first.inputs[1] not in graph.constants:
        return False
    kernel = graph.constants[first.inputs[1]].shape[2:]
    return len(kernel) == 2 and min(kernel) > 1
