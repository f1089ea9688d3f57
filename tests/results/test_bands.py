"""Laws of the units in which relevance is shown and told."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from explanations import explanation, quake, with_mel

from dftlrp.core.types import InputError
from dftlrp.results.bands import POOLED, pool_relevance
from dftlrp.results.words import describe_cancellation, describe_middle, describe_share
from dftlrp.spectral.mel import hertz_to_mel

E = explanation()  # 0.5 s at 8000 Hz: 440 Hz in the first half for it, 1250 Hz against it
SLOW = explanation(np.random.default_rng(0).normal(size=997), rate=360.0)
SHORT = explanation(np.random.default_rng(0).normal(size=90))


@pytest.mark.parametrize("e", [E, SLOW, SHORT, quake(500), explanation(np.ones(1))])
@pytest.mark.parametrize("what", POOLED)
def test_units_lie_side_by_side_and_hold_all_relevance(e, what):
    pooled = pool_relevance(e, what)
    R = e.relevance[pooled.domain]
    assert pooled.net.shape == tuple(len(edges) - 1 for edges in pooled.edges)
    assert all(np.all(np.diff(edges) > 0) for edges in pooled.edges)
    for part, own in ((pooled.net, R), (pooled.favour, R[R > 0]), (pooled.against, R[R < 0])):
        assert part.sum() == pytest.approx(own.sum())
    np.testing.assert_allclose(pooled.net, pooled.favour + pooled.against, atol=1e-12)


def test_lists_read_the_same_table():
    for what in ("segments", "bands"):
        pooled = pool_relevance(E, what)
        rows = sorted(E.table(what, None))
        np.testing.assert_array_equal([r.relevance for r in rows], pooled.net)
        np.testing.assert_array_equal([r.start for r in rows], pooled.edges[0][:-1])
    tiles = E.tiles(None)
    assert sum(t.relevance for t in tiles) == pytest.approx(E.relevance["time-frequency"].sum())
    assert [abs(t.relevance) for t in tiles] == sorted(abs(t.relevance) for t in tiles)[::-1]
    assert E.tiles(3) == tiles[:3]


def test_a_tile_is_the_share_of_its_band_and_its_span():
    for tile in E.tiles(40):
        inside = E.share(time=(tile.start, tile.stop), band=(tile.low, tile.high))
        assert tile.share == pytest.approx(inside)
    strongest = E.tiles(1)[0]
    assert strongest.low < 440 < strongest.high
    assert strongest.stop < 0.26


def test_a_long_recording_has_at_most_160_segments():
    e = explanation(np.random.default_rng(0).normal(size=80_000))
    pooled = pool_relevance(e, "segments")
    assert pooled.width == "100 ms"
    assert len(pooled.net) == 100
    assert len(pool_relevance(e, "segments", 0.02).net) == 500


def test_where_the_model_reads_mel_bands_are_equally_wide_on_that_scale():
    for e in (replace(E, provenance={"front end": "mel"}), with_mel(E)):
        pooled = pool_relevance(e, "bands")
        steps = np.diff(hertz_to_mel(pooled.edges[0]))
        np.testing.assert_allclose(steps, steps[0])
        assert len(steps) == 24
        assert pooled.width == "mel band"


def test_units_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="unknown units 'notes': choose one of bands, segments"):
        pool_relevance(E, "notes")
    with pytest.raises(InputError, match="tiles have no single width"):
        pool_relevance(E, "tiles", 0.1)
    with pytest.raises(InputError, match="lacks the 'time-frequency' domain"):
        replace(E, relevance={"time": E.relevance["time"]}).tiles()


def test_cancellation_is_the_amounts_of_units_over_their_sum():
    low, high = (E.share(band=b) for b in ((0, 800), (800, 4000)))
    assert pool_relevance(E, "bands").cancellation == pytest.approx(low - high, rel=1e-3)
    R = np.zeros(4000)
    R[[10, 11, 3000, 3001]] = 1, -1, 1, 1  # neighbours cancel within their segment: not counted
    assert pool_relevance(explanation(relevance={"time": R}), "segments").cancellation == 1
    R[3000:3002] = 0
    assert math.isnan(pool_relevance(explanation(relevance={"time": R}), "segments").cancellation)
    R[2000] = -R.sum() or 1
    R[100] = -R.sum()
    assert pool_relevance(explanation(relevance={"time": R}), "segments").cancellation == math.inf


def test_what_cancels_more_than_three_times_is_said_with_what_to_do():
    assert describe_cancellation(E) == ""
    R = np.zeros(4000)
    R[[100, 3000]] = 2.0, -1.0
    once = explanation(relevance={"time": R})
    assert describe_cancellation(once) == ""
    R[3000] = -1.2
    said = describe_cancellation(once)
    assert said.startswith(
        "Between segments, relevance for and against mostly cancels (its amounts"
    )
    assert "add up to 4 times its sum" in said
    assert said.endswith("or explain with composite EpsilonGamma and reference silence.")
    for facts in ({"composite": "EpsilonGamma", "reference": "silence"}, {"composite": "AttnLRP"}):
        assert describe_cancellation(replace(once, provenance=facts)).endswith("over wider parts.")
    R[3000] = -2.0
    assert "add up to over 1000 times" in describe_cancellation(once)


def test_the_first_sentence_names_edges_of_units():
    half, band = describe_middle(E).split("; by frequency, half lies ")
    edges = {f"{edge:.2f}" for edge in pool_relevance(E, "segments").edges[0]}
    assert {half.split()[1], half.split()[3].removesuffix("\N{NO-BREAK SPACE}s")} <= edges
    assert band == "between 355 and 447\N{NO-BREAK SPACE}Hz"


def test_a_share_of_a_difference_is_one_of_the_change():
    compared = replace(E, provenance={**E.provenance, "reference": "silence"})
    assert describe_share(E, "time").endswith("(96 % of the score)")
    assert describe_share(compared, "time").endswith("(96 % of the change)")
