"""What a release says of itself, in all the places that say it."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from needed import needed

import dftlrp

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_the_version_is_the_same_wherever_it_stands():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    newest = re.search(r"^## (\S+) \(", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert cited is not None
    assert newest is not None
    assert dftlrp.__version__ == cited[1] == newest[1]
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["hatch"]["version"] == {"path": "dftlrp/__init__.py"}


def test_citation_and_archive_name_the_same_work():
    cited, archived = (
        (ROOT / "CITATION.cff").read_text("utf-8"),
        json.loads((ROOT / ".zenodo.json").read_text("utf-8")),
    )
    assert f'title: "{archived["title"]}"' in cited
    assert archived["license"] == PROJECT["project"]["license"]
    assert f"license: {archived['license']}" in cited
    for related in archived["related_identifiers"]:
        assert related["identifier"].removeprefix("10.48550/arXiv.") in cited


@pytest.mark.parametrize("address", ["", "https://example.org/a/b"])
def test_links_of_the_readme_lead_to_files_or_are_words(address, monkeypatch):
    needed("hatchling")
    monkeypatch.syspath_prepend(str(ROOT))
    from hatch_build import lead_links

    readme = (ROOT / "README.md").read_text("utf-8")
    text = lead_links(readme + "\n```\na[0](b)\n```\n", address, "1.0")
    assert text.endswith("\n```\na[0](b)\n```\n")
    places = re.findall(r"\]\((?!#)([^)]+)\)", text.rpartition("\n```\na")[0])
    assert all(place.startswith("https://") for place in places)
    led = [
        re.sub(r"^[^/]+/v1\.0/", "", p.removeprefix(f"{address}/"))
        for p in places
        if address and address in p
    ]
    assert all((ROOT / file.partition("#")[0]).exists() for file in led)
    assert bool(led) == bool(address)
    sys.modules.pop("hatch_build")


def test_every_extra_that_is_advised_exists():
    advised = {
        extra
        for folder in ("dftlrp", "backends", "docs")
        for kind in ("py", "md")
        for file in (ROOT / folder).rglob(f"*.{kind}")
        for extra in re.findall(r"dftlrp\[([\w,]+)\]", file.read_text("utf-8"))
    }
    assert {name for names in advised for name in names.split(",")} <= set(
        PROJECT["project"]["optional-dependencies"]
    )
    assert advised
