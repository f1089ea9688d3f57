"""ONNX's backend test-suite: a case passes, is outside the claim, or is listed with a reason.

The list is `conformance.toml`: cases that fail, by name (a pattern), each with its reason.  A
listed case that passes is a failure, too, so the list cannot rot.
"""

from __future__ import annotations

import tomllib
import warnings
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from conform import LIGHT, cases, check, check_light, model_of, not_claimed

CASES = cases()
FAILS: dict[str, str] = tomllib.loads(
    (Path(__file__).parent / "conformance.toml").read_text("utf-8")
)["fails"]


def listed(name: str) -> str | None:
    """The reason why a case is known to fail."""
    return next((reason for pattern, reason in FAILS.items() if fnmatchcase(name, pattern)), None)


def outcome(case: Any) -> str:
    """ "not claimed: why", "passes", or "fails: why"."""
    if reason := not_claimed(model_of(case)):
        return f"not claimed: {reason}"
    try:
        check(case)
    except Exception as error:
        return f"fails: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return "passes"


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: outcome(case) for name, case in CASES.items()}


def test_every_case_of_onnxs_suite_passes_or_is_listed_with_its_reason(
    outcomes: dict[str, str],
) -> None:
    counts = Counter(o.split(":")[0] for o in outcomes.values())
    print(f"ONNX's suite: {dict(counts)} of {len(outcomes)}")  # noqa: T201
    fail = {name: o for name, o in outcomes.items() if o.startswith("fails")}
    assert {n: o for n, o in fail.items() if not listed(n)} == {}
    assert [n for n, o in outcomes.items() if o == "passes" and listed(n)] == []


def test_every_line_of_the_list_names_a_case_that_fails(outcomes: dict[str, str]) -> None:
    fail = [name for name, o in outcomes.items() if o.startswith("fails")]
    assert [p for p in FAILS if not any(fnmatchcase(n, p) for n in fail)] == []


LARGE = {"bvlc_alexnet", "vgg19"}
NAMES = sorted(p.stem[6:] for p in LIGHT.glob("*.onnx"))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LARGE)) for n in NAMES]
)
def test_a_classic_image_network_gives_the_output_that_onnx_ships(name: str) -> None:
    check_light(name)
