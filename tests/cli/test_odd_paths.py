"""Every path that a user gives, where the system cannot say whether anything is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset import folder

import dftlrp
from dftlrp.cli import main
from dftlrp.concepts import neurons
from dftlrp.concepts.shards import open_store
from dftlrp.core.files import replace_file
from dftlrp.core.types import DftlrpError
from dftlrp.results.saving import save
from dftlrp.spectral import stft_lrp

ODD = {
    "a long name": "a" * 300, "a long path": "b/" * 3000, "a loop of links": "loop",
    "behind a loop": "loop/x", "behind a file": "plain/x", "a NUL": "a\0b", "a pipe": "pipe",
    "nothing": "",
}  # fmt: skip
USES: dict[str, Callable[[str], Any]] = {
    "load": dftlrp.load,
    "explain": lambda name: dftlrp.explain("m.onnx", name),
    "front end": lambda name: dftlrp.explain("m.onnx", np.zeros(400), frontend=name),
    "save": lambda name: save([], name),
    "Explanation.load": dftlrp.Explanation.load,
    "data": lambda name: neurons("m.onnx", name, layer="c2", folder="out"),
    "folder of neurons": lambda name: neurons("m.onnx", "data", layer="c2", folder=name),
    "store": lambda name: open_store(name, {}).__enter__(),
    "stream": lambda name: stft_lrp(np.ones(64), multiplier=np.ones(64), window=8, hop=4, out=name),
    "file": lambda name: replace_file(name, b""),
}
COMMANDS = {
    "explain": ["m.onnx", None], "explain --model": ["x.wav", "--model", None],
    "explain --out": ["m.onnx", "data/low/0.wav", "--out", None],
    "explain --labels": ["m.onnx", "data/low/0.wav", "--labels", None],
    "explain --frontend": ["m.onnx", "data/low/0.wav", "--frontend", None],
    "neurons": ["m.onnx", None, "--layer", "c2"], "inspect": [None], "check": [None],
    "neurons --out": ["m.onnx", "data", "--layer", "c2", "--out", None],
    "check --against": ["m.onnx", "--against", None],
    "check --against :": ["m.onnx", "--against", "{}:f"],
    "export": ["m.onnx", "--shape", "1,1,400", "-o", None],
}  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path, takes=1)
    os.symlink("loop", "loop")
    os.mkfifo("pipe")
    Path("plain").write_text("x")


@pytest.mark.parametrize("use", USES)
def test_an_odd_path_is_refused_in_one_line(use):
    wrong = {}
    for kind, name in ODD.items():
        if (use, kind) == ("file", "a pipe"):  # which is replaced
            continue
        try:
            wrong[kind] = USES[use](name)
        except DftlrpError as error:
            if "\n" in str(error):
                wrong[kind] = error
    assert not wrong


@pytest.mark.parametrize("command", COMMANDS)
def test_an_odd_path_is_refused_by_the_command_line(command, capsys, monkeypatch):
    monkeypatch.setenv("DFTLRP_ISOLATE", "0")
    wrong = {}
    for kind, name in ODD.items():
        if (command, kind) == ("export", "a pipe"):  # which is replaced
            continue
        given = [name if a is None else a.replace("{}", name) for a in COMMANDS[command]]
        status, said = main([command.split()[0], *given]), capsys.readouterr().err
        if status != 2 or not said.startswith("dftlrp: ") or said.count("\n") != 1:
            wrong[kind] = status, said
    assert not wrong
