"""Real pages on a wide and a narrow screen, light and dark; kept where `DFTLRP_SCREENS` says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browser import browser

import dftlrp
from dftlrp.results.report import render

pytestmark = pytest.mark.slow
NARROW = """[...document.querySelectorAll('.pane, td.bar svg')].filter((e) => {
  const room = parseFloat(getComputedStyle(e.parentElement).width);
  return e.getBoundingClientRect().width < 0.8 * room;
}).length"""


def test_real_pages_fit_and_are_kept_to_be_looked_at(tmp_path):
    folder = Path(os.environ.get("DFTLRP_SCREENS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    model, clip = dftlrp.embedded("waveform"), dftlrp.embedded("clip")
    one, other = (dftlrp.explain(model, clip, target=t) for t in ("argmax", "nine"))
    said = []
    with browser() as chromium:
        for name, shown in (("explanation", [one]), ("comparison", [one, other])):
            path = tmp_path / f"{name}.html"
            path.write_text(render(shown), "utf-8")
            for width in (1280, 390):
                for scheme in ("light", "dark"):
                    size = {"width": width, "height": 900}
                    tab = chromium.new_page(viewport=size, color_scheme=scheme)
                    tab.on("console", lambda m: said.append(m.text))
                    tab.on("pageerror", lambda e: said.append(str(e)))
                    tab.goto(path.as_uri())
                    tab.wait_for_selector("#instrument[data-ready]")
                    tab.wait_for_timeout(100)
                    shot = folder / f"{name}-{width}-{scheme}.png"
                    tab.screenshot(path=shot, full_page=True)
                    assert tab.evaluate("document.documentElement.scrollWidth") == width
                    assert tab.evaluate(NARROW) == 0
                    assert (" differ" in tab.inner_text("main")) == (len(shown) > 1)
                    tab.close()
    assert said == []
