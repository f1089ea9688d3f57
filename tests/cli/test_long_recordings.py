"""The command line on a recording that is longer than the model reads at once."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import soundfile

import dftlrp
from dftlrp.cli import main

RATE, AT = 8000, 2.5


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with six seconds of faint noise in which one word is said."""
    word, _ = soundfile.read(dftlrp.embedded("clip"))
    x = np.random.default_rng(0).normal(scale=1e-3, size=6 * RATE)
    x[round(AT * RATE) :][: len(word)] += word
    soundfile.write(tmp_path / "day.wav", x, RATE, "PCM_16")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_long_recording_is_explained_along_its_time(here, capsys):
    assert main(["explain", "day.wav", "--target", "seven", "--top", "2"]) == 0
    told = capsys.readouterr().out
    assert "6.00 s in 11 windows of 1 s" in told
    with (here / "dftlrp-out/timeline.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11
    best = max(rows, key=lambda row: float(row["score"]))
    assert float(best["start"]) <= AT <= float(best["stop"])
    one = dftlrp.Explanation.load(here / "dftlrp-out/1-explanation.npz")
    assert one.start == float(best["start"])
    assert (here / "dftlrp-out/2-resynthesis.wav").exists()


def test_a_stretch_is_asked_for_in_seconds_of_the_file(here, capsys):
    assert main(["explain", "day.wav", "--from", "2", "--to", "4", "--top", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["start"] for row in said["windows"]] == [2.0, 2.5, 3.0]
    assert len(said["explanations"]) == len(said["explained"]) == 1


def test_two_classes_are_compared_in_the_same_window(here):
    assert main(["explain", "day.wav", "--target", "seven", "--versus", "six"]) == 0
    two = [dftlrp.Explanation.load(here / f"dftlrp-out/{p}explanation.npz")
           for p in ("", "versus-")]  # fmt: skip
    assert two[0].start == two[1].start
    assert two[0].start <= AT <= two[0].start + 1


@pytest.mark.parametrize("how", [["--at", "2.9"], ["--crop", "loudest"]])
def test_one_window_has_the_page_of_an_explanation(here, how):
    assert main(["explain", "day.wav", *how]) == 0
    assert not (here / "dftlrp-out/timeline.csv").exists()
    one = dftlrp.Explanation.load(here / "dftlrp-out")
    assert 2 < one.start < 3


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--at", "99"], "from 0 to 6"),
        (["--from", "5", "--to", "2"], "from 5 to 2 s"),
        (["--at", "1", "--top", "2"], "--top"),
        (["--at", "1", "--from", "2"], "--from"),
        (["--top", "0"], "top"),
        (["--window", "3"], "the model reads 1 s"),
    ],
)
def test_what_does_not_fit_is_one_line(here, capsys, args, told):
    assert main(["explain", "day.wav", *args]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert told in line
    assert not (here / "dftlrp-out").exists()
