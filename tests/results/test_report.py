"""Laws of the HTML page."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from explanations import explanation, quake, stacked, two_tones, with_input, with_mel

from dftlrp.core.ledger import Ledger
from dftlrp.core.types import InputError
from dftlrp.results.report import render
from dftlrp.results.report.ends import find_highest

HOSTILE = "</script><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Start tags with their attributes, and the visible text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text, self.skipped = [], "", False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.skipped = tag in ("style", "script")

    def handle_data(self, data):
        self.text += "" if self.skipped else data

    def all(self, tag):
        return [attrs for name, attrs in self.found if name == tag]

    @property
    def words(self):
        return " ".join(self.text.split())


def pictures(tags):
    return [a for a in tags.all("div") if a.get("role") == "img"]


def count_bars(tags):
    """The small bars in the table of scores."""
    return len([a for a in tags.all("td") if a.get("class") == "bar"])


@pytest.fixture(scope="module")
def page():
    return render([explanation()])


@pytest.fixture
def fast(monkeypatch):
    """Leave out pictures and numbers, where only words are looked at."""
    monkeypatch.setattr("dftlrp.results.report.still.draw_still", lambda *_: "<svg></svg>")
    monkeypatch.setattr("dftlrp.results.report.shown.write_data", lambda *_: "{}")


def test_the_page_says_why(page):
    words = Tags(page).words
    assert "Why “seven”?" in words
    assert "The model chose “seven”, with a score of 8.26 (99.6 %)." in words
    assert "This page explains “seven”: this score is divided into relevance." in words
    assert re.search(r"Half of the positive relevance lies between 0\.\d\d and 0\.\d\d s", words)
    assert "Of 8.26 put in at the output, 7.9 (96 %) reached the recording" in words
    assert "biases absorbed 0.35 (4 %)" in words
    assert "Check passed: no relevance lost (largest error 0)" in words
    assert "resampled from 44100 Hz to 8000 Hz" in words


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        ("contrast", "“seven” against the average of the other classes: its lead of 8.26 is"),
        ("contrast:6", "explains “seven” against “six”: its lead of 8.26 is divided"),
        ("one", "explains “seven”: one unit of this score is divided"),
    ],
)
def test_the_seed_is_said_in_words(fast, seed, said):
    assert said in Tags(render([explanation(provenance={"seed": seed})])).words


def test_nothing_outside_the_file_is_named(page):
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", page)
    tags = Tags(page)
    sources = [a[k] for _, a in tags.found for k in ("src", "href") if k in a]
    assert sources
    assert all(s.startswith(("data:", "#")) for s in sources)
    assert [a["type"] for a in tags.all("script")] == ["application/json", "module"]
    assert not [k for _, a in tags.found for k in a if k.startswith("on") or k == "style"]


def test_the_policy_lets_through_this_style_this_script_and_data_only(page):
    policy = next(a["content"] for a in Tags(page).all("meta") if "http-equiv" in a)
    inside = [
        re.search(rf"<{tag}>(.*?)</{tag.split()[0]}>", page, re.S).group(1)
        for tag in ("style", 'script type="module"')
    ]
    style, script = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inside
    )
    assert policy == (
        "default-src 'none'; img-src data:; media-src data:; "
        f"style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_same_input_gives_the_same_bytes(page):
    assert render([explanation()]) == page


def test_nothing_of_the_page_needs_matplotlib():
    code = "import sys; from explanations import explanation, quake, with_mel;"
    code += "from dftlrp.results.report import render;"
    code += "render([explanation()]); render([with_mel(quake(500))]);"
    code += "print('matplotlib' in sys.modules)"
    command = [sys.executable, "-c", code]
    folder = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_hostile_label_stays_text():
    hostile = explanation(label=HOSTILE, notes=(HOSTILE,), provenance={HOSTILE: HOSTILE})
    page = render([hostile, explanation(label="six")])
    assert HOSTILE not in page
    tags = Tags(page)
    assert len(tags.all("script")) == 2
    assert not tags.all("img")
    assert f"“{HOSTILE}” and “six”" in tags.words


@pytest.mark.parametrize("label", ["\udc80", "\u202erev", "\x00", "x" * 5000, "", "{{ 7*7 }}"])
def test_odd_labels_make_a_page_that_can_be_written(fast, label):
    page = render([explanation(label=label)])
    assert page.encode("utf-8")
    assert "49" not in Tags(page).words.split()


def test_players_hold_sound_files_of_common_gain(page):
    clips = [a["src"] for a in Tags(page).all("audio")]
    assert len(clips) == 6
    for clip in clips:
        head, data = clip.split(",")
        assert head == "data:audio/flac;base64"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert rate == 8000
        assert 0 < np.max(np.abs(samples)) <= 10 ** (-1 / 20) + 1e-4
    gains = re.findall(r"Gain ([+−][\d.]+)", Tags(page).words)
    assert len(gains) == 6
    assert gains[0] == gains[1] == gains[2]
    assert gains[3] == gains[4] == gains[5]


def test_two_explanations_side_by_side():
    tags = Tags(render([explanation(), explanation(label="six", total=2.0)]))
    assert "Why “seven” and not “six”?" in tags.words
    assert len(tags.all("audio")) == 1 + 2 * 5
    said = [a["aria-label"] for a in pictures(tags) if "Relevance" in a["aria-label"]]
    assert len(said) == 2 * 3
    assert ["“six”" in text for text in said] == 3 * [False, True]
    assert ["“seven”" in text for text in said] == 3 * [True, False]


def test_every_picture_player_and_table_can_be_named_by_a_screen_reader(page):
    tags = Tags(page)
    assert all(a["aria-label"] for a in (*pictures(tags), *tags.all("audio"), *tags.all("input")
                                         ) if a.get("type") != "checkbox")  # fmt: skip
    ids = [a["id"] for _, a in tags.found if "id" in a]
    assert len(set(ids)) == len(ids)
    assert {a["aria-labelledby"] for a in tags.all("section")} <= set(ids)
    assert tags.all("html")[0]["lang"] == "en"
    assert len(tags.all("h1")) == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"explained": np.arange(10.0), "output": np.arange(10.0)}, "did not choose “seven”"),
        ({"x": np.zeros(4000)}, "The recording is silent"),
        ({"x": np.zeros(4000)}, "Silent: the recording has no such part"),
        ({"rate": 360.0}, "Played 32 times faster: 360 samples per second are too slow"),
        ({"rate": 360.0}, "the sounds are played 32 times faster"),
        ({"rate": 22050.5}, "the sounds are played at 22050 Hz instead of 22050.5 Hz"),
        ({"rate": 1e7}, "No player can play 1e+07 samples per second"),
        ({}, "Strongest for “seven” Segments: for it 0.1"),
        ({}, "Bands: for it 355 to 447 Hz (13.2); against it 1122 to 1413 Hz (−5.27)."),
        ({"label": "three", "target": -1, "label_": "callable"}, "Why “callable”?"),
        ({"explained": np.array(0.7), "output": np.array(0.7), "target": ()}, "output is 0.7"),
        ({"ledger": Ledger(())}, "Every layer"),
        ({"rest": {"time-frequency": 0.25}}, "0.25 cannot be shown over time and frequency"),
    ],
)
def test_what_a_reader_should_know(fast, changed, said):
    x, name = changed.pop("x", None), changed.pop("label_", None)
    e = explanation(x, **({**changed, "label": name} if name else changed))
    words = Tags(render([e])).words
    assert (said in words) != ("ledger" in changed)


def test_tiles_are_listed_and_single_bins_are_folded_away(fast):
    page = render([explanation()])
    words = Tags(page).words
    assert re.search(r"Tiles: for it 355 to 447 Hz at 0\.\d+ to 0\.\d+ s \(", words)
    folded = re.search(r"<details><summary>Single bins of 2 Hz.*?</details>", page, re.S).group(0)
    assert re.search(r"Bins:\s*<span class=\"for\">for it</span> 440\sHz \(", folded)
    assert "mostly cancels" not in words
    R = {"time": np.repeat([1.0, -1.0], 2000)}
    assert "Between segments, relevance for and against" in Tags(render([explanation(
        relevance=R, signal={"time": two_tones()}, rest={"time": 0.0})])).words  # fmt: skip


def test_a_note_that_warns_stands_in_the_box_and_once(fast):
    silent = "warning: 31 % of the relevance sits on silent frames"
    page = render([explanation(np.zeros(4000), notes=(silent, "warning: the recording is silent"))])
    box = re.search(r'<div class="warning".*?</div>', page, re.S).group(0)
    assert "<p>31 % of the relevance sits on silent frames.</p>" in box
    assert box.count("The recording is silent.") == 1
    assert "warning:" not in Tags(page).words


def test_channels_have_pictures_players_and_sums_of_their_own(fast):
    page = render([with_mel(quake(1000))])
    tags = Tags(page)
    assert len(pictures(tags)) == 5
    assert len(tags.all("svg")) == 5 * 3 + count_bars(tags)
    assert [a["aria-label"].split(", ")[1] for a in tags.all("audio")] == 6 * ["Z", "N", "E"]
    assert "Z352 % N1.832 % E0.916 %" in tags.words


@pytest.mark.parametrize(("rate", "slow", "highest"), [
    (360.0, 5.0, 8.0), (360.0, 25.0, 40.0), (360.0, 150.0, 180.0), (8000.0, 25.0, 4000.0),
])  # fmt: skip
def test_what_holds_only_low_frequencies_is_shown_up_to_where_they_end(rate, slow, highest):
    x = np.sin(2 * np.pi * slow * np.arange(3600) / rate) * np.hanning(3600) + 3.0
    assert find_highest([explanation(x, rate=rate)]) == highest


def test_two_channels_are_heard_together(fast):
    both = stacked(explanation(), explanation(two_tones()[::-1]))
    clips = [a["src"] for a in Tags(render([both])).all("audio")]
    for clip in clips:
        samples, _ = soundfile.read(io.BytesIO(base64.b64decode(clip.split(",")[1])))
        assert samples.shape == (4000, 2)
    assert len(clips) == 6


def test_of_many_channels_those_with_most_relevance_come_first_the_rest_is_folded(fast):
    parts = [explanation(two_tones(100), total=1.0 + c) for c in range(40)]
    tags = Tags(render([stacked(*parts)]))
    assert "28 more" in tags.words  # in the table
    assert len(tags.all("svg")) == 4 * 12 + count_bars(tags)
    assert len(tags.all("option")) == 3 + 12
    assert len(tags.all("audio")) == 6 * 12
    assert "12 of 40 channels" in tags.words
    assert tags.all("audio")[0]["aria-label"].endswith("channel 40")


def test_what_the_model_itself_reads_is_shown_but_is_not_the_recording(fast):
    e = with_input(explanation(np.zeros(4000)), np.ones((5, 7)), np.ones((5, 7)))
    words = Tags(render([e])).words
    assert "Relevance over what the model reads" in words
    assert "The recording is silent" in words
    assert ", 0 (0 %) reached the recording" in words


def test_probabilities_are_shown_where_the_model_gives_them(fast):
    output = np.full(10, 0.02)
    output[7] = 0.82
    words = Tags(render([explanation(output=output)])).words
    assert "model's output" in words
    assert "seven (explained) 8.26 82 %" in words


def test_of_many_classes_the_explained_stays_in_sight(fast):
    values, labels = np.linspace(5, 0, 50), tuple(f"class {i}" for i in range(50))
    e = explanation(label="x", target=40, explained=values, output=values, labels=labels)
    words = Tags(render([e])).words
    assert words.index("class 40 (explained)") < words.index("39 more") < words.index("class 41")


def test_no_explanation_is_refused():
    with pytest.raises(InputError, match="no explanation"):
        render([])
