"""Names and labels of others are shown, never obeyed."""

from __future__ import annotations

import json

import pytest
from models import listener, saved

from dftlrp import embedded
from dftlrp.cli import main
from dftlrp.core.text import make_printable
from dftlrp.core.types import DftlrpError, InputError, ModelError

ESCAPES = [("\x1b[31mred", r"\x1b[31mred"), ("two\nlines", r"two\nlines"), ("a\0b", r"a\x00b"),
           ("\u202egnp.exe", r"\u202egnp.exe"), ("\x9b2J", r"\x9b2J"),
           ("\udcff", r"\udcff")]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), ESCAPES)
def test_control_characters_are_shown_escaped(text, shown):
    assert make_printable(text) == shown
    assert make_printable(shown) == shown


@pytest.mark.parametrize("text", ["", "plain", "Größe 大きさ ✓", "C:\\new\\table"])
def test_other_text_stays_as_it_is(text):
    assert make_printable(text) == text


@pytest.mark.parametrize("error", [DftlrpError, InputError, ModelError])
def test_every_refusal_is_one_line(error):
    assert str(error("a\nb\x1b[2J")) == r"a\nb\x1b[2J"


def test_a_terminal_never_gets_what_a_model_file_says(tmp_path, monkeypatch, capsys):
    proto = listener(labels=None)
    labels = [f"\x1b]0;{name}\x07\nexplained: x" for name in "abc"]
    proto.metadata_props.add(key="labels", value=json.dumps(labels))
    for node in proto.graph.node:
        node.name = "\x1b[8m" + node.output[0]
    proto.graph.node[-1].output[0] = proto.graph.output[0].name = "y\x1b[2J"
    path, clip = str(saved(proto, tmp_path)), str(embedded("clip"))
    monkeypatch.chdir(tmp_path)
    for command in (["inspect", path], ["explain", path, clip, "--table"], ["check", path]):
        assert main(command) == 0
    out = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in out)
    assert r"y\x1b[2J" in out
    assert r"\x07\nexplained: x" in out
