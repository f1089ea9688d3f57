"""``dftlrp evaluate``, and ``explain --verify``."""

from __future__ import annotations

import json

import pytest
from dataset import folder

from dftlrp.cli import main
from dftlrp.cli.evaluate_command import _combine


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder(tmp_path, takes=1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Given:
    """Options as the parser leaves them."""

    def __init__(self, **given):
        own = {"composite": [], "seed_kind": [], "method": [], "reference": []}
        self.__dict__ |= {**own, "rule": [], "backend": None, **given}


def test_values_of_several_options_are_compared_in_all_combinations():
    found = _combine(Given(composite=["Epsilon,EpsilonPlus"], seed_kind=["logit", "contrast"]))
    assert list(found) == ["Epsilon logit", "Epsilon contrast", "EpsilonPlus logit",
                           "EpsilonPlus contrast"]  # fmt: skip
    assert found["Epsilon contrast"] == {"composite": "Epsilon", "seed": "contrast"}
    assert _combine(Given(method=["occlusion"])) == {"method occlusion": {"method": "occlusion"}}
    assert _combine(Given()) == {"default": {}}
    assert _combine(Given(backend="numpy")) == {"default": {"backend": "numpy"}}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["data", "--limit", "1"], "limit 1: at least two recordings are needed"),
        (["nowhere"], "nowhere: no such folder or table"),
        (["data", "--domains", "mel"], "domain 'mel': choose one of"),
        (["data", "--units", "time=401"], "401 segments along an axis of 400 cells"),
        (["data", "--units", "time=many"], "write it as DOMAIN=N"),
        (["data", "--composite", "Wrong"], "variant 'Wrong': unknown"),
        (["data/low", "--target", "label"], "only"),
    ],
)  # fmt: skip
def test_bad_arguments_get_one_line_and_leave_nothing(here, capsys, args, said):
    if said == "only":
        said = "has a label"
    assert main(["evaluate", "m.onnx", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
    assert not (here / "dftlrp-evaluation").exists()


@pytest.mark.slow
def test_a_comparison_prints_its_numbers_and_writes_a_page(here, capsys):
    asked = ["evaluate", "m.onnx", "data", "--domains", "time", "--replace", "zero", "--composite",
             "Epsilon", "EpsilonPlus", "--checks", "faithfulness,sound"]  # fmt: skip
    assert main(asked) == 0
    text = capsys.readouterr().out
    assert "time, replaced by zero (span" in text
    assert "EpsilonPlus: clearly better than" in text
    written = {p.name for p in (here / "dftlrp-evaluation").iterdir()}
    assert {"report.html", "evaluation.json", "faithfulness.csv"} <= written
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    whole = json.loads((here / "dftlrp-evaluation/evaluation.json").read_text())
    assert whole.items() <= found.items()
    assert (found["schema"], found["command"]) == (1, "evaluate")
    assert set(found["faithfulness"][0]["srg"]) == {
        "Epsilon", "EpsilonPlus", "gradient x input", "occlusion", "amplitude", "random",
    }  # fmt: skip


def test_explain_verifies_on_request_and_the_result_carries_it(here, capsys, monkeypatch):
    import dftlrp

    pages = []
    monkeypatch.setattr("dftlrp.results.saving.render", lambda e, *_: pages.extend(e) or "page")
    assert main(["explain", "m.onnx", "data/low/0.wav", "--verify"]) == 0
    text = capsys.readouterr().out
    assert text.count("verified: without the 16 of 160 tiles that matter most the score of") == 1
    for one in (*pages, dftlrp.Explanation.load("dftlrp-out")):
        assert one.notes[-1].startswith("verified: without the 16 of 160 tiles")
