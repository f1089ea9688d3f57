"""Laws of the page in a browser: what is heard and shown, and that both agree with the numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from browser import browser
from explanations import (
    LABELS,
    explanation,
    ledger,
    quake,
    stacked,
    two_tones,
    with_input,
    with_mel,
)
from page_tools import HOSTILE, install_tools
from scipy import signal

from dftlrp.core.ledger import Ledger
from dftlrp.results.report import render

pytestmark = pytest.mark.slow

RATE, COUNT = 8000, 16000
LEFT, RIGHT, TOP, BELOW = 58, 10, 3, 24  # of a picture, around its plot
# Keeps what is played: the buffer of each source, and what arrives at the speakers.
LISTEN = """
const { connect } = AudioNode.prototype;
AudioNode.prototype.connect = function (target, ...more) {
  if (this instanceof AudioBufferSourceNode) window.gain = target.gain.value;
  if (target instanceof AudioDestinationNode) {
    window.tap = new AnalyserNode(this.context, { fftSize: 4096 });
    connect.call(this, window.tap);
  }
  return connect.call(this, target, ...more);
};
const { start } = AudioBufferSourceNode.prototype;
AudioBufferSourceNode.prototype.start = function (...when) {
  window.started = (window.started ?? 0) + 1;
  window.played = { samples: [...this.buffer.getChannelData(0)], when, loop: this.loop };
  return start.apply(this, when);
};
"""
HEARD = """async () => {
  await new Promise((drawn) => { requestAnimationFrame(drawn); });
  const heard = new Float32Array(window.tap.fftSize);
  window.tap.getFloatTimeDomainData(heard);
  const { sampleRate, outputLatency } = window.tap.context;
  const at = document.getElementById("position").valueAsNumber;
  return { heard: [...heard], rate: sampleRate, late: outputLatency || 0, at };
}"""


def recording():
    """Noise whose every part differs, in two bursts."""
    return 0.3 * np.random.default_rng(0).normal(size=COUNT).clip(-2, 2) + two_tones(COUNT)


@pytest.fixture(scope="module")
def one():
    return explanation(recording(), rate=float(RATE))


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture
def visit(chromium, tmp_path):
    """Opens a page of explanations; at the end, nothing was said and nothing asked for."""
    said, tabs = [], []

    def open_page(explanations, width=1280, ready=True, **options):
        path = tmp_path / "page.html"
        path.write_text(render(explanations), "utf-8")
        context = chromium.new_context(viewport={"width": width, "height": 800}, **options)
        tab = context.new_page()
        tabs.append(context)
        tab.on("request", lambda r: r.url.startswith(("data:", "file:")) or said.append(r.url))
        tab.on("console", lambda m: said.append(m.text))
        tab.on("pageerror", lambda e: said.append(str(e)))
        tab.on("dialog", lambda d: said.append(d.message))
        tab.add_init_script(LISTEN)
        tab.goto(path.as_uri())
        if ready:
            tab.wait_for_selector("#instrument[data-ready]", state="attached")
            tab.select_option("#scale", "linear")
        return tab

    yield open_page
    for context in tabs:
        context.close()
    assert said == []


def find_plot(tab, selector):
    """The plot of a picture in the window: left, top, width, height."""
    tab.locator(selector).scroll_into_view_if_needed()
    box = tab.locator(selector).bounding_box()
    below = BELOW if tab.get_attribute(selector, "data-last") else 3
    return (box["x"] + LEFT, box["y"] + TOP, box["width"] - LEFT - RIGHT,
            box["height"] - TOP - below)  # fmt: skip


def place(tab, selector, across, up=0.5):
    """A point of the window, by its shares of the plot."""
    x, y, width, height = find_plot(tab, selector)
    return x + across * width, y + (1 - up) * height


def read_position(tab):
    return tab.evaluate("document.getElementById('position').valueAsNumber")


def read_mark(tab):
    fields = [tab.input_value(f"#mark-{name}") for name in ("start", "stop", "low", "high")]
    return [float(f) if f else None for f in fields]


def read_share(tab):
    return float(tab.get_attribute("#held p", "data-share"))


def locate(tab, x, rate):
    """Where the sound that arrives at the speakers now is in a recording, and the cursor."""
    now = tab.evaluate(HEARD)
    grid = np.arange(int(len(x) / rate * now["rate"])) / now["rate"]
    whole, part = np.interp(grid, np.arange(len(x)) / rate, x), np.array(now["heard"])
    found = np.argmax(signal.correlate(whole, part, "valid", "fft")) + len(part)
    return found / now["rate"] - now["late"], now["at"]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize(
    "explanations",
    [
        [with_mel(with_input(explanation(), np.ones((5, 7)), np.eye(5, 7)))],
        [explanation(), explanation(label="six", total=2.0)],
        [with_mel(quake(1000))],
        [stacked(explanation(), explanation(two_tones()[::-1]))],
        [explanation(np.zeros(4000))],
        [explanation(rate=1e7)],
    ],
    ids=["every domain", "two", "three channels", "stereo", "silent", "cannot be played"],
)
def test_every_page_opens_without_a_word_and_fits(visit, explanations, width, scheme):
    tab = visit(explanations, width, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    shown = ".pane canvas:first-child"
    if len(explanations) > 1:  # the differences are hidden
        shown = ":not(.difference) > figure > .pane canvas:first-child"
    blank = f"""() => [...document.querySelectorAll('{shown}')].filter((c) => {{
      const {{ data }} = c.getContext('2d').getImageData(0, 0, c.width, c.height);
      return !data.some((v) => v);
    }}).length"""
    tab.wait_for_timeout(100)
    assert tab.evaluate(blank) == 0


def test_cursor_and_sound_agree_and_seeking_moves_both(visit, one):
    tab = visit([one])
    tab.click("#play")
    tab.wait_for_timeout(500)
    for share in (None, 0.1, 0.5):
        if share is not None:
            tab.mouse.click(*place(tab, ".pane.plane", share))
            tab.wait_for_timeout(300)
            assert 0 < read_position(tab) - share * COUNT / RATE < 1.0
        sound, cursor = locate(tab, one.signal["time"], RATE)
        assert sound == pytest.approx(cursor, abs=0.05)
    tab.click("#play")
    at = read_position(tab)
    tab.wait_for_timeout(200)
    assert read_position(tab) == at


def test_sounds_change_at_the_same_place_and_only_one_is_heard(visit, one):
    tab = visit([one])
    tab.keyboard.press("Space")
    tab.wait_for_timeout(400)
    before = read_position(tab)
    tab.keyboard.press("a")
    tab.wait_for_timeout(150)
    radios = tab.locator("#sounds input")
    assert [radios.nth(k).is_checked() for k in range(3)] == [False, True, False]
    assert 0.05 < read_position(tab) - before < 0.6
    tab.keyboard.press("a")
    tab.wait_for_timeout(200)
    sound, cursor = locate(tab, one.signal["time"], RATE)
    assert sound == pytest.approx(cursor, abs=0.05)
    assert tab.evaluate("window.started") == 3


def test_loudness_is_equal_unless_it_is_to_be_as_it_is(visit, one):
    tab = visit([one])
    levels, gains, peaks = {}, {}, {}
    for equal in (True, False):
        tab.set_checked("#equal", equal)
        tab.evaluate("document.activeElement.blur()")
        for sound in ("1", "3", "4"):
            tab.evaluate("window.played = null")
            tab.keyboard.press(sound)
            tab.keyboard.press("Space")
            tab.wait_for_function("() => window.played")
            tab.keyboard.press("Space")
            gains[equal, sound] = tab.evaluate("window.gain")
            blocks = np.array(tab.evaluate("window.played.samples")).reshape(-1, 400)
            power = np.mean(blocks**2, axis=1)
            level = np.sqrt(np.mean(power[power > 0.01 * power.max()]))
            levels[equal, sound] = level * gains[equal, sound]
            peaks[equal, sound] = np.abs(blocks).max() * gains[equal, sound]
    assert {gains[False, s] for s in "134"} == {1}
    assert [levels[True, s] for s in "13"] == pytest.approx([0.1] * 2, rel=0.01)
    assert 0.05 < levels[True, "4"] < 0.1  # spikes: as loud as full scale allows
    assert peaks[True, "4"] == pytest.approx(0.99, rel=0.01)
    assert len({levels[False, s] for s in "134"}) == 3


def test_a_marked_part_holds_what_share_says_and_loops(visit, one):
    tab = visit([one])
    stft = one.axes["time-frequency"]
    for time, band in [((0.3, 0.7), (300, 600)), ((0.3, 0.7), None), (None, (300, 600)),
                       ((0, 2), (0, 4000)), ((0.9, 5), (900, None))]:  # fmt: skip
        for name, value in zip(("start", "stop", "low", "high"), [*(time or (None,) * 2),
                               *(band or (None,) * 2)], strict=True):  # fmt: skip
            tab.fill(f"#mark-{name}", "" if value is None else str(value))
            tab.dispatch_event(f"#mark-{name}", "change")
        start, stop, low, high = read_mark(tab)
        assert (start is None, low is None) == (time is None, band is None)
        share = one.share(time and (start, stop), band and (low, high))
        assert read_share(tab) == pytest.approx(share, abs=2e-4)
        if time and band and time[0]:  # at edges of cells near what was asked for
            assert start == pytest.approx(time[0], abs=stft[1][1] - stft[1][0])
            assert low == pytest.approx(band[0], abs=stft[0][1])
        tab.keyboard.press("Escape") if band is None else tab.click("#clear-mark")
        tab.click("#clear-mark") if tab.is_visible("#clear-mark") else None
    tab.mouse.move(*place(tab, ".pane.wave.signal", 0.25))
    tab.mouse.down()
    tab.mouse.move(*place(tab, ".pane.wave.signal", 0.4), steps=4)
    tab.mouse.up()
    start, stop, low, high = read_mark(tab)
    assert (start, stop) == pytest.approx((0.5, 0.8), abs=0.01)
    assert low is high is None
    tab.check("#loop")
    tab.click("#play")
    seen = []
    for _ in range(12):
        tab.wait_for_timeout(100)
        seen.append(read_position(tab))
    assert all(start - 1e-3 <= at <= stop + 1e-3 for at in seen)
    assert any(np.diff(seen) < 0)
    assert tab.evaluate("window.played.loop")


def test_a_marked_rectangle_sounds_as_its_numbers_do(visit, one):
    tab = visit([one])
    corner = [place(tab, ".pane.plane", *at) for at in ((0.5, 0.25), (0.75, 0.5))]
    tab.mouse.move(*corner[0])
    tab.mouse.down()
    tab.mouse.move(*corner[1], steps=4)
    tab.mouse.up()
    start, stop, low, high = read_mark(tab)
    assert (start, stop, low, high) == pytest.approx((1.0, 1.5, 1000, 2000), abs=50)
    assert read_share(tab) == pytest.approx(one.share((start, stop), (low, high)), abs=2e-4)
    tab.click("#play")
    tab.wait_for_function("() => window.played")
    played = np.array(tab.evaluate("window.played.samples"))
    first, last = round(start * RATE), round(stop * RATE)
    assert not np.any(played[:first])
    assert not np.any(played[last:])
    hertz = np.fft.rfftfreq(COUNT, 1 / RATE)
    inside = (hertz >= low) & (hertz <= high)
    gain = 10 ** (one.audible("original").gain_db / 20)
    wanted = np.fft.irfft(np.where(inside, np.fft.rfft(gain * one.signal["time"]), 0), COUNT)
    spectrum = np.fft.rfft(played)
    assert np.sum(np.abs(spectrum[inside]) ** 2) > 0.8 * np.sum(np.abs(spectrum) ** 2)
    middle = slice(first + 400, last - 400)
    match = np.corrcoef(wanted[middle], played[middle])[0, 1]
    assert match > 0.93


def test_what_the_pointer_is_at_is_told_as_it_is_in_the_numbers(visit, one):
    tab = visit([one])
    hertz, seconds = one.axes["time-frequency"]
    R, level = one.relevance["time-frequency"], np.abs(one.signal["time-frequency"])
    for f, t in [(20, 100), (50, 40), (99, 200)]:
        at = (seconds[t] / (COUNT / RATE), hertz[f] / (RATE / 2))
        tab.mouse.move(*place(tab, ".pane.plane", *at))
        text = tab.inner_text("#readout").replace("−", "-")  # whole: of the tile of the lists
        found = re.match(
            r"([\d.]+) to ([\d.]+) s · ([\d.]+) to ([\d.]+) Hz · .* relevance (\S+),", text
        )
        start, stop, low, high, amount = map(float, found.groups())
        tile = next(
            row for row in one.tiles(None)
            if row.start <= seconds[t] < row.stop and row.low <= hertz[f] < row.high
        )  # fmt: skip
        assert (start, stop) == pytest.approx((tile.start, tile.stop), abs=0.005)
        assert (low, high) == pytest.approx((tile.low, tile.high), abs=5)
        most = max(abs(row.relevance) for row in one.tiles(None))
        assert amount == pytest.approx(tile.relevance, rel=0.01, abs=2 * most / 32000)
        tab.mouse.click(*place(tab, ".pane.plane", *at))
        for _ in range(4):
            tab.keyboard.press("+")  # near: of the cell
        tab.wait_for_timeout(50)
        tab.mouse.move(*place(tab, ".pane.plane", *at))  # which stays where it is
        text = tab.inner_text("#readout").replace("−", "-")
        found = re.match(r"([\d.]+) s · ([\d.]+) Hz · (\S+) dB · relevance (\S+), (\w+)", text)
        assert float(found[1]) == pytest.approx(seconds[t], abs=0.01)
        assert float(found[2]) == pytest.approx(hertz[f], abs=20)
        assert float(found[3]) == pytest.approx(20 * np.log10(level[f, t] / level.max()), abs=0.3)
        assert float(found[4]) == pytest.approx(R[f, t], rel=0.01, abs=2 * np.abs(R).max() / 32000)
        assert found[5] == ("for" if R[f, t] > 0 else "against")
        tab.keyboard.press("0")
        tab.wait_for_timeout(50)
    tab.mouse.move(*place(tab, ".pane.spectrum", 0.125))
    text = tab.inner_text("#readout").replace("−", "-")
    found = re.match(r"([\d.]+) to ([\d.]+) Hz · .* relevance (\S+),", text)
    low, high, amount = map(float, found.groups())
    row = next(r for r in one.table("bands", None) if r.start < 500 < r.stop)
    assert (low, high) == pytest.approx((row.start, row.stop), abs=1)
    assert amount == pytest.approx(row.relevance, rel=0.01)


def test_zoom_shows_a_part_and_stops_at_the_whole_and_at_a_few_cells(visit, one):
    tab = visit([one])

    def read_ends():
        found = []
        for share in (0.001, 0.999):
            tab.mouse.move(*place(tab, ".pane.wave.signal", share))
            found.append(float(tab.inner_text("#readout").split()[0]))
        return found

    assert read_ends() == pytest.approx([0, 2], abs=0.01)
    assert tab.is_disabled("#zoom-out")
    tab.mouse.click(*place(tab, ".pane.plane", 0.5))
    tab.keyboard.press("+")
    tab.wait_for_timeout(50)
    assert read_ends() == pytest.approx([0.5, 1.5], abs=0.02)
    for _ in range(12):
        tab.keyboard.press("+")
    tab.wait_for_timeout(50)
    low, high = read_ends()
    assert low < 1 < high
    assert high - low == pytest.approx(4 * 64 / RATE, rel=0.05)
    tab.keyboard.press("0")
    tab.wait_for_timeout(50)
    assert read_ends() == pytest.approx([0, 2], abs=0.01)
    for _ in range(4):
        tab.keyboard.press("+")  # single cells
    for scale in ("log", "mel", "linear"):
        tab.select_option("#scale", scale)
        tab.wait_for_timeout(50)
        tab.mouse.move(*place(tab, ".pane.plane", 0.5, 0.5))
        middle = float(re.search(r"· ([\d.]+) Hz", tab.inner_text("#readout"))[1])
        assert middle == pytest.approx({"log": 126, "mel": 1170, "linear": 2000}[scale], rel=0.1)


def test_all_can_be_done_by_keyboard(visit, one):
    tab = visit([one])
    for _ in range(20):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "play":
            break
    tab.keyboard.press("Space")
    tab.wait_for_timeout(200)
    assert tab.inner_text("#play").endswith("Pause")
    tab.keyboard.press("Space")
    assert tab.inner_text("#play").endswith("Play")
    tab.keyboard.press("Home")
    for _ in range(10):
        tab.keyboard.press("ArrowRight")
    assert read_position(tab) == pytest.approx(0.4, abs=1e-3)
    tab.keyboard.press("[")
    for _ in range(5):
        tab.keyboard.press("ArrowRight")
    tab.keyboard.press("]")
    assert read_mark(tab)[:2] == pytest.approx([0.4, 0.6], abs=0.01)
    tab.keyboard.press("l")
    assert tab.is_checked("#loop")
    tab.keyboard.press("Escape")
    assert read_mark(tab) == [None] * 4


def test_a_finger_moves_the_cursor_and_marks(visit, one):
    tab = visit([one], 390, has_touch=True, device_scale_factor=2)
    tab.touchscreen.tap(*place(tab, ".pane.plane", 0.6))
    assert read_position(tab) == pytest.approx(1.2, abs=0.02)
    finger = tab.context.new_cdp_session(tab)
    points = [place(tab, ".pane.plane", share) for share in (0.2, 0.3, 0.5)]
    for kind, at in [("touchStart", points[0]), *(("touchMove", p) for p in points[1:])]:
        touched = [{"x": at[0], "y": at[1]}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert read_mark(tab)[:2] == pytest.approx([0.4, 1.0], abs=0.05)
    size = "(c) => [c.width / c.clientWidth, c.height / c.clientHeight]"
    assert tab.locator(".pane.plane canvas").first.evaluate(size) == pytest.approx([2, 2], rel=0.01)


def test_relevance_can_be_hidden_and_the_negative_part_left_out(visit, one):
    tab = visit([one])
    count = """() => {
      const shown = document.querySelector('.pane.plane canvas');
      const [width, height] = [shown.width - 80, shown.height - 40];
      const often = { willReadFrequently: true };
      const copy = new OffscreenCanvas(width, height).getContext('2d', often);
      copy.drawImage(shown, -65, -8);
      const { data } = copy.getImageData(0, 0, width, height);
      let [red, blue] = [0, 0];
      for (let i = 0; i < data.length; i += 4) {
        if (data[i] > data[i + 2] + 40) red++;
        if (data[i + 2] > data[i] + 40) blue++;
      }
      return [red, blue];
    }"""

    def look():
        tab.wait_for_timeout(60)
        return tab.evaluate(count)

    red, blue = look()
    assert min(red, blue) > 100
    tab.check("#positive")
    assert look() == [red, 0]
    tab.fill("#strength", "100")
    assert look()[0] > red
    tab.fill("#strength", "0")
    assert look() == [0, 0]


def test_each_channel_has_its_pictures_and_its_sounds(visit):
    tab = visit([quake(1000)])
    visible = """[...document.querySelectorAll('.choice label')]
      .filter(l => !l.hidden).map(l => l.textContent)"""
    assert all(", Z" in text for text in tab.evaluate(visible))
    tab.mouse.move(*place(tab, ".pane.wave:not(.signal)", 0.25))
    before = tab.inner_text("#readout")
    tab.select_option("#channel", "2")
    tab.wait_for_timeout(100)
    assert all(", E" in text for text in tab.evaluate(visible))
    assert len(tab.evaluate(visible)) == 6
    tab.mouse.move(*place(tab, ".pane.wave:not(.signal)", 0.26))
    assert tab.inner_text("#readout") != before


def test_two_explanations_share_one_scale(visit):
    tab = visit([explanation(), explanation(label="six", total=2.0)])
    tall = """() => [...document.querySelectorAll('.own .pane.wave canvas:first-child')]
      .map((shown) => {
        const copy = new OffscreenCanvas(shown.width, shown.height).getContext('2d');
        copy.drawImage(shown, 0, 0);
        const { data } = copy.getImageData(60, 5, shown.width - 80, shown.height - 10);
        let red = 0;
        for (let i = 0; i < data.length; i += 4) red += data[i] > data[i + 2] + 60 ? 1 : 0;
        return red;
      })"""
    tab.wait_for_timeout(100)
    seven, six = tab.evaluate(tall)
    assert seven / six == pytest.approx(7.9 / 2.0, rel=0.15)


def test_dark_is_dark(visit, one):
    paper = """() => [...document.querySelector('.pane.plane canvas').getContext('2d')
      .getImageData(80, 20, 1, 1).data]"""
    for scheme, light in (("light", True), ("dark", False)):
        tab = visit([explanation(two_tones(4000))], color_scheme=scheme)
        tab.wait_for_timeout(60)
        assert (sum(tab.evaluate(paper)[:3]) > 380) == light


@pytest.mark.parametrize("how", ["no script", "paper"])
def test_without_script_and_on_paper_there_are_still_pictures(visit, one, how):
    if how == "paper":
        tab = visit([one])
        tab.emulate_media(media="print")
    else:
        tab = visit([one], ready=False, java_script_enabled=False)
        assert tab.locator("audio").count() == tab.locator("audio:visible").count() > 4
    assert tab.locator(".pane svg").count() == tab.locator(".pane svg:visible").count() == 4
    assert tab.locator("canvas:visible").count() == 0
    assert tab.locator("#play:visible").count() == 0
    assert tab.locator(".pane.plane svg").bounding_box()["height"] > 100


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_names_from_outside_are_text_everywhere(visit, text):
    row = replace(ledger(1.0).rows[0], node=text, op=text)
    e = explanation(label=text, notes=(text, f"warning: {text}"), provenance={text: {text: text}},
                    ledger=Ledger((row,)), labels=(*LABELS[:7], text, *LABELS[8:]))  # fmt: skip
    other = replace(e, label=f"another {text}")
    several = stacked(e, e, e, channel_names=(text, f"{text}2", f"{text}3"))
    for explanations in ([e, other], [several]):
        tab = visit(explanations)
        tab.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        tab.fill("#mark-start", "0.1")
        tab.dispatch_event("#mark-start", "change")
        assert tab.locator("#held").inner_text()
        assert "hacked" not in tab.title().split("“")[0]
        assert tab.title().startswith("Why")
        assert tab.evaluate("document.images.length") == 0
        assert tab.evaluate("document.scripts.length") == 2
        words = tab.evaluate("document.body.textContent")
        assert "49" not in tab.inner_text("h1")
        assert " ".join(text.split()) in " ".join(words.split())
        assert tab.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_page_of_half_a_minute_is_small():
    rng = np.random.default_rng(0)
    count = 30 * 16000
    swell = np.abs(np.sin(np.arange(count) / 5000)) ** 2
    noise = rng.normal(size=count)
    for x in (0.3 * swell * noise, 0.2 * noise):
        page = render([explanation(x, rate=16000.0)])
        assert len(page) < 6_000_000
    assert "Left to the sound files beside this page: " in page
    assert page.count("<audio") >= 3


def test_axe_finds_nothing(visit, one):
    axe = install_tools() / "node_modules/axe-core/axe.min.js"
    for scheme in ("light", "dark"):
        tab = visit([one], color_scheme=scheme, bypass_csp=True)
        tab.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        tab.evaluate(axe.read_text("utf-8"))
        violations = "r.violations.map((v) => [v.id, v.nodes[0].html])"
        found = tab.evaluate(f"axe.run().then((r) => {violations})")
        assert found == []
