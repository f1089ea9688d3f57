"""Execution providers: which part of onnxruntime computes a traced graph, and on what device.

onnxruntime takes the CPU where a provider is not there, has no device or has no kernel for a node,
and goes on without a word.  Here the first two are errors, and the third is told node by node.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dftlrp.core.names import suggest
from dftlrp.core.types import InputError

CPU = "CPUExecutionProvider"
END = "ExecutionProvider"  # of onnxruntime's names
RECORD = "session.record_ep_graph_assignment_info"
ALIASES = {"directml": "dml", "trt": "tensorrt"}
PACKAGES = {  # what has to be installed in place of onnxruntime
    "cuda": "onnxruntime-gpu", "tensorrt": "onnxruntime-gpu", "dml": "onnxruntime-directml",
    "openvino": "onnxruntime-openvino", "coreml": "onnxruntime (on macOS)",
}  # fmt: skip
TF32 = ("cuda", "tensorrt")  # compute products of float32 in it on devices that can
SHOWN = 8  # nodes that a note names
FULL = re.compile(
    r"out.?of.?memory|not enough memory|insufficient memory|failed to allocate|bad_alloc"
    r"|smaller than requested bytes|alloc_failed|memoryallocation|8007000e",
    re.IGNORECASE,
)  # what a device, a driver or an allocator says when memory ends


def shorten_provider(name: str) -> str:
    """Return how users call an execution provider: ``cuda`` for ``CUDAExecutionProvider``."""
    short = name.removesuffix(END).lower()
    return ALIASES.get(short, short)


def choose_provider(asked: str, installed: Sequence[str]) -> str:
    """Return onnxruntime's name of a provider that was asked for; the CPU's if none was.

    Raises
    ------
    InputError
        It is not among the installed ones.
    """
    names = {shorten_provider(name): name for name in installed}
    short = shorten_provider(asked or CPU)
    if short in names:
        return names[short]
    meant = f"pip install {PACKAGES[short]}; " if short in PACKAGES else suggest(asked, names)
    raise InputError(
        f"execution provider {asked!r} is not there: {meant}installed are {', '.join(names)}"
    )


def check_device(runtime: Any, provider: str) -> None:
    """Refuse a session from which onnxruntime has left out the provider that was asked for.

    Raises
    ------
    InputError
        The provider has no device or lacks libraries.
    """
    if provider not in runtime.get_providers():
        raise InputError(
            f"execution provider {shorten_provider(provider)!r} finds no device here, or not the "
            "libraries of its device: backend 'onnx' computes on the CPU"
        )


def tell_left_nodes(runtime: Any, provider: str) -> tuple[str, ...]:
    """Return a note on the nodes that a provider leaves to the CPU, if there are any."""
    if provider == CPU:
        return ()
    short = shorten_provider(provider)
    if not hasattr(runtime, "get_provider_graph_assignment_info"):
        return (f"this onnxruntime does not say which nodes {short!r} leaves to the CPU",)
    parts = runtime.get_provider_graph_assignment_info()
    nodes = [node for part in parts if part.ep_name == CPU for node in part.get_nodes()]
    left = [f"{node.name} ({node.op_type})" for node in nodes]
    if not left:
        return ()
    more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
    return (
        f"execution provider {short!r} leaves {len(left)} nodes to the CPU: "
        f"{', '.join(left[:SHOWN])}{more}",
    )


def tell_rounding(asked: str) -> str:
    """Return what a provider may round products of float32 to; empty for the CPU's."""
    short = shorten_provider(asked or CPU)
    if short == shorten_provider(CPU):
        return ""
    if short in TF32:
        return "TF32 in products, as onnxruntime allows by itself"
    return f"whatever execution provider {short!r} takes for products"


def explain_full_memory(error: Exception, batch: int) -> str:
    """Return a line on memory that has run out, with the batch to try; empty for other errors."""
    if not FULL.search(str(error)):
        return ""
    if batch > 1:
        return f"out of memory with a batch of {batch}: try a batch of {batch // 2}"
    return "out of memory with one sample: take a shorter signal, or backend 'onnx' on the CPU"
