"""The pages that commands write are up to date."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from needed import needed

import dftlrp
from dftlrp.cli import make_parser
from dftlrp.concepts import Study, survey
from dftlrp.concepts.recordings import find_recordings
from dftlrp.core.types import InputError
from dftlrp.results.glossary import TERMS

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["operators", "glossary", "cli"])
def test_a_page_is_what_its_command_writes(name):
    run = subprocess.run([sys.executable, DOCS / f"reference/{name}.py", "--check"], check=False)
    assert run.returncode == 0, f"run: python docs/reference/{name}.py"


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_the_glossary_has_two_sentences(term):
    assert len(re.findall(r"\.(?= [A-Z]|$)", TERMS[term])) == 2


def test_the_page_of_rules_names_every_rule():
    from dftlrp.core.rules import FUNCTIONS

    rules = (DOCS / "reference/rules.md").read_text("utf-8")
    for name in FUNCTIONS:
        assert f"| `{name}" in rules, f"docs/reference/rules.md has no row for {name}"


def _read_python(page: Path) -> str:
    """The Python of a page, as one program."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S))


def test_the_python_of_the_readme_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(dftlrp.embedded("waveform").read_bytes())
    (tmp_path / "clip.wav").write_bytes(dftlrp.embedded("clip").read_bytes())
    for name in ("to_pandas", "to_xarray"):  # which need what need not be installed
        monkeypatch.setattr(dftlrp.Explanation, name, lambda self, what: None)
    exec(compile(_read_python(DOCS.parent / "README.md"), "README.md", "exec"), {})
    assert {"why.wav", "out"} <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.slow
def test_the_python_of_the_readme_has_right_types(tmp_path):
    needed("mypy")
    (tmp_path / "readme.py").write_text(_read_python(DOCS.parent / "README.md"), "utf-8")
    config = str(DOCS.parent / "pyproject.toml")
    command = [sys.executable, "-m", "mypy", "--config-file", config, tmp_path / "readme.py"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def _read_commands(page: Path) -> list[str]:
    """The lines of a page that call dftlrp, without the brackets of a synopsis."""
    blocks = re.findall(r"^```(?:bash)?\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    lines = (line.removeprefix("$ ") for block in blocks for line in block.splitlines())
    return [re.sub(r"[][]| \.\.\.", "", x) for x in lines if x.startswith(("dftlrp ", "$ dftlrp "))]


def test_the_commands_of_the_pages_are_understood():
    pages = [DOCS.parent / "README.md", *DOCS.glob("*.md")]
    pages += [
        p for part in ("guides", "reference", "explanation") for p in DOCS.glob(f"{part}/*.md")
    ]
    commands = [(page, line) for page in pages for line in _read_commands(page)]
    assert len(commands) > 30
    for page, line in commands:
        try:
            make_parser().parse_args(shlex.split(line, comments=True)[1:])
        except InputError as error:
            pytest.fail(f"{page.name}: {line}: {error}")


ROOT = DOCS.parent
EXAMPLES = {
    ".".join(path.relative_to(room).with_suffix("").parts).removesuffix(".__init__"): path
    for room in (ROOT, ROOT / "backends")
    for path in sorted(room.glob("dftlrp*/**/*.py"))
    if ">>> " in path.read_text("utf-8")
}
LONG = ("concepts.explain_many", "concepts.explanations", "concepts.neuron_analysis",
        "concepts.prototypes", "concepts.statistics", "concepts.survey", "concepts.trials",
        "evaluation.data_set", "torch.backend",
        "torch.loading", "tensorflow.backend", "tensorflow.loading", "jax.backend")  # fmt: skip
SURVEYED = ("concepts.prototypes", "concepts.statistics", "concepts.survey", "concepts.trials")


@pytest.fixture(scope="module")
def shared():
    """What docs/reference/api.rst says that examples know."""
    clip = dftlrp.embedded("clip")
    return {"dftlrp": dftlrp, "np": np, "clip": clip, "e": dftlrp.explain("waveform", clip)}


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("surveyed")
    for k in range(2):
        _copy_clip(folder / f"clips/seven/{k}.wav")
    model, path = dftlrp.load("waveform"), str(dftlrp.embedded("waveform"))
    recordings = find_recordings(folder / "clips", 10, model.labels, rate=8000.0, channels=1)
    study = Study(path, "conv6", 8000.0, 10, spectra=False)
    return survey(study, recordings, folder / "work")


def _copy_clip(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dftlrp.embedded("clip").read_bytes())


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * n.endswith(LONG)) for n in EXAMPLES],
)
def test_examples_in_docstrings_print_what_they_say(name, shared, request, tmp_path, monkeypatch):
    known = dict(shared)
    if framework := re.match(r"dftlrp_(torch|tensorflow|jax)(?=\.)", name):
        needed(framework[1])
        known[framework[0]] = importlib.import_module(framework[0])
    if name.endswith(SURVEYED):
        known["surveyed"] = request.getfixturevalue("surveyed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(dftlrp.embedded("waveform").read_bytes())
    for place in ("clip.wav", "clips/seven/0.wav", "clips/seven/1.wav"):
        _copy_clip(tmp_path / place)
    module = importlib.import_module(name)
    found = doctest.testmod(module, extraglobs=known, optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed
