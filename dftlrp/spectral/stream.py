"""STFT relevance of signals that do not fit into memory, read and written block by block.

The FFT calls are those made in memory, on the same numbers, so that the results are equal bit for
bit.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike

from dftlrp.core.files import locate
from dftlrp.core.progress import steps
from dftlrp.core.types import AnyArray, Complex, InputError, Real
from dftlrp.spectral.carry import choose_amounts, find_multiplier, split_signal
from dftlrp.spectral.checks import (
    as_array,
    as_real,
    as_whole,
    check_finite,
    check_overflow,
    check_same_shape,
)
from dftlrp.spectral.domain import inner
from dftlrp.spectral.stft import Stft

BLOCK = 2**20  # samples of one signal per block, unless the caller gives a number of frames
FILES = ("spectrum.npy", "relevance.npy", "phase.npy")


@dataclass(frozen=True, eq=False)
class Source:
    """A signal and its relevance or multiplier, read piece by piece along the last axis.

    Attributes
    ----------
    signal, amounts : array (..., N)
        Possibly memory maps, of any real dtype.
    name : {"relevance", "multiplier"}
        What the amounts are.
    dtype : dtype
        The dtype of the computation.
    """

    signal: AnyArray
    amounts: AnyArray
    name: str
    dtype: np.dtype[Any]

    def read(self, start: int, stop: int) -> tuple[Real, Real, Any]:
        """Return signal, multiplier and lost relevance of samples start to stop."""
        x, amounts = self._cut(self.signal, start, stop), self._cut(self.amounts, start, stop)
        if self.name == "multiplier":
            return x, amounts, 0
        return (x, *find_multiplier(amounts, x, size=self.amounts.size))

    def sum_lost(self) -> Real:
        """Return the lost relevance, (...); reads everything once and raises at NaN and Inf."""
        parts = []
        for start, stop in steps(list(split_signal(self.signal.shape[-1])), "checking"):
            for array, name in ((self.signal, "signal"), (self.amounts, self.name)):
                check_finite(self._cut(array, start, stop), name, start)
            parts.append(self.read(start, stop)[2])
            self.release()
        return np.asarray(sum(parts, np.zeros(self.signal.shape[:-1], self.dtype)))

    def release(self) -> None:
        """Release the memory of what was read from memory maps."""
        for array in (self.signal, self.amounts):
            _release_pages(array)

    def _cut(self, array: AnyArray, start: int, stop: int) -> Real:
        return np.array(array[..., start:stop], self.dtype)


def open_source(
    signal: ArrayLike, relevance: ArrayLike | None, multiplier: ArrayLike | None
) -> Source:
    """Return a source; checks everything but the numbers, which `Source.sum_lost` does."""
    chosen, name = choose_amounts(relevance, multiplier)
    x, amounts = as_array(signal, "signal"), as_array(chosen, name)
    check_same_shape(amounts, x, name, "signal")
    # One sample tells which dtype the whole array would be converted to, or why it is refused.
    heads = [(a[..., :1] if a.ndim else a, what) for a, what in ((x, "signal"), (amounts, name))]
    return Source(x, amounts, name, np.result_type(*(as_real(*head) for head in heads)))


def write_stft(
    domain: Stft, source: Source, out: str | os.PathLike[str], block: int | None
) -> tuple[Complex, Real, Real, Real]:
    """Write ``spectrum.npy``, ``relevance.npy`` and ``phase.npy`` into the folder `out`.

    Returns
    -------
    tuple
        Spectrum, relevance, rest and phase; all but the rest (...) are read-only memory maps
        (..., K, T).

    Raises
    ------
    InputError
        If the layout is ``"full"``; the input holds NaN or Inf; a result overflows; or the folder
        cannot be written, has no room or holds the files that are read.
    """
    if domain.layout == "full":
        raise InputError(
            "layout 'full' has n // 2 + 1 bins in each frame and cannot stream; use layout='frames'"
        )
    if not isinstance(out, str | os.PathLike):
        raise InputError(f"out is {out!r}, but must be the path of a folder")
    target = locate(out)
    _check_target(target, source)
    default = max(1, BLOCK // domain.hop)
    frames = default if block is None else as_whole(block, "block")
    with _replace_files(target, _count_bytes(domain, source)) as stage:
        rest = _sum_rest(domain, source)
        with ExitStack() as stack:
            files = [stack.enter_context((stage / name).open("wb")) for name in FILES]
            _write_blocks(domain, source, files, frames)
    Y, R, phase = (np.load(target / name, mmap_mode="r") for name in FILES)
    return Y, R, rest, phase


def _sum_rest(domain: Stft, source: Source) -> Real:
    """Return the lost relevance and that before the first and after the last covered sample."""
    lost = source.sum_lost()
    first, last = domain.cover.ends
    ends = [source.read(start, stop)[:2] for start, stop in ((0, first), (last, domain.n))]
    x, m = (np.concatenate(parts, axis=-1) for parts in zip(*ends, strict=True))
    return np.asarray(inner(x, m) + lost)


def _count_bytes(domain: Stft, source: Source) -> int:
    batch = source.signal.size // domain.n
    return batch * domain.frames * domain.bins * 4 * source.dtype.itemsize


def _write_blocks(domain: Stft, source: Source, files: Sequence[IO[bytes]], frames: int) -> None:
    """Append block after block; in Fortran order the frames, the last axis, follow each other."""
    shape = (*source.signal.shape[:-1], *domain.shape)
    dtypes = (np.result_type(source.dtype, np.complex64), source.dtype, source.dtype)
    for file, dtype in zip(files, dtypes, strict=True):
        head = {"descr": npy.dtype_to_descr(dtype), "fortran_order": True, "shape": shape}
        npy.write_array_header_1_0(file, head)
    calls = domain.split_frames(source.signal.size // domain.n)
    for block in steps(_join_calls(calls, frames), "STFT relevance"):
        start, stop = domain.find_samples(block[0][0], block[-1][1])
        x, m, _ = source.read(start, stop)
        m = domain.divide_by_overlap(m, start)
        for first, last in block:
            a, b = domain.find_samples(first, last)
            here = slice(a - start, b - start)
            with np.errstate(over="ignore", invalid="ignore"):
                y, products = domain.share_frames(x[..., here], m[..., here], first, last)
                check_overflow(products, 0, source.name)
            for file, part in zip(files, (y, products.real, products.imag), strict=True):
                file.write(np.ascontiguousarray(part.swapaxes(-1, -2).T).data)
        source.release()


def _join_calls(calls: list[tuple[int, int]], frames: int) -> list[list[tuple[int, int]]]:
    """Group FFT calls into blocks of at least so many frames."""
    blocks: list[list[tuple[int, int]]] = []
    for call in calls:
        if not blocks or blocks[-1][-1][1] - blocks[-1][0][0] >= frames:
            blocks.append([])
        blocks[-1].append(call)
    return blocks


@contextmanager
def _replace_files(target: Path, size: int) -> Iterator[Path]:
    """Yield a hidden folder; its files replace those of `target` if the block succeeds."""
    missing = [folder for folder in (target, *target.parents) if not folder.exists()]
    stage = None
    try:
        target.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target).free
        if free < size:
            raise InputError(f"{target}: needs {size / 1e9:.3g} GB, but {free / 1e9:.3g} are free")
        stage = Path(tempfile.mkdtemp(prefix=".dftlrp-", dir=target))
        yield stage
        for name in FILES:
            (stage / name).replace(target / name)
    except OSError as error:
        raise InputError(f"{target}: cannot write here: {error.strerror or error}") from None
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # the folder is not empty
                folder.rmdir()


def _check_target(target: Path, source: Source) -> None:
    """Raise if the target holds a file that is read."""
    for array, name in ((source.signal, "signal"), (source.amounts, source.name)):
        for path in (target / file for file in FILES):
            if any(_is_map_of(path, base) for base in _find_bases(array)):
                raise InputError(
                    f"{path}: the {name} is read from this file; write to another folder"
                )


def _is_map_of(path: Path, array: AnyArray) -> bool:
    file = getattr(array, "filename", None)  # of a memory map
    return file is not None and path.exists() and Path(file).exists() and path.samefile(file)


def _find_bases(array: Any) -> Iterator[AnyArray]:
    """Yield the array, the array that it is a view of, and so on."""
    while isinstance(array, np.ndarray):
        yield array
        array = array.base


def _release_pages(array: AnyArray) -> None:
    """Release the pages of a read-only or shared memory map; they are read again if needed.

    Without it, what was read counts as memory until the system reclaims it.  A copy-on-write map
    would lose what was written to it, so it is left alone.
    """
    mode, base = None, None
    for view in _find_bases(array):
        mode, base = getattr(view, "mode", mode), view.base
    if mode in {"r", "r+", "w+"} and isinstance(base, mmap.mmap) and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)
