"""Laws of the page of a folder in a browser: true to its rows, quiet, a table without script."""

from __future__ import annotations

import random

import pytest
from browser import browser
from explanations import explanation

from dftlrp.concepts.clip_index import render_index
from dftlrp.concepts.clip_rows import make_row
from dftlrp.concepts.explanations import Explanations
from dftlrp.results.report.shown import collect_domains
from dftlrp.results.report.thumbnail import draw_thumbnail

HOSTILE = ("</script><script>document.title = 'hacked'</script>.wav", "a\u202egnp.wav",
           "\"'><img src=x onerror=\"document.title = 'hacked'\">.wav")  # fmt: skip
NAMES = [*HOSTILE, *(f"day {k % 3}/{k}.wav" for k in range(21))]
COLUMNS = {4: "confidence", 6: "band_low", 7: "segment_start", 8: "seconds"}
SHOWN = """rows => rows.filter(row => row.getClientRects().length > 0)
  .map(row => row.querySelector('th bdi').textContent)"""


def make_rows():
    rng = random.Random(3)
    rows = []
    for k, name in enumerate(sorted(NAMES)):
        wrong = rng.random() < 0.6
        known = k % 5 > 0
        rows.append(make_row(
            file=name, clip=f"clips/{k}", seconds=rng.random() if k % 4 else None,
            label="<b>seven" if known else None, label_index=7 if known else None,
            prediction="<i>one" if wrong else "<b>seven", target="<b>seven",
            right=not wrong if known else None, confidence=rng.random(), margin=rng.random(),
            wrong_by=(rng.random() if wrong else 0.0) if known else None, band_low=rng.random(),
            band_high=2.0, segment_start=rng.random(), segment_stop=2.0,
        ))  # fmt: skip
    return [*rows, make_row(file="z.wav", error="<u>no sound")]


def expect(rows, key=lambda row: 0, keep=lambda row: True):
    """Names of the rows that are kept, sorted by a number; rows without one come last."""
    kept = [row for row in rows if row["error"] is None and keep(row)]
    return [row["file"] for row in sorted(kept, key=lambda row: (key(row) is None, key(row) or 0))]


@pytest.mark.slow
def test_a_browser_sorts_and_filters_it_as_the_rows_say_without_a_word(tmp_path):
    rows, said = make_rows(), []
    found = Explanations.from_rows(tmp_path, rows)
    picture = draw_thumbnail(collect_domains([explanation()])[2])
    page = tmp_path / "index.html"
    pictures = dict.fromkeys(NAMES, picture)
    page.write_text(render_index(found, rows, pictures, "<s>m.onnx"), "utf-8")
    with browser() as opened:
        plain = opened.new_context(java_script_enabled=False).new_page()
        plain.goto(page.as_uri())
        assert plain.locator("#choices").is_hidden()
        assert len(plain.locator("#clips tbody tr").all()) == len(NAMES)
        tab = opened.new_page(viewport={"width": 360, "height": 800})
        tab.on("request", lambda r: r.url.startswith(("data:", "file:")) or said.append(r.url))
        tab.on("console", lambda m: said.append(m.text))
        tab.on("pageerror", lambda e: said.append(str(e)))
        tab.goto(page.as_uri())

        def shown():
            return tab.locator("#clips tbody tr").evaluate_all(SHOWN)

        assert shown() == expect(rows)
        for column, name in COLUMNS.items():
            for sign, order in ((1, "ascending"), (-1, "descending")):
                head = tab.locator(f"#clips thead th:nth-child({column})")
                head.locator("button").press("Enter")
                assert head.get_attribute("aria-sort") == order
                signed = [row[name] if row[name] is None else sign * row[name] for row in rows]
                keys = {row["file"]: key for row, key in zip(rows, signed, strict=True)}
                assert shown() == expect(rows, lambda row, keys=keys: keys[row["file"]])
        tab.select_option("#preset", "wrong")
        wrong = expect(rows, lambda r: -r["wrong_by"], lambda r: r["right"] is False)
        assert shown() == wrong[:10]
        assert tab.locator("#count").text_content() == f"{min(len(wrong), 10)} of {len(NAMES)}"
        tab.select_option("#preset", "uncertain")
        assert shown() == expect(rows, lambda r: r["margin"])[:10]
        tab.select_option("#preset", "all")
        assert shown() == expect(rows)
        tab.select_option("#prediction", label="<i>one")
        tab.select_option("#right", "no")
        tab.fill("#name", "DAY 1")
        assert shown() == expect(
            rows, keep=lambda r: r["prediction"] == "<i>one" and r["right"] is False
            and "day 1" in r["file"],
        )  # fmt: skip
        assert tab.title() == f"{len(NAMES)} explanations of <s>m.onnx"
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert "<u>no sound" in tab.locator("#skipped ~ table").text_content()
    assert said == []
