"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends import chosen, left_out

SHARED = Path(__file__).parents[2] / "shared"


def pytest_report_header() -> str:
    """Which backends are tested, and which are not."""
    without = f"; not installed, left out: {', '.join(left_out())}" if left_out() else ""
    return f"backends: {', '.join(chosen())}{without}"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and recordings beside the repository; skips where there is none."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not there")
    return SHARED
