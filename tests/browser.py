"""A headless Chromium: the system's, or playwright's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from needed import absent, needed

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@contextmanager
def browser() -> Iterator[Any]:
    """Skips, or fails, where there is none."""
    needed("playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        path = shutil.which("chromium") or p.chromium.executable_path
        if not Path(path).exists():
            absent("chromium", "chromium is not installed")
        launched = p.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()
