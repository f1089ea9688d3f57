"""The command: what it writes and says, that it goes on, and how it refuses."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from dataset import folder, tone
from graphs import conv_stack
from models import listener, normal, saved

import dftlrp
from dftlrp.cli import main
from dftlrp.concepts import neurons
from dftlrp.concepts.shards import Failure
from dftlrp.core.disk import lock_folder
from dftlrp.core.types import InputError

module = import_module("dftlrp.concepts.neuron_analysis")

ASKED = ("m.onnx", "data", "--layer", "conv2", "--top", "2", "--prototypes", "2", "--out", "out")
PROGRESS = re.compile(r"dftlrp: [\w /]+: (\d+ of \d+, )?\d+ s")  # told where a step takes long
FILES = {
    "report.html", "neurons.npz", "graphs.json", "classes.csv", "neurons.csv", "prototypes.csv",
    "dissipation.csv", "heard.csv", "ablation.csv", "effects.csv", "spectra.csv", "peaks.csv",
    "graphs.csv", "skipped.csv",
}  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A data set with bad recordings, and what the command made of it."""
    place = tmp_path_factory.mktemp("done")
    data = folder(place)
    (data / "low/text.wav").write_text("no sound")
    (data / "low/empty.wav").write_bytes(b"")
    soundfile.write(data / "low/nan.wav", np.full(400, np.nan), 8000, "FLOAT")
    soundfile.write(data / "loose.wav", tone(300, 9), 8000)
    (place / "blocked").mkdir()
    (place / "blocked/matplotlib.py").write_text("raise ImportError('only figures need it')")
    run(place, *ASKED, path=place / "blocked")
    return place


def run(place: Path, *args: str, path: Path | None = None) -> str:
    """Run the command as a program, which may start others; modules in `path` come first."""
    made = subprocess.run(
        [sys.executable, "-m", "dftlrp", "neurons", *args],
        cwd=place, capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | ({"PYTHONPATH": str(path)} if path else {}),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    said = [line for line in made.stderr.splitlines() if not PROGRESS.fullmatch(line)]
    assert said == []
    return made.stdout


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def tree(place: Path) -> dict[str, bytes]:
    files = (Path(d, n) for d, _, names in os.walk(place) for n in names)
    return {str(f.relative_to(place)): f.read_bytes() for f in files}


def test_everything_is_written(done):
    out = done / "out"
    assert {p.name for p in out.iterdir() if p.is_file()} == FILES | {".lock"}
    shown = {r["neuron"] for r in rows(out / "classes.csv") if r["by"] == "relevance"}
    assert {p.name for p in (out / "neurons").iterdir()} == shown
    for neuron in shown:
        names = {p.name for p in (out / "neurons" / neuron).iterdir()}
        assert {"1-explanation.npz", "1-original.wav", "1-neuron.wav"} <= names
        assert {name.partition(".")[2] for name in names} == {"npz", "wav"}
        e = dftlrp.Explanation.load(out / "neurons" / neuron / "1-explanation.npz")
        assert soundfile.info(out / "neurons" / neuron / "1-neuron.wav").frames == 400
        first = next(r for r in rows(out / "dissipation.csv") if r["neuron"] == neuron)
        reached = abs(e.relevance["time"].sum() / float(first["through"]))
        assert float(first["dissipation"]) == pytest.approx(reached, rel=1e-6)
    assert not (out / "classes").exists()


def test_figures_for_print_are_drawn_if_asked_for_and_nothing_else_changes(done):
    plain = tree(done / "out")
    shutil.copytree(done / "out", done / "drawn")
    run(done, *ASKED[:-1], "drawn", "--figure")
    drawn = tree(done / "drawn")
    more = {name for name in drawn if name not in plain}
    assert {name: drawn[name] for name in plain} == plain
    assert all(drawn[name].startswith(b"\x89PNG") for name in more)
    for c in "012":
        assert {f"classes/{c}/{n}.png" for n in ("spectrum", "magnitude", "map", "spread")} <= more
    shown = {name.split("/")[1] for name in more if name.startswith("neurons/")}
    for neuron in shown:
        names = ("spectrum", "1-figure", "1-picture", "2-picture")
        assert {f"neurons/{neuron}/{n}.png" for n in names} <= more


def test_a_store_of_former_portraits_is_left_alone(done, monkeypatch):
    shutil.copytree(done / "out", done / "former")
    (store,) = (done / "former").glob("portraits-*")
    before = tree(store)
    monkeypatch.setattr(module, "FORMAT", 1)
    again = {"layer": "conv2", "folder": done / "former", "top": 2, "count": 2}
    found = neurons(done / "m.onnx", done / "data", **again)
    assert repr(found).startswith("Neurons of conv2 for 3 classes\n")
    assert "Neurons of conv2" in found._repr_html_()
    assert len([*(done / "former").glob("portraits-*")]) == 2
    assert tree(store) == before


def test_tables_hold_what_the_statistics_do(done):
    out = done / "out"
    table = rows(out / "neurons.csv")
    assert len(table) == 6 * 3
    for row in rows(out / "classes.csv"):
        (own,) = [t for t in table if (t["neuron"], t["class"]) == (row["neuron"], row["class"])]
        assert row["mean"] == own[row["by"]]
        assert row["count"] == own["count"] == "3"
        assert float(row["mean"]) > 0
    graphs = json.loads((out / "graphs.json").read_text())
    weights = [e["weight"] for g in graphs.values() for e in g["edges"]]
    assert [float(r["weight"]) for r in rows(out / "graphs.csv")] == pytest.approx(weights)


def test_bad_recordings_are_skipped_and_listed(done):
    skipped = {r["recording"]: r["why"] for r in rows(done / "out/skipped.csv")}
    assert skipped.keys() == {"low/text.wav", "low/empty.wav", "low/nan.wav", "loose.wav"}
    assert "lies in no folder" in skipped["loose.wav"]
    assert "nan" in skipped["low/nan.wav"]
    page = (done / "out/report.html").read_text()
    assert all(name in page for name in skipped)
    assert str(done) not in page


def test_two_workers_leave_the_same_bytes_as_one(done):
    run(done, *ASKED[:-1], "two", "--workers", "2")
    one, two = tree(done / "out"), tree(done / "two")
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


def test_interrupted_the_same_command_goes_on_and_leaves_the_same(done):
    shutil.copytree(done / "out", done / "again")
    stores = [p for p in (done / "again").iterdir() if (p / "shards").is_dir()]
    assert len(stores) == 3
    for store in stores:  # killed as the last shards were written, and before the tables
        last = sorted((store / "shards").iterdir())[-1]
        last.write_bytes(last.read_bytes()[:100])
    for name in FILES - {"classes.csv"}:
        (done / "again" / name).unlink()
    run(done, *ASKED[:-1], "again")
    assert tree(done / "again") == tree(done / "out")


def test_another_layer_in_the_same_folder_is_refused_and_another_number_is_not(
    done, monkeypatch, capsys
):
    monkeypatch.chdir(done)
    assert main(["neurons", *ASKED, "--layer", "conv1"]) == 2
    assert 'layer has changed from "conv2" to "conv1"' in capsys.readouterr().err
    shutil.copytree(done / "out", done / "more")
    before = (done / "more/survey/manifest.jsonl").stat().st_mtime_ns
    args = ("--top", "1", "--class", "high", "2", "0")
    run(done, *ASKED[:-1], "more", *args)
    assert [r["label"] for r in rows(done / "more/ablation.csv")] == ["high", "low"]
    shards = (done / "more/survey/shards").iterdir()
    assert all(p.stat().st_mtime_ns <= before for p in shards)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("m.onnx", "data"), "--layer is needed: choose one of c1 .Conv., c2 .Conv."),
        (("m.onnx", "data", "--layer", "konv2"), "no layer 'konv2' .* did you mean 'conv2'"),
        (("m.onnx", "data", "--layer", "x"), "'x' is what the model reads: name a layer"),
        (("m.onnx", "nowhere", "--layer", "conv2"), "no such folder or table"),
        (("m.onnx", "empty", "--layer", "conv2"), "holds no recordings"),
        (("m.onnx", "strange", "--layer", "conv2"), "labels 'loud' name no class"),
        (("rateless.onnx", "mixed", "--layer", "conv2"), "recordings of several rates"),
        (("m.onnx", "data", "--layer", "conv2", "--class", "loud"), "unknown target 'loud'"),
        (("m.onnx", "one", "--layer", "conv2", "--class", "high"), "class 'high' has no record"),
        (("m.onnx", "data", "--layer", "conv2", "--pattern", "{take}.wav"), "where the label"),
        (("m.onnx", "data", "--layer", "conv2", "--pattern", "{label}_x.wav"), "has a label"),
        (("m.onnx", "data", "--layer", "conv2", "--rule", "nine=flat"), "matches no layer"),
        (("m.onnx", "data", "--layer", "conv2", "--composite", "LRP"), "unknown composite"),
        (("m.onnx", "data", "--layer", "conv2", "--seed-kind", "twist"), "unknown seed"),
        (("m.onnx", "data", "--layer", "conv2", "--top", "0"), "at least one"),
        (("m.onnx", "data", "--layer", "conv2", "--workers", "0"), "0 workers"),
        (("m.onnx", "data", "--layer", "conv2", "--backend", "magic"), "backend"),
        (("m.onnx", "data"), "--layer"),
        (("no.onnx", "data", "--layer", "conv2"), "no such file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_computed(
    tmp_path, monkeypatch, capsys, args, says
):
    monkeypatch.chdir(tmp_path)
    data = folder(tmp_path, takes=1)
    saved(listener(rate=None), tmp_path, "rateless.onnx")
    Path("empty").mkdir()
    shutil.copytree(data / "low", "one/low")
    shutil.copytree(data / "low", "strange/loud")
    shutil.copytree(data / "low", "mixed/low")
    soundfile.write("mixed/low/b.wav", tone(300, 1), 16000)
    assert main(["neurons", *args, "--out", "out"]) == 2
    err = capsys.readouterr().err
    assert re.search(says, err), err
    assert err.count("\n") == 1
    assert not list(Path().glob("out/*/shards/*.npz"))


def test_what_is_there_already_is_never_emptied(tmp_path):
    data = folder(tmp_path, takes=1)
    shutil.copytree(data, tmp_path / "mine/classes")
    place = tmp_path / "mine"
    with pytest.raises(InputError, match="mine: holds other files, as classes: choose another"):
        neurons(tmp_path / "m.onnx", place / "classes", layer="conv2", folder=place)
    assert [p.name for p in place.iterdir()] == ["classes"]
    assert len(list(place.rglob("*.wav"))) == 3


def test_two_runs_do_not_write_into_one_folder(done):
    before = tree(done / "out")
    with lock_folder(done / "out"), pytest.raises(InputError, match="another run is writing here"):
        neurons(done / "m.onnx", done / "data", layer="conv2", folder=done / "out")
    assert tree(done / "out") == before


def test_other_weights_beside_the_model_are_refused(tmp_path):
    data = folder(tmp_path, takes=1)

    def write(scale: float) -> None:
        proto = listener()
        weights = onnx.numpy_helper.to_array(proto.graph.initializer[0])
        proto.graph.initializer[0].CopyFrom(
            onnx.numpy_helper.from_array(scale * weights, proto.graph.initializer[0].name)
        )
        (tmp_path / "w.bin").unlink(missing_ok=True)
        onnx.save(
            proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin",
            size_threshold=0,
        )  # fmt: skip

    asked = {"layer": "conv2", "folder": tmp_path / "out", "top": 1, "count": 1}
    write(1.0)
    neurons(tmp_path / "m.onnx", data, **asked)
    write(2.0)
    with pytest.raises(InputError, match="model has changed"):
        neurons(tmp_path / "m.onnx", data, **asked)


def test_after_a_shard_that_failed_the_whole_is_as_if_it_had_not(done, monkeypatch):
    real = module.survey

    def torn(study, recordings, folder, **options):
        some = replace(recordings, items=recordings.items[:4])
        found = real(study, some, done / "half", **options)
        return replace(found, recordings=recordings, failures=(Failure(1, "its worker died"),))

    asked = {"layer": "conv2", "top": 2, "count": 2, "folder": done / "torn"}
    monkeypatch.setattr(module, "survey", torn)
    assert neurons(done / "m.onnx", done / "data", **asked).failures
    monkeypatch.undo()
    shutil.copytree(done / "out/survey", done / "torn/survey")  # of all shards, by now
    neurons(done / "m.onnx", done / "data", **asked).save(done / "torn")
    whole, after = tree(done / "out"), tree(done / "torn")
    assert [name for name in whole if whole[name] != after[name]] == []


def test_a_table_of_files_and_labels_and_a_model_without_labels(tmp_path):
    data = folder(tmp_path, takes=2)
    saved(listener(labels=None), tmp_path, "m.onnx")
    (tmp_path / "names.txt").write_text("bass\ntenor\nflute\n")
    lines = ["file,label", "data/low/0.wav,0", "data/middle/0.wav,1", "data/low/1.wav,0"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    found = neurons(
        tmp_path / "m.onnx", tmp_path / "t.csv", layer="conv2", folder=tmp_path / "out", top=1,
        count=1,
    )  # fmt: skip
    assert [found.label(c) for c in found.classes] == ["0", "1"]
    assert found.survey.statistics.neurons.count.tolist() == [2, 1, 0]
    named = neurons(
        tmp_path / "m.onnx", tmp_path / "t.csv", layer="conv2", folder=tmp_path / "named", top=1,
        count=1, labels=["bass", "tenor", "flute"], spectra=False,
    )  # fmt: skip
    assert [named.label(c) for c in named.classes] == ["bass", "tenor"]
    pages = [
        of.save(tmp_path / name)[0].read_text() for of, name in ((found, "out"), (named, "named"))
    ]
    assert "only 2 recordings" in pages[1]
    assert [page.count("Mean relevance over time") for page in pages] == [4, 0]
    assert not {"spectra.csv", "peaks.csv"} & {p.name for p in (tmp_path / "named").iterdir()}
    assert [of.strongest(1) for of in (found, named)] == [found.strongest(1)] * 2
    assert data.is_dir()


def test_one_class_of_several_channels(tmp_path):
    saved(conv_stack(), tmp_path, "m.onnx")
    (tmp_path / "data/1").mkdir(parents=True)
    for take in range(2):
        sound = 0.1 * normal(40, 2, seed=take)
        soundfile.write(tmp_path / f"data/1/{take}.wav", sound, 8000)
    found = neurons(
        tmp_path / "m.onnx", tmp_path / "data", layer="c2", folder=tmp_path / "out", top=2, count=2
    )
    assert found.classes == (1,)
    assert "assuming 8000 Hz" in found.notes[0]
    found.save(tmp_path / "out")
    shown = found.strongest(1)
    assert shown
    heard = soundfile.info(tmp_path / f"out/neurons/{shown[0]}/1-neuron.wav")
    assert heard.channels == 2


@pytest.mark.parametrize("name", ["waveform", "spectrum", "stft", "mel"])
def test_embedded_models_behind_front_ends_or_not(name, tmp_path):
    clip, rate = soundfile.read(dftlrp.embedded("clip"))
    (tmp_path / "seven").mkdir()
    soundfile.write(tmp_path / "seven/a.wav", clip, rate)
    soundfile.write(tmp_path / "seven/b.wav", clip[::-1], rate)
    soundfile.write(tmp_path / "seven/silent.wav", np.zeros(4000), rate)
    layers = dftlrp.inspect(dftlrp.embedded(name)).to_dict()["layers"]
    layer = [la["name"] for la in layers if la["op"] == "Conv"][-1]
    found = neurons(
        dftlrp.embedded(name), tmp_path, layer=layer, folder=tmp_path / "out", top=1, count=2
    )
    page = found.save(tmp_path / "out")[0].read_text()
    assert found.classes == (7,)
    ((silent, why),) = found.survey.skipped
    assert silent == "seven/silent.wav"
    assert "silence, is the recording itself" in why
    assert "nan" not in (tmp_path / "out/spectra.csv").read_text()
    assert not found.failures
    assert found.ablation[7].most_relevant > 0
    assert "silent" not in [p["name"] for p in found.portraits[found.shown[0]].prototypes]
    assert "What <bdi>" in page
    assert len(page) < 1_500_000


def test_relevance_through_a_layer_of_one_recording(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def through(*args: str) -> dftlrp.Explanation:
        options = ["--seed-kind", "logit", "--backend", "numpy", "--out", "o"]
        assert main(["explain", "--model", "waveform", *options, *args]) == 0
        return dftlrp.Explanation.load("o")

    whole = through()
    every = ",".join(map(str, range(128)))
    np.testing.assert_allclose(
        through("--through", f"relu7={every}").relevance["time"],
        whole.relevance["time"],
        atol=1e-12,
    )
    one, other, both = (through("--through", f"relu7={c}") for c in ("97", "104", "97,104"))
    summed = one.relevance["time"] + other.relevance["time"]
    np.testing.assert_allclose(both.relevance["time"], summed, atol=1e-12)
    assert 0 < one.relevance["time"].sum() < whole.relevance["time"].sum()
    assert one.provenance["conditions"] == [
        "only what goes through 1 of 128 channels or places of 'relu7' is shown"
    ]
    page = Path("o/report.html").read_text()
    assert "Only what goes through 2 of 128 channels" in page
    assert "at the conditions, or at values that carry no relevance" in page
    assert not through("--through", "relu7=").relevance["time"].any()  # nothing goes past it
    capsys.readouterr()
    for text, says in (
        ("relu7=128", "channel 128 is out of range: there are 128"),
        ("rely7=1", "no layer 'rely7' carries relevance: did you mean 'relu7'"),
        ("relu7=a", "write it as LAYER=125,3"),
        ("relu7", "write it as NAME=VALUE"),
    ):
        assert main(["explain", "--through", text]) == 2
        assert says in capsys.readouterr().err


@pytest.mark.slow
def test_the_five_most_relevant_channels_matter_more_than_random_ones(shared, tmp_path):
    sounds = shared / "data/fsdd/recordings"
    found = neurons(
        dftlrp.embedded("waveform"), sounds, layer="relu7", folder=tmp_path, top=1, count=1,
        pattern="{label}_{who}_{take}.wav", workers=2,
    )  # fmt: skip
    assert len(found.ablation) == 10
    for c, a in found.ablation.items():
        assert len(a.groups) == 21
        assert a.most_relevant > a.random, found.label(c)
        assert a.correlation > 0.9
