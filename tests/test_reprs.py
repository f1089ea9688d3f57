"""What public objects look like in a console: a few lines, no arrays."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import loaded
from models import listener

import dftlrp

MODEL = loaded(listener())
X = np.random.default_rng(0).normal(size=(2, 1, 400)).astype(np.float32)


def make(name: str) -> object:
    found = dftlrp.attribute(MODEL, X)
    return {
        "Attribution": found,
        "Model": MODEL,
        "Inspection": dftlrp.inspect(MODEL),
        "Ledger": found.ledger,
        "Check": dftlrp.Check("m.onnx", "torch", (), ()),
    }[name]


@pytest.mark.parametrize("name", ["Attribution", "Model", "Inspection", "Ledger", "Check"])
def test_a_public_object_is_a_few_lines_without_arrays(name):
    text = repr(make(name))
    assert text.startswith(name)
    assert len(text.splitlines()) <= 7
    assert len(text) < 600
    assert "array(" not in text


def test_help_of_the_package_is_a_table_of_contents():
    text = dftlrp.__doc__
    for name in dftlrp.__all__:
        assert f"\n{name} " in text or f"{name}," in text or f", {name}" in text, name
    assert max(map(len, text.splitlines())) <= 100


def test_embedded_models_are_found_by_name_in_any_case_and_a_near_one_is_answered(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert dftlrp.load("Waveform").path == dftlrp.embedded("waveform")
    with pytest.raises(dftlrp.ModelError, match=r"no such file; of the embedded .* 'waveform'"):
        dftlrp.load("wavefrom")
    with pytest.raises(dftlrp.ModelError, match="nothing: no such file"):
        dftlrp.load("nothing")
    (tmp_path / "mel").write_bytes(b"mine")  # a file of that name is meant before
    with pytest.raises(dftlrp.ModelError, match="not an ONNX"):
        dftlrp.load("mel")
