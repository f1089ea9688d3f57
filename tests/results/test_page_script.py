"""Laws of the script of the page: its numbers, its style, its types, its size."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from needed import needed
from page_tools import SCRIPT, copy_script, install_tools, run

from dftlrp.core.types import NonFiniteError
from dftlrp.results.report import GALLERY, MODULES, TIMELINE, bundle_script
from dftlrp.results.report.packing import pack_amounts, pack_coarse, pack_levels, pack_values


def test_its_numbers_are_right(tmp_path):
    needed("node")
    copy_script(tmp_path)
    rng = np.random.default_rng(0)
    many = rng.normal(size=(3, 5000)) ** 3
    plain = {"amounts": many, "values": many[:, :50], "levels": rng.random((4, 60))}
    plain["coarse"] = many[:, :70]
    packers = {"amounts": pack_amounts, "values": pack_values, "levels": pack_levels}
    packers["coarse"] = pack_coarse
    packed = {k: {"packed": packers[k](v), "plain": v.tolist()} for k, v in plain.items()}
    (tmp_path / "packed.json").write_text(json.dumps(packed))
    done = run(tmp_path, "node", "--test", ".")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_its_types_and_its_style():
    for command in (("npx", "tsc", "-p", "."), ("npx", "eslint", "--max-warnings=0", "page")):
        done = run(install_tools(), *command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_is_in_a_page_once_and_after_what_it_imports():
    assert {*MODULES, *GALLERY, *TIMELINE} == {path.stem for path in SCRIPT.glob("*.js")}
    for modules in (MODULES, GALLERY, TIMELINE):
        assert len(set(modules)) == len(modules)
        for i, name in enumerate(modules):
            text = (SCRIPT / f"{name}.js").read_text("utf-8")
            used = re.findall(r'^(?:import|\}) .*from "\./(\w+)\.js";$', text, re.M)
            assert set(used) <= set(modules[:i])


@pytest.mark.parametrize("modules", [MODULES, GALLERY])
def test_no_two_modules_of_a_page_give_a_name_to_different_things(modules):
    text = bundle_script(modules)
    found = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", text, re.M)
    assert len(found) > 50
    assert len(set(found)) == len(found)


def test_it_is_short_and_holds_neither_comments_nor_imports_nor_what_ends_a_script():
    text = bundle_script(tuple(dict.fromkeys((*MODULES, *GALLERY, *TIMELINE))))
    assert len([line for line in text.splitlines() if line.strip()]) < 2000
    assert not re.search(r"^ *\*|^import |^export |</script|<!--", text, re.M | re.I)
    assert not re.search(r"\b(eval|Function|fetch|XMLHttpRequest|WebSocket|innerHTML)\b", text)


def test_what_is_packed_is_the_same_each_time_and_finite():
    some = np.random.default_rng(1).normal(size=200)
    assert pack_amounts(some) == pack_amounts(some.copy())
    assert pack_amounts(np.zeros(3))["scale"] == 1.0
    for bad in (np.nan, np.inf):
        with pytest.raises(NonFiniteError, match="not finite"):
            pack_amounts(np.array([1.0, bad]))
