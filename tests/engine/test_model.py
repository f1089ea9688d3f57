"""A loaded model: its labels, its rate, its table of rules, and what it keeps."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import reference
from models import LABELS, listener, normal, saved
from onnx import helper

import dftlrp
from dftlrp.core.numpy_backend import BACKEND
from dftlrp.core.types import InputError
from dftlrp.engine.cache import Recent
from dftlrp.engine.model import make_key
from dftlrp.tracing.finder import MOST_SESSIONS, Sessions


@pytest.fixture
def small(tmp_path):
    return dftlrp.load(saved(listener(end="Softmax"), tmp_path))


def test_a_model_tells_its_path_rate_and_labels(small, tmp_path):
    assert small.path == tmp_path / "model.onnx"
    assert small.rate == 8000
    assert small.labels == LABELS


@pytest.mark.parametrize(
    ("text", "labels"),
    [('["a", "b"]', ("a", "b")), ("[1, 2]", ("1", "2")), ("[]", ()), ("a, b", ()), ('"ab"', ()),
     ('{"0": "a"}', ()), ("[" * 10_000, ())],
)  # fmt: skip
def test_labels_are_a_json_list_and_anything_else_is_none(tmp_path, text, labels):
    proto = listener(labels=None)
    helper.set_model_props(proto, {"labels": text})
    assert dftlrp.load(saved(proto, tmp_path)).labels == labels


def test_the_table_names_every_layer_up_to_the_stripped_end_with_its_rule(small):
    table = small.table("EpsilonPlus")
    assert [layer.op for layer in table.layers] == [
        "Reshape", "Conv", "Relu", "Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm",
    ]  # fmt: skip
    rules = {layer.key: layer.rule_name for layer in table.layers}
    assert (rules["c1"], rules["c2"]) == ("zplus", "zplus")
    assert (rules["mean"], rules["logits"]) == ("epsilon", "epsilon")
    assert rules["h1"] == rules["flat"] == "carried"
    for layer in table.layers:
        assert layer.key in str(table)


def test_the_table_shows_overrides_by_op_name_alias_pattern_and_position(small):
    overrides = {"first": "flat", "last": "gamma(0.1)", "conv2": "wsquare", "Gl*": "epsilon"}
    with pytest.raises(InputError, match=r"'Gl\*' matches no layer"):
        small.table("EpsilonPlus", overrides)
    del overrides["Gl*"]
    rules = {la.key: la.rule_name for la in small.table("EpsilonPlus", overrides).layers}
    assert (rules["c1"], rules["c2"], rules["logits"]) == ("flat", "wsquare", "gamma(gamma=0.1)")


def test_the_table_of_an_unknown_composite_or_rule_is_refused(small):
    with pytest.raises(InputError, match=r"'EpsilonMinus'.*EpsilonPlus"):
        small.table("EpsilonMinus")
    with pytest.raises(InputError, match=r"unknown rule 'magic'.*epsilon"):
        small.table("EpsilonPlus", {"first": "magic"})


def test_weights_are_cast_once_per_dtype(small):
    double, single = (small.constants(BACKEND, np.dtype(t)) for t in ("float64", "float32"))
    assert small.constants(BACKEND, np.dtype("float64")) is double
    assert (double["w1"].dtype, single["w1"].dtype) == (np.float64, np.float32)
    assert double["nct"].dtype == np.int64


def test_explaining_does_not_change_a_model(small):
    x = normal(2, 1, 400)
    before = {k: v.copy() for k, v in small.graph.constants.items()}
    first = reference.attribute(small, x, composite="EpsilonAlpha2Beta1Flat")
    again = reference.attribute(small, x, composite="EpsilonAlpha2Beta1Flat")
    np.testing.assert_array_equal(first.relevance, again.relevance)
    for name, array in before.items():
        np.testing.assert_array_equal(small.graph.constants[name], array)


def test_an_input_array_is_never_changed(small):
    x = normal(2, 1, 400).astype(np.float64)
    before = x.copy()
    result = reference.attribute(small, x)
    result.relevance[:] = 0
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    "copied", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, dataclasses.replace]
)
def test_a_model_that_was_used_can_be_copied_and_its_copy_starts_with_an_empty_cache(copied):
    model, x = dftlrp.load(dftlrp.embedded("waveform")), np.ones((1, 1, 8000), np.float32)
    for backend in ("onnx", "numpy"):
        want = dftlrp.attribute(model, x, backend=backend)
        other = copied(model)
        assert len(model.cache.plans) == 1
        assert len(other.cache.plans) == 0
        assert model == model
        assert model != other
        ours = dftlrp.attribute(other, x, backend=backend)
        np.testing.assert_array_equal(ours.relevance, want.relevance)


def test_what_questions_are_known_by_is_small_and_tells_large_settings_apart():
    large = np.zeros((1000, 1000))
    key = make_key("y", {"h": large})
    assert len(pickle.dumps(key)) < 500
    large[-1, -1] = 1
    assert make_key("y", {"h": large}) != key


def test_a_model_keeps_few_sessions_and_plans(tmp_path):
    small = dftlrp.load(saved(listener((1, 1, None)), tmp_path))
    for samples in range(400, 412):
        dftlrp.attribute(small, np.ones((1, 1, samples), np.float32), backend="onnx")
    assert len(small.cache.part(Sessions).graphs) <= MOST_SESSIONS


def test_what_is_used_least_recently_is_dropped_first():
    recent = Recent[int](2)
    assert [recent.find(k, lambda k=k: 2 * k) for k in (1, 2)] == [2, 4]
    assert recent.find(1, lambda: 0) == 2
    recent.put(3, 6)
    assert 2 not in recent
    assert list(recent) == [2, 6]
    assert recent.get(2) is None


def test_threads_may_share_what_is_kept():
    recent, before = Recent[int](1), sys.getswitchinterval()

    def use(_):
        return [recent.find(k % 2, lambda k=k: k % 2) == k % 2 for k in range(20_000)]

    sys.setswitchinterval(1e-7)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(map(all, pool.map(use, range(8))))
    finally:
        sys.setswitchinterval(before)
    assert len(recent) == 1
