"""Laws of the page of several explanations, in a browser: one cursor, and what differs."""

from __future__ import annotations

import pytest
from browser import browser
from explanations import LABELS, explanation, two_tones
from page_tools import install_tools
from test_page_plays import HOSTILE, LEFT, RIGHT

import dftlrp
from dftlrp.results.report import render

pytestmark = pytest.mark.slow

FACTS = {"model sha256": "0f", "model": "digits.onnx", "method": "lrp", "seed": "logit"}
SEVEN = explanation(provenance={**FACTS, "recording": "a.wav"})
SIX = explanation(label="six", total=2.0, against=-1.2, provenance=SEVEN.provenance)
LONG = explanation(two_tones(8000)[::-1], provenance={**FACTS, "recording": "b.wav"})
PAIRS = {"classes": [SEVEN, SIX], "clips": [SEVEN, LONG]}


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture
def visit(chromium, tmp_path):
    """Opens a page of explanations; at the end, nothing was said and nothing asked for."""
    said, opened = [], []

    def open_page(explanations, width=1280, names=(), **options):
        path = tmp_path / "page.html"
        path.write_text(render(explanations, names), "utf-8")
        context = chromium.new_context(viewport={"width": width, "height": 800}, **options)
        opened.append(context)
        tab = context.new_page()
        tab.on("request", lambda r: r.url.startswith(("data:", "file:")) or said.append(r.url))
        tab.on("console", lambda m: said.append(m.text))
        tab.on("pageerror", lambda e: said.append(str(e)))
        tab.goto(path.as_uri())
        tab.wait_for_selector("#instrument[data-ready]")
        tab.select_option("#scale", "linear")
        return tab

    yield open_page
    for context in opened:
        context.close()
    assert said == []


def place(tab, selector, across):
    """A point of the window, by its share of a plot from left to right."""
    tab.locator(selector).first.scroll_into_view_if_needed()
    box = tab.locator(selector).first.bounding_box()
    return box["x"] + LEFT + across * (box["width"] - LEFT - RIGHT), box["y"] + box["height"] / 3


def find_cursor(tab, selector):
    """Where the cursor stands in a plot, as a share of its width."""
    return tab.evaluate(f"""() => {{
      const over = document.querySelector('{selector} canvas:last-of-type');
      const {{ data }} = over.getContext('2d').getImageData(0, 20, over.width, 1);
      let at = -1;
      for (let x = 0; x < over.width; x++) if (data[4 * x + 3] > 200) at = x;
      return (at - {LEFT}) / (over.width - {LEFT + RIGHT});
    }}""")


@pytest.mark.parametrize(
    ("pair", "title"),
    [("classes", "Why “seven” and not “six”?"), ("clips", "“seven” in a.wav and b.wav")],
)
def test_they_stand_side_by_side_on_one_axis_and_under_one_cursor(visit, pair, title):
    tab = visit(PAIRS[pair])
    assert tab.title() == title
    boxes = [box.bounding_box() for box in tab.locator(".own .pane.plane").all()]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[1]["x"] > boxes[0]["x"] + boxes[0]["width"]
    seconds = 0.5 if pair == "classes" else 1.0
    tab.mouse.click(*place(tab, ".own .pane.plane", 0.4))
    assert tab.evaluate("document.getElementById('position').valueAsNumber") == pytest.approx(
        0.4 * seconds, abs=0.01
    )
    tab.mouse.move(5, 5)
    for k in (1, 2):
        own = f".own figure:nth-child({k}) .pane.wave"
        assert find_cursor(tab, own) == pytest.approx(0.4, abs=0.01)
    narrow = visit(PAIRS[pair], 390)
    boxes = [box.bounding_box() for box in narrow.locator(".own .pane.plane").all()]
    assert boxes[0]["x"] == boxes[1]["x"]
    assert narrow.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("pair", PAIRS)
def test_the_difference_is_that_of_the_numbers(visit, pair):
    tab = visit(PAIRS[pair])
    both = dftlrp.compare(*PAIRS[pair])
    word = "for" if pair == "classes" else "in"
    tab.keyboard.press("d")
    assert tab.is_checked("#difference")
    assert tab.locator(".own .pane:visible").count() == 0
    assert tab.locator(".difference .pane.plane").count() == (pair == "classes")
    tab.wait_for_timeout(80)
    for what, kind, at in (("bands", "spectrum", 440 / 4000), ("segments", "wave", 0.25)):
        tab.mouse.move(*place(tab, f".difference .pane.{kind}", at))
        value = at * (4000 if what == "bands" else 0.5 if pair == "classes" else 1.0)
        row = next(d for d in both.differences(what, None)
                   if (d.band or d.time)[0] <= value < (d.band or d.time)[1])  # fmt: skip
        size, _, rest = tab.inner_text("#readout").split(" · ")[-1].partition(" more ")
        assert float(size) == pytest.approx(abs(row.difference), rel=0.01)
        assert rest == f"{word} “{row.names[0 if row.difference > 0 else 1]}”"
    part = tab.locator("button.part").first
    assert "355 to 447" in part.inner_text()
    part.click()
    first = both.differences("bands", 1)[0]
    told = [float(p.get_attribute("data-share")) for p in tab.locator("#held [data-share]").all()]
    band = [float(tab.input_value(f"#mark-{end}")) for end in ("low", "high")]
    assert told == pytest.approx([e.share(band=band) for e in both], abs=1e-3)
    more = float(tab.get_attribute("#held [data-difference]", "data-difference"))
    assert more == pytest.approx(first.difference, rel=0.02)
    tab.keyboard.press("d")
    assert tab.locator(".difference:visible").count() == 0


def test_behind_the_end_of_the_shorter_there_is_nothing_of_it(visit):
    tab = visit(PAIRS["clips"])
    assert tab.locator("#sounds label").count() == 6
    tab.fill("#mark-start", "0.6")
    tab.dispatch_event("#mark-start", "change")
    shares = [float(p.get_attribute("data-share")) for p in tab.locator("#held [data-share]").all()]
    assert shares[0] == 0
    assert shares[1] == pytest.approx(LONG.share(time=(0.6, 1.0)), abs=1e-3)
    tab.click("#clear-mark")
    tab.mouse.move(*place(tab, ".own .pane.plane", 0.8))
    assert tab.inner_text("#readout").endswith("behind the end of “a.wav”")
    tab.mouse.click(*place(tab, ".own .pane.plane", 0.7))
    tab.keyboard.press("2")
    tab.keyboard.press("1")  # the shorter one: silence from here on, at the same place
    position = "document.getElementById('position').valueAsNumber"
    assert tab.evaluate(position) == pytest.approx(0.7, abs=0.01)
    tab.keyboard.press("Space")
    tab.wait_for_function(f"() => {position} > 0.75")
    tab.wait_for_function("() => document.getElementById('play').textContent.includes('Play')")


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_names_from_outside_are_text(visit, text):
    labels = (*LABELS[:7], text, *LABELS[8:])
    made = [explanation(label=text, labels=labels), LONG]
    tab = visit(made, names=[text, f"other {text}"])
    tab.click("button.part >> nth=0")
    tab.keyboard.press("d")
    assert tab.evaluate("document.images.length") == 0
    assert tab.evaluate("document.scripts.length") == 2
    assert tab.title().startswith("“")
    assert " ".join(text.split()) in " ".join(tab.evaluate("document.body.textContent").split())
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280


def test_axe_finds_nothing_and_paper_shows_all(visit):
    axe = install_tools() / "node_modules/axe-core/axe.min.js"
    for scheme, pair in (("light", "classes"), ("dark", "clips")):
        tab = visit(PAIRS[pair], color_scheme=scheme, bypass_csp=True)
        tab.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        tab.evaluate(axe.read_text("utf-8"))
        for _ in range(2):
            found = tab.evaluate(
                "axe.run().then((r) => r.violations.map((v) => [v.id, v.nodes[0].html]))"
            )
            assert found == []
            tab.keyboard.press("d")
    tab.emulate_media(media="print")
    assert tab.locator(".pane svg").count() == tab.locator(".pane svg:visible").count()
