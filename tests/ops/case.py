"""One ONNX node with its inputs: a case of the laws of all ops.

Float inputs are signals or weights in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from graphs import Real, at_node, normal
from onnx.defs import onnx_opset_version

from dftlrp.ops import At

NEW = 0  # the newest opset


@dataclass(frozen=True)
class Case:
    op: str
    args: tuple[Any, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    opset: int = 17
    live: tuple[int, ...] = (0,)
    outputs: int = 1
    rtol: float = 0.0  # how exact onnxruntime is, where that is less than its dtype
    oracle: bool = True  # whether onnxruntime has the op; ONNX's own suite covers others

    def at(self, index: int = 0) -> At:
        opset = self.opset or onnx_opset_version()
        return at_node(
            self.op,
            self.args,
            live=self.live,
            opset=opset,
            index=index,
            count=self.outputs,
            **self.attrs,
        )


def case(
    op: str,
    *args: Any,
    opset: int = 17,
    live: Any = (0,),
    outputs: int = 1,
    rtol: float = 0.0,
    oracle: bool = True,
    **attrs: Any,
) -> Case:
    return Case(op, args, attrs, opset, live, outputs, rtol, oracle)


def ints(*numbers: int) -> Real:
    return np.array(numbers, np.int64)


def wave(*shape: int) -> Real:
    """Signals that are nowhere near a kink of any op (0, 1, 3, ...) but on both sides."""
    x = normal(*shape, seed=42) * 1.7
    return np.where(np.abs(x - np.round(x)) < 0.05, x + 0.1, x)


X1, X2, X3 = wave(2, 3, 11), wave(2, 3, 7, 6), wave(1, 2, 4, 5, 4)
M = wave(3, 4)
POSITIVE = np.abs(M) + 0.3
TIES = np.array([[[1.0, 1, 0, 0, 0, -1, 2, 2, 2, -3, -3]]])
