"""An explanation in a few lines, and as plain values."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from explanations import explanation, quake, with_input, with_mel

from dftlrp.results.brief import make_plain

ONE = explanation()
KINDS = {
    "one channel": ONE,
    "channels": quake(),
    "mel": with_mel(ONE),
    "what the model reads": with_input(ONE, np.ones((2, 3)), np.ones((2, 3))),
    "hostile names": explanation(label="a\nb\x1b[2J" + "x" * 300),
    "one output": replace(ONE, labels=(), explained=np.array(7.0), target=()),
    "a function": replace(ONE, target=-1, label="a function of the output"),
    "only the input": replace(
        with_input(ONE, np.ones((2, 3)), np.ones((2, 3))),
        relevance={"input": np.ones((2, 3))}, signal={"input": np.ones((2, 3))},
        axes={"input": (np.arange(2), np.arange(3))},
    ),
    "no relevance": explanation(x=np.zeros(4000)),
    "a warning": replace(ONE, notes=("warning: the recording is silent",)),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_it_prints_in_ten_lines_and_never_as_arrays(name):
    text = repr(KINDS[name])
    lines = text.splitlines()
    assert 5 <= len(lines) <= 11
    assert str(KINDS[name]) == text
    assert text.isprintable() or all(line.isprintable() for line in lines)
    assert "array" not in text
    assert lines[0].startswith("Explanation of ")
    assert all(len(line) < 500 for line in lines)


@pytest.mark.parametrize("name", KINDS)
def test_its_plain_values_are_json_and_agree_with_the_arrays(name):
    e = KINDS[name]
    found = e.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found["domains"]) == set(e.domains)
    for domain, said in found["domains"].items():
        assert said["sum"] == pytest.approx(float(e.relevance[domain].sum()))
        assert said["sum"] == pytest.approx(said["favour"] + said["against"])
    if "frequency" in e.relevance:
        assert found["bands"][0]["relevance"] == pytest.approx(e.table("bands")[0].relevance)


def test_it_says_what_was_explained_where_it_lies_and_what_is_next():
    text = repr(ONE)
    assert '"seven"' in text
    assert "8.260, the prediction (next:" in text
    assert "half of the positive relevance lies between" in text
    assert "e.plot()" in text
    assert "warning  the recording is silent" in repr(KINDS["a warning"])


def test_plain_values_hold_no_number_that_json_does_not_know():
    odd = {1: np.float32(2), "a": (np.nan, np.inf, np.arange(2)), "s": slice(1, None), "n": None}
    assert make_plain(odd) == {"1": 2.0, "a": [None, None, [0, 1]], "s": "1:", "n": None}
