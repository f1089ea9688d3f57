"""Results on disk: what is written can be read back, and it is complete or not there."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import tracemalloc
import zipfile
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from explanations import explanation, ledger, quake, two_tones, with_mel

import dftlrp
from dftlrp.core.disk import lock_folder
from dftlrp.core.types import InputError
from dftlrp.results.explanation import Explanation
from dftlrp.results.saving import FORMAT, save

load = Explanation.load
SOUNDS = {"original.wav", "heatmap.wav", "rectified.wav", "negative.wav", "resynthesis.wav",
          "complement.wav"}  # fmt: skip
PLAIN = {"report.html", "explanation.npz"}
TABLES = {"bands.csv", "segments.csv"}


@pytest.fixture
def quick(monkeypatch):
    """The report in no time."""
    monkeypatch.setattr("dftlrp.results.saving.render", lambda e, *_: f"<html>{len(e)}</html>")


def contents(folder: Path) -> dict[str, bytes]:
    own = (".lock", ".dftlrp.json")
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in own}


def assert_equal(a: Any, b: Any) -> None:
    """The same type, and every bit the same."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for p, q in zip(a, b, strict=True):
            assert_equal(p, q)
    else:
        assert a == b


# -- the round trip


@pytest.mark.parametrize(
    "changed",
    [
        {}, {"labels": ()}, {"channel_names": ("Z",)}, {"notes": ()},
        {"target": (0, 3)}, {"label": "häß</script>\n\"'"},
        {"x": np.zeros(500)}, {"rate": 22050.5}, {"output": np.float32([[1, np.inf]])},
        {"rest": {"time": 0.0, "frequency": 1e-300, "time-frequency": -0.1 - 0.2}},
    ],
)  # fmt: skip
def test_what_is_saved_is_read_back_bit_by_bit(tmp_path, quick, changed):
    one = explanation(**changed)
    save([one], tmp_path)
    for path in (tmp_path, tmp_path / "explanation.npz", str(tmp_path)):
        read = load(path)
        for field in fields(Explanation):
            if field.name != "ledger":
                assert_equal(getattr(read, field.name), getattr(one, field.name))
        assert_equal(read.ledger.to_arrays(), one.ledger.to_arrays())


def test_a_subset_of_domains_keeps_its_order(tmp_path, quick):
    one = explanation()
    kept = ("time-frequency", "time")
    groups = {g: {d: getattr(one, g)[d] for d in kept} for g in ("signal", "relevance", "axes")}
    save([explanation(**groups)], tmp_path)
    assert load(tmp_path).domains == kept


def test_an_empty_ledger_is_read_back(tmp_path, quick):
    save([explanation(ledger=dftlrp.Ledger(()))], tmp_path)
    assert load(tmp_path).ledger.rows == ()


def test_nothing_on_disk_is_pickled(tmp_path, quick):
    save([explanation()], tmp_path)
    with np.load(tmp_path / "explanation.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind != "O" for name in file.files)


class Payload:
    """Would run code when unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("pwned",)


def test_a_pickle_in_a_file_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("bad.npz", meta=np.array([Payload()], object))
    with pytest.raises(InputError, match="not an explanation"):
        load("bad.npz")
    assert not (tmp_path / "pwned").exists()


def _rewrite(folder: Path, change: Any) -> None:
    with np.load(folder / "explanation.npz") as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    np.savez(folder / "explanation.npz", **arrays)


@pytest.mark.parametrize("missing", ["meta", "output", "ledger/node"])
def test_a_file_with_something_missing_is_refused(tmp_path, quick, missing):
    save([explanation()], tmp_path)
    _rewrite(tmp_path, lambda arrays: arrays.pop(missing))
    with pytest.raises(InputError, match="not an explanation"):
        load(tmp_path)


@pytest.mark.parametrize("number", [None, 1, FORMAT + 1, "two"])
def test_a_file_of_an_older_format_is_read_and_one_of_a_newer_refused(tmp_path, quick, number):
    save([explanation()], tmp_path)

    def renumber(arrays: dict[str, Any]) -> None:
        meta = json.loads(str(arrays["meta"]))
        assert meta.pop("format") == FORMAT
        told = {} if number is None else {"format": number}
        arrays["meta"] = np.array(json.dumps({**told, **meta}))

    _rewrite(tmp_path, renumber)
    if number in {None, 1}:
        assert load(tmp_path).label == explanation().label
        return
    why = "a newer dftlrp wrote it, in format 2; this one reads up to 1"
    with pytest.raises(InputError, match="not an explanation" if number == "two" else why) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "array.npz.npy", np.ones(3))
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "zip.npz").write_bytes(b"PK\3\4" + bytes(50))
    for name in ("array.npz.npy", "text.npz", "empty.npz", "zip.npz"):
        with pytest.raises(InputError, match=f"{name}: not an explanation"):
            load(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "nothing.npz")
    with pytest.raises(InputError, match=r"explanation.npz: no such file"):
        load(tmp_path)


def test_a_damaged_file_is_refused_or_read_but_nothing_else(tmp_path, quick):
    save([explanation(x=np.ones(64))], tmp_path)
    path, rng = tmp_path / "explanation.npz", np.random.default_rng(0)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(100):
        data = whole[: rng.integers(1, len(whole))] if rng.random() < 0.3 else whole
        data = data.copy()
        data[rng.integers(len(data), size=3)] = rng.integers(256, size=3)
        path.write_bytes(data.tobytes())
        with suppress(InputError):
            load(path)


# -- what is written


def test_report_arrays_and_sounds_are_written_and_named_and_a_figure_if_asked(tmp_path):
    paths = explanation().save(tmp_path / "out", figure="png")
    assert [p.name for p in paths[:3]] == ["report.html", "figure.png", "explanation.npz"]
    whole = PLAIN | TABLES | SOUNDS
    assert {p.name for p in paths} == whole | {"figure.png"} == set(contents(tmp_path / "out"))
    page = paths[0].read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") or page.lower().startswith("<!doctype html>")
    assert paths[1].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    for name in SOUNDS:
        samples, rate = soundfile.read(tmp_path / "out" / name)
        assert (len(samples), rate) == (4000, 8000)


def test_of_two_the_seconds_files_start_with_versus_and_the_recording_is_there_once(
    tmp_path, quick
):
    save([explanation(), explanation(label="two", total=3.0)], tmp_path)
    versus = {f"versus-{n}" for n in {"explanation.npz", *TABLES, *SOUNDS} - {"original.wav"}}
    assert set(contents(tmp_path)) == PLAIN | TABLES | SOUNDS | versus
    assert load(tmp_path / "versus-explanation.npz").label == "two"
    assert load(tmp_path).label == "seven"


def test_without_the_time_domain_there_are_no_sounds_but_all_the_rest(tmp_path, quick):
    one = explanation()
    groups = {
        g: {"frequency": getattr(one, g)["frequency"]} for g in ("signal", "relevance", "axes")
    }
    save([explanation(**groups)], tmp_path)
    assert set(contents(tmp_path)) == PLAIN | {"bands.csv"}


@pytest.mark.parametrize("rate", [1e-300, 1e7])
def test_at_a_rate_that_nothing_plays_there_are_no_sounds_but_all_the_rest(tmp_path, quick, rate):
    save([explanation(two_tones(100), rate=rate)], tmp_path)
    assert set(contents(tmp_path)) == PLAIN | TABLES


@pytest.mark.parametrize(
    ("rate", "played"), [(0.5, 8192), (31.25, 8000), (360, 11520), (256.4, 8205), (22050.5, 22050)]
)
def test_a_rate_that_no_wav_can_state_or_no_player_plays_is_changed(tmp_path, quick, rate, played):
    save([explanation(two_tones(100), rate=rate)], tmp_path)
    assert soundfile.info(tmp_path / "original.wav").samplerate == played


def test_of_several_channels_everything_is_written_and_read_back(tmp_path):
    one = with_mel(quake(400))
    assert {p.name for p in one.save(tmp_path)} == PLAIN | TABLES | SOUNDS
    read = load(tmp_path)
    for name in ("signal", "relevance", "axes", "channel_names", "rest"):
        assert_equal(getattr(read, name), getattr(one, name))
    assert soundfile.info(tmp_path / "resynthesis.wav").channels == 3
    head, *rows = (tmp_path / "segments.csv").read_text("utf-8").splitlines()
    assert head == "channel,start,stop,unit,relevance,share"
    assert {row.split(",")[0] for row in rows} == {"Z", "N", "E"}


def test_what_was_saved_before_there_were_channels_is_read(tmp_path, quick):
    save([explanation()], tmp_path)
    with np.load(tmp_path / "explanation.npz") as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(str(arrays["meta"]))
    del meta["channel_names"]
    np.savez(tmp_path / "explanation.npz", **{**arrays, "meta": np.array(json.dumps(meta))})
    assert load(tmp_path).channel_names == ()


def test_the_tables_are_plain_numbers_that_add_up_to_the_relevance(tmp_path, quick):
    one = explanation()
    save([one], tmp_path)
    for what, domain in (("bands", "frequency"), ("segments", "time")):
        text = (tmp_path / f"{what}.csv").read_text("utf-8")
        head, *rows = text.splitlines()
        assert head == "start,stop,unit,relevance,share"
        numbers = np.array([[float(v) for v in r.split(",") if v not in "sHz"] for r in rows])
        assert numbers[:, 2].sum() == pytest.approx(one.relevance[domain].sum())
        assert numbers[:, 3].sum() == pytest.approx(1)


@pytest.mark.parametrize("count", [0, 9])
def test_none_and_nine_are_refused_not_dropped(tmp_path, quick, count):
    with pytest.raises(InputError, match=f"{count} explanations"):
        save([explanation()] * count, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- complete, or not there


def test_a_figure_of_another_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match="'pdf': a figure is saved as 'png' or 'svg'"):
        explanation().save(tmp_path, figure="pdf")
    assert list(tmp_path.iterdir()) == []


def stumble(*_: Any, **__: Any) -> Any:
    raise RuntimeError("in the middle")


@pytest.mark.parametrize(
    "where",
    [
        "dftlrp.results.saving.render",
        "dftlrp.results.saving.make_sounds",
        "dftlrp.results.saving.write_arrays",
        "dftlrp.results.sound.Sound.save",
        "dftlrp.results.result_folder._move_into_place",
    ],
)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failure_midway_leaves_the_former_results_bit_by_bit(
    tmp_path, quick, monkeypatch, where, error
):
    def stumble(*_: Any, **__: Any) -> Any:
        raise error("in the middle")

    save([explanation()], tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(where, stumble)
    with pytest.raises((error, InputError)):
        save([explanation(label="two"), explanation(label="three")], tmp_path)
    assert contents(tmp_path) == before


def test_a_failure_midway_leaves_no_new_folder(tmp_path, quick, monkeypatch):
    monkeypatch.setattr("dftlrp.results.saving.write_arrays", stumble)
    with pytest.raises(RuntimeError):
        save([explanation()], tmp_path / "a" / "b" / "c")
    assert contents(tmp_path) == {}


def test_a_failure_midway_leaves_folders_that_were_there(tmp_path, quick, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.setattr("dftlrp.results.saving.write_arrays", stumble)
    with pytest.raises(RuntimeError):
        save([explanation()], tmp_path / "a")
    assert (tmp_path / "a").is_dir()


def test_a_file_in_the_way_is_refused_in_one_line_and_left_alone(tmp_path, quick):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(InputError, match="cannot write") as caught:
            save([explanation()], folder)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_where_a_file_belongs_is_refused_before_anything_is_replaced(tmp_path, quick):
    save([explanation()], tmp_path)
    (tmp_path / "negative.wav").unlink()
    (tmp_path / "negative.wav").mkdir()
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    with pytest.raises(InputError, match=r"negative.wav"):
        save([explanation(label="two")], tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before
    assert len(list(tmp_path.iterdir())) == len(before) + 1


def test_new_results_replace_the_former_ones_and_leave_foreign_files_alone(tmp_path, quick):
    save([explanation(), explanation(label="two")], tmp_path)
    mine = {"notes.txt": b"mine", "versus.wav": b"mine", "my-heatmap.wav": b"mine"}
    for name, data in mine.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "versus-folder").mkdir()
    save([explanation(label="three")], tmp_path)
    (tmp_path / "versus-folder").rmdir()
    after = contents(tmp_path)
    assert set(after) == PLAIN | TABLES | SOUNDS | set(mine)  # no stale versus- files
    assert {n: after[n] for n in mine} == mine
    assert load(tmp_path).label == "three"


def test_saving_into_the_working_directory_works(tmp_path, quick, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save([explanation()], ".")
    assert set(contents(tmp_path)) == PLAIN | TABLES | SOUNDS


def test_a_ledger_survives_as_text_and_numbers(tmp_path, quick):
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **ledger(7.9).to_arrays())
    buffer.seek(0)
    with np.load(buffer) as file:
        read = dftlrp.Ledger.from_arrays(file)
    assert str(read) == str(ledger(7.9))


# -- what somebody else may have changed


def change_arrays(folder: Path, **changed: Any) -> Path:
    """The arrays of a saved explanation with some of them changed."""
    path = folder / "explanation.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, **{k.replace("__", "/"): v for k, v in changed.items()}})
    return path


DAMAGED: dict[str, dict[str, Any]] = {
    "relevance of time is not finite": {"relevance__time__0": np.full(500, np.nan)},
    "signal of time is not finite": {"signal__time__0": np.full(500, np.inf)},
    "the shapes of time differ": {"relevance__time__0": np.zeros(499)},
    "relevance of time is of type <U1": {"relevance__time__0": np.full(500, "x")},
    "relevance of time is of type complex128": {"relevance__time__0": np.zeros(500, complex)},
    "the domains of signal, relevance and axes differ": {"relevance__other__0": np.zeros(3)},
    "output is of type bool": {"output": np.zeros(3, bool)},
}


@pytest.mark.parametrize("said", DAMAGED)
def test_arrays_that_are_not_those_of_an_explanation_are_refused(tmp_path, quick, said):
    save([explanation(x=np.zeros(500))], tmp_path)
    with pytest.raises(InputError, match=re.escape(f"({said})")):
        load(change_arrays(tmp_path, **DAMAGED[said]))


@pytest.mark.parametrize(
    "changed",
    [{"rate": -1}, {"rate": "8000"}, {"rate": None}, {"label": 3}, {"labels": [1]}, {"notes": [[]]},
     {"target": "x"}, {"rest": {"time": "1"}}, {"stft": []}, {"provenance": 3}, {"target": {}}],
)  # fmt: skip
def test_words_and_numbers_that_are_not_those_of_an_explanation_are_refused(
    tmp_path, quick, changed
):
    save([explanation()], tmp_path)
    with np.load(tmp_path / "explanation.npz") as file:
        meta = json.loads(str(file["meta"])) | changed
    with pytest.raises(InputError, match="not an explanation"):
        load(change_arrays(tmp_path, meta=np.array(json.dumps(meta))))


@pytest.mark.parametrize("shape", [(2**40,), (2**20, 2**20), (2**62, 2**62), (-5,)])
def test_a_header_that_claims_terabytes_is_refused_before_anything_is_allocated(
    tmp_path, quick, shape
):
    save([explanation()], tmp_path)
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, header)
    with zipfile.ZipFile(tmp_path / "explanation.npz", "a") as archive:
        archive.writestr("relevance/huge/0.npy", data.getvalue() + bytes(64))
    tracemalloc.start()
    with pytest.raises(InputError, match="not an explanation"):
        load(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path, quick):
    save([explanation()], tmp_path)
    np.savez_compressed(tmp_path / "explanation.npz", a=np.zeros(2**25))
    with pytest.raises(InputError, match="it claims"):
        load(tmp_path)


# -- one writer at a time, and only what was written before is replaced


def test_a_folder_in_which_another_run_writes_is_refused(tmp_path, quick):
    with lock_folder(tmp_path), pytest.raises(InputError, match="another run is writing here"):
        save([explanation()], tmp_path)


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path, quick):
    (tmp_path / ".dftlrp-killed").mkdir()
    (tmp_path / ".dftlrp-killed" / "report.html").write_text("half")
    save([explanation()], tmp_path)
    assert set(contents(tmp_path)) == PLAIN | TABLES | SOUNDS


@pytest.mark.parametrize("name", ["report.html", "original.wav", "bands.csv", "explanation.npz"])
def test_a_file_that_no_result_wrote_is_never_replaced(tmp_path, quick, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: was not written by dftlrp, and would be"):
        save([explanation()], tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


def test_a_result_that_was_changed_since_is_never_replaced(tmp_path, quick):
    save([explanation()], tmp_path)
    (tmp_path / "bands.csv").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"bands.csv: was changed since it was written"):
        save([explanation(label="two")], tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("listed", ['{"../x": []}', "[", '{"a": 1}', '{"": []}'])
def test_a_damaged_list_of_results_is_refused(tmp_path, quick, listed):
    save([explanation()], tmp_path)
    (tmp_path / ".dftlrp.json").write_text(listed)
    with pytest.raises(InputError, match="damaged"):
        save([explanation()], tmp_path)


def test_killed_between_two_renames_the_next_run_completes(tmp_path, quick, monkeypatch):
    save([explanation()], tmp_path)
    rename, left = Path.replace, [3]

    def die(self: Path, target: Path) -> Any:
        if self.parent.name.startswith(".dftlrp-"):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            save([explanation(label="two")], tmp_path)
    assert not (tmp_path / "report.html").exists()
    save([explanation(label="two")], tmp_path)
    save([explanation(label="two")], tmp_path / "undisturbed")
    undisturbed = contents(tmp_path / "undisturbed")
    assert {name: (tmp_path / name).read_bytes() for name in undisturbed} == undisturbed
    assert not list(tmp_path.glob(".dftlrp-*"))


def test_where_the_disk_cannot_sync_each_file_is_whole_and_the_next_run_completes(
    tmp_path, quick, monkeypatch
):
    old, new = explanation(two_tones(400)), explanation(two_tones(500))
    wholes, reasons = [], set()
    for i, one in enumerate((old, new)):
        save([one], tmp_path / str(i))
        wholes.append(contents(tmp_path / str(i)))
    real = os.fsync
    for good in range(40):
        save([old], tmp_path / "out")
        left = [None] * good

        def sync(number, left=left):
            if not left:
                raise OSError(errno.EIO, "Input/output error")
            left.pop()
            real(number)

        monkeypatch.setattr("os.fsync", sync)
        try:
            save([new], tmp_path / "out")
            break
        except InputError as error:
            reasons.add(str(error))
        monkeypatch.setattr("os.fsync", real)
        now = contents(tmp_path / "out")
        assert all(any(w.get(n) == data for w in wholes) for n, data in now.items())
        assert "report.html" not in now or now in wholes
        save([new], tmp_path / "out")
        assert contents(tmp_path / "out") == wholes[1]
    assert 5 < good < 39
    assert all(r.endswith("Input/output error") and "\n" not in r for r in reasons)


def test_a_folder_of_300_characters_is_one_line(tmp_path, quick):
    with pytest.raises(InputError) as caught:
        save([explanation()], tmp_path / ("x" * 300))
    assert "\n" not in str(caught.value)
