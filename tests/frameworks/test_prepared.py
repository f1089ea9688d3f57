"""What is prepared once and played for other numbers is what a first call computes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import onnx.parser
import pytest
from graphs import Nodes, loaded
from peers import needed, torch

import dftlrp
from dftlrp import attribute
from dftlrp.core.programs import Tape
from dftlrp.engine.prepared import Programs

needed("dftlrp_torch")
import dftlrp_torch  # noqa: E402


def classifier(scale: float = 1.0) -> Any:
    n = Nodes(3)
    n.conv("x", "c", (4, 2, 3))
    n.add("Relu", "c", "r")
    n.add("MaxPool", "r", "p", kernel_shape=[2], strides=[2])
    n.add("Flatten", "p", "f")
    n.gemm("f", "z", 20, 3)
    return n.model({"x": ["B", 2, 12]}, {"z": ["B", 3]})


LOUD = """
<ir_version: 8, opset_import: ["" : 17]>
decide (float[B, 2, 12] x) => (float[B, 24] z) {
    mean = ReduceMean <keepdims: int = 0> (x)
    zero = Constant <value_float: float = 0.0> ()
    loud = Greater (mean, zero)
    y = If (loud) <
        then_branch = t () => (float[B, 2, 12] a) { a = Relu (x) },
        else_branch = e () => (float[B, 2, 12] b) { b = Neg (x) }
    >
    z = Flatten (y)
}
"""

WORDS = """
<ir_version: 8, opset_import: ["" : 17]>
embed (int64[B, 3] x) => (float[B, 6] z)
<float[5, 2] table = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}> {
    e = Gather (table, x)
    z = Flatten (e)
}
"""


def programs(model: dftlrp.Model) -> list[Any]:
    return list(model.cache.part(Programs).known)


def samples(count: int = 3, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((count, 2, 12))


def same(ours: Any, want: Any) -> None:
    for key in want.relevance if isinstance(want.relevance, dict) else [None]:
        a, b = (r.relevance if key is None else r.relevance[key] for r in (ours, want))
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.output, want.output, rtol=1e-10)
    np.testing.assert_allclose(ours.seed, want.seed, rtol=1e-10, atol=1e-12)
    assert ours.target == want.target
    for mine, one in zip(ours.ledger.rows, want.ledger.rows, strict=True):
        assert (mine.node, mine.rule) == (one.node, one.rule)
        np.testing.assert_allclose(mine.relevance, one.relevance, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(mine.bias, one.bias, rtol=1e-9, atol=1e-12)


ASKED: dict[str, dict[str, Any]] = {
    "the largest": {},
    "one class": {"target": 1},
    "a class each": {"target": [0, 2, 1]},
    "a sum": {"target": ":2"},
    "contrast": {"seed": "contrast"},
    "one": {"seed": "one", "target": 2},
    "silence": {"composite": "auto"},
    "a reference": {"reference": samples(1, 5)},
    "a layer kept": {"keep": ["r"]},
    "no accounts": {"ledger": False},
    "a rule of its own": {"overrides": {"z": "zplus"}},
    "other weights for the input": {"composite": "EpsilonGammaBox"},
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_later_call_is_the_references(asked: str) -> None:
    model, how = loaded(classifier()), ASKED[asked]
    for seed in range(3):
        x = samples(seed=seed)
        want = attribute(model, x, backend="numpy", **how)
        same(attribute(model, x, backend="torch", dtype="float64", **how), want)
    assert len(programs(model)) == 1
    assert programs(model)[0] is not None


def test_one_program_serves_all_targets_and_each_shape_has_its_own() -> None:
    model = loaded(classifier())
    for target in (0, 1, [2, 1, 0]):
        same(
            attribute(model, samples(), target=target, backend="torch", dtype="float64"),
            attribute(model, samples(), target=target, backend="numpy"),
        )
    assert len(programs(model)) == 1
    attribute(model, samples(2), target=0, backend="torch", dtype="float64")
    attribute(model, samples(2), target=0, backend="torch", dtype="float32")
    assert len(programs(model)) == 3


WAITS = ("cpu", "item", "tolist", "numpy", "__bool__", "__float__", "__int__")


def count_waits(monkeypatch: Any, call: Callable[[], Any]) -> list[str]:
    """The methods of tensors, one after the other, that copy to the host or wait for a device."""
    calls = list[str]()

    def note(name: str) -> Any:
        real = getattr(torch.Tensor, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return real(*args, **kwargs)

        return noted

    with monkeypatch.context() as patch:
        for name in WAITS:
            patch.setattr(torch.Tensor, name, note(name))
        call()
    return calls


@pytest.mark.parametrize("target", ["argmax", 1])
def test_a_later_call_copies_nothing_to_the_host_and_waits_once(
    monkeypatch: Any, target: Any
) -> None:
    model, x = loaded(classifier()), torch.from_numpy(samples()).float()
    dftlrp_torch.relevance(model, x, target)
    calls = count_waits(monkeypatch, lambda: dftlrp_torch.relevance(model, x, target))
    assert calls == ["cpu", "numpy"]  # whether all of it is finite


def test_small_results_and_accounts_are_read_together(monkeypatch: Any) -> None:
    model, x = loaded(classifier()), samples()
    how = {"backend": "torch", "dtype": "float32"}
    assert len(attribute(model, x, **how).ledger.rows) == 5
    calls = count_waits(monkeypatch, lambda: attribute(model, x, **how))
    assert calls == 3 * ["cpu", "numpy"]  # whether it is finite, floats, whole numbers


def test_what_is_not_finite_is_refused_by_the_name_of_its_layer() -> None:
    model, x = loaded(classifier()), samples()
    attribute(model, x, backend="torch", dtype="float32")
    with pytest.raises(dftlrp.NonFiniteError, match="the output of node 'c'"):
        attribute(model, x * 1e38, backend="torch", dtype="float32")
    broken = torch.from_numpy(x)
    dftlrp_torch.relevance(model, broken)
    broken[1, 0, 3] = np.nan
    with pytest.raises(dftlrp.NonFiniteError, match="input 'x' is nan at index"):
        dftlrp_torch.relevance(model, broken)


def test_an_index_out_of_range_is_refused_by_the_name_of_its_node() -> None:
    model = loaded(onnx.parser.parse_model(WORDS))
    how = {"target": 1, "backend": "torch", "dtype": "float32"}
    attribute(model, np.array([[0, 4, 2]]), **how)
    with pytest.raises(dftlrp.InputError, match=r"^node 'e' \(Gather\) cannot run on these inputs"):
        attribute(model, np.array([[0, 5, 2]]), **how)


def test_autocast_computes_the_products_in_less_and_gives_the_same_dtype() -> None:
    model, x = loaded(classifier()), torch.from_numpy(samples()).float()
    want = dftlrp_torch.relevance(model, x, 1)
    for fresh in (loaded(classifier()), model):
        with torch.autocast("cpu"):
            R = dftlrp_torch.relevance(fresh, x, 1)
        assert R.dtype == torch.float32
        assert 1e-5 < float((R - want).abs().sum() / want.abs().sum()) < 0.05


def test_a_device_without_memory_is_told_with_the_batch_to_try(monkeypatch: Any) -> None:
    from dftlrp_torch import kernels

    def refuse(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore of it.")

    model, how = loaded(classifier()), {"backend": "torch", "dtype": "float32"}
    attribute(model, samples(4), **how)
    monkeypatch.setitem(kernels.CONV, 1, refuse)
    told = r"^backend 'torch' lacks memory for 4 samples: CUDA out of [^\n]*: explain 2 samples"
    with pytest.raises(dftlrp.InputError, match=told):
        attribute(model, samples(4), **how)
    with pytest.raises(
        dftlrp.InputError, match=r"^node 'c' \(Conv\): [^\n]*more memory than there"
    ):
        attribute(model, samples(2), **how)


def test_where_numbers_decide_what_runs_nothing_is_kept() -> None:
    model = loaded(onnx.parser.parse_model(LOUD))
    for x in (abs(samples()), -abs(samples()), abs(samples(seed=1))):
        want = attribute(model, x, target=1, composite="Epsilon", backend="numpy")
        same(
            attribute(model, x, target=1, composite="Epsilon", backend="torch", dtype="float64"),
            want,
        )
    assert programs(model) == [None]


MODES = {"inference": torch.inference_mode, "no gradient": torch.no_grad, "plain": nullcontext}


@pytest.mark.parametrize("later", MODES)
@pytest.mark.parametrize("first", MODES)
def test_what_is_prepared_in_one_mode_of_torch_holds_in_others(first: str, later: str) -> None:
    model, x = loaded(classifier()), torch.from_numpy(samples())
    want = dftlrp_torch.relevance(loaded(classifier()), x, 1, "EpsilonPlus")
    for mode in (first, later):
        given = x.clone().requires_grad_()
        with MODES[mode]():
            R = dftlrp_torch.relevance(model, given, 1, "EpsilonPlus")
        assert R.requires_grad == (mode == "plain")
        torch.testing.assert_close(R.detach().clone(), want)
        if mode == "plain":
            R.pow(2).sum().backward()
            assert given.grad.abs().sum() > 0


def test_numbers_that_change_below_a_tensor_are_read_anew() -> None:
    """A buffer of NumPy that torch looks at: the tensor is the same, and so is its version."""
    n = Nodes(1)
    n.add("MaxPool", "x", "p", kernel_shape=[2], strides=[2])
    n.add("Flatten", "p", "f")
    n.gemm("f", "z", 12, 3)
    proto = n.model({"x": ["B", 2, 12]}, {"z": ["B", 3]})
    model, buffer = loaded(proto), samples()
    x = torch.from_numpy(buffer)
    for seed in range(3):
        buffer[...] = samples(seed=seed)
        want = attribute(model, samples(seed=seed), target=1, backend="numpy", composite="Epsilon")
        R = dftlrp_torch.relevance(model, x, 1, "Epsilon")
        np.testing.assert_allclose(R, want.relevance, rtol=1e-9, atol=1e-12)
    with pytest.raises(dftlrp.InputError, match=r"^'x' is of type ndarray: give a torch tensor"):
        dftlrp_torch.relevance(model, buffer, 1)


def list_amounts(found: Any) -> list[Any]:
    """All numbers that a result holds."""
    rows = [v for row in found.ledger.rows for v in vars(row).values()]
    given = [found.relevance, found.multiplier, found.output, found.seed, *rows]
    return [v for v in given if isinstance(v, np.ndarray)]


@pytest.mark.parametrize("backend", ["numpy", "onnx", "torch"])
@pytest.mark.parametrize("reference", ["none", "silence"])
def test_what_becomes_of_a_result_changes_no_later_one(backend: str, reference: str) -> None:
    model, x = loaded(classifier()), samples()
    how = {"backend": backend, "reference": reference, "composite": "EpsilonPlus", "target": 1}
    want = [a.copy() for a in list_amounts(attribute(loaded(classifier()), x, **how))]
    for _ in range(3):
        amounts = list_amounts(attribute(model, x, **how))
        for ours, one in zip(amounts, want, strict=True):
            np.testing.assert_allclose(ours, one, rtol=1e-9, atol=1e-12)
        for ours in amounts:
            ours[...] = np.nan


def test_gradients_of_a_later_call_are_those_of_the_first() -> None:
    n = Nodes(3)
    n.conv("x", "c", (4, 2, 3))
    n.add("Tanh", "c", "r")
    n.add("Flatten", "r", "f")
    n.gemm("f", "z", 40, 3)
    proto = n.model({"x": ["B", 2, 12]}, {"z": ["B", 3]})
    model = loaded(proto)
    own = {k: torch.from_numpy(np.array(v, "f8")) for k, v in model.graph.constants.items()}
    grads = []
    for fresh in (loaded(proto), model, model):
        x = torch.from_numpy(samples()).requires_grad_()
        weights = {k: v.clone().requires_grad_() for k, v in own.items() if k == "c_w"}
        R = dftlrp_torch.relevance(fresh, x, 1, "EpsilonPlus", parameters=weights)
        grads.append(torch.autograd.grad(R.pow(2).sum(), (x, *weights.values())))
    for mine, one in zip(grads[2], grads[0], strict=True):
        torch.testing.assert_close(mine, one, rtol=1e-10, atol=1e-12)


def folded(op: str, name: str, value: Any) -> Any:
    """A convolution whose bias or scale is made of a parameter."""
    n = Nodes()
    n.conv("x", "c", (4, 4, 1), bias=False)
    n.weights[name] = value
    n.add(op, f"c {name}", "d" if op == "Div" else "y")
    if op == "Div":
        n.add("Add", f"d {n.weight('shift', 4, 1)}", "y")
    return loaded(n.model({"x": [1, 4, 4]}, {"y": None}))


@pytest.mark.parametrize(
    ("op", "name", "value"),
    [
        ("Add", "b", np.ones(4)),  # along time, and as long as there are channels
        ("Div", "divisor", np.ones((4, 1))),  # folded by way of its inverse
    ],
)
def test_what_a_number_was_made_of_is_no_parameter(op: str, name: str, value: Any) -> None:
    model, x = folded(op, name, value), torch.from_numpy(np.random.default_rng(0).random((1, 4, 4)))
    given = {name: torch.from_numpy(value)}
    with pytest.raises(dftlrp.UnsupportedModelError, match=f"is folded from '{name}'"):
        dftlrp_torch.relevance(model, x, (1, 2), "EpsilonPlus", parameters=given)


# -- tapes


def test_a_tape_makes_each_call_once_and_only_those_that_are_needed() -> None:
    calls = list[str]()

    def add(a: float, b: float) -> float:
        calls.append("add")
        return a + b

    tape = Tape()
    x, two = tape.add_input(), tape.add_constant(2.0)
    y, again = tape.add_step(add, [x, two], {}), tape.add_step(add, [x, two], {})
    tape.add_step(add, [y, y], {})  # nothing needs it
    z = tape.add_step(add, [again], {"b": y})
    assert tape.cut([z, y]).run([1.0]) == [6.0, 3.0]
    assert calls == ["add", "add"]


def test_constants_that_are_equal_and_of_other_types_are_two() -> None:
    tape = Tape()
    places = [tape.add_constant(x) for x in (1, 1.0, True, (1,), (1.0,), slice(1), 1)]
    assert len(set(places)) == 6
    assert places[0] == places[-1]


def test_what_no_later_step_needs_is_let_go_of() -> None:
    import weakref

    class Thing:
        pass

    seen = list[bool]()
    made = list[Any]()

    def make(_: Any) -> Thing:
        thing = Thing()
        made.append(weakref.ref(thing))
        return thing

    def look(_: Any) -> int:
        seen.append(made[0]() is None)
        return 1

    tape = Tape()
    x = tape.add_input()
    first = tape.add_step(make, [x], {})
    second = tape.add_step(make, [first], {})
    last = tape.add_step(look, [second], {})
    tape.cut([last]).run([0])
    assert seen == [True]
