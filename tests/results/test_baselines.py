"""Figures look as they did: compared with pictures in tests/baseline.

    python -m pytest tests/results/test_baselines.py --mpl-generate-path=tests/baseline

makes them anew; look at each before it is committed.  They are without letters, which other
versions of matplotlib draw otherwise (`test_plot.py` knows the words), so that the tolerance can be
as low as what the smallest panel that gets lost changes.
"""

from __future__ import annotations

from functools import wraps

import numpy as np
import pytest
from explanations import explanation, quake, two_tones, with_input, with_mel
from matplotlib.figure import Figure
from matplotlib.text import Text

from dftlrp.core.types import InputError
from dftlrp.results.figure import draw_figure

TOLERANCE = 2  # root mean square of the difference, of 255


def compared(function):
    """Compare the figure that a test returns, without its letters."""

    @wraps(function)
    def draw():
        fig = function()
        fig.set_layout_engine("none")  # places of panels that know no letters
        for text in fig.findobj(Text):
            text.set_text("")
        return fig

    look = {"dpi": 45, "metadata": {"Software": None}}
    return pytest.mark.mpl_image_compare(
        baseline_dir="../baseline", style="default", tolerance=TOLERANCE, savefig_kwargs=look,
        remove_text=True, filename=f"{function.__name__.removeprefix('test_')}.png",
    )(draw)  # fmt: skip


def everything():
    table = np.random.default_rng(0).normal(size=(8, 20))
    return with_mel(with_input(explanation(), np.abs(table), table))


@compared
def test_every_domain():
    return draw_figure([everything()])


@compared
def test_two_outputs():
    return draw_figure([explanation(), explanation(label="three", total=2.0, against=-3.0)])


@compared
def test_three_channels():
    return draw_figure([quake(500)])


@compared
def test_panels_as_wide_as_a_column():
    fig, e = Figure(figsize=(3.4, 6.4), layout="constrained"), everything()
    wave, segments, bands, cells = fig.subplots(4, 1)
    assert e.plot("time", wave, part="signal") is wave
    assert e.plot("time", segments) is segments
    assert e.plot("frequency", bands) is bands
    assert e.plot("time-frequency", cells) is cells
    return fig


def test_a_panel_has_a_figure_of_its_own_where_none_is_given():
    ax = explanation().plot("frequency")
    assert ax.figure.get_size_inches()[0] == 3.4
    assert ax.get_ylabel() == "relevance per ⅓ octave"
    assert explanation().plot("frequency", part="signal").get_ylabel() == "magnitude"


def test_what_is_no_panel_is_refused():
    e, ax = explanation(two_tones(200)), Figure().subplots()
    for wrong, told in [
        (lambda: e.plot(ax=ax), "name the domain"),
        (lambda: e.plot("time", part="both"), "choose 'relevance' or 'signal'"),
        (lambda: e.plot("mel"), "'mel'"),
        (lambda: quake(500).plot("time"), r"3 channels: draw one of them, as e\.channels\[0\]"),
    ]:
        with pytest.raises(InputError, match=told):
            wrong()
    assert quake(500).channels[1].plot("time").get_ylabel().startswith("relevance per")
