"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and recordings beside the repository; skips where there is none."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not there")
    return SHARED
