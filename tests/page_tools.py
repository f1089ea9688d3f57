"""The script of the page beside its tests, and the tools that check it."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from needed import absent, needed

TESTS = Path(__file__).parent / "page"
SCRIPT = Path(__file__).parents[1] / "dftlrp/results/page"
HOSTILE = (
    "</script><script>document.title = 'hacked'</script>",
    "\"'><img src=x onerror=\"document.title = 'hacked'\">",
    "{{ 7 * 7 }}${7 * 7}<!--",
    "\u202egnihtemos",
    "two\nlines",
    "x" * 10_000,
)  # names that do harm where a page takes them for more than text


def copy_script(folder: Path) -> None:
    """Put the modules beside their tests, as these import them."""
    shutil.copytree(SCRIPT, folder / "page")
    shutil.copytree(TESTS, folder, dirs_exist_ok=True)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@cache
def install_tools() -> Path:
    """Return a folder with the script and with what tests/page/package.json names; or skip."""
    needed("npm")
    base = tempfile.mkdtemp(prefix="dftlrp-page-")
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    folder = Path(base)
    copy_script(folder)
    done = run(folder, "npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts")
    if done.returncode:
        absent("npm", f"npm cannot fetch what checks the script: {done.stderr[:200]}")
    return folder
