"""An explanation in tables of pandas and arrays of xarray."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from explanations import explanation, quake, with_input, with_mel
from needed import needed

from dftlrp.core.types import InputError


def test_without_the_library_one_line_says_what_to_install(monkeypatch):
    for library in ("pandas", "xarray"):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(InputError, match=f"{library} is not installed: pip"):
            getattr(explanation(), f"to_{library}")()


def test_an_unknown_table_or_domain_is_answered_with_what_is_alike():
    with pytest.raises(InputError, match="no table 'band': did you mean 'bands'"):
        explanation().to_pandas("band")
    with pytest.raises(InputError, match="no domain 'cepstrum': choose one of time"):
        explanation().to_xarray("cepstrum")


def test_tables_of_pandas_hold_all_rows_and_every_channel():
    needed("pandas")
    e, several = explanation(), quake()
    frame = e.to_pandas("bands")
    assert list(frame.columns) == ["start", "stop", "unit", "relevance", "share"]
    assert len(frame) == len(e.table("bands", None))
    assert set(e.to_pandas("tiles").columns) >= {"low", "high", "start", "stop"}
    lines = several.to_pandas("time")
    assert lines.groupby("channel", sort=False).size().to_dict() == {
        "Z": 3000,
        "N": 3000,
        "E": 3000,
    }
    assert lines["relevance"].sum() == pytest.approx(several.relevance["time"].sum())
    assert list(e.to_pandas("frequency").columns) == ["hertz", "signal", "relevance"]


@pytest.mark.parametrize("make", [explanation, quake, lambda: with_mel(explanation())])
def test_arrays_of_xarray_have_axes_in_seconds_and_hertz(make):
    needed("xarray")
    e = make()
    for domain in e.domains:
        found = e.to_xarray(domain)
        np.testing.assert_array_equal(found["relevance"].values, e.relevance[domain])
        assert {found[d].attrs["units"] for d in found.dims if d != "channel"} <= {"s", "Hz"}
    assert found["relevance"].sel(time=0.1, method="nearest").size > 0


def test_what_the_model_reads_has_axes_by_number():
    needed("xarray")
    e = with_input(explanation(), np.ones((2, 3)), np.ones((2, 3)))
    e.axes["input"] = (np.arange(2), np.arange(3))
    assert e.to_xarray("input")["relevance"].dims == ("axis_0", "axis_1")
