"""Laws of the page of neurons: self-contained, quiet, small, true to its numbers, and playing."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import browser
from dataset import folder, tone
from models import listener, saved
from page_tools import HOSTILE, install_tools

from dftlrp.concepts import Neurons, neurons
from dftlrp.concepts import neuron_page as pages
from dftlrp.concepts.neuron_page import _cut_sounds, _limit_seconds
from dftlrp.concepts.planes import shrink_plane

LABELS = [HOSTILE[0], HOSTILE[1], HOSTILE[2] + HOSTILE[5]]
FILES = ("<img src=x onerror=alert(1)>.wav", f"{HOSTILE[3]}.wav", f"{HOSTILE[4]}.wav")
SAMPLES = 32_000
# Counts the sounds that are heard, and keeps the samples of the last one.
LISTEN = """
window.sounding = new Set();
const { start, stop } = AudioBufferSourceNode.prototype;
AudioBufferSourceNode.prototype.start = function (...when) {
  window.sounding.add(this);
  window.started = (window.started ?? 0) + 1;
  window.played = [...this.buffer.getChannelData(0)];
  this.addEventListener("ended", () => window.sounding.delete(this));
  return start.apply(this, when);
};
AudioBufferSourceNode.prototype.stop = function (...when) {
  window.sounding.delete(this);
  return stop.apply(this, when);
};
"""
COPY = """(c) => {
  const often = { willReadFrequently: true };
  const copy = new OffscreenCanvas(c.width, c.height).getContext('2d', often);
  copy.drawImage(c, 0, 0);
  return copy.getImageData(0, 0, c.width, c.height).data;
}"""


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> tuple[Neurons, Path]:
    place = tmp_path_factory.mktemp("page")
    data = folder(place, takes=2, samples=SAMPLES)
    for k, name in enumerate(FILES):
        soundfile.write(data / "low" / name, tone(300, 5 + k, SAMPLES), 8000)
    for c, name in enumerate(("low", "middle", "high")):
        (data / name).rename(data / str(c))
    saved(listener((None, 1, SAMPLES)), place, "m.onnx")
    made = neurons(
        place / "m.onnx", data, layer="conv2", folder=place / "out", top=3, count=3, labels=LABELS
    )
    return made, made.save(place / "out")[0]


def test_the_page_says_what_the_tables_do(found):
    made, path = found
    text = path.read_text()
    for c, a in made.ablation.items():
        assert f'id="class-{c}"' in text
        assert f"over {len(a.concepts)} neurons" in text
    for n in made.shown:
        assert text.count(f'id="neuron-{n}"') == 1
    assert text.count("<audio") == 2 * sum(len(made.portraits[n].prototypes) for n in made.shown)
    shares = re.findall(r'data-neuron="(\d+)"[^>]*data-relevance="([^"]+)"', text)
    mean = made.survey.statistics.measure("relevance")[0]
    wanted = [(n, mean[c, n]) for c in made.classes for n in made.strongest(c)]
    assert [(int(n), float(r)) for n, r in shares] == wanted


def test_text_from_outside_is_text_and_the_same_input_gives_the_same_bytes(found, tmp_path):
    made, path = found
    text = path.read_text()
    for harm in ("<img src=x", "document.title = 'hacked'</script>", "49$"):
        assert harm not in text
    assert "{{ 7 * 7 }}" in text
    assert made.save(tmp_path)[0].read_bytes() == path.read_bytes()


def test_of_long_recordings_the_loudest_part_is_played(found, monkeypatch):
    assert _limit_seconds(found[0]) is None
    monkeypatch.setattr(pages, "SOUND_BYTES", 1000)
    monkeypatch.setattr(pages, "LEAST_SECONDS", 0.01)
    assert _limit_seconds(found[0]) == 0.01
    quiet = 0.001 * tone(300, 0, 4000)
    loud = quiet.copy()
    loud[2000:2800] = tone(1000, 0, 800)
    files = {}
    for kind, sound in (("original", quiet), ("neuron", loud)):
        out = io.BytesIO()
        soundfile.write(out, sound, 8000, format="WAV")
        files[f"1-{kind}.wav"] = out.getvalue()
    for rate in (8000.0, 250.0):  # a slow signal is played 32 times faster
        part = _cut_sounds(files, 1, 800 / rate, rate)
        assert (part.first, part.last) == (2000, 2800)
        assert [len(sound) for sound in part.sounds] == [800, 800]
        assert part.sounds[1].samples[:, 0] == pytest.approx(loud[2000:2800], abs=1e-4)


def test_a_smaller_picture_holds_as_much(found):
    plane = found[0].portraits[found[0].shown[0]].planes[0]
    for most in (10, 100, 1000, 10**6):
        small = shrink_plane(plane, most)
        assert small.relevance.size <= max(most, 1)
        assert small.relevance.sum() == pytest.approx(plane.relevance.sum())
        assert (small.rows[[0, -1]] == plane.rows[[0, -1]]).all()
        assert (small.columns[[0, -1]] == plane.columns[[0, -1]]).all()
        assert small.relevance.shape == (len(small.rows) - 1, len(small.columns) - 1)


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture
def visit(chromium, found):
    """Opens the page; at the end, nothing was said and nothing asked for."""
    said, opened = [], []

    def open_page(width=1280, height=3000, script=True, name="", **options):
        size = {"width": width, "height": height}
        context = chromium.new_context(viewport=size, java_script_enabled=script, **options)
        opened.append(context)
        tab = context.new_page()
        tab.on("request", lambda r: r.url.startswith(("data:", "file:")) or said.append(r.url))
        tab.on("console", lambda m: said.append(m.text))
        tab.on("pageerror", lambda e: said.append(str(e)))
        tab.on("dialog", lambda d: said.append(d.message))
        tab.add_init_script(LISTEN)
        tab.goto(found[1].as_uri() + name)
        if script:
            tab.wait_for_selector("#strips[data-ready]")
        return tab

    yield open_page
    for context in opened:
        context.close()
    assert said == []


def wait_until_painted(tab, selector):
    """Every such canvas shows something."""
    every = f"[...document.querySelectorAll('{selector}')].every"
    tab.wait_for_function(f"() => {every}((c) => ({COPY})(c).some(Boolean))")


def list_neurons(tab):
    """The neurons that are seen, row by row."""
    return tab.evaluate("""[...document.querySelectorAll('.strip:not([hidden])')].map((strip) =>
      [...strip.querySelectorAll('.cell:not([hidden])')].map((c) => Number(c.dataset.neuron)))""")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_opens_without_a_word_and_fits_and_names_are_text(visit, found, width, scheme):
    tab = visit(width, color_scheme=scheme)
    wait_until_painted(tab, ".cell canvas")
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    lightest = f"(c) => ({COPY})(c).filter((v, i) => i % 4 === 1).reduce((a, b) => Math.max(a, b))"
    bright = tab.locator(".cell canvas").first.evaluate(lightest)
    darkest = tab.locator(".cell canvas").first.evaluate(lightest.replace("max", "min"))
    assert (bright > 185) if scheme == "light" else (darkest < 95)
    assert tab.title().startswith("Neurons of conv2")
    cells = sum(len(found[0].strongest(c)) for c in found[0].classes)
    assert tab.evaluate("document.images.length") == cells
    assert tab.evaluate("document.scripts.length") == 2
    tab.fill("#find", HOSTILE[0])
    tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    tab.locator(".strip:not([hidden]) h3 a").first.click()
    assert tab.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.slow
def test_only_what_is_looked_at_is_drawn_and_one_thing_is_open(visit):
    tab = visit(height=300)
    tab.locator(".cell canvas").first.scroll_into_view_if_needed()
    wait_until_painted(tab, ".strip:first-child .cell canvas")
    assert tab.locator(".strip:last-child canvas[width]").count() == 0
    untouched = "document.querySelectorAll('.stock canvas[width]').length"
    assert tab.evaluate(untouched) == 0
    first = tab.locator(".cell a").first
    first.click()
    card = tab.locator(".card.open")
    assert card.get_attribute("id") == first.get_attribute("href")[1:]
    assert card.evaluate("(c) => c.previousElementSibling.classList.contains('strip')")
    assert card.locator(".prototype").count() == 3
    card.locator(".prototype").last.scroll_into_view_if_needed()
    wait_until_painted(tab, ".card.open canvas")
    assert tab.evaluate(untouched) == 0
    picture = card.locator(".prototype .picture").first
    picture.hover()
    assert re.match(r"[\d.]+ s · \d+ Hz · −?\d+ dB · .* %", card.locator(".readout").inner_text())
    tab.locator(".strip h3 a").nth(1).click()
    assert tab.locator(".card.open").count() == 1
    assert tab.locator(".card.open").get_attribute("id") == "class-1"
    tab.locator(".card.open .scroll a").first.click()
    assert tab.locator(".card.open").get_attribute("id").startswith("neuron-")
    tab.keyboard.press("Escape")
    assert tab.locator(".card:visible").count() == 0


@pytest.mark.slow
def test_an_address_opens_what_it_names(visit, found):
    neuron = found[0].shown[-1]
    tab = visit(name=f"#neuron-{neuron}")
    assert tab.locator(".card:visible").get_attribute("id") == f"neuron-{neuron}"


@pytest.mark.slow
def test_one_sound_at_a_time_and_both_kinds_at_the_same_place(visit, found):
    made, path = found
    tab = visit()
    buttons = tab.locator(".cell .hear")
    for k in (0, 1, 2):
        buttons.nth(k).click()
        tab.wait_for_function(f"() => window.started === {k + 1} && window.sounding.size === 1")
    tab.wait_for_timeout(100)
    pressed = tab.locator(".cell .hear[aria-pressed=true]")
    assert pressed.count() >= 1
    number = int(pressed.first.get_attribute("data-plane"))
    at = tab.evaluate("document.getElementById('position').valueAsNumber")
    tab.keyboard.press("a")
    tab.wait_for_function("() => window.started === 4 && window.sounding.size === 1")
    assert tab.is_checked("#kind-0")
    assert tab.evaluate("document.getElementById('position').valueAsNumber") >= at
    own = tab.locator(f".prototype[data-plane='{number}']")
    neuron, name = own.get_attribute("data-neuron"), own.get_attribute("data-name")
    rank = [p["name"] for p in made.portraits[int(neuron)].prototypes].index(name) + 1
    wanted = soundfile.read(path.parent / f"neurons/{neuron}/{rank}-original.wav")[0]
    np.testing.assert_allclose(tab.evaluate("window.played"), wanted, atol=1e-4)
    tab.click("#play")
    assert tab.evaluate("window.sounding.size") == 0
    assert tab.locator(".hear[aria-pressed=true]").count() == 0


@pytest.mark.slow
def test_pointing_plays_only_if_it_is_to(visit):
    tab = visit()
    cells = tab.locator(".cell a")
    cells.nth(0).hover()
    tab.wait_for_timeout(100)
    assert tab.evaluate("window.started") is None
    tab.check("#hover")
    cells.nth(1).hover()
    tab.wait_for_function("() => window.sounding.size === 1")


@pytest.mark.slow
def test_filter_and_order_follow_the_numbers(visit, found):
    made = found[0]
    tab = visit()
    every = [made.strongest(c) for c in made.classes]
    assert list_neurons(tab) == every
    for measure in ("relevance", "activation"):
        mean = made.survey.statistics.measure(measure)[0]
        rows = [sorted(row, key=lambda n, c=c: -mean[c, n]) for c, row in enumerate(every)]
        rows = [row for _, row in sorted((-mean[c, row[0]], row) for c, row in enumerate(rows))]
        tab.select_option("#order", measure)
        assert list_neurons(tab) == rows
    tab.select_option("#order", "class")
    tab.select_option("#only", "1")
    assert list_neurons(tab) == [every[1]]
    tab.select_option("#only", "")
    tab.fill("#find", str(every[0][0]))
    assert [row for row in list_neurons(tab) if row] == [
        [every[0][0]] for row in every if every[0][0] in row
    ]
    tab.fill("#find", "no such thing")
    assert list_neurons(tab) == []
    assert tab.inner_text("#count").startswith("0 of")


@pytest.mark.slow
def test_all_can_be_done_by_keyboard(visit):
    tab = visit()
    for _ in range(20):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.closest('.cell') !== null"):
            break
    where = "document.activeElement.closest('.cell').dataset.neuron"
    first = tab.evaluate(where)
    tab.keyboard.press("ArrowRight")
    second = tab.evaluate(where)
    assert first != second
    tab.keyboard.press(" ")
    tab.wait_for_function("() => window.sounding.size === 1")
    tab.keyboard.press(" ")
    assert tab.evaluate("window.sounding.size") == 0
    tab.keyboard.press("Enter")
    assert tab.locator(".card:visible").get_attribute("id") == f"neuron-{second}"
    tab.keyboard.press("Escape")
    assert tab.evaluate(where) == second
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "find"
    tab.keyboard.type(first)
    assert {n for row in list_neurons(tab) for n in row} == {int(first)}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["no script", "paper"])
def test_without_script_and_on_paper_there_are_still_pictures(visit, how):
    tab = visit(script=how == "paper")
    if how == "paper":
        tab.locator(".cell a").first.click()
        tab.emulate_media(media="print")
        assert tab.locator("audio:visible").count() == 0
    else:
        assert tab.locator("audio").count() == tab.locator("audio:visible").count() > 10
    for stills in (".cell img", ".card .plot svg"):
        assert tab.locator(stills).count() == tab.locator(f"{stills}:visible").count() > 5
    for hidden in ("canvas", "button", ".bar", "#find"):
        assert tab.locator(f"{hidden}:visible").count() == 0


@pytest.mark.slow
def test_a_finger_opens_and_plays(visit):
    tab = visit(390, has_touch=True, device_scale_factor=2)
    tab.locator(".cell .hear").first.tap()
    tab.wait_for_function("() => window.sounding.size === 1")
    tab.locator(".cell a").nth(1).tap()
    assert tab.locator(".card:visible").count() == 1
    tab.locator(".card .close:visible").tap()
    assert tab.locator(".card:visible").count() == 0


@pytest.mark.slow
def test_axe_finds_nothing(visit):
    axe = install_tools() / "node_modules/axe-core/axe.min.js"
    for scheme in ("light", "dark"):
        tab = visit(color_scheme=scheme, bypass_csp=True)
        tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        for card in (".cell a", ".strip h3 a"):
            tab.locator(card).first.click()
            tab.evaluate(axe.read_text("utf-8"))
            violations = "r.violations.map((v) => [v.id, v.nodes[0].html])"
            assert tab.evaluate(f"axe.run().then((r) => {violations})") == []


def test_its_data_is_json_and_says_where_sounds_lie(found):
    data = re.search(r'id="data">(.*?)</script>', found[1].read_text(), re.S)[1]
    page = json.loads(data)
    assert page["rate"] == 8000
    assert len(page["planes"]) == 2 * 3 + sum(
        len(found[0].portraits[n].prototypes) for n in found[0].shown
    )
    for plane in page["planes"]:
        shape = [plane["rows"]["count"], plane["columns"]["count"]]
        assert plane["level"]["shape"] == plane["relevance"]["shape"] == shape
