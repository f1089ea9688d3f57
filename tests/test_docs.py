"""The pages that commands write are up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dftlrp.results.glossary import TERMS

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["operators", "glossary", "cli"])
def test_a_page_is_what_its_command_writes(name):
    run = subprocess.run([sys.executable, DOCS / f"{name}.py", "--check"], check=False)
    assert run.returncode == 0, f"run: python docs/{name}.py"


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_the_glossary_has_two_sentences(term):
    assert len(re.findall(r"\.(?= [A-Z]|$)", TERMS[term])) == 2


def test_the_pages_of_rules_name_every_rule():
    from dftlrp.core.rules import FUNCTIONS

    rules = (DOCS / "rules.md").read_text("utf-8")
    readme = " ".join((DOCS.parent / "README.md").read_text("utf-8").split())
    for name in FUNCTIONS:
        assert f"| `{name}" in rules, f"docs/rules.md has no row for {name}"
        assert name in readme, f"the README does not name the rule {name}"
