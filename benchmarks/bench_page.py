"""How soon the page of a long recording can be used, in headless Chromium.

    python benchmarks/bench_page.py [--seconds 30] [--repeat 7]

The recording is noise at 16 kHz, of which nothing deflates well; its relevance is made by hand.
Printed are the weight of the page, and medians of the milliseconds from the start of the navigation
until the script is ready and until the pictures have been drawn.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from browser import browser
from explanations import explanation

from dftlrp.results.report import render

RATE = 16_000
WATCH = """
new MutationObserver(() => {
  if (window.ready || !document.getElementById("instrument")?.dataset.ready) return;
  window.ready = performance.now();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = performance.now(); }));
}).observe(document, { attributes: true, childList: true, subtree: true });
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--repeat", type=int, default=7)
    args = parser.parse_args()
    noise = 0.2 * np.random.default_rng(0).normal(size=round(args.seconds * RATE))
    page = render([explanation(noise, rate=float(RATE))])
    found = []
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        path = Path(folder) / "report.html"
        path.write_text(page, "utf-8")
        for _ in range(args.repeat):
            tab = chromium.new_page(viewport={"width": 1280, "height": 800})
            tab.add_init_script(WATCH)
            tab.goto(path.as_uri())
            tab.wait_for_function("() => window.drawn")
            found.append((tab.evaluate("window.ready"), tab.evaluate("window.drawn")))
            tab.close()
    ready, drawn = map(median, zip(*found, strict=True))
    size = len(page.encode()) / 1e6
    print(
        f"{args.seconds:g} s: {size:.2f} MB, ready after {ready:.0f} ms, drawn after {drawn:.0f} ms"
    )


if __name__ == "__main__":
    main()
