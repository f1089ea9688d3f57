"""The table of domains: what one row and one function bring, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from explanations import explanation, quake, two_tones, with_input

import dftlrp
from dftlrp.core.types import InputError
from dftlrp.results.data import Domain, View, Waveform
from dftlrp.results.figure import draw_figure
from dftlrp.results.panels import LINE
from dftlrp.results.report import render
from dftlrp.results.views import DOMAINS, HERTZ, find_domain
from dftlrp.spectral import Dct, relevance_in, stft_for
from dftlrp.tracing import export


def compute_cosine(w: Waveform) -> View:
    count = w.x.shape[-1]
    moved = relevance_in(Dct(count), w.x, multiplier=w.m)
    hertz = np.arange(count) * (w.rate / (2 * count))
    rest = w.lost + float(moved.rest.sum())
    return View(moved.coefficients, moved.relevance, hertz, rest)


COSINE = Domain("cosines", "Cosine transform", "cosine waves", (HERTZ,), compute_cosine, LINE)


@pytest.fixture
def cosine(monkeypatch):
    monkeypatch.setitem(DOMAINS, "cosines", COSINE)


def with_cosine(e):
    x, R = e.signal["time"], e.relevance["time"]
    m = np.divide(R, x, out=np.zeros_like(R), where=x != 0)
    view = compute_cosine(Waveform(x, R, m, 0.0, e.rate, stft_for(e.rate)))
    return replace(
        e,
        signal={**e.signal, "cosines": view.signal},
        relevance={**e.relevance, "cosines": view.relevance},
        axes={**e.axes, "cosines": view.axes},
        rest={**e.rest, "cosines": view.rest},
    )


def test_a_row_and_a_function_make_a_domain_that_is_explained_drawn_reported_and_saved(
    cosine, tmp_path, capsys
):
    from dftlrp.cli import main

    command = [
        "explain",
        "--domains",
        "time",
        "cosines",
        "--backend",
        "numpy",
        "--out",
        str(tmp_path),
    ]
    assert main(command) == 0
    e = dftlrp.Explanation.load(tmp_path)
    assert e.domains == ("time", "cosines")
    assert e.relevance["cosines"].shape == e.relevance["time"].shape
    assert e.relevance["cosines"].sum() == pytest.approx(e.relevance["time"].sum(), rel=1e-9)
    assert e.axes["cosines"][-1] < e.rate / 2
    signal, relevance = (row[1] for row in np.array(e.plot().axes).reshape(2, 2))
    assert signal.get_title(loc="left") == "cosine waves"
    assert relevance.get_xlabel() == "frequency (Hz)"
    net = sum(p.get_data().values.sum() for p in relevance.patches[2:])
    assert net == pytest.approx(e.relevance["cosines"].sum())
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<figcaption>Relevance over cosine transform</figcaption>" in page
    with pytest.raises(SystemExit):
        main(["explain", "--help"])
    assert "cosines" in capsys.readouterr().out


def test_several_channels_of_a_new_domain_are_drawn_one_by_one(cosine):
    e = with_cosine(quake(500))
    assert [c.relevance["cosines"].shape for c in e.channels] == [(500,)] * 3
    assert len(draw_figure([e], ["cosines"]).axes) == 6


def test_a_row_without_a_way_to_draw_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setitem(DOMAINS, "cosines", replace(COSINE, draw=None))
    e = with_cosine(explanation(two_tones(400)))
    for refused in (e.plot, lambda: render([e]), lambda: e.save(tmp_path)):
        with pytest.raises(InputError, match="domain 'cosines' cannot be drawn"):
            refused()
    assert [p for p in tmp_path.iterdir() if p.name != ".lock"] == []
    assert draw_figure([e], ["time"]).axes


def test_a_domain_that_is_not_in_the_table_is_refused_by_name_and_never_left_out():
    e = with_cosine(explanation(two_tones(400)))
    for refused in (e.plot, lambda: render([e]), lambda: find_domain("cosines")):
        with pytest.raises(
            InputError, match="unknown domain 'cosines': choose one of time, frequency"
        ):
            refused()


def test_what_belongs_to_no_channel_is_drawn_once_beside_the_channels():
    e = with_input(quake(500), np.ones((4, 9)), np.ones((4, 9)))
    axes = np.array(draw_figure([e]).axes[:24]).reshape(6, 4)
    shown = [a.axison for a in axes[:, 3]]
    assert shown == [True, True, False, False, False, False]
    assert axes[0, 3].get_title(loc="left") == "what the model reads"
    assert axes[1, 3].get_xlabel() == "column (index)"
    assert "What the model reads" in render([e])


def test_what_an_exported_file_can_hold_are_domains_of_the_table():
    assert set(export.DOMAINS) <= set(DOMAINS)


@pytest.mark.parametrize("name", DOMAINS)
def test_each_row_has_as_many_axes_as_its_arrays_and_a_way_to_be_drawn(name):
    row = DOMAINS[name]
    assert row.name == name
    assert row.draw is not None
    if row.compute:
        x = two_tones(500)
        view = row.compute(Waveform(x, x, np.ones(500), 0.0, 8000.0, stft_for(8000.0)))
        axes = view.axes if isinstance(view.axes, tuple) else (view.axes,)
        assert len(row.axes) == view.relevance.ndim == len(axes)
        assert tuple(map(len, axes)) == view.relevance.shape == view.signal.shape
