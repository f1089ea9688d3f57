"""Laws of the page of neurons: self-contained, quiet, small, and true to its numbers."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import soundfile
from browser import browser
from dataset import folder, tone

from dftlrp.concepts import Neurons, neurons
from dftlrp.concepts import neuron_page as pages
from dftlrp.concepts.neuron_page import _cut_sounds, _limit_seconds

HOSTILE = "<img src=x onerror=alert(1)>.wav"
LABELS = ["low", "<b>middle", "high & <i>"]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> tuple[Neurons, Path]:
    place = tmp_path_factory.mktemp("page")
    data = folder(place, takes=2)
    soundfile.write(data / "low" / HOSTILE, tone(300, 5), 8000)
    for c, name in enumerate(("low", "middle", "high")):
        (data / name).rename(data / str(c))
    made = neurons(
        place / "m.onnx", data, layer="conv2", folder=place / "out", top=2, count=3, labels=LABELS
    )
    return made, made.save(place / "out")[0]


def test_the_page_says_what_the_tables_do(found):
    made, path = found
    text = path.read_text()
    for c, a in made.ablation.items():
        assert f'id="class-{c}"' in text
        assert f"over {len(a.concepts)} neurons" in text
    for n in made.shown:
        assert text.count(f'id="neuron-{n}"') == 1  # once, under the first class it serves
    assert text.count("<audio") == 2 * sum(len(made.portraits[n].prototypes) for n in made.shown)


def test_text_from_outside_is_text(found):
    text = found[1].read_text()
    assert "<img src=x" not in text
    assert "<b>middle" not in text
    assert "&lt;b&gt;middle" in text


def test_a_browser_shows_and_plays_it_without_a_word(found):
    asked, said = [], []
    with browser() as opened:
        for width, scheme in ((1280, "light"), (360, "dark")):
            tab = opened.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            tab.on("request", lambda r: asked.append(r.url))
            tab.on("console", lambda m: said.append(m.text))
            tab.on("dialog", lambda d: said.append(d.message))
            tab.goto(found[1].as_uri())
            tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            tab.evaluate("document.querySelectorAll('audio').forEach(a => a.preload = 'metadata')")
            tab.wait_for_function(
                "() => [...document.querySelectorAll('audio')].every(a => a.readyState > 0)"
            )
            stills = tab.locator(".plot svg")
            assert stills.count() > 4 * len(found[0].classes)
            assert all(stills.nth(k).bounding_box()["height"] > 50 for k in range(4))
            lengths = tab.evaluate("[...document.querySelectorAll('audio')].map(a => a.duration)")
            assert lengths == [pytest.approx(0.05)] * len(lengths)
            assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert [u for u in asked if not u.startswith(("data:", "file:"))] == []
    assert said == []


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
    original, heard = _cut_sounds(files, 1, 0.1)
    assert len(original) == len(heard) == 800
    assert heard.samples[:, 0] == pytest.approx(loud[2000:2800], abs=1e-4)
