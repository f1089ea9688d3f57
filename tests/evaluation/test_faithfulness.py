"""Faithfulness: the laws of SRG and of the curves, on models that are known."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from dataset import tone
from models import listener, saved

import dftlrp
from dftlrp import metrics
from dftlrp.core.types import InputError
from dftlrp.results.deletion import draw_stationary, prepare_deletion
from dftlrp.results.saving import write_arrays
from dftlrp.spectral import Dft, Stft


def linear(weights):
    """The score w x of signals (B, ...)."""
    return lambda batch: (batch * weights).reshape(len(batch), -1).sum(axis=1)


def rough(batch):
    """A score that is not linear."""
    flat = batch.reshape(len(batch), -1)
    return np.tanh(flat[:, 0] * flat[:, 1]) + flat[:, 2] ** 2 - np.abs(flat).max(axis=1)


def naive_curves(score, x, R, steps):
    """Most and least, one cell after the other, as the definition says."""
    order = sorted(range(len(x)), key=lambda i: -R[i])
    removed = [round(j * len(x) / steps) for j in range(steps + 1)]
    rows = []
    for ranked in (order, order[::-1]):
        row = []
        for k in removed:
            changed = x.copy()
            for i in ranked[:k]:
                changed[i] = 0.0
            row.append(float(score(changed[None])[0]))
        rows.append(row)
    return rows


@pytest.mark.parametrize("steps", [1, 3, 7, 12])
def test_the_curves_are_what_removing_one_after_the_other_gives(steps):
    x, R = np.random.default_rng(0).standard_normal((2, 12))
    found = metrics.deletion_curves(rough, x, R, steps=steps)
    most, least = naive_curves(rough, x, R, steps)
    np.testing.assert_allclose(found.most, most, atol=1e-12)
    np.testing.assert_allclose(found.least, least, atol=1e-12)


def test_the_contributions_of_a_linear_model_have_the_largest_srg():
    x, w = np.random.default_rng(1).standard_normal((2, 6))
    best = metrics.srg(linear(w), x, w * x)
    others = [metrics.srg(linear(w), x, np.array(p, float)) for p in permutations(range(6))]
    sign = np.sign(w @ x)
    assert best == pytest.approx(sign * max(sign * other for other in others), abs=1e-12)


def test_an_order_drawn_at_random_has_an_srg_of_zero_on_average():
    x = np.random.default_rng(2).standard_normal(5)
    of_all = [metrics.srg(rough, x, np.array(p, float)) for p in permutations(range(5))]
    assert np.mean(of_all) == pytest.approx(0, abs=1e-12)
    assert np.std(of_all) > 0.01


def test_the_opposite_relevance_has_the_opposite_srg():
    x, R = np.random.default_rng(3).standard_normal((2, 20))
    assert metrics.srg(rough, x, -R) == pytest.approx(-metrics.srg(rough, x, R), abs=1e-12)


def test_curves_do_not_depend_on_the_scale_of_relevance():
    x, R = np.random.default_rng(4).standard_normal((2, 30))
    one, other = (metrics.deletion_curves(rough, x, s * R) for s in (1.0, 1e-9))
    np.testing.assert_array_equal(one.most, other.most)
    assert one.srg == other.srg


def test_srg_is_insertion_minus_deletion():
    x, R = np.random.default_rng(5).standard_normal((2, 30))
    found = metrics.deletion_curves(rough, x, R)
    assert found.srg == pytest.approx(found.insertion - found.deletion, abs=1e-12)


def test_relevance_that_is_equal_everywhere_prefers_no_place():
    x = np.ones(8)
    first = linear(np.eye(8)[0])
    of_seeds = [metrics.srg(first, x, np.ones(8), seed=s) for s in range(200)]
    assert abs(np.mean(of_seeds)) < 0.15


@pytest.mark.parametrize("domain", [Dft(64), Dft(65), Stft(64, n_fft=16, hop=4)])
def test_in_a_domain_a_linear_model_is_ranked_best_by_its_relevance_there(domain):
    x, m = np.random.default_rng(6).standard_normal((2, domain.n))
    R = np.real(np.conj(domain.analysis(x)) * domain.synthesis_adjoint(m))
    best = metrics.srg(linear(m), x, R, domain=domain)
    rng, sign = np.random.default_rng(7), np.sign(m @ x)
    for _ in range(20):
        other = metrics.srg(linear(m), x, R + 0.1 * rng.standard_normal(R.shape), domain=domain)
        assert sign * other <= sign * best + 1e-9


@pytest.mark.parametrize("replace", ["zero", "mean", "noise", "stationary"])
@pytest.mark.parametrize("domain", [None, Dft(64), Stft(64, n_fft=16, hop=4)])
def test_nothing_removed_is_the_recording_and_everything_removed_is_the_replacement(
    domain, replace
):
    x = 1.0 + np.random.default_rng(8).standard_normal((2, 64))
    shape = (64,) if domain is None else domain.shape
    units = metrics.make_units("input", shape, count=4)
    deletion = prepare_deletion(x, domain, units, replace)
    none, one, every = deletion.remove(np.array([[0] * 4, [0, 1, 0, 0], [1] * 4], bool))
    np.testing.assert_allclose(none, x, atol=1e-12)
    assert not np.allclose(one, x)
    if replace == "zero":
        np.testing.assert_allclose(every, 0, atol=1e-12)
    if replace == "mean":
        np.testing.assert_allclose(every, x.mean(axis=1, keepdims=True) + 0 * x, atol=1e-12)
    if replace == "stationary":
        np.testing.assert_allclose(np.abs(np.fft.rfft(every)), np.abs(np.fft.rfft(x)), atol=1e-9)
    if replace == "noise":
        has, had = (units.pool(np.abs(v) ** 2) for v in (deletion.other, deletion.values))
        np.testing.assert_allclose(has, had)


@pytest.mark.parametrize("n", [64, 65])
def test_stationary_noise_keeps_the_spectrum_and_what_channels_have_in_common(n):
    x = np.random.default_rng(9).standard_normal(n)
    both = draw_stationary(np.stack([x, 2 * x]), np.random.default_rng(0))
    np.testing.assert_allclose(both[1], 2 * both[0], atol=1e-12)
    np.testing.assert_allclose(np.abs(np.fft.rfft(both[0])), np.abs(np.fft.rfft(x)), atol=1e-9)
    assert abs(np.corrcoef(both[0], x)[0, 1]) < 0.5


def test_an_array_takes_the_place_of_what_is_removed():
    x, r = np.random.default_rng(10).standard_normal((2, 8))
    found = metrics.deletion_curves(lambda b: b.sum(axis=1), x, x, replace=r)
    assert found.span == pytest.approx(x.sum() - r.sum())
    with pytest.raises(InputError, match=r"replacement has shape \(7,\), the recording \(8,\)"):
        metrics.srg(rough, x, x, replace=r[1:])


def test_units_partition_every_domain():
    for domain, shape in (("time", (100,)), ("frequency", (51,)), ("time-frequency", (33, 20))):
        units = metrics.make_units(domain, shape, 8000.0)
        assert units.index.shape == shape
        assert set(units.index.reshape(-1)) == set(range(units.count))
        R = np.random.default_rng(0).standard_normal((2, *shape))
        assert units.pool(R).sum() == pytest.approx(R.sum())
    assert metrics.make_units("input", (7, 3), cells=True).count == 21


def test_bands_are_wider_at_high_frequencies_but_equal_for_slow_signals():
    sizes = np.bincount(metrics.make_units("frequency", (4001,), 16000.0).index)
    assert sizes[-1] > 3 * sizes[0]
    slow = np.bincount(metrics.make_units("frequency", (1001,), 100.0).index)
    assert np.ptp(slow) <= 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: metrics.make_units("time", (10,), count=11), "11 segments along an axis of 10"),
        (lambda: metrics.make_units("mel", (10, 2)), "no units in domain 'mel'"),
        (lambda: metrics.make_units("time", (10,), count=0), "0 segments: a positive number"),
        (lambda: metrics.srg(rough, np.ones(4), np.ones(5)), "an array of shape (5,)"),
        (lambda: metrics.srg(rough, np.ones(4), np.full(4, np.nan)), "not finite"),
        (lambda: metrics.srg(rough, np.ones(4), np.ones(4), replace="blur"), "'blur': choose"),
        (lambda: metrics.srg(lambda b: b, np.ones(4), np.ones(4)), "one number for each"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_in_one_line(call, said):
    with pytest.raises(InputError) as caught:
        call()
    assert said in str(caught.value)


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    path = saved(listener((None, 1, 400)), tmp_path_factory.mktemp("m"), "m.onnx")
    domains = ["time", "frequency", "time-frequency", "input", "mel"]
    return dftlrp.explain(path, tone(1000, 0), rate=8000, seed="logit", domains=domains), path


def test_the_score_of_an_explanation_is_what_was_explained(explained):
    e, path = explained
    asked = e.find_asked("time")
    batch = np.random.default_rng(0).standard_normal((5, 400))
    z = dftlrp.predict(path, batch[:, None]).explained[:, e.target]
    np.testing.assert_allclose(asked.score(batch), z, rtol=1e-4)
    assert asked.score(asked.samples[None])[0] == pytest.approx(e.explained[e.target], rel=1e-4)


@pytest.mark.parametrize("domain", ["time", "frequency", "time-frequency", "input"])
def test_curves_of_an_explanation_begin_at_its_score(explained, domain):
    found = metrics.explanation_curves(explained[0], domain)
    assert found.most[0] == pytest.approx(explained[0].explained[explained[0].target], rel=1e-4)
    assert found.most[-1] == found.least[-1]
    assert found.what == {"time": "segments", "frequency": "bands", "time-frequency": "tiles",
                          "input": "features"}[domain]  # fmt: skip


def test_a_domain_without_an_inverse_is_refused(explained):
    with pytest.raises(InputError, match="nothing can be deleted in domain 'mel'"):
        metrics.explanation_curves(explained[0], "mel")


def test_a_loaded_explanation_says_that_it_knows_no_model(explained, tmp_path):
    write_arrays(explained[0], tmp_path / "explanation.npz")
    with pytest.raises(InputError, match="loaded from a file and knows no model: explain again"):
        metrics.explanation_curves(dftlrp.Explanation.load(tmp_path), "time")


def test_a_model_that_joins_the_samples_of_a_batch_is_asked_one_by_one(tmp_path):
    path = saved(listener((None, 1, None)), tmp_path, "joined.onnx")
    x = tone(1000, 0)
    e = dftlrp.explain(path, x, seed="logit")
    two = e.find_asked("time").score(np.stack([x, 0.5 * x]))
    each = [dftlrp.predict(path, s * x[None, None]).explained[0, e.target] for s in (1.0, 0.5)]
    np.testing.assert_allclose(two, each, rtol=1e-4)


def test_an_explanation_verifies_itself_in_one_sentence(explained):
    e = explained[0]
    found = e.verify("time")
    curves = metrics.explanation_curves(e, "time", steps=10)
    scores = [found.whole, found.without_most, found.without_least, found.empty]
    wanted = [curves.most[0], curves.most[1], curves.least[1], curves.most[-1]]
    np.testing.assert_allclose(scores, wanted, rtol=1e-4)
    assert (found.removed, found.count) == (4, 40)
    assert str(found).startswith("without the 4 of 40 segments that matter most the score of")
    assert "\n" not in str(found)


def test_relevance_the_wrong_way_round_is_called_so(explained):
    from dataclasses import replace

    e = explained[0]
    domain = "frequency"
    opposite = replace(e, relevance={domain: -e.relevance[domain]})
    right, wrong = e.verify(domain), opposite.verify()
    assert wrong.without_most == right.without_least
    assert wrong.gain == -right.gain
    told = replace(right, whole=2.0, empty=0.0, without_most=1.0, without_least=1.9)
    assert "the model uses what the explanation names" in str(told)
    assert "the wrong way round" in replace(told, without_least=0.5).verdict
    assert "does not tell" in replace(told, without_least=1.1).verdict
    assert "nothing can be verified" in replace(told, empty=1.99).verdict


def test_what_cannot_be_verified_says_so(explained):
    from dataclasses import replace

    e = explained[0]
    with pytest.raises(InputError, match="domain 'mel': cannot be verified; explain in time-f"):
        e.verify("mel")
    only = replace(e, relevance={"mel": e.relevance["mel"]})
    with pytest.raises(InputError, match="mel: cannot be verified"):
        only.verify()


def test_what_several_explanations_have_in_common_is_scored_once():
    from dftlrp.evaluation.faithfulness import compare_curves, measure_curves

    asked = []

    def count(batch):
        asked.append(len(batch))
        return rough(batch)

    x, R, S = np.random.default_rng(11).standard_normal((3, 12))
    deletion = prepare_deletion(x, None, metrics.make_units("input", (12,), cells=True))
    found = compare_curves(count, deletion, {"a": R, "b": S, "c": R}, 12)
    assert sum(asked) <= 2 + 4 * 11
    for name, relevance in (("a", R), ("b", S), ("c", R)):
        alone = measure_curves(rough, deletion, relevance, 12)
        np.testing.assert_array_equal(found[name].most, alone.most)
        np.testing.assert_array_equal(found[name].least, alone.least)


def test_occlusion_is_the_fall_without_each_unit_alone(monkeypatch):
    from dftlrp.evaluation import faithfulness

    x = np.random.default_rng(12).standard_normal(11)
    deletion = prepare_deletion(x, None, metrics.make_units("input", (11,), cells=True))
    naive = [rough(x[None])[0] - rough(np.where(np.arange(11) == i, 0, x)[None])[0]
             for i in range(11)]  # fmt: skip
    np.testing.assert_allclose(metrics.occlude(rough, deletion), naive)
    monkeypatch.setattr(faithfulness, "BLOCK", 3)
    np.testing.assert_allclose(metrics.occlude(rough, deletion), naive)
