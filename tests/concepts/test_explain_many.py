"""Laws of explanations of a folder: complete, as single ones are, never in the way of a file."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import folder_job
import numpy as np
import pytest
import soundfile
from dataset import folder, tone
from explanations import explanation
from hypothesis import given
from hypothesis import strategies as st
from jobs import files, recorded, until

import dftlrp
from dftlrp.cli import main
from dftlrp.concepts.clip_rows import COLUMNS, fill_row, make_row
from dftlrp.concepts.clip_sources import find_clips, find_indices, name_folders
from dftlrp.core.types import InputError

LABELS = ["low", "middle", "high"]
HOSTILE = "<img src=x onerror=alert(1)>.wav"
BAD = ("low/empty.wav", "low/nan.wav", "low/text.wav")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Tones, some with a wrong or no label; three that are none; names that are hard."""
    place = tmp_path_factory.mktemp("many")
    data = folder(place, takes=1)
    (data / "low/text.wav").write_text("no sound")
    (data / "low/empty.wav").write_bytes(b"")
    soundfile.write(data / "low/nan.wav", np.full(400, np.nan), 8000, "FLOAT")
    (data / "notes.txt").write_text("not a recording, and not said to be one")
    soundfile.write(data / "high" / HOSTILE, tone(300, 9), 8000)
    soundfile.write(data / "a b.wav", tone(1000, 8), 8000)
    soundfile.write(data / "middle/as low.wav", tone(300, 0), 8000)  # which the model calls middle
    soundfile.write(data / "A_B.wav", tone(2500, 8, samples=300), 8000)
    return place


@pytest.fixture(scope="module")
def found(place):
    return dftlrp.explain_many(
        place / "m.onnx", place / "data", folder=place / "out", labels=LABELS, verify=True
    )


def read_rows(place) -> list[dict]:
    lines = (place / "out/explanations.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_each_is_there_once_with_what_a_single_explanation_says(place, found):
    names = [row["file"] for row in found.rows]
    assert names == sorted(names)
    assert len(names) == len(found) == 7
    assert dict(found.skipped).keys() == set(BAD)
    for k, row in enumerate(found.rows):
        one = dftlrp.explain(place / "m.onnx", place / "data" / row["file"], labels=LABELS)
        e = found[k]
        assert e.provenance == one.provenance
        for domain in one.relevance:
            assert np.array_equal(e.relevance[domain], one.relevance[domain])
        scores = list(one.explained)
        best = int(np.argmax(scores))
        assert row["prediction"] == row["target"] == LABELS[best]
        assert row["score"] == scores[best]
        assert row["margin"] == scores[best] - sorted(scores)[-2]
        label = row["file"].partition("/")[0]
        assert row["label"] == (label if label in LABELS else None)
        if row["label"]:
            assert row["right"] == (label == LABELS[best])
            assert row["wrong_by"] == scores[best] - scores[LABELS.index(label)]
        assert row["band_share"] == max(one.table("bands", None), key=lambda r: r.relevance).share
        assert any(note.startswith("verified: ") for note in e.notes)


def test_the_tables_hold_the_same_flat_rows_and_the_docs_every_column(place, found):
    rows = read_rows(place)
    with (place / "out/explanations.csv").open(newline="", encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == sorted([*(r["file"] for r in found.rows), *BAD])
    for row, cell in zip(rows, cells, strict=True):
        assert list(row) == list(cell) == list(COLUMNS)
        for name, value in row.items():
            text = json.dumps(value) if isinstance(value, bool) else str(value)
            assert cell[name] == ("" if value is None else text)
    for name in COLUMNS:
        assert len({type(row[name]) for row in rows} - {type(None)}) <= 1
        assert f"| `{name}` |" in (ROOT / "docs/guides/folders.md").read_text("utf-8")
    assert tuple(row for row in rows if row["error"] is None) == found.rows
    assert dftlrp.Explanations.load(place / "out").rows == found.rows


def test_the_most_wrong_and_the_least_certain_are_found(place, found):
    rows = [row for row in read_rows(place) if row["error"] is None]
    wrong = [row for row in rows if row["right"] is False]
    right = [row for row in rows if row["right"]]
    assert len(wrong) > 1
    assert found.accuracy == len(right) / (len(right) + len(wrong)) > 0
    assert list(found.most_wrong().rows) == sorted(wrong, key=lambda row: -row["wrong_by"])
    sure = sorted(rows, key=lambda row: row["margin"])
    assert list(found.least_certain(2).rows) == sure[:2]
    assert found[1:3].rows == found.rows[1:3]
    assert found.least_certain(1)[0].explained.max() == sure[0]["score"]
    assert "7 explanations in " in repr(found)
    with pytest.raises(IndexError):
        found[7]


def test_a_data_frame_needs_pandas_and_gets_the_rows(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pip install pandas"):
        found.to_pandas()
    fake = types.SimpleNamespace(DataFrame=lambda rows, columns: (rows, columns))
    monkeypatch.setitem(sys.modules, "pandas", fake)
    assert found.to_pandas() == (list(found.rows), list(COLUMNS))


def test_names_are_text_on_the_page_and_links_lead_to_the_explanations(place, found):
    text = (place / "out/index.html").read_text("utf-8")
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    links = set(re.findall(r'href="(clips/[^"]+)"', text))
    assert len(links) == len(found)
    assert all((place / "out" / link).is_file() for link in links)
    assert all(name in text for name in BAD)


@given(st.lists(st.text(max_size=90).map(lambda t: t.replace("\0", "")), unique=True))
def test_folders_are_safe_unique_and_the_same_each_time(names):
    folders = name_folders(names)
    assert folders == name_folders(names)
    assert len({name.casefold() for name in folders}) == len(names)
    for name in folders:
        assert all(c.isalnum() or c in "-_." for c in name)
        assert name.strip(".") == name != ""
        assert len(name.encode()) <= 255


def test_a_folder_its_files_a_pattern_and_a_list_are_the_same_recordings(place, found, monkeypatch):
    monkeypatch.chdir(place)
    whole = find_clips("data", LABELS)
    wavs = sorted(map(str, Path("data").rglob("*.wav")))
    Path("list.csv").write_text("file\n" + "".join(f'"{name}"\n' for name in wavs))
    for sources in (wavs, "data/**/*.wav", ["data", *wavs], ["list.csv", "data/low"]):
        same = find_clips(sources, LABELS)
        assert same.items == whole.items
        assert same.skipped == whole.skipped
    listed = find_clips("list.csv", LABELS)
    assert [i.header for i in listed.items] == [i.header for i in whole.items]
    assert find_clips(".", LABELS, avoid=place / "elsewhere").digest  # without out/clips/*.wav
    names = [item.name for item in find_clips(".", LABELS).items]
    assert not [name for name in names if name.startswith("out/")]
    by_name = find_clips("data/low", LABELS, pattern=r"(?P<label>\d)\.wav")
    assert {item.name: item.label for item in by_name.items} == {"0.wav": "0", "nan.wav": ""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\ndata/low/0.wav,quiet\n", "data/low/0.wav: its label 'quiet' names no class"),
        ("file,label\ndata/low/0.wav,3\n", "classes are 0 to 2"),
        ("file\ndata/low/0.wav\ndata/low/0.wav\n", "lists data/low/0.wav twice"),
        ("file\n", "holds no recordings"),
        ("file\nnowhere.wav\n", "none of 1 recordings can be used; nowhere.wav: no such file"),
    ],
)
def test_a_list_that_is_wrong_is_refused_in_one_line(place, monkeypatch, capsys, text, said):
    monkeypatch.chdir(place)
    Path("wrong.csv").write_text(text)
    assert main(["explain", "m.onnx", "wrong.csv", "--out", "none"]) == 2
    assert said in (told := capsys.readouterr().err)
    assert told.count("\n") == 1
    assert not Path("none").exists()


def test_labels_that_are_missing_in_a_list_are_not_judged(place, monkeypatch):
    monkeypatch.chdir(place)
    Path("some.csv").write_text("file,label\ndata/low/0.wav,1\ndata/a b.wav,\n")
    items = find_indices(find_clips("some.csv", LABELS), LABELS, 3).items
    told = [(i.name, i.label, i.index) for i in items]
    assert told == [("data/a b.wav", "", -1), ("data/low/0.wav", "middle", 1)]


REFUSED = {
    "an unknown class": (["--target", "loud"], "unknown target 'loud'"),
    "a class out of range": (["--target", "7"], "use an index from 0 to 2"),
    "an unknown preset": (["--composite", "Nope"], "Nope"),
    "an unknown domain": (["--domains", "smell"], "smell"),
    "too much for all": (
        ["--method", "occlusion(count=999)"],
        "none of 4 recordings could be explained",
    ),
    "two classes": (["--versus", "1"], "--versus is for one recording"),
    "two methods": (["--method", "lrp", "gradient"], "--method: over several"),
    "no worker": (["--workers", "0"], "0 workers"),
    "no match": ("*.flac", "*.flac: matches no file"),
    "no recordings": ("data/notes", "data/notes: holds no recordings"),
    "a folder with other files": (["--out", "data"], "data: holds other files, as A_B.wav: choose"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_in_one_line_and_leaves_nothing(
    place, monkeypatch, capsys, case
):
    monkeypatch.chdir(place)
    before = files(place)
    asked, said = REFUSED[case]
    (place / "data/notes").mkdir(exist_ok=True)
    given = [asked] if isinstance(asked, str) else ["data/low", *asked]
    assert main(["explain", "m.onnx", given[0], "--out", "none", *given[1:]]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
    assert files(place) == before
    assert not Path("none").exists()


def test_results_of_other_options_or_commands_are_never_replaced(place, found, monkeypatch, capsys):
    monkeypatch.chdir(place)
    before = files(place / "out")
    for command, said in (
        (["explain", "m.onnx", "data", "--out", "out"], "holds results of other settings"),
        (
            ["explain", "m.onnx", "data/low/0.wav", "--out", "out"],
            "holds results of dftlrp explain",
        ),
        (["neurons", "m.onnx", "data", "--layer", "conv2", "--out", "out"], "holds results of"),
        (["evaluate", "m.onnx", "data", "--out", "out"], "holds results of"),
    ):
        assert main([*command, "--force"] if command[0] == "explain" else command) == 2
        assert said in capsys.readouterr().err
    assert files(place / "out") == before


@pytest.mark.parametrize("command", ["neurons", "evaluate", "explain"])
def test_a_folder_with_files_of_the_users_is_refused(place, monkeypatch, capsys, command):
    monkeypatch.chdir(place)
    mine = place / f"mine-{command}"
    mine.mkdir()
    (mine / "report.html").write_text("mine")
    source = "data/low/0.wav" if command == "explain" else "data"
    layer = ["--layer", "conv2"] if command == "neurons" else []
    assert main([command, "m.onnx", source, *layer, "--out", mine.name]) == 2
    assert "holds other files, as report.html: choose another" in capsys.readouterr().err
    assert [path.name for path in mine.iterdir()] == ["report.html"]


@pytest.mark.slow
def test_force_writes_beside_other_files_and_replaces_none(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    mine = place / "beside"
    mine.mkdir()
    (mine / "report.html").write_text("mine")
    asked = ["explain", "m.onnx", "data/low", "--domains", "time", "--out", "beside", "--force"]
    assert main(asked) == 0
    out, err = capsys.readouterr()
    assert "1 of 4 recordings explained" in out
    told = re.findall(r"^dftlrp: not explained: (\S+):", err, re.MULTILINE)
    assert told == ["empty.wav", "nan.wav", "text.wav"]
    assert (mine / "report.html").read_text() == "mine"
    assert (mine / "index.html").is_file()
    (mine / "index.html").write_text("changed by hand")
    assert main(asked) == 2
    assert "index.html: was changed since" in capsys.readouterr().err
    assert (mine / "index.html").read_text() == "changed by hand"


@pytest.mark.slow
def test_a_folder_that_is_lost_is_made_again_and_nothing_else(place, found, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(place / "out", out)
    lost = found.rows[2]
    shutil.rmtree(out / lost["clip"])
    kept = {name: (out / name).stat().st_mtime_ns for name in files(out) if "clips/" in name}
    again = dftlrp.explain_many(  # what is said anew is as if it were not said
        place / "m.onnx", place / "data", folder=out, labels=LABELS, verify=True, bind={},
        domains=["time", "frequency", "time-frequency"], seed="auto",
    )  # fmt: skip
    assert again.rows == found.rows
    assert files(out) == files(place / "out")
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept


def start(place, out, log):
    job = [sys.executable, folder_job.__file__, place / "m.onnx", place / "data", out]
    return subprocess.Popen([*job, "2", log], stderr=subprocess.PIPE, text=True)


def read_log(log):
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.partition(" ")[2] for line in lines]


@pytest.mark.slow
def test_killed_and_started_again_it_leaves_the_same_bytes_and_computes_nothing_twice(tmp_path):
    takes, kills = 67, 2
    folder(tmp_path, takes=takes)
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    whole = start(tmp_path, undisturbed, tmp_path / "log")
    whole.communicate()
    assert whole.returncode == 0
    assert len(read_log(tmp_path / "log")) == len(set(read_log(tmp_path / "log"))) == 3 * takes
    names = [row["file"] for row in dftlrp.Explanations.load(undisturbed).rows]
    rng = random.Random(takes)
    for leg, goal in enumerate(sorted(rng.sample(range(1, 3 * takes - 3), kills))):
        before, log = recorded(out / "rows"), tmp_path / f"log{leg}"
        child = start(tmp_path, out, log)
        until(lambda goal=goal: len(recorded(out / "rows")) >= goal)
        time.sleep(rng.uniform(0, 0.3))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert not {names[k] for k in before} & set(read_log(log))
        assert not (out / "index.html").exists()
    before = recorded(out / "rows")
    last = start(tmp_path, out, tmp_path / "last")
    last.communicate()
    assert last.returncode == 0
    assert not {names[k] for k in before} & set(read_log(tmp_path / "last"))
    assert files(out) == files(undisturbed)


@pytest.mark.parametrize(("share", "label"), [(0.9, 1), (0.9, 0), (0.2, 1), (0.2, 0), (0.2, None)])
def test_a_single_output_is_on_or_off(share, label):
    one = {"explained": np.array([3.0]), "output": np.array([share]), "labels": ("wake",)}
    row = fill_row(make_row(file="a", label_index=label), explanation(**one, target=0))
    assert (row["prediction"], row["confidence"]) == ("wake", share)
    assert row["margin"] == abs(2 * share - 1)
    assert row["right"] == (None if label is None else (share > 0.5) == label)
    assert row["wrong_by"] == (None if label is None else 0.0 if row["right"] else row["margin"])


def test_the_label_of_a_single_output_is_its_name_or_a_digit(tmp_path):
    data = folder(tmp_path, takes=1)
    rows = "low/0.wav,wake\nmiddle/0.wav,1\nhigh/0.wav,0\n"
    (data / "list.csv").write_text(f"file,label\n{rows}")
    found = find_indices(find_clips(data / "list.csv", ["wake"]), ["wake"], 1)
    assert [item.index for item in found.items] == [0, 1, 1]
    with pytest.raises(InputError, match="classes are 0 to 2"):
        find_indices(found, [], 3)
    with pytest.raises(InputError, match="the number of classes is not known"):
        find_indices(found, [], None)


def test_a_table_of_an_older_version_is_read_and_one_of_a_newer_refused(tmp_path):
    row = make_row(file="a.wav", clip="clips/a", prediction="low")
    older = {name: value for name, value in row.items() if name != "gap"}
    (tmp_path / "explanations.jsonl").write_text(json.dumps(older) + "\n")
    assert dftlrp.Explanations.load(tmp_path).rows == (row,)
    (tmp_path / "explanations.jsonl").write_text(json.dumps({**row, "mood": 1}) + "\n")
    with pytest.raises(dftlrp.InputError, match="a newer dftlrp wrote it, with column 'mood'"):
        dftlrp.Explanations.load(tmp_path)
    (tmp_path / "explanations.jsonl").write_text('{"file": "a.wav"}\n')
    with pytest.raises(dftlrp.InputError, match="not a table"):
        dftlrp.Explanations.load(tmp_path)
