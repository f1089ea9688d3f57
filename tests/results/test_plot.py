"""Laws of the figures."""

from __future__ import annotations

import numpy as np
import pytest
from explanations import explanation, quake, stacked, two_tones, with_input, with_mel
from matplotlib.colors import to_rgb

from dftlrp.core.types import InputError
from dftlrp.results.bands import pool_relevance
from dftlrp.results.figure import draw_figure, render_figure, save_figure
from dftlrp.results.panels import NEGATIVE, PALE_NEGATIVE, PALE_POSITIVE, POSITIVE, make_colours
from dftlrp.results.points import add_up, add_up_cells


def panels(fig, rows, columns=3):
    return np.array(fig.axes[: rows * columns]).reshape(rows, columns)


def test_two_rows_three_columns_in_seconds_and_hertz():
    axes = panels(draw_figure([explanation()]), 2)
    for row in axes:
        assert [a.get_xlabel() for a in row] == ["time (s)", "frequency (Hz)", "time (s)"]
    assert [a.get_ylabel() for a in axes[0]] == ["amplitude", "magnitude", "frequency (Hz)"]
    assert axes[1, 0].get_ylabel() == "relevance per 20 ms"
    assert axes[1, 1].get_ylabel() == "relevance per ⅓ octave"
    assert [axes[0, k].get_xlim()[1] for k in (0, 2)] == pytest.approx([0.5, 0.5])
    assert [t.get_text() for t in axes[0, 1].get_xticklabels()] == ["50", "200", "1000", "4000"]
    assert axes[1, 2].get_ylim() == (0, pytest.approx(4015.6, abs=0.1))
    assert "“seven”: sum 7.9 (96 % of the score)" in axes[1, 0].get_title(loc="left")


def test_the_title_says_what_was_explained_and_its_score():
    assert draw_figure([explanation()]).get_suptitle() == "Why “seven”?  score 8.26"


def test_red_is_positive_and_blue_negative():
    low, middle, high = (np.array(make_colours()(v)) for v in (0.15, 0.5, 0.85))
    assert high[0] > 2 * high[2]
    assert low[2] > 1.5 * low[0]
    assert middle[:3].min() > 0.95
    mesh = panels(draw_figure([explanation()]), 2)[1, 2].collections[0]
    low_limit, high_limit = mesh.get_clim()
    assert low_limit == -high_limit < 0
    bars = panels(draw_figure([explanation()]), 2)[1, 0].patches
    colours = {tuple(p.get_facecolor()[:3]): p for p in bars}
    above, below = (colours[to_rgb(c)].get_data().values for c in (POSITIVE, NEGATIVE))
    assert above.min() == 0 < above.max()
    assert below.max() == 0 > below.min()
    assert np.argmax(above) < len(above) / 2 < np.argmin(below)  # the tones' order


def test_a_power_of_ten_is_in_the_label():
    axes = panels(draw_figure([explanation(total=7.9e-6)]), 2)
    assert axes[1, 0].get_ylabel() == "relevance per 20 ms (×10⁻⁶)"
    assert axes[1, 2].figure.axes[-1].get_ylabel() == "relevance per cell (×10⁻⁷)"


def test_bars_add_up_to_the_relevance():
    e = explanation()
    for column, domain in enumerate(("time", "frequency")):
        patches = panels(draw_figure([e]), 2)[1, column].patches
        net = sum(p.get_data().values.sum() for p in patches[2:])
        parts = sum(p.get_data().values.sum() for p in patches[:2])
        assert net == pytest.approx(e.relevance[domain].sum())
        assert parts == pytest.approx(e.relevance[domain].sum())


@pytest.mark.parametrize("e", [explanation(), explanation(rate=360.0)])
def test_bars_are_the_units_that_are_listed_and_bands_are_equally_wide(e):
    axes = panels(draw_figure([e]), 2)
    for column, what in enumerate(("segments", "bands")):
        pooled = pool_relevance(e, what)
        above, below, *_ = (p.get_data() for p in axes[1, column].patches)
        np.testing.assert_allclose(above.values, pooled.favour)
        np.testing.assert_allclose(below.values, pooled.against)
        steps = np.diff(above.edges)[:-1]  # the last segment may be shorter
        np.testing.assert_allclose(steps, steps[0])
    low, high = (axes[0, 1].patches[0].get_data().edges[k] for k in (0, -1))
    assert axes[0, 1].get_xlim() == pytest.approx((low, high), abs=1)


def test_two_explanations_share_every_scale():
    pair = [explanation(), explanation(label="three", total=2.0, against=-3.0)]
    axes = panels(draw_figure(pair), 3)
    for column in range(3):
        assert axes[1, column].get_ylim() == axes[2, column].get_ylim()
        assert (
            axes[1, column].get_xlim() == axes[2, column].get_xlim() == axes[0, column].get_xlim()
        )
    assert axes[1, 2].collections[0].get_clim() == axes[2, 2].collections[0].get_clim()
    assert "“three”" in axes[2, 0].get_title(loc="left")


@pytest.mark.parametrize(("count", "loud"), [(1, 1), (1, 0), (2, 1), (17, 0), (30_000, 1)])
def test_any_length_and_silence(count, loud):
    e = explanation(loud * two_tones(count))
    assert render_figure(draw_figure([e]), dpi=40).startswith(b"\x89PNG")


def test_one_column_per_domain_present():
    e = explanation()
    some = explanation(relevance={"frequency": e.relevance["frequency"]})
    assert len(draw_figure([some]).axes) == 2
    assert len(draw_figure([e], ["time"]).axes) == 2


def test_what_cannot_share_a_figure_is_refused():
    with pytest.raises(InputError, match="no explanation"):
        draw_figure([])
    with pytest.raises(InputError, match="one recording"):
        draw_figure([explanation(), explanation(two_tones() / 2)])
    with pytest.raises(InputError, match="'mel'"):
        draw_figure([explanation()], ["mel"])


def test_each_channel_has_a_block_of_rows_under_its_name():
    axes = panels(draw_figure([quake(500), quake(500)]), 9)
    for c, name in enumerate("ZNE"):
        signal, *relevance = axes[3 * c : 3 * c + 3]
        kinds = ["signal", "spectrum", "spectrogram"]
        assert [a.get_title(loc="left") for a in signal] == [f"{name}: {k}" for k in kinds]
        assert all("“P”: sum" in a.get_title(loc="left") for row in relevance for a in row)
    assert [a.get_xlabel() for a in axes[-1]] == ["time (s)", "frequency (Hz)", "time (s)"]
    assert not any(a.get_xlabel() for a in axes[:-1].flat)


def test_channels_share_the_scales_of_their_relevance_drawn_or_not():
    e = quake(500)
    every, last = panels(draw_figure([e]), 6), panels(draw_figure([e], channels=[2]), 2)
    for column in (0, 1):
        assert len({a.get_ylim() for a in (*every[1::2, column], last[1, column])}) == 1
    meshes = [a.collections[0].get_clim() for a in (*every[1::2, 2], last[1, 2])]
    assert len(set(meshes)) == 1


def test_a_channel_is_drawn_as_it_would_be_alone_but_for_the_scale():
    e = quake(500)
    together, alone = panels(draw_figure([e]), 6)[2:4], panels(draw_figure([e.channels[1]]), 2)
    for a, b in zip(together[:, :2].flat, alone[:, :2].flat, strict=True):
        for p, q in zip(a.patches, b.patches, strict=True):
            np.testing.assert_array_equal(p.get_data().values, q.get_data().values)
    for a, b in zip(together[:, 2], alone[:, 2], strict=True):
        np.testing.assert_array_equal(a.collections[0].get_array(), b.collections[0].get_array())


def test_of_many_channels_the_twelve_with_most_relevance_are_drawn():
    parts = [explanation(two_tones(100), total=1.0 + c) for c in range(20)]
    fig = draw_figure([stacked(*parts)], ["time"])
    titles = [a.get_title(loc="left") for a in fig.axes[::2]]
    assert titles == [f"channel {c}: signal" for c in range(20, 8, -1)]
    assert "12 of 20 channels" in fig.get_supxlabel()
    named = stacked(*parts, channel_names=tuple(f"lead {c}" for c in range(20)))
    titles = [a.get_title(loc="left") for a in draw_figure([named], ["time"]).axes[::2]]
    assert titles == [f"lead {c}: signal" for c in range(8, 20)]  # those with names, in their order
    with pytest.raises(InputError, match="give some of 0 to 19"):
        draw_figure([stacked(*parts)], channels=[20])


def test_mel_bands_are_drawn_one_by_one_and_named_in_hertz():
    e = with_mel(explanation())
    top, relevance = panels(draw_figure([e]), 2, 4)[:, 3]
    assert top.get_title(loc="left") == "mel bands"
    assert relevance.get_ylabel() == "frequency (Hz)"
    for place, text in zip(relevance.get_yticks(), relevance.get_yticklabels(), strict=True):
        assert float(text.get_text()) == pytest.approx(e.axes["mel"][0][int(place)], abs=0.5)
    drawn = relevance.collections[0].get_array()
    np.testing.assert_allclose(drawn, e.relevance["mel"])


@pytest.mark.parametrize("shape", [(), (1,), (40,), (500,), (8, 20), (2, 8, 20), (300, 9)])
def test_what_the_model_reads_is_drawn_by_index_and_adds_up(shape):
    rng = np.random.default_rng(0)
    e = with_input(explanation(two_tones(300)), rng.normal(size=shape), rng.normal(size=shape))
    top, relevance = panels(draw_figure([e], ["input"]), 2, 1)[:, 0]
    assert top.get_title(loc="left") == "what the model reads"
    drawn = [m.get_array() for m in relevance.collections if m.get_array() is not None]
    drawn = drawn or [p.get_data().values for p in relevance.patches[2:]]
    assert sum(d.sum() for d in drawn) == pytest.approx(e.relevance["input"].sum())
    assert render_figure(relevance.figure, dpi=40).startswith(b"\x89PNG")


@pytest.mark.parametrize("label", ["$x^{", "日本", "a\nb\x00", "\u202erev", "x" * 300, ""])
def test_any_label_can_be_drawn(label):
    render_figure(draw_figure([explanation(two_tones(100), label)], ["time"]), "svg", dpi=40)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_same_figure_gives_the_same_file(tmp_path, suffix):
    first, second = (tmp_path / f"{k}.{suffix}" for k in "ab")
    for path in (first, second):
        save_figure(draw_figure([explanation(two_tones(1000))], ["time", "time-frequency"]), path)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [first.name, second.name]


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(InputError, match="a figure is saved as"):
        save_figure(draw_figure([explanation()]), tmp_path / "a.pdf")


def test_sums_keep_the_total():
    values = np.random.default_rng(0).normal(size=(37, 101))
    assert add_up(values[0], 8).sum() == pytest.approx(values[0].sum())
    assert add_up_cells(values, (5, 7)).shape == (8, 15)
    assert add_up_cells(values, (5, 7)).sum() == pytest.approx(values.sum())


# Machado, Oliveira and Fernandes (2009), severity 1, linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


@pytest.mark.parametrize("kind", BLINDNESS)
def test_signs_can_be_told_apart_by_the_colour_blind(kind):
    pairs = [(make_colours()(0.5 + d), make_colours()(0.5 - d)) for d in (0.125, 0.25, 0.375, 0.5)]
    for red, blue in [*pairs, (POSITIVE, NEGATIVE)]:
        assert np.linalg.norm(lab(red, kind) - lab(blue, kind)) > 25
    pale = lab(PALE_POSITIVE, kind) - lab(PALE_NEGATIVE, kind)
    assert np.linalg.norm(pale) > 15


def lab(colour, kind):
    """CIE Lab of what someone sees (difference 1 is just noticeable)."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(BLINDNESS[kind]) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ratio = np.array(to_xyz) @ seen / [0.9505, 1.0, 1.089]
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_the_figure_has_the_size_it_is_shown_at():
    width, height = draw_figure([explanation()]).get_size_inches()
    assert 1000 < 100 * width < 1200
    assert height < width
