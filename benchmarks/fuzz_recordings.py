"""Mutants of sound files, in every codec that libsndfile writes, and of files of signals."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import soundfile
from fuzz import Step

import dftlrp
from dftlrp.attribution.recording import Recording, read_header, read_recording

INTEGERS = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 32767, 65535, 2**24, 2**28, 2**31 - 1,
            2**31, 2**32 - 1, 2**36, 2**62, 2**63, 2**64 - 1)  # fmt: skip


def prepare(folder: Path) -> Callable[[int, int], Iterator[Step]]:
    """What makes the steps of a mutant."""
    files = [(name, "", data) for name, data in list_files()] + list(list_signals(folder))
    kinds = sorted({name.split()[0] for name, _, _ in files})
    model = dftlrp.load(dftlrp.embedded("waveform"))
    dftlrp.explain(model, dftlrp.embedded("clip"), domains=["time"])

    def steps(seed: int, number: int) -> Iterator[Step]:
        rng = np.random.default_rng([seed, number])
        kind = kinds[rng.integers(len(kinds))]
        own = [file for file in files if file[0].split()[0] == kind]
        name, suffix, data = own[rng.integers(len(own))]
        path = folder / f"mutant{suffix}"
        path.write_bytes(mutate(data, rng))
        yield f"header of {name}", lambda: read_header(path) and None
        yield f"read {name}", lambda: _judge(read_recording(path))
        yield f"read {name} as three channels", lambda: _judge(read_recording(path, 3))
        yield f"fit {name}", lambda: _judge(read_recording(path, 1, 16000.0, 4000))
        if number % 8 == 0:
            yield f"explain {name}", lambda: _explain(model, path)

    return steps


def _judge(recording: Recording) -> str:
    fine = np.isfinite(recording.samples).all() and (recording.rate is None or recording.rate > 0)
    return "" if fine else "not finite"


def _explain(model: Any, path: Path) -> str:
    found = dftlrp.explain(model, path, domains=["time"])
    return "" if np.isfinite(found.relevance["time"]).all() else "not finite"


def list_files() -> Iterator[tuple[str, bytes]]:
    """Small files, in every format that can be written."""
    rng = np.random.default_rng(0)
    for container in sorted(set(soundfile.available_formats()) - {"RAW", "SD2"}):
        for codec in soundfile.available_subtypes(container):
            for channels, count in ((1, 900), (2, 4000), (3, 50)):
                file = io.BytesIO()
                x = 0.1 * rng.standard_normal((count, channels))
                try:
                    soundfile.write(file, x, 8000, codec, format=container)
                except (soundfile.SoundFileError, ValueError):
                    continue
                yield f"{container} {codec}", file.getvalue()


def list_signals(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Small files of signals with their suffixes, of the formats whose writers are installed."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-0.9, 0.9, (3, 500))
    names, rows = ["I", "II", "III"], np.vstack([np.arange(500) / 360, x]).T
    file = io.BytesIO()
    np.save(file, x)
    yield "npy", ".npy", file.getvalue()
    for pack in (np.savez, np.savez_compressed):
        pack(file := io.BytesIO(), signal=x, fs=360.0, leads=names, units="mV")
        yield "npz", ".npz", file.getvalue()
    for packed in (False, True):
        held = {"val": x, "Fs": 360.0, "leads": np.array(names, object)}
        scipy.io.savemat(file := io.BytesIO(), held, do_compression=packed)
        yield "mat", ".mat", file.getvalue()
    np.savetxt(file := io.BytesIO(), rows, delimiter=",", header="time,I,II,III", comments="")
    yield "csv", ".csv", file.getvalue()
    with contextlib.suppress(ImportError):
        import edfio

        for signal, make in ((edfio.EdfSignal, edfio.Edf), (edfio.BdfSignal, edfio.Bdf)):
            parts = [signal(row, 100, label=n) for n, row in zip(names, x, strict=True)]
            make(parts).write(file := io.BytesIO())
            yield "edf", ".edf", file.getvalue()
    with contextlib.suppress(ImportError):
        import pymseed

        traces = pymseed.MS3TraceList()
        for component, row in zip("ZNE", x, strict=True):
            counts, start = np.round(row * 1000).astype(np.int32), "2024-01-01T00:00:00Z"
            traces.add_data(f"FDSN:XX_A__H_H_{component}", counts, "i", 100.0, starttime_str=start)
        for version in (2, 3):
            traces.to_file(str(folder / "a.mseed"), overwrite=True, format_version=version)
            yield "mseed", ".mseed", (folder / "a.mseed").read_bytes()
    with contextlib.suppress(ImportError), warnings.catch_warnings(action="ignore"):
        import wfdb

        wfdb.wrsamp("mutant", 360, ["mV"] * 3, names, x.T, fmt=["16"] * 3, write_dir=str(folder))
        yield "wfdb", ".hea", (folder / "mutant.hea").read_bytes()


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to six changes, most of them near the start."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 7)):
        if not changed:
            break
        place = int(min(rng.exponential(60), len(changed) - 1))
        if rng.random() < 0.2:
            place = int(rng.integers(len(changed)))
        MUTATIONS[rng.integers(len(MUTATIONS))](changed, place, rng)
    return bytes(changed)


def _flip(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data[place] ^= 1 << int(rng.integers(8))


def _replace(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data[place] = int(rng.integers(256))


def _number(data: bytearray, place: int, rng: np.random.Generator) -> None:
    size, order = int(rng.choice([2, 4, 8])), str(rng.choice(["little", "big"]))
    value = INTEGERS[rng.integers(len(INTEGERS))] % 2 ** (8 * size)
    place -= place % 2
    data[place : place + size] = value.to_bytes(size, order)  # type: ignore[arg-type]


def _cut(data: bytearray, place: int, rng: np.random.Generator) -> None:
    if rng.random() < 0.5:
        del data[int(rng.integers(len(data))) :]


def _delete(data: bytearray, place: int, rng: np.random.Generator) -> None:
    del data[place : place + int(rng.integers(1, 16))]


def _insert(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data[place:place] = rng.bytes(int(rng.integers(1, 16)))


def _repeat(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data[place:place] = data[place : place + int(rng.integers(1, 200))]


def _extend(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data += rng.bytes(int(rng.integers(1, 400)))


MUTATIONS = (_flip, _replace, _number, _number, _number, _cut, _delete, _insert, _repeat, _extend)
