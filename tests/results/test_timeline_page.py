"""Laws of the page of a long recording: what it shows along the recording, and in each window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from browser import browser
from explanations import explanation
from page_tools import install_tools

from dftlrp.results.report.timeline_page import render_timeline
from dftlrp.results.timeline import Timeline
from dftlrp.results.timeline_data import Overview
from dftlrp.results.views import count_from

RATE, SECONDS = 8000, 60.0
HOSTILE = "</script><script>document.title='hacked'</script>\"'><img src=x onerror=alert(1)>\u202e"
CHOSEN = (40, 10, 90)  # windows of half a second


def move(e, start):
    """The explanation of a window that starts later in the recording."""
    axes = {name: count_from(start, name, axis) for name, axis in e.axes.items()}
    return replace(e, start=start, axes=axes)


def timeline(label="seven", name="day.wav"):
    starts = np.arange(120) / 2
    scores = np.random.default_rng(0).normal(size=120) * 0.1
    scores[list(CHOSEN)] = (9, 6, 3)
    edges = np.linspace(0, SECONDS, 601)
    size = np.abs(np.sin(edges[:-1]))
    return Timeline(
        starts=starts, seconds=0.5, scores=scores, targets=(label,) * 120, outputs=None, labels=(),
        duration=SECONDS, chosen=CHOSEN,
        explanations=tuple(move(explanation(label=label), starts[k]) for k in CHOSEN),
        overview=Overview(edges, -size[None], size[None], edges, np.array([0, 4000.0]),
                          size[None, None]),
        name=name,
    )  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture
def visit(chromium, tmp_path):
    """Opens the page of a timeline; nothing may be asked for, and nothing may fail."""
    wrong = []

    def visit(found, **look):
        path = tmp_path / "page.html"
        path.write_text(render_timeline(found), encoding="utf-8")
        context = chromium.new_context(**look)
        tab = context.new_page()
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda r: None if r.url.startswith(("data:", "file:", "about:"))
               else wrong.append(r.url))  # fmt: skip
        tab.goto(path.as_uri())
        return tab

    yield visit
    assert wrong == []


def inside(tab):
    """The page of the window that is shown, once it is ready."""
    (frame,) = (f for f in tab.frames if f != tab.main_frame)
    frame.wait_for_selector("#instrument[data-ready]")
    return frame


def test_the_same_timeline_gives_the_same_bytes():
    assert render_timeline(timeline()) == render_timeline(timeline())


def test_a_timeline_says_where_the_target_is_strongest():
    page = render_timeline(timeline())
    assert "“seven” is strongest from 20.00 to 20.50 s" in page
    assert page.index("20.00 s") < page.index("5.00 s</strong>") < page.index("45.00 s")


@pytest.mark.slow
def test_a_window_is_shown_at_its_time_in_the_recording(visit):
    found = timeline()
    tab = visit(found)
    for k, start in enumerate(("20.00", "5.00", "45.00")):
        tab.click(f"button[data-window='{k}']")
        tab.wait_for_selector(f"#window[title*=' {start} ']")
        frame = inside(tab)
        frame.locator("#clock", has_text=f"{start} of").wait_for()
        stop = float(start) + 0.5
        assert frame.input_value("#position") == str(float(start)).removesuffix(".0")
        frame.fill("#mark-start", str(stop - 0.25))
        frame.dispatch_event("#mark-start", "change")
        e = found[k]
        share = e.share(time=(stop - 0.25, stop))
        told = float(frame.get_attribute("#held p", "data-share"))
        assert told == pytest.approx(share, abs=2e-3)
    tab.locator("#line svg").scroll_into_view_if_needed()
    box = tab.locator("#line svg").bounding_box()
    left, right = 58 / 720, 710 / 720
    tab.mouse.click(box["x"] + box["width"] * (left + (right - left) * 5.25 / 60), box["y"] + 60)
    assert " 5.00 " in tab.get_attribute("#window", "title")
    assert tab.get_attribute("button[data-window='1']", "aria-current") == "true"


@pytest.mark.slow
def test_a_window_plays_from_its_start(visit):
    tab = visit(timeline())
    tab.click("button[data-window='1']")
    tab.wait_for_selector("#window[title*=' 5.00 ']")
    frame = inside(tab)
    frame.click("#play")
    for _ in range(100):
        tab.wait_for_timeout(20)
        at = float(frame.input_value("#position"))
        if at > 5.1:
            break
    assert 5.1 < at <= 5.5


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_frame_is_as_high_as_its_page_and_nothing_is_wider_than_the_screen(visit, width):
    tab = visit(timeline(), viewport={"width": width, "height": 900})
    frame = inside(tab)
    high = frame.evaluate("document.body.getBoundingClientRect().height")
    for _ in range(50):
        if tab.locator("#window").bounding_box()["height"] >= int(high):
            break
        tab.wait_for_timeout(20)
    assert tab.locator("#window").bounding_box()["height"] >= int(high)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_hostile_names_are_text(visit):
    tab = visit(timeline(HOSTILE, HOSTILE))
    inside(tab)
    assert "hacked" not in (tab.title().split("“")[0], inside(tab).title().split("“")[0])
    assert tab.locator("img").count() == 0
    assert HOSTILE[:20] in tab.inner_text("h1")


@pytest.mark.slow
def test_without_script_the_strongest_window_is_there(visit):
    tab = visit(timeline(), java_script_enabled=False)
    assert tab.locator("#line svg .pin").count() == 3
    frame = tab.frame_locator("#window")
    frame.locator(".pane svg").first.wait_for(state="visible")


@pytest.mark.slow
def test_axe_finds_nothing_in_a_timeline(visit):
    axe = install_tools() / "node_modules/axe-core/axe.min.js"
    tab = visit(timeline(), bypass_csp=True)
    inside(tab)
    tab.evaluate(axe.read_text("utf-8"))
    found = tab.evaluate(
        "axe.run({iframes: false}).then((r) => r.violations.map((v) => [v.id, v.nodes[0].html]))"
    )
    assert found == []
