"""Laws of channels, shares and tables."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from explanations import explanation, quake, stacked, two_tones, with_input, with_mel
from hypothesis import given, settings
from hypothesis import strategies as st

from dftlrp.core.types import InputError
from dftlrp.results.bands import round_up
from dftlrp.results.questions import Row, Tile, pick_strongest, write_csv

E = explanation()  # 0.5 s at 8000 Hz: 440 Hz in the first half for it, 1250 Hz against it
ODD = explanation(np.random.default_rng(0).normal(size=997), rate=360.0)
SOME = {"even": E, "odd": ODD, "several": quake(500)}
KINDS = ("signed", "positive", "absolute")


def two_sides(e, domain, edge):
    """Spans below and above an edge, in the time or the frequency domain."""
    name, end = (
        ("time", e.signal["time"].shape[-1] / e.rate) if domain == "time" else ("band", e.rate / 2)
    )
    return [{name: (0, edge * end)}, {name: (edge * end, end)}]


# -- channels


def test_one_channel_is_itself():
    assert E.channels == (E,)
    assert len(with_input(E, np.ones((3, 5)), np.ones((3, 5))).channels) == 1


def test_channels_are_the_explanations_they_were_stacked_from():
    parts = [with_mel(explanation(a * two_tones(), total=a)) for a in (1.0, 2.0, 3.0)]
    for channel, part in zip(stacked(*parts).channels, parts, strict=True):
        assert channel.domains == part.domains
        for d in part.domains:
            np.testing.assert_array_equal(channel.signal[d], part.signal[d])
            np.testing.assert_array_equal(channel.relevance[d], part.relevance[d])
        assert (channel.label, channel.channels) == (part.label, (channel,))


def test_channels_are_views_and_keep_their_names():
    e = quake(500)
    assert [c.channel_names for c in e.channels] == [("Z",), ("N",), ("E",)]
    assert all(np.shares_memory(c.relevance["time"], e.relevance["time"]) for c in e.channels)
    unnamed = replace(e, channel_names=())
    assert [c.channel_names[0] for c in unnamed.channels] == ["channel 1", "channel 2", "channel 3"]


def test_what_the_model_itself_reads_belongs_to_no_channel():
    e = with_input(quake(500), np.ones((3, 5)), np.ones((3, 5)))
    assert "input" not in e.channels[0].domains


def test_names_and_domains_must_agree_on_the_number_of_channels():
    with pytest.raises(InputError, match=r"3\] channels, but 2 names"):
        _ = replace(quake(500), channel_names=("Z", "N")).channels
    e = quake(500)
    fewer = {**e.relevance, "frequency": e.relevance["frequency"][:2]}
    with pytest.raises(InputError, match="channels"):
        _ = replace(e, relevance=fewer).channels


# -- shares


def test_the_tones_have_the_shares_they_were_made_with():
    low, high = E.share(band=(400, 480)), E.share(band=(1200, 1300))
    assert low == pytest.approx(1 / 0.6, rel=1e-3)  # 1 for, 0.4 against: 0.6 in all
    assert high == pytest.approx(-0.4 / 0.6, rel=1e-3)
    assert E.share(band=(400, 480), kind="positive") == pytest.approx(1, rel=1e-3)
    assert E.share(band=(1200, 1300), kind="absolute") == pytest.approx(0.4 / 1.4, rel=1e-3)
    assert E.share(time=(0, 0.25)) == pytest.approx(1 / 0.6, rel=1e-2)
    assert E.share(time=(0, 0.25), band=(200, 700)) == pytest.approx(1 / 0.6, rel=1e-2)
    assert abs(E.share(time=(0.3, 0.5), band=(200, 700))) < 1e-3


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["even", "odd", "several"]), st.sampled_from(["time", "band"]),
    st.floats(0.01, 0.98), st.sampled_from(KINDS),
)  # fmt: skip
def test_shares_of_spans_side_by_side_add_up_to_one(which, domain, edge, kind):
    e = SOME[which]
    sides = two_sides(e, domain, edge)
    assert sum(e.share(**side, kind=kind) for side in sides) == pytest.approx(1)
    other = {"band": (0, e.rate / 2)} if domain == "time" else {"time": (0, 1e3)}
    assert sum(e.share(**side, **other, kind=kind) for side in sides) == pytest.approx(1)


def test_an_edge_belongs_to_what_it_starts_whatever_the_round_off():
    x = np.zeros(100)
    x[30] = 1.0
    e = explanation(x, rate=100.0)
    e = replace(e, relevance={**e.relevance, "time": x})
    assert e.share(time=(3 * 0.1, 0.4)) == 1  # 0.30000000000000004
    assert e.share(time=(0.2, 0.3)) == 0


def test_a_share_of_channels_is_weighted_by_their_relevance():
    e = quake(500)
    totals = np.array([c.relevance["time"].sum() for c in e.channels])
    shares = np.array([c.share(time=(0, 2)) for c in e.channels])
    assert e.share(time=(0, 2)) == pytest.approx(shares @ totals / totals.sum())


def test_a_share_of_nothing_is_not_a_number():
    silent = explanation(np.zeros(400))
    assert math.isnan(silent.share(time=(0, 0.01)))
    assert all(math.isnan(row.share) for row in silent.table("bands"))


BAD = [
    ({}, "a share of what"),
    ({"time": (0.2, 0.2)}, "time from 0.2 to 0.2 s is empty"),
    ({"time": (0.3, 0.2)}, "is empty"),
    ({"time": (0.5, 0.6)}, "time from 0.5 to 0.6 s holds nothing: there is relevance from 0 to"),
    ({"time": (-2, -1)}, "holds nothing"),
    ({"band": (4001, 5000)}, "band from 4001 to 5000 Hz holds nothing"),
    ({"band": (400.1, 400.2)}, "holds nothing: .* every 2 Hz"),
    ({"band": (0, math.nan)}, "is empty"),
    ({"band": (0, math.inf)}, "is empty"),
    ({"band": 440}, r"band 440: give \(start, stop\) in Hz"),
    ({"time": ("a", "b")}, "give"),
    ({"time": (0, 0.1), "kind": "net"}, "unknown kind of share 'net': choose one of signed"),
]


@pytest.mark.parametrize(("asked", "said"), BAD)
def test_what_cannot_be_asked_is_refused_in_one_line(asked, said):
    with pytest.raises(InputError, match=said) as caught:
        E.share(**asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "domain"),
    [({"time": (0, 1)}, "time"), ({"band": (0, 9)}, "frequency"),
     ({"time": (0, 1), "band": (0, 99)}, "time-frequency")],
)  # fmt: skip
def test_a_missing_domain_is_named(asked, domain):
    lacking = replace(E, relevance={d: r for d, r in E.relevance.items() if d != domain})
    with pytest.raises(InputError, match=f"'{domain}' domain"):
        lacking.share(**asked)


# -- tables


@pytest.mark.parametrize("e", [E, ODD, quake(500), explanation(np.ones(1)), explanation(rate=1.0)])
@pytest.mark.parametrize("what", ["bands", "segments"])
@pytest.mark.parametrize("width", [None, 3.0, 50.0])
def test_rows_tile_the_axis_and_add_up(e, what, width):
    if what == "segments" and e.rate > 1 and width is not None:
        width /= 100
    rows = e.table(what, None, width)
    domain = {"bands": "frequency", "segments": "time"}[what]
    assert sum(r.relevance for r in rows) == pytest.approx(e.relevance[domain].sum())
    assert sum(r.share for r in rows) == pytest.approx(1)
    ordered = sorted(rows)
    assert all(a.stop <= b.start for a, b in pairwise(ordered))
    assert all(r.start < r.stop for r in rows)
    amounts = [abs(r.relevance) for r in rows]
    assert amounts == sorted(amounts, reverse=True)
    assert e.table(what, 3, width) == rows[:3]


def test_a_row_is_the_share_of_its_span():
    for row in E.table("bands"):
        assert row.share == pytest.approx(E.share(band=(row.start, row.stop)))
    for row in E.table("segments", None):
        assert row.share == pytest.approx(E.share(time=(row.start, row.stop)))


def test_the_strongest_bands_are_the_tones():
    for_it, against = E.table("bands", 2)
    assert for_it.start < 440 < for_it.stop
    assert against.start < 1250 < against.stop
    assert for_it.unit == "Hz"
    assert against.share < 0 < for_it.share
    assert pick_strongest(E.table("bands")) == ([for_it], [against])


def test_bands_are_thirds_of_octaves_for_audio_and_equal_below():
    edges = sorted({edge for r in E.table("bands", None) for edge in (r.start, r.stop)})
    assert edges[0] == 0
    assert edges[-1] == 4000
    inner = np.array(edges[1:-1])
    np.testing.assert_allclose(inner[1:] / inner[:-1], 10**0.1)
    assert np.any(np.isclose(inner, 1000 * 10**0.05))
    assert {round(r.stop - r.start, 9) for r in ODD.table("bands", None)} == {5.0}
    assert {round(r.stop - r.start, 9) for r in E.table("segments", None)} == {0.02}
    assert ODD.table("segments")[0].stop - ODD.table("segments")[0].start == pytest.approx(0.1)


@pytest.mark.parametrize("width", [0, -1, math.nan, math.inf, "wide"])
def test_a_width_that_makes_no_table_is_refused(width):
    with pytest.raises(InputError, match="width"):
        E.table("bands", width=width)


def test_what_is_narrower_than_the_points_lie_apart_holds_one_each():
    rows = E.table("segments", None, 1e-9)
    assert len(rows) == 4000
    assert sum(r.relevance for r in rows) == pytest.approx(E.relevance["time"].sum())


def test_an_unknown_table_and_a_missing_domain_are_refused():
    with pytest.raises(InputError, match="unknown table 'notes': choose one of bands, segments"):
        E.table("notes")
    with pytest.raises(InputError, match="'frequency' domain"):
        replace(E, relevance={"time": E.relevance["time"]}).table("bands")


@pytest.mark.parametrize("e", [E, quake(500), quake(500).channels[1]])
@pytest.mark.parametrize("what", ["bands", "segments"])
def test_csv_holds_every_row_of_every_channel_and_the_share_of_all(e, what):
    head, *rows = csv.reader(io.StringIO(write_csv(e, what)))
    named = len(head) - len(Row._fields)
    assert head == ["channel"] * named + list(Row._fields)
    assert sum(float(r[-1]) for r in rows) == pytest.approx(1)
    assert len(rows) == sum(len(c.table(what, None)) for c in e.channels)
    amounts = [abs(float(r[-2])) for r in rows]
    assert amounts == sorted(amounts, reverse=True)


@given(st.floats(1e-6, 1e6))
def test_round_numbers_are_one_two_or_five(value):
    nice = round_up(value)
    assert value * (1 - 1e-5) <= nice < 2.6 * value
    assert f"{nice:e}"[0] in "125"


@pytest.mark.parametrize("count", [-1, 2.5, "a", True])
def test_a_count_is_a_whole_number(count):
    with pytest.raises(InputError, match="count is"):
        E.table(count=count)


def test_rows_are_printed_in_words():
    assert str(Row(562.3, 707.9, "Hz", 5.8565, 0.6335)) == "562 to 708 Hz: 5.86 (63 %)"
    assert str(Row(0.46, 0.48, "s", -1.61, -2.14)) == "0.46 to 0.48 s: −1.61 (−214 %)"
    assert str(Row(0.46, 0.48, "s", -0.4727, math.nan)) == "0.46 to 0.48 s: −0.473"
    assert str(Tile(562.3, 707.9, 0.25, 0.3, -4.76, -0.5)) == (
        "562 to 708 Hz at 0.25 to 0.3 s: −4.76 (−50 %)"
    )
