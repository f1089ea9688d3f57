"""Small streaming models, and the loop that runs them by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from graphs import Nodes, normal
from onnx import TensorProto, helper
from ops.oracle import session

CHUNK, CONTEXT, WIDE = 6, 2, 4


def remembering(
    state: str = "h", after: str = "next", chunk: int | None = CHUNK + CONTEXT, end: str = ""
) -> Any:
    """h' = tanh([x, h] W); y = h' V, behind an end.  An open chunk is read by its mean."""
    n = Nodes()
    wide = (chunk or 1) + WIDE
    n.weights |= {"w": normal(wide, WIDE) * 0.5, "v": normal(WIDE, 2)}
    read = "x"
    if chunk is None:
        read = n.add("ReduceMean", "x", "mean", axes=[1], keepdims=1)
    n.add("Concat", f"{read} {state}", "xh", axis=1)
    n.add("MatMul", "xh w", "a")
    n.add("Tanh", "a", after)
    n.add("MatMul", f"{after} v", "z" if end else "y")
    if end:
        n.add(end, "z", "y")
    return n.model({"x": [1, chunk or "n"], state: [1, WIDE]}, {"y": [1, 2], after: [1, WIDE]})


def summing() -> Any:
    """y = h + the sum of x so far, and h' is the last of it: any length is read at once."""
    n = Nodes()
    n.ints("one", 1)
    n.ints("last", -1)
    n.ints("end", 2**31)
    n.add("CumSum", "x one", "sum")
    n.add("Add", "sum h", "y")
    n.add("Slice", "y last end one", "hn")
    return n.model({"x": [1, "n"], "h": [1, 1]}, {"y": [1, "n"], "hn": [1, 1]})


def run_by_hand(
    proto: Any, x: Any, pairs: dict[str, str], chunk: int = CHUNK, context: int = CONTEXT
) -> tuple[Any, list[dict[str, Any]]]:
    """The outputs of all chunks, and the states before each."""
    run = session(proto)
    states = {name: np.zeros((1, WIDE)) for name in pairs}
    count = -(-x.shape[1] // chunk)
    padded = np.pad(x, ((0, 0), (context, count * chunk - x.shape[1])))
    ys, before = [], []
    for k in range(count):
        before.append(states)
        part = padded[:, k * chunk : (k + 1) * chunk + context]
        y, *after = run.run(["y", *pairs.values()], {"x": part, **states})
        states = dict(zip(pairs, after, strict=True))
        ys.append(y)
    return np.stack(ys, axis=1), before


def limited() -> Any:
    """y = x where lower <= a grid <= upper, else 0; times the rate."""
    n = Nodes()
    n.weights |= {"grid": np.array([50.0, 100.0, 200.0, 400.0])}
    n.add("GreaterOrEqual", "grid fmin", "above")
    n.add("LessOrEqual", "grid fmax", "below")
    n.add("And", "above below", "inside")
    n.weights |= {"w": normal(8, 4), "zero": np.zeros(())}
    n.add("MatMul", "x w", "z")
    n.add("Where", "inside z zero", "kept")
    n.add("Cast", "sr", "rate", to=TensorProto.DOUBLE)
    n.add("Mul", "kept rate", "y")
    model = n.model({"x": [1, 8], "fmin": [], "fmax": []}, {"y": [1, 4]})
    model.graph.input.append(helper.make_tensor_value_info("sr", TensorProto.INT64, []))
    return model


def on_frames(bins: int) -> Any:
    """`remembering`, of one frame in each run: (1, 1, bins)."""
    n = Nodes()
    n.weights |= {"w": normal(bins + WIDE, WIDE) * 0.1, "v": normal(WIDE, 2)}
    n.add("Reshape", f"x {n.ints('flat', 1, bins)}", "flattened")
    n.add("Concat", "flattened h", "xh", axis=1)
    n.add("MatMul", "xh w", "a")
    n.add("Tanh", "a", "hn")
    n.add("MatMul", "hn v", "y")
    return n.model({"x": [1, 1, bins], "h": [1, WIDE]}, {"y": [1, 2], "hn": [1, WIDE]})
