"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backends import chosen, left_out

SHARED = Path(__file__).parents[2] / "shared"
PASSED = os.environ.get("DFTLRP_PASSED")  # a file: the tests that passed in an earlier run


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-mpl compare figures with their baselines, unless it is to make these."""
    if hasattr(config.option, "mpl"):
        config.option.mpl = config.option.mpl_generate_path is None


def pytest_report_header() -> str:
    """Which backends are tested, and which are not."""
    without = f"; not installed, left out: {', '.join(left_out())}" if left_out() else ""
    return f"backends: {', '.join(chosen())}{without}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that `DFTLRP_PASSED` lists, so that .ci/run runs each test once."""
    if PASSED and Path(PASSED).exists():
        passed = set(Path(PASSED).read_text(encoding="utf-8").splitlines())
        config.hook.pytest_deselected(items=[i for i in items if i.nodeid in passed])
        items[:] = [i for i in items if i.nodeid not in passed]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add a test that passed to the list."""
    in_worker = "PYTEST_XDIST_WORKER" in os.environ  # whose reports reach the main process too
    if PASSED and report.when == "call" and report.passed and not in_worker:
        with Path(PASSED).open("a", encoding="utf-8") as file:
            file.write(f"{report.nodeid}\n")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and recordings beside the repository; skips where there is none."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not there")
    return SHARED
