"""What dftlrp reads in a file's metadata, written into a copy."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from models import LABELS, listener, saved

import dftlrp
from dftlrp.cli import main
from dftlrp.core.types import InputError
from dftlrp.graph.annotation import annotate, read_annotation
from dftlrp.graph.frontend import FrontEnd


def bare(folder, external=False):
    """A model that says nothing of itself."""
    proto = listener()
    del proto.metadata_props[:]
    proto.metadata_props.add(key="author", value="me")
    path = saved(proto, folder)
    if external:
        onnx.save(
            onnx.load(path), path, save_as_external_data=True, location="weights.bin",
            size_threshold=0,
        )  # fmt: skip
    return path


def answer(path):
    return dftlrp.predict(dftlrp.load(path), np.ones((1, 1, 400), np.float32)).output


def test_a_copy_says_what_it_is_told_and_the_model_is_as_it_was(tmp_path):
    path = bare(tmp_path)
    before = path.read_bytes()
    new = tmp_path / "new.onnx"
    assert annotate(path, new, rate=16000.0, labels=LABELS) == [new]
    model = dftlrp.load(new)
    assert (model.rate, model.labels) == (16000.0, LABELS)
    assert path.read_bytes() == before
    np.testing.assert_array_equal(answer(new), answer(path))
    assert read_annotation(new).others == ("author",)
    annotate(new, new, rate=8000.0, force=True)  # what is not given stays
    assert (dftlrp.load(new).rate, dftlrp.load(new).labels) == (8000.0, LABELS)


def test_weights_in_other_files_come_along(tmp_path):
    path = bare(tmp_path, external=True)
    beside, far = tmp_path / "new.onnx", tmp_path / "far"
    far.mkdir()
    assert annotate(path, beside, rate=16000.0) == [beside]
    assert annotate(path, far / "new.onnx", rate=16000.0) == [far / "new.onnx", far / "weights.bin"]
    for new in (beside, far / "new.onnx"):
        np.testing.assert_array_equal(answer(new), answer(path))
    with pytest.raises(InputError, match="weights are there already"):
        annotate(path, far / "other.onnx", rate=16000.0)


def test_where_the_file_cannot_be_written_nothing_is_left(tmp_path):
    path = bare(tmp_path, external=True)
    (tmp_path / "far/new.onnx").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot write"):
        annotate(path, tmp_path / "far/new.onnx", rate=16000.0, force=True)
    assert [p.name for p in (tmp_path / "far").iterdir()] == ["new.onnx"]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "nothing to write"),
        ({"rate": -1.0}, "a positive number of hertz"),
        ({"labels": ["a"]}, "1 labels, but the outputs have"),
        ({"frontend": FrontEnd(16000)}, "front end: "),
    ],
)
def test_what_does_not_fit_the_model_is_refused(tmp_path, how, words):
    with pytest.raises(InputError, match=words):
        annotate(bare(tmp_path), tmp_path / "new.onnx", **how)
    assert not (tmp_path / "new.onnx").exists()


def test_the_command_shows_and_writes(tmp_path, monkeypatch, capsys):
    path = bare(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("\n".join(LABELS))
    assert main(["annotate", str(path)]) == 0
    assert "says nothing that dftlrp reads" in capsys.readouterr().out
    command = ["annotate", str(path), "--rate", "16000", "--labels", "words.txt"]
    assert main(command) == 2
    assert "-o NEW.onnx is needed" in capsys.readouterr().err
    assert main([*command, "-o", "new.onnx"]) == 0
    out = capsys.readouterr().out
    assert "sample_rate: 16000" in out
    assert "labels: low, middle, high (3)" in out
    assert "of other programs: author" in out
    assert main([*command, "-o", str(path)]) == 2
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert main(["annotate", "new.onnx", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["metadata"] == {"sample_rate": "16000", "labels": json.dumps(list(LABELS))}
