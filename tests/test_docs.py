"""The pages that commands write are up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_of_operators_is_what_its_command_writes():
    run = subprocess.run([sys.executable, DOCS / "operators.py", "--check"], check=False)
    assert run.returncode == 0, "run: python docs/operators.py"
