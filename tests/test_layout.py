"""The layout of the code: rooms, what they import, and names that are used once."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def _load_sizes() -> Any:
    spec = importlib.util.spec_from_file_location("sizes", ROOT / "docs/sizes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sizes"] = module
    spec.loader.exec_module(module)
    return module


sizes = _load_sizes()
MODULES = sizes.read_modules()
LAYERS = sizes.read_layers()
ROOMS = {room for layer in LAYERS for room in layer}


def read_table() -> dict[str, set[str]]:
    """Return what each room may import by the table in docs/explanation/design.md."""
    text = (ROOT / "docs/explanation/design.md").read_text("utf-8").partition("## Rooms")[2]
    rows = [line.split("|")[1:4] for line in text.splitlines() if line.startswith("| `")]
    told = {room.strip(" `"): may.strip() for room, _, may in rows}
    allowed = dict[str, set[str]]()
    for room, may in list(told.items())[::-1]:  # from the ground up
        if may == "everything":
            allowed[room] = ROOMS - {room}
            continue
        named = {name.strip() for name in may.replace(" and below", "").split(",")} - {"nothing"}
        below = {b for name in named for b in allowed[name]} if "and below" in may else set()
        allowed[room] = named | below
    return allowed


def test_the_package_holds_the_rooms_of_the_contract_and_no_loose_module():
    package = ROOT / "dftlrp"
    folders = {p.name for p in package.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders == ROOMS
    assert len(folders) <= 13
    assert {p.name for p in package.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_the_table_of_rooms_is_the_import_contract():
    table = read_table()
    assert set(table) == ROOMS
    floors = {room: i for i, layer in enumerate(LAYERS[::-1]) for room in layer}
    for room, allowed in table.items():
        assert all(floors[other] < floors[room] for other in allowed), room


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_what_the_table_allows(room):
    known, allowed = {m.name: m for m in MODULES}, read_table()[room] | {room, ""}
    for module in MODULES:
        if module.room == room:
            used = {(known[t].room, line) for t, line in sizes.find_imports(module, set(known))}
            assert not [u for u in used if u[0] not in allowed], module.name


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_says_what_it_is_for_and_what_it_must_never_know(room):
    text = (ROOT / "dftlrp" / room / "__init__.py").read_text("utf-8")
    told = " ".join((ast.get_docstring(ast.parse(text)) or "").split())
    assert "In come" in told
    assert "must never" in told


def test_nothing_imports_in_circles():
    assert sizes.find_circles(MODULES) == []


def test_no_import_runs_back_up():
    assert sizes.find_upward_imports(MODULES) == []


def test_a_name_means_one_thing():
    files, private = sizes.find_repeated_names(MODULES)
    assert files == {}
    assert private == {}


PUBLIC = (  # functions that users call by keyword, and what they document
    ".explain", ".explain_features", ".explain_recording", ".attribute", ".predict", ".export",
    ".check", ".conditional", ".neurons",
    ".attribution_graph", ".layers_of", ".silenced", ".stft_lrp", ".inverse_stft_lrp", ".relevance",
    ".explain_many", ".srg", ".deletion_curves", ".explanation_curves", ".evaluate",
    ".custom.__init__",  # of spectral.Custom
)  # fmt: skip


def test_no_function_inside_takes_more_than_six_parameters():
    many = {
        name
        for m in MODULES
        for f in m.functions()
        if sizes.count_parameters(f) > sizes.MOST_PARAMETERS
        and not (name := f"{m.name}.{f.name}").endswith(PUBLIC)
    }
    assert many == set()
