"""Streaming: relevance of long signals from and to files, equal to the last bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dftlrp.core.types import InputError
from dftlrp.spectral import Stft, stft_lrp, stream
from dftlrp.spectral.carry import PIECE

BOUNDARIES = ["zeros", "center", None]
NAMES = ("spectrum", "relevance", "rest", "phase")


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def with_zeros(batch, n, seed=0):
    x, R = draw((2, *batch, n), seed)
    x[..., n // 3 : n // 2] = 0
    return x, R


def mapped(folder, **arrays):
    """The same numbers as read-only memory maps."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return [np.load(folder / f"{name}.npy", mmap_mode="r") for name in arrays]


def assert_same(streamed, whole):
    for name in NAMES:
        one, other = getattr(streamed, name), getattr(whole, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize(
    ("window", "n_fft", "hop"),
    [("hann", 400, 160), ("hamming", 33, 8), ("boxcar", 16, 16), ("hann", 1024, 256)],
)
def test_streaming_is_bit_equal(tmp_path, window, n_fft, hop, batch, boundary):
    x, R = with_zeros(batch, 5003)
    x_map, R_map = mapped(tmp_path, x=x, R=R)
    where = {"window": window, "n_fft": n_fft, "hop": hop, "boundary": boundary}
    for given in ("relevance", "multiplier"):
        whole = stft_lrp(x, **{given: R}, **where)
        for block in (None, 1, 7, 100):
            out = tmp_path / "out"
            streamed = stft_lrp(x_map, **{given: R_map}, **where, out=out, block=block)
            assert_same(streamed, whole)
            assert streamed.domain.n == 5003


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("synthesis", ["boxcar", "hamming"])
def test_streaming_is_bit_equal_for_two_windows(tmp_path, synthesis, boundary):
    x, R = with_zeros((), 3001)
    where = {"n_fft": 64, "hop": 16, "synthesis_window": synthesis, "boundary": boundary}
    assert_same(stft_lrp(x, R, **where, out=tmp_path, block=10), stft_lrp(x, R, **where))


@pytest.mark.parametrize("dtype", [np.float32, np.int16, ">f8"])
def test_streaming_computes_in_the_same_dtype(tmp_path, dtype):
    x, R = (100 * with_zeros((), 2000)[0]).astype(dtype), draw(2000).astype(np.float32)
    assert_same(stft_lrp(x, R, out=tmp_path), stft_lrp(x, R))


@pytest.mark.parametrize("n", [1, 2, 399, 401])
def test_short_signals_stream_too(tmp_path, n):
    x, R = draw((2, n))
    assert_same(stft_lrp(x, R, out=tmp_path), stft_lrp(x, R))


def test_what_lies_on_zeros_is_summed_alike_over_several_stretches(tmp_path):
    x, R = draw((2, 2 * PIECE + 1234))
    x[::3] = 0
    where = {"n_fft": 256, "hop": 128}
    assert_same(stft_lrp(x, R, **where, out=tmp_path), stft_lrp(x, R, **where))


def test_the_bound_of_usable_quotients_is_that_of_the_whole_signal(tmp_path):
    x, R = draw((2, 2000))
    x[::7], R[::7] = 1e-100, 1e53  # 1e153 is too much for 2000 samples, though not for one
    whole = stft_lrp(x, R)
    assert whole.rest == pytest.approx(R[::7].sum())
    assert_same(stft_lrp(x, R, out=tmp_path), whole)


def test_the_files_are_plain_arrays(tmp_path):
    x, R = draw((2, 3, 2000))
    streamed = stft_lrp(x, R, out=tmp_path / "new" / "folder")
    assert isinstance(streamed.spectrum, np.memmap)
    assert not streamed.relevance.flags.writeable
    files = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert files == ["phase.npy", "relevance.npy", "spectrum.npy"]
    stored = np.load(tmp_path / "new" / "folder" / "relevance.npy")
    np.testing.assert_array_equal(stored, stft_lrp(x, R).relevance)


def test_a_copy_on_write_map_keeps_what_was_written_to_it(tmp_path):
    np.save(tmp_path / "x.npy", draw(3000))
    x = np.load(tmp_path / "x.npy", mmap_mode="c")
    x[:500] = 7
    assert_same(stft_lrp(x, x, out=tmp_path / "out"), stft_lrp(np.array(x), np.array(x)))
    assert (x[:500] == 7).all()


@pytest.mark.parametrize("name", ["relevance", "phase", "spectrum"])
def test_what_is_read_is_never_replaced(tmp_path, name):
    x, R = draw((2, 5000))
    np.save(tmp_path / f"{name}.npy", R)
    (given,) = (np.load(tmp_path / f"{name}.npy", mmap_mode="r"),)
    for signal, relevance in ((x, given), (given, R), (x, given[::-1][::-1])):
        with pytest.raises(InputError, match=f"{name}.npy.*read from this file"):
            stft_lrp(signal, relevance, out=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), R)
    assert len(list(tmp_path.iterdir())) == 1
    stft_lrp(x, given, out=tmp_path / "another")


def test_out_is_a_path():
    x, R = draw((2, 5000))
    with pytest.raises(InputError, match="out is 3"):
        stft_lrp(x, R, out=3)


def test_progress_is_shown_where_it_takes_long(tmp_path, monkeypatch):
    seen = []

    def steps(items, what):
        seen.append((what, len(items)))
        return iter(items)

    monkeypatch.setattr(stream, "steps", steps)
    x = draw(100_000)
    result = stft_lrp(x, x, out=tmp_path, block=100)
    assert seen[0] == ("checking", 1)
    assert seen[1][0] == "STFT relevance"
    assert 3 <= seen[1][1] <= result.domain.frames // 100 + 1


# ------------------------------------------------------------------------------------- the cover


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("n_fft", "hop"), [(16, 4), (15, 4), (16, 5), (7, 7), (1, 1), (12, 1)])
def test_the_cover_is_the_sum_of_the_windows_at_any_stretch(n_fft, hop, boundary):
    for n in (n_fft, 3 * n_fft, 4 * n_fft + hop, 131, 500):
        stft = Stft(n, "hamming", n_fft, hop, boundary=boundary)
        W = np.zeros(n)
        for start in (stft.times - n_fft / 2).astype(int):
            inside = np.arange(max(start, 0), min(start + n_fft, n))
            W[inside] += (stft.analysis_window**2)[inside - start]
        np.testing.assert_allclose(stft.overlap, W, rtol=1e-13)
        rng = np.random.default_rng(n)
        for start, stop in np.sort(rng.integers(0, n + 1, (60, 2)), axis=1):
            part = stft.cover.read_overlap(start, stop)
            np.testing.assert_array_equal(part, stft.overlap[start:stop])
        covered = 1e-4 * W.max() < W
        first, last = stft.cover.ends
        assert covered.tolist() == [first <= i < last for i in range(n)]


# --------------------------------------------------------------------------------------- failures

GOOD = np.ones(3000)


def broken(value):
    x = np.ones((2, 3000))
    x[1, 2500] = value
    return x


BAD = {
    "nan": (broken(np.nan), {}, r"signal is nan at index \(1, 2500\)"),
    "block": (GOOD, {"block": 0}, "block is 0"),
    "fraction": (GOOD, {"block": 1.5}, "whole number"),
    "full": (GOOD, {"layout": "full"}, "layout 'full'.*cannot stream"),
    "complex": (GOOD + 0j, {}, "signal is complex"),
    "text": (np.array(["a"]), {}, "must be numbers"),
    "scalar": (np.array(1.0), {}, "at least one sample"),
    "empty": (np.array([]), {}, "at least one sample"),
    "hop": (GOOD, {"hop": 401}, "window's 400"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line_and_leaves_nothing(tmp_path, case):
    x, options, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        stft_lrp(x, x, **options, out=tmp_path / "a" / "b")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_other_bad_arguments_are_one_clear_line(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="pass out"):
        stft_lrp(GOOD, GOOD, block=10)
    with pytest.raises(InputError, match="exactly one"):
        stft_lrp(GOOD, out=tmp_path)
    with pytest.raises(InputError, match=r"\(2999,\).*\(3000,\)"):
        stft_lrp(GOOD, GOOD[1:], out=tmp_path)
    with pytest.raises(InputError, match="relevance is inf at index 3"):
        stft_lrp(GOOD, np.where(np.arange(3000) == 3, np.inf, 1), out=tmp_path)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot write here"):
        stft_lrp(GOOD, GOOD, out=tmp_path / "file")
    monkeypatch.setattr(stream.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(InputError, match="GB, but 1e-07 are free"):
        stft_lrp(GOOD, GOOD, out=tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError(28, "disk full")])
def test_a_failure_on_the_way_leaves_the_old_result(tmp_path, monkeypatch, error):
    old = np.array(stft_lrp(GOOD, GOOD, out=tmp_path).relevance)
    share, calls = Stft.share_frames, []

    def fail(*args):
        calls.append(args)
        if len(calls) > 1:
            raise error
        return share(*args)

    monkeypatch.setattr(Stft, "share_frames", fail)
    expected = InputError if isinstance(error, OSError) else error
    with pytest.raises(expected):
        stft_lrp(2 * GOOD, GOOD, out=tmp_path, block=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stream.FILES)
    np.testing.assert_array_equal(np.load(tmp_path / "relevance.npy"), old)


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from dftlrp.spectral import stft_lrp
folder, n = Path(sys.argv[1]), 600 * 16000
for name in ("x", "R"):
    array = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", shape=(n,))
    for a in range(0, n, 2**20):
        array[a : a + 2**20] = np.random.default_rng(a).normal(size=len(array[a : a + 2**20]))
    del array
x, R = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("x", "R"))
boundary = None if sys.argv[2] == "None" else sys.argv[2]

def peak():  # of this process alone; ru_maxrss would remember its parent
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line for line in lines if line.startswith("VmHWM")).split()[1]

before = peak()
result = stft_lrp(x, R, out=folder / "out", boundary=boundary)
print(before, peak(), result.relevance.shape[-1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("boundary", ["zeros", "center", "None"])
def test_ten_minutes_need_little_memory(tmp_path: Path, boundary):
    """Signal and relevance are 154 MB, the result is 386 MB."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path), boundary]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    before, peak, frames = map(int, run.stdout.split())
    assert frames > 59_000
    assert peak < 300e3
    assert peak - before < 150e3
