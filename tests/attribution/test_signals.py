"""Files of signals: every format reads back what was written, and is read in any stretch."""

from __future__ import annotations

import io
import os
import sys
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from models import listener, saved
from needed import needed

import dftlrp
from dftlrp.attribution.formats.contents import find_rate, import_reader
from dftlrp.attribution.recording import open_recording, read_header, read_recording
from dftlrp.cli import main
from dftlrp.core.types import InputError

RATE = 250.0


def write_wav(path: Path, x: np.ndarray) -> None:
    soundfile.write(path, x.T, int(RATE), "DOUBLE", format="WAV")


def write_flac(path: Path, x: np.ndarray) -> None:
    soundfile.write(path, x.T, int(RATE), "PCM_24", format="FLAC")


def write_npz(path: Path, x: np.ndarray) -> None:
    names = [f"lead {i}" for i in range(len(x))]
    np.savez(path, signal=x, fs=RATE, channel_names=names, units="mV")


def write_mat(path: Path, x: np.ndarray) -> None:
    names = np.array([f"lead {i}" for i in range(len(x))], object)
    scipy.io.savemat(path, {"val": x, "Fs": RATE, "leads": names, "units": "mV"})


def write_csv(path: Path, x: np.ndarray) -> None:
    header = ",".join(["time", *(f"lead {i} (mV)" for i in range(len(x)))])
    rows = np.vstack([np.arange(x.shape[1]) / RATE, x]).T
    np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt="%.17g")


def write_edf(path: Path, x: np.ndarray) -> None:
    import edfio

    bdf = path.suffix == ".bdf"
    kind, make = (edfio.BdfSignal, edfio.Bdf) if bdf else (edfio.EdfSignal, edfio.Edf)
    most = 2**23 if bdf else 2**15
    signals = [
        kind(row, RATE, label=f"lead {i}", physical_dimension="mV", physical_range=(-1, 1),
             digital_range=(-most, most - 1))
        for i, row in enumerate(x)
    ]  # fmt: skip
    make(signals, data_record_duration=1 / RATE).write(path)


def write_wfdb(path: Path, x: np.ndarray) -> None:
    wfdb = import_reader("wfdb", "biosignals", "")

    names = [f"lead {i}" for i in range(len(x))]
    with warnings.catch_warnings(action="ignore"):
        wfdb.wrsamp(
            path.stem, RATE, ["mV"] * len(x), names, x.T, fmt=["16"] * len(x),
            adc_gain=[32000.0] * len(x), baseline=[0] * len(x), write_dir=str(path.parent),
        )  # fmt: skip


def write_miniseed(path: Path, x: np.ndarray, rate: float = RATE) -> None:
    import pymseed

    path.write_bytes(b"")
    for i, row in enumerate(x):  # in this order, which is not that of their names
        trace, part = pymseed.MS3TraceList(), path.with_suffix(".part")
        source = f"FDSN:XX_AAA__H_H_{'ZNE1'[i]}"
        trace.add_data(source, row, "d", rate, starttime_str="2024-01-01T00:00:00Z")
        trace.to_file(str(part), overwrite=True, encoding=pymseed.DataEncoding.FLOAT64,
                      max_record_length=512)  # fmt: skip
        path.write_bytes(path.read_bytes() + part.read_bytes())


def write_m4a(path: Path, x: np.ndarray) -> None:
    import av

    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("alac", rate=int(RATE), layout="mono")
        stream.format = "s32p"
        for row in x:
            counts = np.round(row * 2**23).astype(np.int32)[None] * 256
            frame = av.AudioFrame.from_ndarray(counts, "s32p", "mono")
            frame.rate = int(RATE)
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)


WRITERS: dict[str, Any] = {
    "wav": write_wav, "flac": write_flac, "npy": np.save, "npz": write_npz, "mat": write_mat,
    "csv": write_csv, "edf": write_edf, "bdf": write_edf, "hea": write_wfdb,
    "mseed": write_miniseed, "m4a": write_m4a,
}  # fmt: skip
RESOLUTION = {"flac": 2**-23, "edf": 2**-15, "bdf": 2**-23, "hea": 1 / 32000, "m4a": 2**-23}
NEEDED = {"edf": "edfio", "bdf": "edfio", "hea": "wfdb", "mseed": "pymseed", "m4a": "av"}


def refused(path: Path, *words: str, **asked: Any) -> None:
    with pytest.raises(InputError) as caught:
        read_recording(path, **asked)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=6, deadline=None)
@given(channels=st.integers(1, 4), frames=st.integers(8, 2000), seed=st.integers(0, 99))
def test_what_is_written_is_read_back_in_any_stretch(
    tmp_path_factory, kind, channels, frames, seed
):
    if kind in NEEDED:
        needed(NEEDED[kind])
    channels = 1 if kind == "m4a" else channels
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.9, 0.9, (channels, frames))
    path = tmp_path_factory.mktemp("signals") / f"x.{kind}"
    WRITERS[kind](path, x)
    names = tuple(f"HH{c}" for c in "ZNE1"[:channels]) if kind == "mseed" else ()
    with open_recording(path) as opened:
        assert opened.header[1:3] == (channels, frames)
        assert opened.header.rate == (None if kind == "npy" else RATE)
        named = kind in {"npz", "mat", "csv", "edf", "bdf", "hea"}
        assert opened.header.names == (tuple(f"lead {i}" for i in range(channels)) * named or names)
        assert opened.header.unit == ("mV" if named else "")
        atol = 1.01 * RESOLUTION.get(kind, 0)
        for start, stop in [*np.sort(rng.integers(frames, size=(5, 2)), axis=1), (0, frames)]:
            got = opened.read(int(start), int(stop))
            np.testing.assert_allclose(got, x[:, start:stop], rtol=0, atol=atol)
        whole = np.concatenate(list(opened.blocks()), axis=1)
    np.testing.assert_allclose(whole, x, rtol=0, atol=atol)
    assert read_header(path) == opened.header


# -- tables of text

WAVE = np.sin(np.arange(720) / 20)
ROW = "{i},{t:.3f},{x:.6f},{y:.6f}\n"


def table(head: str, row: str, count: int = 720, **changed: str) -> str:
    """Rows in this form; ``line7`` is put in the place of the line of that number."""
    rows = [row.format(i=i, t=i / 360, ms=i / 0.36, x=WAVE[i], y=-WAVE[i]) for i in range(count)]
    lines = (head + "".join(rows)).splitlines(keepends=True)
    for name, text in changed.items():
        lines[int(name.removeprefix("line")) - 1] = text
    return "".join(lines)


@pytest.mark.parametrize(
    ("name", "text", "rate", "names", "unit"),
    [
        ("a.csv", table("", "{x:.6f}\n"), None, (), ""),
        ("a.csv", table("I,II\n", "{x:.6f},{y:.6f}\n"), None, ("I", "II"), ""),
        ("a.csv", table("time,I (mV),II [mV]\n", "{t:.3f},{x:.6f},{y:.6f}\n"), 360, ("I", "II"),
         "mV"),
        ("a.tsv", table("time_ms\tI\tII\n", "{ms:.3f}\t{x:.6f}\t{y:.6f}\n"), 360, ("I", "II"), ""),
        ("a.csv", table("t;I\n", "{t:.5f};{x:.6f}\n").replace(".", ","), 360, ("I",), ""),
        ("a.csv", table("'sample #','MLII'\n", "{i},{x:.6f}\n"), None, ("MLII",), ""),
        ("a.csv", table("'Elapsed time','MLII'\n'hh:mm:ss.mmm','mV'\n", "'0:{t:06.3f}',{x:.6f}\n"),
         360, ("MLII",), "mV"),
        ("a.txt", table("# Sampling rate: 360 Hz\nI II\n", "{x:.6f} {y:.6f}\n"), 360, ("I", "II"),
         ""),
        ("a.csv", table("I,note\n", "{x:.6f},N\n"), None, ("I",), ""),
        ("a.csv", table("\ufefftime,I,\r\n", "{t:.3f},{x:.6f},\r\n") + "\n\n", 360, ("I",), ""),
        ("a.csv", table(",0,1\n", "{i},{x:.6f},{y:.6f}\n"), None, ("0", "1"), ""),
    ],
)  # fmt: skip
def test_tables_as_people_write_them_are_read(tmp_path, name, text, rate, names, unit):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    with open_recording(tmp_path / name) as opened:
        header, x = opened.header, opened.read(0, 720)
    assert (header.rate, header.names, header.unit) == (rate, names, unit)
    np.testing.assert_allclose(x[0], WAVE, atol=1e-6)
    assert x.shape == (header.channels, 720)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (table("a,t,I,II\n", ROW, line79="77,0.214,,1\n"), "line 79: column 'I' is empty"),
        (table("a,t,I,II\n", ROW, line79="77,0.214,nan,1\n"), "line 79: column 'I' holds 'nan'"),
        (table("a,t,I,II\n", ROW, line79="77,0.214,1,x\n"), "line 79: column 'II' holds 'x'"),
        (table("a,t,I,II\n", ROW, line79="77,0.214,1\n"), "line 79 has 3 cells, line 2 4"),
        (table("a,t,I,II\n", ROW, line79="77,0.214,1,2,3\n"), "line 79 has 5 cells, line 2 4"),
        (table("a,t,I,II\n", ROW, line79="\n"), "line 79 is empty"),
        (table("a,t,I,II\n", ROW, line79="", line80=""), "line 79: a gap of 0.008"),
        (table("a,t,I,II\n", ROW, line79="77,0.1,1,2\n"), "line 79: its time lies before"),
        (table("sample,I\n", "{i},{x}\n", line79=""), "line 79: column 'sample' goes from 76"),
        (table("", "{t:.4f},{x:.6f}\n"), "no header says what it is"),
        (table("# fs = 250\ntime,I\n", "{t:.4f},{x:.6f}\n"), "states 250 Hz, but its times are"),
        ("time,I\n0,1\n", "one time tells no rate"),
        ("time,I\n0,1\n0,1\n", "times are all the same"),
        ("file,label\na.wav,b\n", "no rows of numbers"),
        ("\n\n", "no rows of numbers"),
        ("I,II\n1,2,3\n", "3 cells under 2 names"),
        ("t,time\n1,2\n", "columns of time"),
        ("time\n1\n", "no column of numbers beside the time"),
        ("1," * 10**6, "line 1 is longer than"),
        ("1," * 10**5, "100001 columns are too many"),
    ],
)  # fmt: skip
def test_gaps_and_other_faults_of_tables_are_told_with_their_line(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    refused(tmp_path / "a.csv", said, channels=2)


# -- rates, lengths, channels


@given(rate=st.sampled_from([0.1, 1, 60, 128.5, 250, 360, 500, 1 / 3, 44100]),
       digits=st.integers(2, 9), count=st.integers(50, 3000))  # fmt: skip
def test_the_rate_of_rounded_times_is_the_roundest_that_fits(rate, digits, count):
    step = 10.0**-digits
    if step > 0.4 / rate:
        return
    times = np.round(np.arange(count) / rate / step) * step + 1e3
    found = find_rate(times, "row")
    assert abs(found - rate) <= rate * 1.25 * step * rate / (count - 1) + 1e-9 * rate
    if count > 1000 and digits > 4:
        assert found == (rate if rate > 1 / 2 else pytest.approx(rate, rel=1e-6))


def test_channels_of_several_lengths_or_rates_are_told_and_can_be_chosen(tmp_path):
    np.savez(tmp_path / "a.npz", I=WAVE, II=WAVE[:-1], III=-WAVE, fs=360)
    refused(tmp_path / "a.npz", "different length: 'I' has 720 samples, 'II' 719", channels=3)
    read = read_recording(tmp_path / "a.npz", 2, chosen=["III", "i"])
    np.testing.assert_array_equal(read.samples, [-WAVE, WAVE])
    assert read.channel_names == ("III", "I")
    assert read.notes[0] == "read of 3 channels: 'III', 'I'"
    refused(tmp_path / "a.npz", "no channel 'V': it has 'I', 'II', 'III'", chosen=["V"])
    refused(tmp_path / "a.npz", "'I' is chosen twice", chosen=["I", "i"])


def test_named_channels_are_never_mixed(tmp_path):
    write_npz(tmp_path / "a.npz", np.ones((3, 9)))
    refused(
        tmp_path / "a.npz", "reads 1 channel, the recording has 3 ('lead 0', 'lead 1', 'lead 2')"
    )
    refused(tmp_path / "a.npz", "reads 2 channels, the recording has 3", channels=2)
    np.save(tmp_path / "a.npy", np.ones((3, 9)))
    assert "3 channels mixed to one (their mean)" in read_recording(tmp_path / "a.npy").notes
    assert read_recording(tmp_path / "a.npy", chosen=["2"]).samples.shape == (9,)


def test_channels_of_edf_at_several_rates_are_told_and_can_be_chosen(tmp_path):
    needed("edfio")
    import edfio

    signals = [
        edfio.EdfSignal(np.sin(np.arange(10 * r)), r, label=f"at {r}") for r in (100, 50, 100)
    ]
    edfio.Edf(signals).write(tmp_path / "a.edf")
    refused(tmp_path / "a.edf", "'at 100' is at 100 Hz, 'at 50' is at 50 Hz", channels=3)
    refused(tmp_path / "a.edf", "2 channels are called 'at 100'", chosen=["at 100"])
    assert read_recording(tmp_path / "a.edf", chosen=["at 50"]).rate == 50


def test_a_channel_of_wfdb_with_several_samples_in_a_frame_is_read_in_any_stretch(tmp_path):
    needed("wfdb")
    wfdb = import_reader("wfdb", "biosignals", "")
    fast, slow = np.arange(300), -np.arange(100)
    with warnings.catch_warnings(action="ignore"):
        wfdb.wrsamp(
            "a", 100, ["uV", "uV"], ["fast", "slow"], e_p_signal=[fast * 1.0, slow * 1.0],
            samps_per_frame=[3, 1], fmt=["16", "16"], adc_gain=[1.0, 1.0], baseline=[0, 0],
            write_dir=str(tmp_path),
        )  # fmt: skip
    with open_recording(tmp_path / "a.hea", chosen=["fast"]) as opened:
        assert (opened.header.rate, opened.header.frames) == (300.0, 300)
        np.testing.assert_array_equal(opened.read(100, 211)[0], fast[100:211])
    refused(tmp_path / "a.hea", "'fast' is at 300 Hz, 'slow' is at 100 Hz", channels=2)


def test_gaps_of_miniseed_are_told(tmp_path):
    needed("pymseed")
    import pymseed

    traces = pymseed.MS3TraceList()
    for second in (0, 9):
        start = f"2024-01-01T00:00:{second:02}Z"
        traces.add_data(
            "FDSN:XX_A__H_H_Z", np.arange(500, dtype="i4"), "i", 100.0, starttime_str=start
        )
    traces.to_file(str(tmp_path / "a.mseed"))
    refused(tmp_path / "a.mseed", "'HHZ' has a gap of 4 s at 5 s")


# -- what means harm


def pickled(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)


def claiming(path: Path) -> None:
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        data, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
    )
    path.write_bytes(data.getvalue())


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as packed, packed.open("x.npy", "w") as file:
        np.save(file, np.zeros(18_000_000))


def linked_elsewhere(path: Path) -> None:
    path.with_suffix(".hea").write_text("a 1 100 8\n../secret 16 200 16 0 0 0 0 I\n")
    path.symlink_to(path.with_suffix(".hea"))


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("a.npy", pickled, "Python objects"),
        ("a.npz", lambda p: np.savez(p, x=np.array([{}], object)), "Python objects"),
        ("a.npy", claiming, "truncated: 8796093022208 bytes"),
        ("a.npz", bomb, "are too many"),
        ("a.npy", lambda p: np.save(p, np.zeros(9, np.int16)), "int16 and not what they stand"),
        ("a.npz", lambda p: np.savez(p, x=np.zeros(9, np.int16)), "holds int16"),
        ("a.mat", lambda p: scipy.io.savemat(p, {"x": np.zeros(9, np.int16)}), "holds int16"),
        ("a.npy", lambda p: np.save(p, np.zeros(9, complex)), "holds complex128"),
        ("a.npy", lambda p: np.save(p, np.zeros((2, 3, 4))), "shape (2, 3, 4)"),
        ("a.npy", lambda p: np.save(p, np.zeros(0)), "shape (0,)"),
        ("a.npz", lambda p: np.savez(p, x=np.zeros((2, 9)), y=np.zeros((3, 9))), "several signals"),
        ("a.npz", lambda p: np.savez(p, x=np.zeros(9), fs=-1.0), "rate of -1 Hz"),
        ("a.npz", lambda p: np.savez(p, t=np.r_[0:9, 12:20], x=np.zeros(17)), "a gap of 4 s"),
        ("a.mat", lambda p: p.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(600)), "save it with -v7"),
        ("a.mat", lambda p: p.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(600)), ""),
        ("a.npz", lambda p: p.write_bytes(b"PK\3\4" + bytes(99)), "not a .npz file"),
        ("a.npy", os.mkfifo, "not a regular file"),
        ("a.csv", lambda p: p.mkdir(), "folder"),
        ("a.csv", lambda p: p.write_bytes(b"I,\xff\n1,2\n"), "not UTF-8"),
        ("a.csv", lambda p: p.write_bytes(b"\0\1\2" * 99), "not a sound file"),
        ("a.dat", linked_elsewhere, ""),
    ],
)  # fmt: skip
def test_what_means_harm_is_refused_in_one_line(tmp_path, name, write, said):
    write(tmp_path / name)
    refused(tmp_path / name, said)


@pytest.mark.parametrize("kind", [k for k in WRITERS if k not in {"wav", "flac"}])
def test_a_cut_or_damaged_file_is_refused_or_read_finite(tmp_path, kind):
    if kind in NEEDED:
        needed(NEEDED[kind])
    rng = np.random.default_rng(0)
    path = tmp_path / f"x.{kind}"
    WRITERS[kind](path, rng.uniform(-0.9, 0.9, (1, 600)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    if kind not in {"csv", "mseed", "hea"}:  # each row and each record is whole by itself
        refused(path, "")
    for _ in range(25):
        data = np.frombuffer(whole, np.uint8).copy()
        data[rng.integers(min(len(data), 300), size=4)] = rng.integers(256, size=4)
        path.write_bytes(data.tobytes())
        with suppress(InputError):
            read = read_recording(path)
            assert np.isfinite(read.samples).all()


@pytest.mark.parametrize(("kind", "package"), NEEDED.items())
def test_a_reader_that_is_not_installed_is_named(tmp_path, monkeypatch, kind, package):
    needed(package)
    WRITERS[kind](tmp_path / f"x.{kind}", np.zeros((1, 100)))
    monkeypatch.setitem(sys.modules, package, None)
    extra = "media" if kind == "m4a" else "biosignals"
    refused(tmp_path / f"x.{kind}", f"read by {package}: pip install 'dftlrp[{extra}]'")


# -- by the command


@pytest.fixture
def quick(monkeypatch) -> None:
    """The page costs no time."""
    monkeypatch.setattr("dftlrp.results.saving.render", lambda *_: "")


def told_by(capsys: Any, *words: Any) -> str:
    assert main(["explain", *map(str, words), "--domains", "time", "frequency"]) == 0
    return capsys.readouterr().out


def test_phasenet_reads_miniseed_in_the_order_that_is_asked_for(shared, tmp_path, capsys, quick):
    needed("pymseed")
    rng = np.random.default_rng(0)
    time = np.arange(3000) / 100
    quake = np.exp(-np.maximum(time - 12, 0) / 3) * np.sin(9 * time) * (time > 12)
    x = np.array([1.0, 0.5, 0.4])[:, None] * quake + 0.01 * rng.normal(size=(3, 3000))
    write_miniseed(tmp_path / "quake.mseed", x, rate=100.0)
    model = shared / "models/phasenet_torchscript.onnx"
    names = ["HHN", "HHZ", "HHE"]
    said = told_by(capsys, model, tmp_path / "quake.mseed", "--channels", ",".join(names),
                   "--out", tmp_path / "out")  # fmt: skip
    assert "check passed" in said
    e = dftlrp.Explanation.load(tmp_path / "out")
    assert list(e.channel_names) == names
    assert e.rate == 100
    np.testing.assert_allclose(e.signal["time"], x[[1, 0, 2]], rtol=1e-12)


def test_an_ecg_from_wfdb_and_from_a_table_is_explained_alike(tmp_path, capsys, quick):
    needed("wfdb")
    model = saved(listener((None, 1, 1000), rate=None), tmp_path)
    x = np.round(np.random.default_rng(0).uniform(-0.9, 0.9, (3, 1000)) * 32000) / 32000
    found = []
    for name, write in (("a.hea", write_wfdb), ("b.csv", write_csv)):
        write(tmp_path / name, x)
        said = told_by(capsys, model, tmp_path / name, "--channels", "lead 1", "--out",
                       tmp_path / "out" / name)  # fmt: skip
        assert "values are read as they are in the file, in mV" in said
        found.append(dftlrp.Explanation.load(tmp_path / "out" / name))
        assert found[-1].channel_names == ("lead 1",)
    np.testing.assert_allclose(found[0].relevance["time"], found[1].relevance["time"], atol=1e-9)
    assert main(["explain", str(model), str(tmp_path / "a.hea")]) == 2
    assert "choose by name" in capsys.readouterr().err
