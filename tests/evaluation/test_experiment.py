"""What a worker of `evaluate` computes, in one process, on a model whose answers are known."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from dataset import folder, tone
from graphs import Nodes
from models import saved

import dftlrp
from dftlrp import metrics
from dftlrp.evaluation.data_set import evaluate
from dftlrp.evaluation.experiment import (
    AMPLITUDE,
    GRADIENT,
    OCCLUSION,
    RANDOM,
    Experiment,
    make_experiment_work,
)
from dftlrp.evaluation.summary import average, summarise_faithfulness, summarise_sound

DOMAINS = ("time", "frequency", "time-frequency")


def linear_model(place: Path) -> Path:
    """Two scores, each a weighted sum of 400 samples."""
    n = Nodes(3)
    n.add("Flatten", "x", "flat")
    n.gemm("flat", "z", 400, 2, bias=False)
    return saved(n.model({"x": ["B", 1, 400]}, {"z": ["B", 2]}), place, "linear.onnx")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Numbers of three recordings under the linear model, with silence in their place."""
    place = tmp_path_factory.mktemp("linear")
    model = linear_model(place)
    rows = []
    for take in range(3):
        soundfile.write(place / f"{take}.wav", tone(700, take), 8000)
        rows.append((take, str(place / f"{take}.wav"), -1))
    asked = Experiment(
        str(model), {"default": {"seed": "logit"}}, {"rate": 8000.0}, DOMAINS, ("zero",),
        ("faithfulness", "complexity", "stability", "sound"), {"time-frequency": 30},
    )  # fmt: skip
    arrays = make_experiment_work(asked)(("compare", rows))
    return asked, json.loads(arrays["numbers"].tobytes())


def test_of_a_linear_model_gradient_and_occlusion_are_the_best_there_is(compared):
    _, found = compared
    assert found["skipped"] == {}
    for one in found["recordings"].values():
        for domain in DOMAINS:
            cell = one["faithfulness"][domain]["zero"]
            reached = {k: v["area"] / v["span"] for k, v in cell.items()}
            assert reached[GRADIENT] == pytest.approx(reached[OCCLUSION], rel=1e-3)
            assert reached["default"] == pytest.approx(reached[OCCLUSION], rel=1e-3)
            sign = np.sign(cell[OCCLUSION]["span"])
            assert sign * reached[OCCLUSION] > sign * reached[AMPLITUDE]
            assert sign * reached[OCCLUSION] > sign * reached[RANDOM]


def test_a_linear_model_has_relevance_that_moves_with_the_recording(compared):
    for one in compared[1]["recordings"].values():
        assert one["stability"]["default"]["noise"] > 0.8


def test_without_labels_or_a_softmax_nothing_is_said_about_classes(compared):
    assert all(one["sound"] == {} for one in compared[1]["recordings"].values())


def test_the_summary_has_every_candidate_and_pairs_it(compared):
    asked, found = compared
    cells = summarise_faithfulness(asked, list(found["recordings"].values()))
    assert [c.domain for c in cells] == list(DOMAINS)
    for cell in cells:
        assert set(cell.srg) == set(asked.candidates)
        paired = cell.against["default"][RANDOM]
        assert paired.mean == pytest.approx(cell.srg[RANDOM].mean - cell.srg["default"].mean)


def test_a_recording_that_cannot_be_used_is_skipped_with_its_reason(compared, tmp_path):
    soundfile.write(tmp_path / "two.wav", np.zeros((400, 2)), 8000)
    (tmp_path / "no.wav").write_text("nothing")
    rows = [(0, str(tmp_path / "no.wav"), -1)]
    arrays = make_experiment_work(compared[0])(("compare", rows))
    found = json.loads(arrays["numbers"].tobytes())
    assert found["recordings"] == {}
    assert "not a sound file" in found["skipped"]["0"]


def test_a_mean_has_the_standard_error_of_independent_values():
    values = np.random.default_rng(0).standard_normal(50)
    found = average([*values, float("nan")])
    assert found.count == 50
    assert found.mean == pytest.approx(values.mean())
    assert found.error == pytest.approx(values.std(ddof=1) / np.sqrt(50))
    assert average([1.0, 1.0]).clear
    assert not average([1.0, -1.0]).clear
    assert not average([1.0]).clear


def test_sound_is_measured_as_l_mac_defines_it():
    heard = {"default": [0.8, 0.4, 0.2, 1.0, 0.0, 0.5]}
    rising = {"default": [0.5, 0.75, 0.6, 1.0, 1.0, 0.7]}
    found = summarise_sound([{"sound": heard}, {"sound": rising}, {"sound": {}}])["default"]
    told = {k: f.mean for k, f in found.items()}
    assert told == pytest.approx(
        {"AI": 50, "AD": 25, "AG": 25, "FF": 0.25, "Fid-In": 1, "Fid-Out": 0.5, "energy kept": 0.6}
    )


def test_a_mask_that_keeps_all_is_heard_as_the_recording_itself(tmp_path):
    data = folder(tmp_path, takes=1)
    e = dftlrp.explain(tmp_path / "m.onnx", data / "low/0.wav")
    heard = metrics.hear(e, np.ones_like(e.relevance["time-frequency"]))
    assert heard.p_in == pytest.approx(heard.p, abs=1e-5)
    assert heard.same_in == 1
    assert heard.energy == pytest.approx(1)
    z = np.exp(e.explained - e.explained.max())
    assert heard.p == pytest.approx((z / z.sum())[e.target], abs=1e-5)


def test_stability_is_one_for_what_does_not_change_and_nan_where_there_is_no_room():
    R = np.random.default_rng(0).standard_normal((4, 5))
    found = metrics.stability(lambda x: R, np.ones(30), R)
    assert found["noise"] == pytest.approx(1)
    assert found["shift 3"] == pytest.approx(1)
    assert np.isnan(found["shift 40"])


def test_rank_correlation_keeps_its_sign_and_knows_ties():
    from scipy.stats import spearmanr

    a, b = np.random.default_rng(0).integers(0, 5, (2, 40)).astype(float)
    assert metrics.rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert metrics.rank_correlation(a, -a) == pytest.approx(-1)


def test_layers_lose_their_weights_from_the_output_and_the_file_stays(tmp_path):
    from dftlrp.evaluation.randomisation import randomise

    data = folder(tmp_path, takes=1)
    model = dftlrp.load(tmp_path / "m.onnx")
    before = (tmp_path / "m.onnx").read_bytes()
    found = list(randomise(model, 3))
    assert [round(share, 2) for share, _ in found] == [0.33, 0.67, 1.0]
    changed = [
        [k for k, v in model.graph.constants.items()
         if not np.array_equal(v, other.graph.constants[k])]
        for _, other in found
    ]  # fmt: skip
    assert [sorted(names) for names in changed] == [
        ["b3", "w3"], ["b2", "b3", "w2", "w3"], ["b1", "b2", "b3", "w1", "w2", "w3"],
    ]  # fmt: skip
    reached = metrics.randomisation(model, data / "low/0.wav", stages=3, domains=["time"])
    assert list(reached) == pytest.approx([1 / 3, 2 / 3, 1])
    assert all(-1 <= r < 1 for r in reached.values())
    assert (tmp_path / "m.onnx").read_bytes() == before


def refuse(call):
    with pytest.raises(dftlrp.InputError) as caught:
        call()
    return str(caught.value)


def test_bad_settings_are_refused_before_any_work(tmp_path):
    data, out = folder(tmp_path, takes=1), tmp_path / "out"
    model = tmp_path / "m.onnx"

    def ask(source=data, **asked):
        return refuse(lambda: evaluate(model, source, folder=out, **asked))

    alone = tmp_path / "alone"
    alone.mkdir()
    soundfile.write(alone / "a.wav", tone(300, 0), 8000)
    assert "only one recording, a.wav: at least two" in ask(alone)
    soundfile.write(alone / "b.wav", tone(300, 1), 8000)
    assert "none of 2 recordings has a label" in ask(alone, target="label")
    assert "limit 1: at least two" in ask(limit=1)
    assert "401 segments along an axis of 400" in ask(count={"time": 401})
    assert "1 units in domain 'time'" in ask(count={"time": 1})
    assert "domain 'mel': choose one of" in ask(domains=["mel"])
    assert "no check is asked for" in ask(checks=[])
    assert "replacement 'blur': choose" in ask(replacements=["blur"])
    assert "variant 'a': 'target' is no argument" in ask(variants={"a": {"target": 1}})
    assert "variant 'random'" in ask(variants={"random": {}})
    assert "variant 'a': unknown" in ask(variants={"a": {"composite": "Wrong"}})
    assert "a pattern says where labels are" in ask(pattern="{label}.wav")
    assert not out.exists()


@pytest.mark.slow
def test_a_run_that_is_repeated_continues_and_writes_the_same(tmp_path):
    data, out = folder(tmp_path, takes=2), tmp_path / "out"

    def ask():
        return evaluate(
            tmp_path / "m.onnx", data, folder=out, variants={"plus": {"composite": "EpsilonPlus"}},
            target="label", domains=["time"], replacements=["zero", "mean"],
            checks=["faithfulness", "complexity", "stability", "sound", "randomisation"],
        )  # fmt: skip

    made = ask()
    assert repr(made).startswith("Evaluation over 6 recordings\n")
    assert "Which explanation of" in html.unescape(made._repr_html_())
    first = made.save(out)
    written = {path.name: path.read_bytes() for path in first}
    shards = {p.name: p.stat().st_mtime_ns for p in (out / "experiment/shards").iterdir()}
    again = ask().save(out)
    assert {path.name: path.read_bytes() for path in again} == written
    assert shards == {p.name: p.stat().st_mtime_ns for p in (out / "experiment/shards").iterdir()}
    found = json.loads(written["evaluation.json"])
    assert found["recordings"] == 6
    assert set(found["randomisation"]) == {"plus", "gradient x input"}
    assert set(found["sound"]) == {"plus", "gradient x input", "amplitude", "random"}
    page = written["report.html"].decode()
    assert page.count("data:image/png") == 1
    assert "Which explanation of" in page


def test_a_table_of_files_without_labels_is_enough(tmp_path):
    from dftlrp.concepts.recordings import list_recordings

    data = folder(tmp_path, takes=1)
    (tmp_path / "list.csv").write_text("file\ndata/low/0.wav\ndata/high/0.wav\n")
    found = list_recordings(tmp_path / "list.csv")
    assert [item.name for item in found.items] == ["data/high/0.wav", "data/low/0.wav"]
    assert {item.index for item in list_recordings(data).items} == {-1}
    (tmp_path / "list.csv").write_text("name\na.wav\n")
    assert "needs the columns file, has name" in refuse(
        lambda: list_recordings(tmp_path / "list.csv")
    )


def test_silence_stereo_and_single_samples_are_compared_as_well(tmp_path):
    n = Nodes(5)
    n.conv("x", "c", (3, 2, 9), strides=[4])
    n.add("Relu", "c", "r")
    n.add("GlobalAveragePool", "r", "g")
    n.add("Flatten", "g", "f")
    n.gemm("f", "z", 3, 2)
    model = saved(n.model({"x": [1, 2, 300]}, {"z": [1, 2]}), tmp_path, "stereo.onnx")
    rows = []
    for number, level in enumerate((1.0, 0.0)):
        both = level * np.random.default_rng(number).standard_normal((300, 2)) / 4
        soundfile.write(tmp_path / f"{number}.wav", both, 8000)
        rows.append((number, str(tmp_path / f"{number}.wav"), 1))
    asked = Experiment(
        str(model), {"default": {}, "plus": {"composite": "EpsilonPlus"}},
        {"rate": 8000.0, "labels": ["a", "b"]}, ("time", "input"), ("noise", "stationary"),
        ("faithfulness", "complexity"), {"time": 6, "input": 8},
    )  # fmt: skip
    found = json.loads(make_experiment_work(asked)(("compare", rows))["numbers"].tobytes())
    assert found["skipped"] == {}
    loud, silent = found["recordings"]["0"], found["recordings"]["1"]
    assert loud["faithfulness"]["input"]["noise"]["plus"]["span"] != 0
    assert silent["faithfulness"]["time"]["noise"]["plus"]["span"] == 0
    assert loud["right"] in {True, False}
    cells = summarise_faithfulness(asked, [loud, silent])
    assert all(np.isfinite(cell.srg["plus"].mean) for cell in cells)


def curve(score: float, empty: float, area: float) -> dict[str, object]:
    """Numbers of one candidate for one recording."""
    line = np.linspace(score, empty, 17).tolist()
    return {"area": area, "span": score - empty, "insertion": area, "most": line, "least": line}


def recorded(empties: tuple[float, ...]) -> tuple[Experiment, list[dict[str, object]]]:
    """An experiment in time with silence, and recordings of score 10 that fall so far."""
    asked = Experiment("m.onnx", {"a": {}}, {}, ("time",), ("zero",), ("faithfulness",))
    rows = []
    for i, empty in enumerate(empties):
        by_name = {name: curve(10.0, empty, k + i) for k, name in enumerate(asked.candidates)}
        rows.append({"faithfulness": {"time": {"zero": by_name}}})
    return asked, rows


def test_a_span_that_is_too_small_to_rank_anything_is_said():
    (good,) = summarise_faithfulness(*recorded((1.0, 1.5, 0.5)))
    assert good.warning == ""
    assert good.srg["a"].mean == pytest.approx(1 / 9)
    assert good.against["amplitude"]["a"].mean == pytest.approx(-3 / 9)
    for empties in ((9.6, 9.5, 9.4), (15.0, 14.0, 16.0), (0.0, 20.0, 9.0)):
        (cell,) = summarise_faithfulness(*recorded(empties))
        assert "time, zero: removing everything lowers the score by" in cell.warning
        assert "too little to rank anything" in cell.warning
