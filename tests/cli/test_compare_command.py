"""Laws of ``dftlrp compare``: which explanations stand side by side, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from models import listener, normal, saved

import dftlrp
from dftlrp.cli import main

FOLDER = "dftlrp-compared"
PREFIXES = ("", "versus-", "versus-2-", "versus-3-")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A working directory with two models and two recordings; the page costs no time."""
    monkeypatch.chdir(tmp_path)
    told = "dftlrp.results.saving.render"
    monkeypatch.setattr(told, lambda _, names=(): "|".join(names))
    saved(listener(end="Softmax"), tmp_path, "m.onnx")
    saved(listener(end="Softmax"), tmp_path, "n.onnx")
    for name, seed in (("a", 0), ("b", 1)):
        soundfile.write(f"{name}.wav", 0.1 * normal(400, seed=seed), 8000)
    return tmp_path


def compare(*args: str) -> list[dftlrp.Explanation]:
    """Run ``compare`` in the domain of time, which is the quickest, and read the results."""
    models = any(not (Path(a).is_dir() or a.endswith("npz")) for a in args if not a.startswith("-"))
    own = ("--domains", "time") if models and "--names" not in args else ()
    assert main(["compare", *args, *own]) == 0
    stored = [Path(FOLDER) / f"{prefix}explanation.npz" for prefix in PREFIXES]
    return [dftlrp.Explanation.load(path) for path in stored if path.exists()]


def read_names() -> list[str]:
    return (Path(FOLDER) / "report.html").read_text("utf-8").split("|")


def test_explanations_that_were_saved_are_compared_in_their_order(here, capsys):
    for target in ("low", "high"):
        assert main(["explain", "m.onnx", "a.wav", "--target", target, "--out", target]) == 0
    found = compare("high", "low/explanation.npz", "--names", "up", "down")
    assert [e.label for e in found] == ["high", "low"]
    assert read_names() == ["up", "down"]
    out = capsys.readouterr().out
    assert "bands that differ most" in out
    assert "“up”" in out
    before = [e.relevance["time"] for e in found]
    both = compare("m.onnx", "a.wav", "--target", "high", "low")
    for e, R in zip(both, before, strict=True):
        np.testing.assert_array_equal(e.relevance["time"], R)
    assert read_names() == ["high", "low"]
    assert main(["explain", "m.onnx", "a.wav", "--target", "high", "--versus", "low"]) == 0
    assert (here / "dftlrp-out/report.html").read_text("utf-8") == "high|low"


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (("m.onnx", "a.wav", "b.wav", "--target", "low"), ["a.wav", "b.wav"]),
        (("m.onnx", "n.onnx", "a.wav", "--target", "low"), ["m.onnx", "n.onnx"]),
        (("m.onnx", "n.onnx", "a.wav", "b.wav", "--target", "low"),
         ["m.onnx, a.wav", "m.onnx, b.wav", "n.onnx, a.wav", "n.onnx, b.wav"]),
        (("m.onnx", "a.wav", "--method", "lrp", "gradient", "--target", "low"),
         ["lrp", "gradient"]),
    ],
)  # fmt: skip
def test_every_model_explains_every_recording(here, args, names):
    found = compare(*args)
    assert read_names() == names
    assert [e.provenance["recording"] for e in found] == [
        name.split(", ")[-1] if name.endswith("wav") else "a.wav" for name in names
    ]


REFUSED = {
    "one": (["low"], "one explanation: give another one"),
    "one of a model": (["m.onnx", "a.wav"], "one explanation"),
    "a model alone": (["m.onnx", "n.onnx"], "a recording is needed beside the model"),
    "how what is explained is explained": (
        ["low", "low", "--target", "high"], "--target: these are explained already"),
    "another rule, too": (["low", "low", "--composite", "EpsilonPlus"], "--composite: these are"),
    "its own folder": (["low", "low", "--out", "low"], "a result would replace"),
    "a folder without an explanation": (["empty", "low"], "empty/explanation.npz"),
    "too few names": (["low", "low", "--names", "a"], "give 2 different ones"),
    "a figure of two recordings": (
        ["m.onnx", "a.wav", "b.wav", "--figure"], "one figure shows explanations of one recording"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_compared_gets_one_line(here, capsys, name):
    (here / "empty").mkdir()
    args, words = REFUSED[name]
    if "low" in args:
        main(["explain", "m.onnx", "a.wav", "--out", "low", "--domains", "time"])
    capsys.readouterr()
    assert main(["compare", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert not (here / FOLDER).exists()
