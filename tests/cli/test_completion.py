"""Completion in shells: what bash offers, and that every option is known to all of them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dftlrp.cli import main, make_parser
from dftlrp.cli.options import list_commands
from dftlrp.engine.composites import PRESETS

ASKED = [
    ("dftlrp ", {"explain", "inspect", "completion"}),
    ("dftlrp expl", {"explain"}),
    ("dftlrp explain --targ", {"--target"}),
    ("dftlrp inspect --composite ", {"auto", *PRESETS}),
    ("dftlrp explain --composite EpsilonPl", {"EpsilonPlus", "EpsilonPlusFlat"}),
    ("dftlrp explain --domains time fre", {"frequency"}),
    ("dftlrp explain --figure ", {"png", "svg"}),
    ("dftlrp explain clip.w", {"clip.wav"}),
    ("dftlrp frontend ", {"check", "init"}),
    ("dftlrp frontend init --li", {"--like"}),
    ("dftlrp explain --rate 8000 cl", {"clip.wav"}),
]


def write(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("typed", "offered"), ASKED)
def test_bash_offers(tmp_path, capsys, typed, offered):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    (tmp_path / "clip.wav").touch()
    words = typed.split(" ")
    asked = f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}; _dftlrp"
    script = f'{write("bash", capsys)}\n{asked}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    run = subprocess.run(
        ["bash", "-uc", script], cwd=tmp_path, capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    assert offered <= set(run.stdout.split())
    assert words[-1] == "" or all(w.startswith(words[-1]) for w in run.stdout.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_option_is_known(capsys, shell):
    text = write(shell, capsys)
    for name, parser in list_commands(make_parser()._actions):
        assert all(word in text for word in name.split())
        for option in parser._option_string_actions:
            assert option.lstrip("-") in text


def test_another_shell_is_refused_with_those_there_are(capsys):
    assert main(["completion", "tcsh"]) == 2
    assert "choose from" in capsys.readouterr().err
