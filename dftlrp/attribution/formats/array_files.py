"""Arrays in files: NumPy's .npy and .npz, and MATLAB's .mat."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dftlrp.attribution.formats.contents import (
    MOST_CHANNELS_READ,
    Channel,
    Contents,
    Source,
    agree_on_rate,
    check_claim,
    check_rate,
    find_rate,
    list_names,
    refuse_undecodable,
)
from dftlrp.core.files import regular
from dftlrp.core.types import AnyArray, InputError, Real

RATES = ("rate", "fs", "sr", "sfreq", "samplerate", "sample_rate", "sampling_rate", "freq")
TIMES = ("t", "time", "times", "seconds")
NAMES = ("channel_names", "channels", "names", "leads", "ch_names", "labels", "sig_name")
UNITS = ("units", "unit")
MOST_ARRAYS = 4096


@contextmanager
def open_npy(source: Source) -> Iterator[Contents]:
    """Open one array, which stays on the disk."""
    array = _map_npy(source)
    _check_kind(array.dtype, array.shape)
    yield _make_contents({"": array}, {})


def _map_npy(source: Source) -> AnyArray:
    """Return the array of a file, without reading it."""
    source.file.seek(0)
    with refuse_undecodable("a .npy file"):
        shape, fortran, dtype = _read_npy_header(source.file)
    if dtype.hasobject:
        raise InputError("holds Python objects, which are not read: save an array of floats")
    place, needed = source.file.tell(), int(np.prod(shape, dtype=object)) * dtype.itemsize
    if place + needed > source.size:
        missing = place + needed - source.size
        raise InputError(f"truncated: {missing} bytes of the array are missing")
    if not needed:
        return np.zeros(shape, dtype)
    order = "F" if fortran else "C"
    mapped: AnyArray = np.memmap(source.file, dtype, "r", place, shape, order)  # type: ignore[call-overload]
    return mapped


def _read_npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


@contextmanager
def open_npz(source: Source) -> Iterator[Contents]:
    """Open several arrays: the signal, and perhaps its rate, times, names and units."""
    arrays = _read_members(source.file, source.size)
    yield _make_contents(_sort_arrays(arrays), arrays)


def read_array(path: Path) -> AnyArray:
    """Return the one array of a .npy or .npz file, of any shape.

    Raises
    ------
    InputError
        There is no such file, it holds several arrays or Python objects, or is damaged or cut.
    """
    try:
        with regular(path, InputError, str(path)) as (file, size):
            if file.read(4) == b"PK\3\4":
                arrays = _read_members(file, size)
                if len(arrays) != 1:
                    raise InputError(f"holds {len(arrays)} arrays, {list_names(list(arrays))}")
                return next(iter(arrays.values()))
            return np.array(_map_npy(Source(path, file, size)))
    except InputError as error:
        said = str(error)
        raise InputError(said if said.startswith(f"{path}: ") else f"{path}: {said}") from None


def _read_members(file: BinaryIO, size: int) -> dict[str, AnyArray]:
    with refuse_undecodable("a .npz file"), zipfile.ZipFile(file) as packed:
        members = packed.infolist()
        if len(members) > MOST_ARRAYS:
            raise InputError(f"{len(members)} arrays are too many")
        check_claim(sum(m.file_size for m in members) // 8, size)
        return {m.filename.removesuffix(".npy"): _read_member(packed, m) for m in members}


def _read_member(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> AnyArray:
    with packed.open(member) as file:
        shape, fortran, dtype = _read_npy_header(file)  # type: ignore[arg-type]
        if dtype.hasobject:
            raise InputError(f"array {member.filename!r} holds Python objects, which are not read")
        data = file.read()
    count = int(np.prod(shape, dtype=object))
    if count * dtype.itemsize != len(data):
        raise InputError(f"array {member.filename!r} of shape {shape} is not whole")
    return np.frombuffer(data, dtype, count).reshape(shape, order="F" if fortran else "C")


@contextmanager
def open_mat(source: Source) -> Iterator[Contents]:
    """Open the variables of a MATLAB file: the signal, and perhaps its rate, names and units."""
    from scipy.io import loadmat, whosmat

    source.file.seek(0)
    head = source.file.read(128)
    if head.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise InputError("is a MATLAB file of version 7.3 (HDF5): save it with -v7 in MATLAB")
    with refuse_undecodable("a MATLAB file"):
        source.file.seek(0)
        found = whosmat(source.file)  # type: ignore[arg-type]
        if len(found) > MOST_ARRAYS:
            raise InputError(f"{len(found)} variables are too many")
        check_claim(sum(int(np.prod(shape, dtype=object)) for _, shape, _ in found), source.size)
        source.file.seek(0)
        loaded = loadmat(source.file)  # type: ignore[arg-type]
    arrays = {k: _unwrap(v) for k, v in loaded.items() if not k.startswith("__")}
    yield _make_contents(_sort_arrays(arrays), arrays)


def _unwrap(value: Any) -> AnyArray:
    """Return a variable of MATLAB, where all have two axes, without axes of length one."""
    array = np.squeeze(np.asarray(value))
    if array.dtype == object:  # a cell array, of texts perhaps
        texts = [str(np.squeeze(cell)) for cell in array.reshape(-1)[:MOST_ARRAYS]]
        return np.array(texts)
    return array


def _sort_arrays(arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Return those that may be signals: floats if there are any, or else integers."""
    kept = {
        k: a for k, a in arrays.items()
        if a.dtype.kind in "fiu" and a.ndim and a.size and not _is_named(k, RATES + TIMES)
    }  # fmt: skip
    floats = {k: a for k, a in kept.items() if a.dtype.kind == "f" and a.size > 1}
    return floats or kept


def _is_named(name: str, names: Sequence[str]) -> bool:
    return name.casefold() in names


def _find_named(arrays: Mapping[str, AnyArray], names: Sequence[str]) -> AnyArray | None:
    """Return the first of the arrays that has one of these names."""
    by_name = {k.casefold(): a for k, a in reversed(list(arrays.items()))}
    return next((by_name[n] for n in names if n in by_name), None)


def _make_contents(signals: Mapping[str, AnyArray], beside: Mapping[str, AnyArray]) -> Contents:
    """Return arrays as channels, with what stands beside them in the file."""
    if not signals:
        raise InputError(f"holds no signal among {list_names(list(beside)) or 'no arrays'}")
    rows, notes = list[tuple[str, AnyArray]](), list[str]()
    for key, array in signals.items():
        _check_kind(array.dtype, array.shape)
        if array.ndim == 2 and len(signals) > 1 and 1 not in array.shape:
            held = ", ".join(f"{k!r} {a.shape}" for k, a in signals.items())
            raise InputError(f"holds several signals, {held}: keep one of them in the file")
        turned = array.ndim == 2 and len(array) > array.shape[1]
        if turned and array.shape[1] > 1:
            notes.append(f"{array.shape} read as {array.shape[1]} channels of {len(array)} samples")
        own = np.atleast_2d(array.T if turned else array)
        rows += [(key if len(signals) > 1 else "", row) for row in own]
    given = [_list_texts(_find_named(beside, keys), len(rows)) for keys in (NAMES, UNITS)]
    rate = _find_rate(beside, max(row.size for _, row in rows))
    channels = tuple(
        Channel(row.size, rate, name or key, unit)
        for (key, row), name, unit in zip(rows, *given, strict=True)
    )
    left = sorted(
        k for k, a in beside.items()
        if k not in signals and not _is_named(k, RATES + TIMES + NAMES + UNITS)
    )  # fmt: skip
    if left:
        notes.append(f"left out: {list_names(left)}")

    def read(wanted: Sequence[int], start: int, stop: int) -> Real:
        return np.array([rows[c][1][start:stop] for c in wanted], np.float64)

    return Contents(channels, read, notes=tuple(notes))


def _check_kind(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Refuse an array that is no signal."""
    if dtype.kind in "iu":
        raise InputError(
            f"holds {dtype} and not what they stand for: save floats, as the model was trained on "
            "(of sound, full scale = 1; of other signals, in their unit)"
        )
    if dtype.kind != "f":
        raise InputError(f"holds {dtype}: save an array of floats")
    if len(shape) not in {1, 2} or not np.prod(shape, dtype=object):
        raise InputError(f"its array has shape {shape}: save (samples,) or (channels, samples)")
    if min(shape) > MOST_CHANNELS_READ and len(shape) == 2:
        raise InputError(f"its array has shape {shape}: {min(shape)} channels are too many")


def _list_texts(array: AnyArray | None, count: int) -> list[str]:
    """Return a text for each channel, or an empty one; one text is that of all."""
    texts = [] if array is None or array.dtype.kind not in "US" else list(array.reshape(-1))
    told = [t.decode(errors="replace") if isinstance(t, bytes) else str(t) for t in texts]
    told = told * count if len(told) == 1 else told
    return [t.strip() for t in told] if len(told) == count else [""] * count


def _find_rate(beside: Mapping[str, AnyArray], frames: int) -> float | None:
    """Return the rate that is stated, by a number or by times."""
    stated, times = (_find_named(beside, keys) for keys in (RATES, TIMES))
    rate = None
    if stated is not None and stated.size == 1 and stated.dtype.kind in "fiu":
        rate = check_rate(float(stated.reshape(-1)[0]))
    if times is None or times.size != frames or times.dtype.kind not in "fiu":
        return rate
    return agree_on_rate(rate, find_rate(times.reshape(-1).astype(np.float64), "time"))
