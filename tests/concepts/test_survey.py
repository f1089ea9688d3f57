"""Laws of the survey, of prototypes and of ablation, on a small data set."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from dataset import folder, tone
from models import LABELS, listener, saved

import dftlrp
from dftlrp.concepts import (
    attribution_graph,
    conditional,
    layers_of,
    mean_spectrum,
    prototypes,
    survey,
)
from dftlrp.concepts.prototypes import rank_recordings
from dftlrp.concepts.recordings import find_recordings
from dftlrp.concepts.statistics import BANDS, MEASURES, Statistics
from dftlrp.concepts.study import Study
from dftlrp.concepts.survey import _make_survey_work
from dftlrp.concepts.trials import ablations
from dftlrp.core.types import InputError

EXACT = {"backend": "numpy", "composite": "EpsilonPlus"}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Study and recordings."""
    place = tmp_path_factory.mktemp("small")
    data = folder(place)
    study = Study(str(place / "m.onnx"), "conv2", 8000.0, 3, **EXACT)
    return study, find_recordings(data, 3, LABELS, rate=8000.0)


@pytest.fixture(scope="module")
def found(small, tmp_path_factory):
    return survey(*small, tmp_path_factory.mktemp("store"))


def by_hand(study, item):
    """Relevance and value of the layer, each (concept, position), and the explanation."""
    model = study.loaded()
    x = soundfile.read(item.path)[0][None, None]
    a = dftlrp.attribute(model, x, target=item.index, keep=["conv2"], **EXACT)
    value, relevance = a.kept["conv2"]
    return relevance[0], value[0], a


def test_statistics_are_those_of_each_recording_alone(small, found):
    study, recordings = small
    rows = [by_hand(study, item) for item in recordings.items]
    classes = np.array([item.index for item in recordings.items])
    wanted = {
        "relevance": [R.sum(1) for R, _, _ in rows],
        "absolute": [np.abs(R).sum(1) for R, _, _ in rows],
        "peak": [R.max(1) for R, _, _ in rows],
        "activation": [z.sum(1) for _, z, _ in rows],
        "loudest": [z.max(1) for _, z, _ in rows],
    }
    assert tuple(wanted) == MEASURES
    for name, values in wanted.items():
        mean, spread = found.statistics.measure(name)
        for c in range(3):
            own = np.array(values)[classes == c]
            np.testing.assert_allclose(mean[c], own.mean(0), atol=1e-12)
            np.testing.assert_allclose(spread[c], own.std(0), atol=1e-12)
    assert found.statistics.neurons.count.tolist() == [3, 3, 3]
    right = [int(a.output[0].argmax()) == c for (_, _, a), c in zip(rows, classes, strict=True)]
    assert found.statistics.right.tolist() == np.bincount(classes, right, 3).tolist()


def test_spectra_and_maps_sum_to_the_recordings_relevance(small, found):
    study, recordings = small
    shares = []
    for item in recordings.items:
        R = by_hand(study, item)[2].relevance
        shares.append(R.sum() / np.abs(R).sum())
    for c in range(3):
        own = [s for s, item in zip(shares, recordings.items, strict=True) if item.index == c]
        assert found.statistics.spectrum.mean[c, 0].sum() == pytest.approx(np.mean(own), abs=1e-10)
        assert found.statistics.map.mean[c].sum() == pytest.approx(np.mean(own), abs=1e-10)


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
def test_without_spectra_relevance_stops_at_the_layer_and_the_statistics_are_the_same(
    small, backend
):
    study, recordings = replace(small[0], backend=backend), small[1]
    rows = [(n, str(i.path), i.index) for n, i in enumerate(recordings.items)]
    whole, short = (_make_survey_work(replace(study, spectra=s)) for s in (True, False))
    a, b = (Statistics.from_arrays(work(rows)) for work in (whole, short))
    assert [a.has_spectra, b.has_spectra] == [True, False]
    for of in ("mean", "m2"):
        mine, theirs = (getattr(s.neurons, of) for s in (a, b))
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(a.top.recording, b.top.recording)
    np.testing.assert_array_equal(a.right, b.right)
    assert "spectra" not in study.identity(recordings)  # so that older stores go on
    assert replace(study, spectra=False).identity(recordings)["spectra"] is False


def test_the_size_of_shards_and_batches_matters_no_more_than_round_off(small, found, monkeypatch):
    study, recordings = small
    rows = [(n, str(i.path), i.index) for n, i in enumerate(recordings.items)]
    monkeypatch.setattr(sys.modules["dftlrp.concepts.study"], "BATCH", 2)
    work = _make_survey_work(study)
    parts = [Statistics.from_arrays(work(rows[a:b])) for a, b in ((0, 4), (4, 5), (5, 9))]
    total = sum(parts[1:], parts[0])
    for mine, theirs in (
        (total.neurons, found.statistics.neurons),
        (total.map, found.statistics.map),
    ):
        np.testing.assert_allclose(mine.mean, theirs.mean, atol=1e-12)
        np.testing.assert_allclose(mine.m2, theirs.m2, atol=1e-12)
    np.testing.assert_array_equal(total.top.recording, found.statistics.top.recording)


def test_a_prototypes_value_is_the_relevance_that_its_neuron_hands_on(small, found):
    study, recordings = small
    for by in ("relevance", "peak"):
        rows = rank_recordings(found, 2, by)
        assert [r.value for r in rows] == sorted((r.value for r in rows), reverse=True)
        assert all(r.value > 0 for r in rows)
    for p in prototypes(found, 2, count=3):
        item = next(i for i in recordings.items if i.name == p.name)
        R = by_hand(study, item)[0][2].sum()
        assert p.value == pytest.approx(R, abs=1e-12)
        assert p.through == pytest.approx(R, abs=1e-12)
        reached = p.explanation.relevance["time"].sum()
        assert p.dissipation == pytest.approx(abs(reached) / abs(R), abs=1e-12)


def test_prototypes_are_the_first_of_all_recordings_sorted(small, found):
    study, recordings = small
    values = {i.name: by_hand(study, i)[0][2].sum() for i in recordings.items}
    order = sorted((n for n, v in values.items() if v > 0), key=lambda n: -values[n])[:5]
    assert [r.name for r in rank_recordings(found, 2)] == order


def test_a_mean_spectrum_is_the_mean_of_its_prototypes_shares(found):
    some = prototypes(found, 2, count=3)
    hertz, mean = mean_spectrum(some)
    assert hertz.shape == mean.shape == (BANDS,)
    times = [p.explanation.relevance["time"] for p in some]
    assert mean.sum() == pytest.approx(
        np.mean([t.sum() / np.abs(t).sum() for t in times]), abs=1e-9
    )


def test_edges_below_a_neuron_sum_to_what_it_hands_on(small, found):
    study, recordings = small
    model, item = study.loaded(), recordings.items[0]
    x = soundfile.read(item.path)[0][None, None]
    layers = layers_of(model, x, composite="EpsilonPlus")
    edges = attribution_graph(
        model, [x], item.index, ("conv2", 2), ["conv1"], layers=layers, width=4, **EXACT
    )
    masked = dftlrp.attribute(
        model, x, target=item.index, masks={"conv2": layers.concepts("conv2").mask([2])}, **EXACT
    )
    row = next(r for r in masked.ledger.rows if r.node == "c2")
    assert len(edges) > 1
    assert sum(e.weight for e in edges) == pytest.approx(float(row.to_inputs.sum()), abs=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "onnx"])
def test_edges_of_several_neurons_are_those_of_each_alone(small, backend):
    study, recordings = small
    model, item = study.loaded(), recordings.items[0]
    x = soundfile.read(item.path)[0][None, None]
    own = {"composite": "EpsilonPlus", "backend": backend, "reference": ["none", "silence"]}
    layers = layers_of(model, x, composite="EpsilonPlus")
    edges = attribution_graph(
        model,
        [x],
        item.index,
        ("dense", item.index),
        ["conv2", "conv1"],
        layers=layers,
        width=3,
        **own,
    )
    above = {edge.target for edge in edges}
    assert len(above) > 2
    for name, c in above:
        layer = {"dense": "conv2", "conv2": "conv1"}[name]
        (alone,) = conditional(model, x, [{"y": [item.index], name: [c]}], record=[layer], **own)
        R = layers.concepts(layer).per_concept(alone.before[layer])[0].sum(axis=1)
        weights = {e.source[1]: e.weight for e in edges if e.target == (name, c)}
        for j, weight in weights.items():
            assert weight == pytest.approx(R[j], rel=1e-4, abs=1e-6)


def test_a_layer_that_is_not_below_is_refused(small):
    study, recordings = small
    model = study.loaded()
    x = soundfile.read(recordings.items[0].path)[0][None, None]
    layers = layers_of(model, x)
    with pytest.raises(InputError, match="'conv2' is not below 'conv1'"):
        attribution_graph(model, [x], 0, ("conv1", 0), ["conv2"], layers=layers, **EXACT)


def test_a_silent_neuron_costs_what_it_is_worth_where_the_rest_is_linear(small, found, tmp_path):
    study = replace(found.study, layer="h2", composite="Gradient")  # a mean and Gemm follow
    mine = survey(study, small[1], tmp_path / "s")
    checks, failures = ablations(mine, [0, 1], tmp_path / "a")
    assert not failures
    for a in checks.values():
        np.testing.assert_allclose(a.effect, a.relevance, atol=1e-10)
        assert a.groups[0] == pytest.approx(np.sort(a.relevance)[-5:].sum(), abs=1e-10)
        assert a.recordings == 3
        assert len(a.groups) == 21
        assert set(a.strongest) == set(np.argsort(-a.relevance[np.argsort(a.concepts)])[:5])
        assert a.correlation == pytest.approx(1)


def test_recordings_of_any_length_and_silent_ones(tmp_path):
    data = folder(tmp_path, takes=2)
    saved(listener((None, 1, None)), tmp_path, "m.onnx")
    soundfile.write(data / "low/long.wav", tone(300, 7, 1000), 8000)
    soundfile.write(data / "low/silent.wav", np.zeros(500), 8000)
    soundfile.write(data / "high/short.wav", tone(2500, 7, 5), 8000)  # less than a kernel
    study = Study(str(tmp_path / "m.onnx"), "conv2", 8000.0, 3, **EXACT)
    found = survey(study, find_recordings(data, 3, LABELS, rate=8000.0), tmp_path / "store")
    assert found.statistics.neurons.count.tolist() == [4, 2, 2]
    ((name, why),) = found.skipped
    assert name == "high/short.wav"
    assert why
    assert np.isfinite(found.statistics.map.mean).all()
    assert np.isfinite(found.statistics.spectrum.m2).all()
    assert not found.failures
