"""What the package is: its names, their signatures, and what importing it costs."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib.metadata import entry_points, metadata, version
from pathlib import Path
from typing import Any

import pytest

import dftlrp

ROOT = Path(dftlrp.__file__).parent
PROJECT = Path(__file__).parents[1]
MODULES = sorted(ROOT.rglob("*.py"))
LAZY = ("scipy", "onnx", "matplotlib", "soundfile", "jinja2", "tqdm", "numpy")

SIGNATURES = {
    "explain": "(model, signal, *, target='argmax', rate=None, seed='auto', composite='auto', "
    "overrides=None, labels=None, output=None, bind=None, "
    "domains=('time', 'frequency', 'time-frequency'), backend=None, frontend=None, masks=None, "
    "method='lrp', reference='auto', at='strongest', window=None, channels=(), versus=None)",
    "attribute": "(model, inputs, *, target='argmax', output=None, bind=None, seed='logit', "
    "composite='auto', overrides=None, backend=None, dtype=None, ledger=True, keep=(), masks=None, "
    "method='lrp', reference='auto')",
    "compare": "(*explanations, names=None)",
    "embedded": "(name)",
}
FIELDS = {
    "Attribution": {"relevance", "multiplier", "output", "seed", "ledger"},
    "Comparison": {"explanations", "labels"},
    "Explanation": {"signal", "relevance", "axes", "target", "output", "ledger"},
    "Ledger": {"rows"},
}
METHODS = {
    "Comparison": {"differences", "plot", "save"},
    "Explanation": {"audible", "plot", "save", "load", "channels", "share", "table", "verify"},
    "Ledger": {"gap"},
}
ROW = ("node", "op", "rule", "relevance", "to_inputs", "bias", "stabiliser", "stopped")


def bare(function: object) -> str:
    """The signature without annotations."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_importing_costs_nothing_that_is_not_used():
    loaded = run(f"import sys, dftlrp; print(*[m for m in {LAZY} if m in sys.modules])")
    assert loaded.split() == []


def test_importing_takes_less_than_300_ms():
    code = "import time; t = time.perf_counter(); import dftlrp; print(time.perf_counter() - t)"
    assert min(float(run(code)) for _ in range(3)) < 0.3


def test_loading_and_attributing_need_no_sound_and_no_pictures():
    code = "import sys; from dftlrp import load, attribute, explain, dft_lrp; "
    code += "print(*[m for m in ('matplotlib', 'soundfile', 'jinja2') if m in sys.modules])"
    assert run(code).split() == []


@pytest.mark.parametrize("name", SIGNATURES)
def test_public_functions_have_exactly_the_promised_parameters(name):
    assert bare(getattr(dftlrp, name)) == SIGNATURES[name]


def test_load_takes_a_path():
    parameters = list(inspect.signature(dftlrp.load).parameters.values())
    assert parameters[0].name == "path"
    assert all(p.kind is p.KEYWORD_ONLY and p.default is None for p in parameters[1:])


def test_the_array_functions_take_exactly_one_of_relevance_and_multiplier():
    assert bare(dftlrp.dft_lrp) == "(signal, relevance=None, *, multiplier=None, axis=-1)"
    for name in ("dft_lrp", "stft_lrp", "inverse_dft_lrp", "inverse_stft_lrp"):
        parameters = inspect.signature(getattr(dftlrp, name)).parameters
        assert parameters["relevance"].default is None
        assert parameters["multiplier"].kind is inspect.Parameter.KEYWORD_ONLY
        assert ("n" in parameters) == name.startswith("inverse")


@pytest.mark.parametrize("name", FIELDS)
def test_results_have_the_promised_attributes(name):
    cls = getattr(dftlrp, name)
    assert FIELDS[name] <= {field.name for field in fields(cls)}
    assert METHODS.get(name, set()) <= set(dir(cls))


def test_a_row_of_the_ledger_has_the_promised_columns():
    from dftlrp.core.ledger import LedgerRow

    assert tuple(inspect.get_annotations(LedgerRow))[: len(ROW)] == ROW


def test_every_public_name_can_be_had_and_is_listed():
    assert dftlrp.__all__ == sorted(dftlrp.__all__)
    assert set(dftlrp.__all__) == set(dftlrp._HOME) <= set(dir(dftlrp))
    for name in dftlrp.__all__:
        assert getattr(dftlrp, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="explian"):
        _ = dftlrp.explian


def test_every_error_is_a_dftlrp_error():
    for name in ("InputError", "ModelError", "NonFiniteError", "UnsupportedModelError"):
        assert issubclass(getattr(dftlrp, name), dftlrp.DftlrpError)


def test_the_version_is_that_of_the_distribution():
    assert dftlrp.__version__ == version("dftlrp")


def test_the_command_and_the_numpy_backend_are_entry_points():
    (script,) = entry_points(group="console_scripts", name="dftlrp")
    (backend,) = entry_points(group="dftlrp.backends", name="numpy")
    assert callable(script.load())
    assert backend.load().name == "numpy"


def test_no_deep_learning_framework_is_required():
    needed = [n.lower() for n in metadata("dftlrp").get_all("Requires-Dist") if "extra" not in n]
    assert not [n for n in needed if n.startswith(("torch", "tensorflow", "jax", "keras"))]


def test_what_is_shipped_is_there_and_small():
    for name in ("waveform", "clip"):
        path = dftlrp.embedded(name)
        assert path.is_file()
        assert path.stat().st_size < 1_500_000


def read_project() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))


def read_first_column(heading: str) -> list[str]:
    """The first cells of the table under a heading of the page of licences."""
    page = (PROJECT / "docs/explanation/licences.md").read_text("utf-8")
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `?([^`|]+?)`? \|", section, re.M)[1:]


def test_the_page_of_licences_lists_every_file_that_is_shipped():
    wheel = read_project()["tool"]["hatch"]["build"]["targets"]["wheel"]
    folders = [PROJECT / name for name in wheel["packages"]]
    files = {p for folder in folders for p in folder.rglob("*") if p.is_file()}
    left = {p for p in files if p.suffix not in (".py", ".pyc")}
    for row in read_first_column("What is shipped"):
        listed = {p for folder in folders for p in folder.parent.glob(row)}
        assert listed, f"nothing is called {row}"
        left -= listed
    assert not left


def test_the_page_of_licences_lists_what_the_package_is_used_with():
    project = read_project()["project"]
    extras = project["optional-dependencies"]
    used = [extras[e] for e in extras if e not in ("test", "browser", "lint", "docs")]
    needs = {re.match(r"[\w-]+", n)[0] for n in sum(used, project["dependencies"])}
    assert needs == set(read_first_column("What it is used with"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is_and_has_under_400_lines_beside_docstrings(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    told = [n.body[0] for n in ast.walk(tree) if isinstance(n, documented) and ast.get_docstring(n)]
    spoken = sum(d.end_lineno - d.lineno + 1 for d in told)
    assert len(text.splitlines()) - spoken < 400


def test_the_median_function_has_about_eight_lines():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in MODULES]
    bodies = [
        node.end_lineno - node.body[bool(ast.get_docstring(node))].lineno + 1
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and len(node.body) > bool(ast.get_docstring(node))
    ]
    assert sorted(bodies)[len(bodies) // 2] <= 8


def test_no_module_keeps_state_that_changes_after_import():
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.Global)], path
