"""Laws of LSTM, GRU and RNN in all their forms: onnxruntime's numbers, nothing lost, autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import reference
from graphs import build, loaded, normal
from onnx import ModelProto, helper

from ops.oracle import session

T, B, I, H = 5, 2, 3, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
MISSING = tuple(
    getattr(ort.capi.onnxruntime_pybind11_state, name)
    for name in ("NotImplemented", "InvalidGraph", "RuntimeException")
)
BOTH = {"direction": "bidirectional"}


def cell(
    op: str, *, bias: bool = True, state: bool = False, lengths: Any = None, peep: bool = False,
    dtype: type = np.float64, **attrs: Any,
) -> ModelProto:  # fmt: skip
    D = 2 if attrs.get("direction") == "bidirectional" else 1
    layout, g = attrs.get("layout", 0), GATES[op]
    weights: dict[str, Any] = {"w": normal(D, g * H, I), "r": normal(D, g * H, H) * 0.5}
    optional = {
        "b": normal(D, 2 * g * H) if bias else None,
        "n": np.array(lengths, np.int32) if lengths is not None else None,
        "h": normal(*((B, D, H) if layout else (D, B, H))) if state else None,
        "c": normal(*((B, D, H) if layout else (D, B, H))) if state and op == "LSTM" else None,
        "p": normal(D, 3 * H) if peep else None,
    }
    weights |= {k: v for k, v in optional.items() if v is not None}
    floats = {k: v.astype(dtype) if v.dtype == float else v for k, v in weights.items()}
    names = [k if k in weights else "" for k in ("bnhcp" if op == "LSTM" else "bnh")]
    outputs = ["Y", "Yh", "Yc"][: 3 if op == "LSTM" else 2]
    nodes = [helper.make_node(op, ["x", "w", "r", *names], outputs, hidden_size=H, **attrs)]
    nodes += [helper.make_node("Reshape", [name, "flat"], [f"{name}f"]) for name in outputs]
    nodes.append(helper.make_node("Concat", [f"{n}f" for n in outputs], ["y"], axis=0))
    shape = [B, T, I] if layout else [T, B, I]
    elem = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    floats["flat"] = np.array([-1], np.int64)
    return build(nodes, {"x": shape}, {"y": [None]}, floats, dtype=elem, opset=14)


FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    f"{op} {name}": (op, how)
    for op in GATES
    for name, how in {
        "plain": {},
        "without bias": {"bias": False},
        "reverse": {"direction": "reverse"},
        "both": BOTH,
        "with a state": {"state": True, **BOTH},
        "clipped": {"clip": 0.3},
        "lengths": {"lengths": [5, 3], **BOTH},
        "lengths, with a state": {"lengths": [2, 5], "state": True},
    }.items()
} | {
    "LSTM peepholes": ("LSTM", {"peep": True, **BOTH}),
    "LSTM coupled": ("LSTM", {"input_forget": 1}),
    "LSTM other activations": ("LSTM", {"activations": ["HardSigmoid", "Softsign", "Relu"]}),
    "GRU linear before reset": ("GRU", {"linear_before_reset": 1, **BOTH}),
    "GRU leaky": ("GRU", {"activations": ["Sigmoid", "LeakyRelu"], "activation_alpha": [0.2]}),
    "RNN relu": ("RNN", {"activations": ["Relu", "Tanh"], **BOTH}),
}
LAYOUTS = {f"{op} batch first": (op, {"layout": 1, "state": True, **BOTH}) for op in GATES}


def signal(proto: ModelProto) -> Any:
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    return normal(*(d.dim_value for d in dims), seed=7)


@pytest.mark.parametrize("name", FORMS)
def test_the_outputs_are_onnxruntimes(name):
    op, how = FORMS[name]
    for dtype, rtol in ((np.float64, 1e-10), (np.float32, 1e-5)):
        proto = cell(op, dtype=dtype, **how)
        x = signal(proto).astype(dtype)
        try:
            want = session(proto).run(["y"], {"x": x})[0]
        except MISSING:
            continue
        np.testing.assert_allclose(reference.predict(loaded(proto), x), want, rtol=rtol, atol=rtol)
        return
    raise AssertionError("onnxruntime has no such cell")


@pytest.mark.parametrize("name", LAYOUTS)
def test_batch_first_is_time_first_with_axes_swapped(name):
    op, how = LAYOUTS[name]
    a, b = cell(op, **how), cell(op, **{**how, "layout": 0})
    for k in "hc":
        for t in b.graph.initializer:
            if t.name == k:
                (other,) = (u for u in a.graph.initializer if u.name == k)
                moved = np.frombuffer(other.raw_data).reshape(B, 2, H).swapaxes(0, 1)
                t.raw_data = np.ascontiguousarray(moved).tobytes()
    x = signal(a)
    first, second = reference.predict(loaded(a), x), reference.predict(loaded(b), x.swapaxes(0, 1))
    y, z = first[: T * B * 2 * H], second[: T * B * 2 * H]
    np.testing.assert_allclose(
        y.reshape(B, T, 2, H), z.reshape(T, 2, B, H).transpose(2, 0, 1, 3), rtol=1e-12
    )


@pytest.mark.parametrize("name", FORMS | LAYOUTS)
def test_no_relevance_is_lost_and_the_cell_is_one_layer(name):
    op, how = (FORMS | LAYOUTS)[name]
    proto = cell(op, **how)
    a = reference.attribute(
        loaded(proto), signal(proto), target=lambda z: z, composite="Epsilon", seed="logit"
    )
    absorbed = sum(a.ledger.absorbed(t).sum() for t in ("bias", "stabiliser", "stopped"))
    np.testing.assert_allclose(a.relevance.sum() + absorbed, a.seed.sum(), rtol=1e-9)
    assert a.ledger.gap < 1e-12
    assert [row.op for row in a.ledger.rows].count(op) == 1
    assert len(a.ledger.rows) <= 5


@pytest.mark.parametrize("name", FORMS)
def test_gradient_times_input_is_the_derivative(name):
    op, how = FORMS[name]
    proto = cell(op, **how)
    model, x = loaded(proto), signal(proto)
    a = reference.attribute(model, x, target=lambda z: z, composite="Gradient")
    numeric, step = np.zeros_like(x), 1e-6
    for i in np.ndindex(x.shape):
        bump = np.zeros_like(x)
        bump[i] = step
        up, down = (reference.predict(model, v).sum() for v in (x + bump, x - bump))
        numeric[i] = (up - down) / (2 * step)
    np.testing.assert_allclose(a.multiplier, numeric, rtol=1e-5, atol=1e-7)
