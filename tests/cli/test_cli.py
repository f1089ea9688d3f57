"""The command line: what it writes, what it prints, and how it refuses."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from models import LABELS, chain, listener, model, normal, saved, value
from onnx import TensorProto, helper

import dftlrp
from dftlrp.attribution.methods import METHODS
from dftlrp.cli import _Terminal, main, make_parser
from dftlrp.cli.answering import OTHERS
from dftlrp.cli.options import list_commands

FIGURE = "dftlrp.results.figure"
FILES = {
    "report.html", "explanation.npz", "bands.csv", "segments.csv",
    "original.wav", "heatmap.wav", "rectified.wav", "negative.wav", "resynthesis.wav",
    "complement.wav",
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A working directory with a model and a recording; the report costs no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dftlrp.results.saving.render", lambda e, *_: "".join(x.label for x in e))
    saved(listener(end="Softmax"), tmp_path, "m.onnx")
    soundfile.write("a.wav", 0.1 * normal(800), 16000)
    return tmp_path


def explain(*args: str) -> dftlrp.Explanation:
    """Run ``explain m.onnx a.wav`` with options, and read the result."""
    assert main(["explain", "m.onnx", "a.wav", *args]) == 0
    return dftlrp.Explanation.load("dftlrp-out")


def names(folder: str | Path) -> set[str]:
    return {p.name for p in Path(folder).iterdir() if not p.name.startswith(".")}


# -- the main job


def test_the_method_is_an_option_and_its_help_names_all(here, capsys):
    e = explain("--method", "smoothgrad(samples=2)", "--domains", "time")
    assert e.provenance["method"] == "smoothgrad(samples=2, sigma=0.3)"
    assert "the parts add up to" in capsys.readouterr().out
    assert main(["explain", "m.onnx", "a.wav", "--method", "smothgrad"]) == 2
    assert "did you mean 'smoothgrad'" in capsys.readouterr().err
    assert ("lrp", *OTHERS) == tuple(METHODS)


def test_two_methods_are_shown_side_by_side(here, capsys):
    asked = ("--method", "lrp", "occlusion(count=5)", "--domains", "time")
    e = explain(*asked, "--composite", "EpsilonPlus")
    assert e.provenance["composite"] == "EpsilonPlus"
    assert (here / "dftlrp-out/versus-explanation.npz").exists()
    assert e.label in LABELS
    assert "\nocclusion(count=5):\n" in capsys.readouterr().out
    for given, said in (
        (["lrp", "rise", "shapley"], "two methods for one class"),
        (["lrp", "lrp"], "the same method twice"),
        (["lrp", "rise", "--versus", "low"], "two methods for one class"),
    ):
        assert main(["explain", "m.onnx", "a.wav", "--method", *given]) == 2
        assert said in capsys.readouterr().err


def test_without_arguments_the_shipped_digit_is_recognised_and_everything_written(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["explain"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert names("dftlrp-out") == FILES
    assert "prediction: seven" in out
    assert "check passed: no relevance lost" in out
    assert "half of the positive relevance lies between" in out
    assert f"open {os.path.join('dftlrp-out', 'report.html')}; beside it: " in out
    assert all(name in out for name in FILES)
    assert len(out.splitlines()) <= 15
    e = dftlrp.Explanation.load("dftlrp-out")
    assert e.label == "seven"
    assert e.ledger.gap <= 1e-6  # float32; audited below
    assert main(["explain", "--backend", "numpy", "--out", "audit"]) == 0
    assert dftlrp.Explanation.load("audit").ledger.gap <= 1e-9


def test_as_a_program_it_does_the_same(tmp_path):
    path = saved(listener(), tmp_path)
    soundfile.write(tmp_path / "a.wav", 0.1 * normal(400), 8000)
    run = subprocess.run(
        [sys.executable, "-m", "dftlrp", "explain", path, "a.wav", "--out", "there"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    assert names(tmp_path / "there") == FILES
    assert "prediction: " in run.stdout


def test_as_a_program_it_refuses_in_one_line_without_a_traceback(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "dftlrp", "explain", "no.onnx", "no.wav"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "dftlrp: no.onnx: no such file\n"
    assert names(tmp_path) == set()


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"dftlrp {dftlrp.__version__}\n"


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["explain", "--help"])
    text = capsys.readouterr().out
    for option in ("--target", "--composite", "--domains", "--out", "--versus", "--seed-kind",
                   "--labels", "--output", "--bind", "--rule", "--rate", "--table"):  # fmt: skip
        assert option in text


# -- one JSON object


def test_json_is_one_object_with_the_same_keys_as_in_python(here, capsys):
    e = explain("--json", "--versus", "high")
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert err == ""
    assert (said["schema"], said["dftlrp"], said["command"]) == (1, dftlrp.__version__, "explain")
    first, other = said["explanations"]
    assert first == json.loads(json.dumps(e.to_dict()))
    assert other["label"] == "high"
    assert {Path(f).name for f in said["files"]} == names("dftlrp-out")
    documented = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text("utf-8")
    nested = [first["domains"]["time"], first["bands"][0], first["tiles"][0], first["account"]]
    for key in {k for one in (said, first, *nested) for k in one}:
        assert f"`{key}`" in documented, key


def test_every_command_prints_one_json_object(here, capsys):
    for args in (["inspect", "m.onnx"], ["export", "m.onnx", "-o", "e.onnx"]):
        assert main([*args, "--json"]) == 0
        out, err = capsys.readouterr()
        said = json.loads(out)
        assert (said["schema"], said["command"], err) == (1, args[0], "")
    assert said["files"] == ["e.onnx"]
    assert "relevance" in " ".join(said["outputs"])


def test_every_command_has_the_option_json():
    for name, parser in list_commands(make_parser()._actions):
        if name != "completion":
            assert "--json" in parser._option_string_actions, name


def test_the_page_is_opened_only_where_that_can_be(here, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: bool(opened.append(url)) or True)
    monkeypatch.setenv("DISPLAY", ":0")
    explain("--domains", "time", "--open")
    assert opened == []  # no terminal
    assert "open dftlrp-out/report.html yourself" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stderr", Terminal())
    explain("--domains", "time", "--open")
    assert opened == [(here / "dftlrp-out/report.html").as_uri()]


# -- options


def test_what_was_done_to_the_recording_is_printed(here, capsys):
    explain()
    assert "resampled from 16000 Hz to 8000 Hz" in capsys.readouterr().out


def test_the_prediction_is_printed_whatever_the_target(here, capsys):
    best = explain().label
    other = next(name for name in LABELS if name != best)
    capsys.readouterr()
    explain("--target", other)
    out = capsys.readouterr().out
    assert f"prediction: {best}" in out
    assert f'explaining "{other}"' in out


@pytest.mark.parametrize("target", ["high", "2"])
def test_target_takes_an_index_or_a_label(here, target):
    e = explain("--target", target)
    assert (e.target, e.label) == (2, "high")


def test_versus_explains_two_classes_side_by_side(here, capsys):
    e = explain("--target", "low", "--versus", "high")
    other = dftlrp.Explanation.load("dftlrp-out/versus-explanation.npz")
    assert (e.label, other.label) == ("low", "high")
    out = capsys.readouterr().out
    assert 'explaining "low"' in out
    assert 'explaining "high"' in out
    assert (here / "dftlrp-out" / "report.html").read_text() == "lowhigh"
    assert {"versus-heatmap.wav", "versus-resynthesis.wav"} <= names("dftlrp-out")
    np.testing.assert_array_equal(e.signal["time"], other.signal["time"])


def test_versus_without_a_target_compares_with_the_prediction(here):
    best = explain().label
    other = next(name for name in LABELS if name != best)
    assert explain("--versus", other).label == best


@pytest.mark.parametrize(
    "text", ["a\nb\nc\n", "a\r\nb\r\n c ", "a\n\nb\nc\n\n", '["a", "b", "c"]',
             '\n [ "a","b","c" ]\n', "\ufeffa\nb\nc"],
)  # fmt: skip
def test_labels_come_from_lines_or_a_json_list(here, text):
    (here / "labels.txt").write_text(text, encoding="utf-8")
    e = explain("--labels", "labels.txt", "--target", "c")
    assert (e.target, e.labels) == (2, ("a", "b", "c"))


def test_domains_are_separated_by_spaces_or_commas(here):
    assert explain("--domains", "frequency", "time").domains == ("frequency", "time")
    assert explain("--domains", "time-frequency,time").domains == ("time-frequency", "time")
    assert explain("--domains", "frequency").domains == ("frequency",)
    assert names("dftlrp-out") == {"report.html", "explanation.npz", "bands.csv"}


@pytest.mark.parametrize(("option", "name"), [((), "png"), (("svg",), "svg")])
def test_a_figure_is_drawn_only_if_it_is_asked_for(here, monkeypatch, option, name):
    explain()
    assert not {n for n in names("dftlrp-out") if n.startswith("figure")}
    monkeypatch.setattr("dftlrp.results.saving.draw_figure", lambda e: None)
    monkeypatch.setattr("dftlrp.results.saving.save_figure", lambda f, path: path.touch())
    explain("--figure", *option)
    assert {n for n in names("dftlrp-out") if n.startswith("figure")} == {f"figure.{name}"}


def test_composite_rules_and_seed_are_passed_on(here):
    e = explain("--composite", "EpsilonPlus", "--rule", "first=flat", "--rule", "Gemm=gamma(0.1)",
                "--seed-kind", "one")  # fmt: skip
    assert e.provenance["composite"] == "EpsilonPlus"
    assert e.provenance["rules"]["c1"] == "flat"
    assert e.provenance["rules"]["logits"] == "gamma(gamma=0.1)"
    assert e.provenance["seed"] == "one"


def test_the_table_shows_the_rule_of_every_layer(here, capsys):
    explain("--table", "--rule", "first=flat")
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    for key in ("wave", "c1", "h1", "c2", "h2", "mean", "flat", "logits"):
        assert key in rows
    assert "flat" in rows["c1"]
    assert "gamma(gamma=0.1)" in rows["c2"]


def test_the_rate_is_that_of_a_model_that_does_not_say(here):
    saved(listener(rate=None), here, "m.onnx")
    assert explain("--rate", "4000").rate == 4000


def test_settings_are_bound_as_numbers_and_lists_and_an_output_is_named(here):
    nodes = [
        helper.make_node("Cast", ["gain"], ["g"], to=1),
        helper.make_node("Mul", ["x", "g"], ["y"]),
        helper.make_node("Mul", ["y", "two"], ["z"]),
    ]
    inputs = [value("x", [1, None]), value("gain", [], TensorProto.INT64), value("two", [1])]
    proto = model(nodes, inputs, [value("y", [1, None]), value("z", [1, None])])
    saved(proto, here, "m.onnx")
    e = explain("--bind", "gain=3", "--bind", "two=[2.5]", "--output", "z", "--target", "7")
    np.testing.assert_allclose(e.output, 7.5 * e.signal["time"])


def test_one_file_alone_is_a_recording_for_the_shipped_model(here):
    assert main(["explain", "a.wav"]) == 0
    assert dftlrp.Explanation.load("dftlrp-out").provenance["model"] == "waveform.onnx"


@pytest.mark.parametrize(
    ("files", "model"),
    [
        (["a.wav", "m.onnx"], "m.onnx"),  # the other way round
        (["mel", "a.wav"], "mel.onnx"),
        (["a.wav", "mel"], "mel.onnx"),
        (["stft"], "stft.onnx"),
        (["waveform", "clip"], "waveform.onnx"),
    ],
)
def test_the_model_is_told_from_the_recording_and_embedded_files_have_names(here, files, model):
    assert main(["explain", *files, "--domains", "time"]) == 0
    assert dftlrp.Explanation.load("dftlrp-out").provenance["model"] == model


def test_names_are_checked_before_the_model_runs(here, capsys, monkeypatch):
    monkeypatch.setattr("dftlrp.attribution.explain.explain", lambda *_, **__: pytest.fail("ran"))
    for given, said in (
        (["--versus", "hgh"], "did you mean 'high'"),
        (["--target", "low", "--versus", "Low"], "the same class as the target"),
        (["--composite", "epsilonflus"], "did you mean 'EpsilonPlus'"),
        (["--rule", "first=flt"], "did you mean 'flat'"),
        (["--method", "shaply"], "did you mean 'shapley'"),
        (["--domains", "tme"], "did you mean 'time'"),
        (["--seed-kind", "logits"], "did you mean 'logit'"),
        (["--model", "wavefrom"], "did you mean 'waveform'"),
    ):
        files = ["a.wav"] if "--model" in given else ["m.onnx", "a.wav"]
        assert main(["explain", *files, *given]) == 2
        assert said in capsys.readouterr().err


def test_results_are_replaced_and_foreign_files_kept(here):
    explain("--versus", "high")
    (here / "dftlrp-out" / "mine.txt").write_text("mine")
    explain()
    assert names("dftlrp-out") == FILES | {"mine.txt"}


def test_a_silent_recording_is_explained_with_a_warning(here, capsys):
    soundfile.write("a.wav", np.zeros(400), 8000)
    explain()
    assert "warning: the recording is silent" in capsys.readouterr().out


# -- refusals


def _write(name: str, data: Any = b"", rate: int = 8000) -> None:
    if isinstance(data, bytes):
        Path(name).write_bytes(data)
    else:
        soundfile.write(name, data, rate, "FLOAT")


def _bad_models() -> None:
    whole = Path("m.onnx").read_bytes()
    _write("text.onnx", b"not a model\n")
    _write("cut.onnx", whole[: len(whole) // 2])
    _write("empty.onnx", b"")
    _write("net.pt", b"PK\x03\x04")
    node = helper.make_node("Bernoulli", ["x"], ["y"])
    saved(model([node], {"x": [1, 400]}, {"y": [1, 400]}), Path(), "chance.onnx")
    saved(listener((None, 2, 400)), Path(), "stereo.onnx")
    saved(chain(1), Path(), "wrong.onnx")
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    saved(model(nodes, {"x": [1, 1, 8, 8]}, {"y": [1, 1, 8, 8]}), Path(), "image.onnx")
    nodes = [
        helper.make_node("Cast", ["n"], ["f"], to=1),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    inputs = [value("x", [1, 400]), value("n", [], TensorProto.INT64)]
    saved(model(nodes, inputs, [value("y", [1, 400])]), Path(), "setting.onnx")


def _bad_clips() -> None:
    whole = Path("a.wav").read_bytes()
    _write("cut.wav", whole[: len(whole) // 2])
    _write("none.wav", np.zeros(0))
    _write("nan.wav", np.array([0, np.nan, 0]))
    _write("inf.wav", np.array([0, np.inf, 0]))
    _write("text.wav", b"not a sound\n")
    _write("empty.wav", b"")
    _write("labels.txt", b"a\nb\nc\nd\n")
    _write("labels.json", b"[1, 2")
    _write("binary.txt", b"\xff\xfe\0")
    _write("file", b"mine")


M, A = "m.onnx", "a.wav"
REFUSED: dict[str, tuple[list[str], str]] = {
    "no such model": (["no.onnx", A], "no.onnx: no such file"),
    "no such recording": ([M, "no.wav"], "no.wav: no such file"),
    "a model alone": ([M], "recording"),
    "not an ONNX file": (["text.onnx", A], "text.onnx: not an ONNX"),
    "a truncated ONNX file": (["cut.onnx", A], "cut.onnx: not an ONNX"),
    "an empty ONNX file": (["empty.onnx", A], "empty.onnx: not an ONNX"),
    "a model for a recording": ([M, M], "m.onnx: not a sound"),
    "another framework's model, behind": ([A, "net.pt"], "torch.onnx.export"),
    "an unsupported op": (["chance.onnx", A], "y (Bernoulli)"),
    "an input of two channels": (["stereo.onnx", A], "reads 2 channels"),
    "an input of another rank": (["image.onnx", A], "(1, 1, 8, 8)"),
    "a setting without a value": (["setting.onnx", A], "--bind n=VALUE"),
    "a setting of the wrong type": (["setting.onnx", A, "--bind", "n=1.5"], "cannot bind 'n'"),
    "an unknown setting": ([M, A, "--bind", "n=1"], "cannot bind 'n'"),
    "a setting without a number": ([M, A, "--bind", "x=abc"], "--bind x=abc"),
    "a setting without a name": ([M, A, "--bind", "=1"], "NAME=VALUE"),
    "a rule without a layer": ([M, A, "--rule", "flat"], "NAME=VALUE"),
    "an unknown rule": ([M, A, "--rule", "first=flt"], "'flt'"),
    "an unknown layer": ([M, A, "--rule", "frist=flat"], "'frist'"),
    "a rule that does not fit": ([M, A, "--rule", "first=pass"], "pass"),
    "a truncated recording": ([M, "cut.wav"], "cut.wav: truncated"),
    "a recording without samples": ([M, "none.wav"], "none.wav"),
    "a recording with NaN": ([M, "nan.wav"], "nan at sample 1"),
    "a recording with Inf": ([M, "inf.wav"], "inf at sample 1"),
    "a text for a recording": ([M, "text.wav"], "text.wav: not a sound"),
    "an empty recording": ([M, "empty.wav"], "empty.wav"),
    "an unknown target": ([M, A, "--target", "hgh"], "low, middle, high"),
    "a target out of range": ([M, A, "--target", "3"], "0 to 2"),
    "a negative target": ([M, A, "--target=-1"], "'-1'"),
    "an unknown versus": ([M, A, "--versus", "hgh"], "'hgh'"),
    "an unknown preset": ([M, A, "--composite", "Epsilon+"], "EpsilonPlus"),
    "an unknown domain": ([M, A, "--domains", "cepstrum"], "time-frequency"),
    "no domain": ([M, A, "--domains", ","], "no domain"),
    "an unknown seed": ([M, A, "--seed-kind", "logits"], "contrast"),
    "an unknown output": ([M, A, "--output", "y"], "scores"),
    "an unknown backend": ([M, A, "--backend", "abacus"], "abacus"),
    "an absent provider": ([M, A, "--backend", "onnx:AbacusExecutionProvider"], "is not there"),
    "no number of threads": ([M, A, "--backend", "onnx::many"], "a positive number"),
    "a target out of a graph's": ([M, A, "--backend", "onnx", "--target", "3"], "0 to 2"),
    "no such labels": ([M, A, "--labels", "no.txt"], "no.txt"),
    "too many labels": ([M, A, "--labels", "labels.txt"], "4 labels for 3"),
    "labels that are no JSON": ([M, A, "--labels", "labels.json"], "labels.json"),
    "labels that are no text": ([M, A, "--labels", "binary.txt"], "binary.txt"),
    "a rate that is no number": ([M, A, "--rate", "fast"], "--rate"),
    "a rate of zero": ([M, A, "--rate", "0"], "rate"),
    "an unknown option": ([M, A, "--taget", "1"], "--taget 1; did you mean '--target'?"),
    "an option cut short": ([M, A, "--tar", "1"], "--tar 1; did you mean '--target'?"),
    "an option that is like none": ([M, A, "--xyzzy"], "arguments: --xyzzy (see dftlrp"),
    "a choice that is none": ([M, A, "--figure", "pgn"], "did you mean 'png'?"),
    "an option without a value": ([M, A, "--target"], "--target"),
    "a file where results belong": ([M, A, "--out", "file"], "file: cannot write"),
    "a folder under a file": ([M, A, "--out", "file/out"], "cannot write"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_gets_one_clear_line_exit_code_2_and_leaves_nothing(here, capsys, name):
    _bad_models()
    _bad_clips()
    before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    args, words = REFUSED[name]
    assert main(["explain", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dftlrp: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert len(err) < 500
    assert words in err
    assert {p: p.read_bytes() for p in here.rglob("*") if p.is_file()} == before
    assert not (here / "dftlrp-out").exists()


O = ["-o", "e.onnx"]
EXPORT_REFUSED: dict[str, tuple[list[str], str]] = {
    "no such model": (["no.onnx", *O], "no.onnx: no such file"),
    "no file to write": ([M], "-o"),
    "a folder that is not there": ([M, "-o", "no/e.onnx"], "cannot write"),
    "a folder for a file": ([M, "-o", "."], "cannot write"),
    "a file for a folder": ([M, "-o", f"{__file__}/e.onnx"], "cannot write"),
    "the model's own file": ([M, "-o", "./m.onnx"], "would replace the model"),
    "a file of the user's": ([M, "-o", A], "a.wav: was not written by dftlrp export"),
    "another model": ([M, "-o", "wrong.onnx"], "wrong.onnx: was not written by dftlrp export"),
    "an open shape": (["open.onnx", *O], "open shape (1, None): give it, as --shape x=1,2,3"),
    "a shape of no input": ([M, *O, "--shape", "y=1,2"], "'y'"),
    "a shape that does not fit": ([M, *O, "--shape", "x=1,1,5"], "(1, 1, 5)"),
    "a shape that is no number": ([M, *O, "--shape", "x=1,two"], "NAME=1,2,3"),
    "no sample": ([M, *O, "--batch", "0"], "batch 0"),
    "an unknown domain": ([M, *O, "--domains", "mel"], "time, frequency, time-frequency, input"),
    "an input without a front end": ([M, *O, "--domains", "input"], "has no front end"),
    "a rule without a multiplier": (
        [M, *O, "--composite", "EpsilonPlusFlat", "--domains", "frequency"], "another composite"),
    "no such front end": ([M, *O, "--frontend", "no.toml"], "no.toml: no such file"),
    "a front end that does not fit": ([M, *O, "--frontend", "fe.toml"], "its axis"),
    "an unknown seed": ([M, *O, "--seed-kind", "contrast:1"], "a file can hold"),
    "an unknown output": ([M, *O, "--output", "y"], "scores"),
    "an unknown preset": ([M, *O, "--composite", "Epsilon+"], "EpsilonPlus"),
    "an unsupported op": (["chance.onnx", *O], "y (Bernoulli)"),
    "a setting without a value": (["setting.onnx", *O], "--bind n=VALUE"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPORT_REFUSED)
def test_an_export_that_cannot_be_is_refused_in_one_line_too(here, capsys, name):
    _bad_models()
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    saved(model(nodes, [value("x", [1, None])], [value("y", [1, None])]), here, "open.onnx")
    (here / "fe.toml").write_text(
        "[frontend]\nrate = 8000\nlayout = ['batch', 'frequency', 'time']\n"
    )
    before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    args, words = EXPORT_REFUSED[name]
    assert main(["export", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dftlrp: ")
    assert err.count("\n") == 1
    assert words in err
    assert {p: p.read_bytes() for p in here.rglob("*") if p.is_file()} == before


def test_an_unwritable_folder_is_refused_and_former_results_stay(here, capsys, monkeypatch):
    explain()
    before = {p: p.read_bytes() for p in (here / "dftlrp-out").iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dftlrp.results.saving.write_arrays", full)
    capsys.readouterr()
    assert main(["explain", M, A, "--target", "2"]) == 2
    assert capsys.readouterr().err == (
        "dftlrp: dftlrp-out: cannot write results here: No space left on device\n"
    )
    assert {p: p.read_bytes() for p in (here / "dftlrp-out").iterdir()} == before


def test_no_command_is_refused_in_one_line(capsys):
    for args in ([], ["frobnicate"]):
        assert main(args) == 2
        assert capsys.readouterr().err.count("\n") == 1


# -- progress


class Terminal:
    """A stderr that is a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("pause", "shown"), [(0.3, True), (0.0, False)])
def test_a_bar_shows_on_a_terminal_from_the_first_second_on_and_is_wiped(monkeypatch, pause, shown):
    import time

    from dftlrp.core.progress import steps

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    for _ in steps(list("abcde"), "writing"):
        time.sleep(pause)
    assert ("writing" in terminal.text) == shown
    assert terminal.text == "" or terminal.text.rpartition("\r")[2].strip() == ""


def test_a_line_on_a_terminal_says_from_the_start_what_is_being_done(here, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    explain("--domains", "time")
    said = [line.strip() for line in re.split("[\r\n]", terminal.text) if line.strip()]
    order = ["dftlrp explain", "loading m.onnx", "tracing", "preparing the graph"]
    places = [said.index(word) for word in order]
    assert places == sorted(places)
    assert places[0] == 0
    wiped = "".join(line for line in terminal.text.splitlines()[-1:])
    assert wiped.strip() == ""
    assert "prediction" in capsys.readouterr().out


def test_without_a_terminal_a_line_is_written_only_after_ten_seconds(monkeypatch, capsys):
    from dftlrp.core import progress

    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(progress, "TICK", 3600.0)
    with progress.watched("explaining"):
        for _ in progress.steps(range(5), "writing"):
            pass
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(re.fullmatch(r"dftlrp: writing: \d of 5, \d+ s", line) for line in lines)


def test_no_bar_is_written_into_a_file(here, capsys, monkeypatch):
    import time

    monkeypatch.setattr(
        "dftlrp.results.saving.render",
        lambda *_: time.sleep(1.2) or "",
    )
    explain()
    assert capsys.readouterr().err == ""


def test_the_labels_of_json_may_be_numbers(here):
    (here / "labels.json").write_text(json.dumps([10, 20, 30]))
    assert explain("--labels", "labels.json", "--target", "20").target == 1


def test_sigterm_ends_a_run_also_where_a_library_makes_another_exception_of_it(monkeypatch):
    def run(args):
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr("dftlrp.cli.inspect_command._run_inspect", run)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "m.onnx"])
    assert ended.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "−1 “six” …ü"), ("cp1252", '-1 "six" ...ü'), ("ascii", '-1 "six" ...?')],
)
def test_what_standard_output_cannot_encode_is_written_as_what_is_nearest(encoding, shown):
    held = io.BytesIO()
    out = io.TextIOWrapper(held, encoding, write_through=True)
    _Terminal(out).write("−1 “six” …ü")
    assert held.getvalue().decode(encoding) == shown
