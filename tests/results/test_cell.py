"""An explanation in a notebook: small, kept apart, and there without scripts."""

from __future__ import annotations

import html
import re
import subprocess
import sys

import numpy as np
import pytest
from browser import browser
from explanations import explanation, quake, stacked

from dftlrp.core.types import InputError
from dftlrp.results.comparison import compare
from dftlrp.results.figure import draw_figure
from dftlrp.results.report.cell import render_cell

HOSTILE = "\"></iframe><script>document.title='hacked'</script>"


def long_recording():
    return explanation(0.1 * np.random.default_rng(0).normal(size=480_000), rate=16000.0)


@pytest.mark.parametrize("make", [explanation, quake, long_recording])
def test_a_cell_is_below_a_megabyte(make):
    cell = make()._repr_html_()
    assert len(cell.encode()) < 1_000_000
    assert "Explanation of &quot;" in cell


def test_nothing_of_a_label_leaves_the_frame():
    cell = explanation(label=HOSTILE)._repr_html_()
    assert cell.count("<iframe") == cell.count("</iframe>") == 1
    assert "<script" not in cell
    assert re.match(
        r'<iframe sandbox="allow-scripts" title="[^"]*" style="[^"]*" srcdoc="[^"]*">', cell
    )


def test_what_cannot_be_drawn_is_said(monkeypatch):
    def refuse(*_, **__):
        raise InputError("domain <odd> cannot be drawn")

    monkeypatch.setattr("dftlrp.results.report.cell.render", refuse)
    cell = render_cell([explanation()])
    assert "No picture: domain &lt;odd&gt; cannot be drawn" in cell
    assert "check passed" in cell


def test_two_explanations_are_side_by_side_in_one_cell():
    cell = compare(explanation(), explanation(label="six"))._repr_html_()
    assert cell.count("<iframe") == 1
    assert len(cell) < 1_000_000
    assert cell.count("Explanation of &quot;") == 4  # twice as a title, and ten lines of each


def test_two_channels_of_half_a_minute_leave_sounds_out_and_say_so():
    one = long_recording()
    page = html.unescape(stacked(one, one, channel_names=("left", "right"))._repr_html_())
    assert len(page) < 1_000_000
    assert "Left to the sound files" in page


def test_a_figure_is_its_own_picture_without_pyplot():
    code = "import sys; sys.path.insert(0, 'tests'); from explanations import explanation;"
    code += "png = explanation().plot()._repr_png_(); assert png.startswith(bytes([137]) + b'PNG');"
    code += "assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert draw_figure([explanation()])._repr_png_() == draw_figure([explanation()])._repr_png_()


@pytest.mark.slow
def test_in_a_browser_it_plays_apart_from_the_notebook_and_stands_still_without_scripts():
    cell = f"<!doctype html><title>notebook</title>{explanation(label=HOSTILE)._repr_html_()}"
    said = []
    with browser() as chromium:
        tab = chromium.new_page()
        tab.on("console", lambda m: said.append(m.text))
        tab.on("pageerror", lambda e: said.append(str(e)))
        tab.on("request", lambda r: r.url.startswith("data:") or said.append(r.url))
        tab.set_content(cell)
        frame = tab.frames[1]
        frame.wait_for_selector("#instrument[data-ready]")
        frame.click("#play")
        frame.wait_for_function("document.querySelector('#play').textContent.includes('Pause')")
        apart = "() => { try { return parent.document.title; } catch { return 'apart'; } }"
        assert frame.evaluate(apart) == "apart"
        assert tab.title() == "notebook"
        still = chromium.new_context(java_script_enabled=False).new_page()
        still.set_content(cell)
        still.frames[1].locator(".pane svg").first.wait_for(state="visible")
        assert still.frames[1].locator("audio").count() == 2
    assert said == []
