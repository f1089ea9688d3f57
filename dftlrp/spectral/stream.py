"""STFT relevance of signals that do not fit into memory: read and written block by block.

The very same FFT calls on the very same numbers as in memory, so the results are bit-equal.
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

from dftlrp.core.progress import steps
from dftlrp.core.types import AnyArray, Complex, InputError, Real
from dftlrp.spectral import checks
from dftlrp.spectral.carry import quotient, stretches
from dftlrp.spectral.domains import inner
from dftlrp.spectral.stft import Stft

BLOCK = 2**20  # samples of one signal per block, unless the caller says how many frames
FILES = ("spectrum.npy", "relevance.npy", "phase.npy")


@dataclass(frozen=True, eq=False)
class Source:
    """A signal and its relevance or multiplier, read in pieces; only the last axis is cut.

    Attributes
    ----------
    signal, given : array (..., N)
        Perhaps memory maps, of any real dtype.
    name : {"relevance", "multiplier"}
        What `given` is.
    dtype : dtype
        What is computed in.
    """

    signal: AnyArray
    given: AnyArray
    name: str
    dtype: np.dtype[Any]

    def read(self, start: int, stop: int) -> tuple[Real, Real, Any]:
        """Samples start to stop of the signal and the multiplier, and the relevance on zeros."""
        x, given = self._piece(self.signal, start, stop), self._piece(self.given, start, stop)
        if self.name == "multiplier":
            return x, given, 0
        return (x, *quotient(given, x, size=self.given.size))

    def lost(self) -> Real:
        """Relevance on zeros, (...); reads all once, and refuses NaN and Inf."""
        parts = []
        for start, stop in steps(list(stretches(self.signal.shape[-1])), "checking"):
            for array, name in ((self.signal, "signal"), (self.given, self.name)):
                checks.finite(self._piece(array, start, stop), name, start)
            parts.append(self.read(start, stop)[2])
            self.forget()
        return np.asarray(sum(parts, np.zeros(self.signal.shape[:-1], self.dtype)))

    def forget(self) -> None:
        """Give back the memory of what was read of memory maps."""
        for array in (self.signal, self.given):
            _forget(array)

    def _piece(self, array: AnyArray, start: int, stop: int) -> Real:
        return np.array(array[..., start:stop], self.dtype)


def source(signal: ArrayLike, relevance: ArrayLike | None, multiplier: ArrayLike | None) -> Source:
    """Check all but the numbers, which `Source.lost` does."""
    checks.exactly_one(relevance, multiplier)
    name = "multiplier" if relevance is None else "relevance"
    x = checks.array(signal, "signal")
    given = checks.array(multiplier if relevance is None else relevance, name)  # type: ignore[arg-type]
    checks.same_shape(given, x, name, "signal")
    # One sample tells what a whole array would be converted to, or why it would be refused.
    heads = [(a[..., :1] if a.ndim else a, what) for a, what in ((x, "signal"), (given, name))]
    return Source(x, given, name, np.result_type(*(checks.real(*head) for head in heads)))


def stft_to_files(
    domain: Stft, what: Source, out: str | os.PathLike[str], block: int | None
) -> tuple[Complex, Real, Real, Real]:
    """Write ``spectrum.npy``, ``relevance.npy`` and ``phase.npy`` into the folder `out`.

    Returns
    -------
    tuple
        Spectrum, relevance and phase (..., K, T) as read-only memory maps, and rest (...) between
        the latter two, as `stft_lrp` orders them.

    Raises
    ------
    InputError
        Layout ``"full"``; NaN or Inf; a result that overflows; a folder that cannot be written or
        has no room, or whose files are what is read.
    """
    if domain.layout == "full":
        raise InputError(
            "layout 'full' has n // 2 + 1 bins in each frame and cannot stream; use layout='frames'"
        )
    if not isinstance(out, str | os.PathLike):
        raise InputError(f"out is {out!r}, but must be the path of a folder")
    target = Path(out)
    _refuse_own_files(target, what)
    default = max(1, BLOCK // domain.hop)
    frames = default if block is None else checks.whole(block, "block")
    with _staged(target, _size(domain, what)) as stage:
        rest = _rest(domain, what)
        with ExitStack() as stack:
            files = [stack.enter_context((stage / name).open("wb")) for name in FILES]
            _write(domain, what, files, frames)
    Y, R, phase = (np.load(target / name, mmap_mode="r") for name in FILES)
    return Y, R, rest, phase


def _rest(domain: Stft, what: Source) -> Real:
    """Relevance on zeros, and of what lies before the first and after the last covered sample."""
    lost = what.lost()
    first, last = domain.cover.ends
    ends = [what.read(start, stop)[:2] for start, stop in ((0, first), (last, domain.n))]
    x, m = (np.concatenate(parts, axis=-1) for parts in zip(*ends, strict=True))
    return np.asarray(inner(x, m) + lost)


def _size(domain: Stft, what: Source) -> int:
    batch = what.signal.size // domain.n
    return batch * domain.frames * domain.bins * 4 * what.dtype.itemsize


def _write(domain: Stft, what: Source, files: Sequence[IO[bytes]], frames: int) -> None:
    """Append block after block.  In Fortran order, frames are last and come one after another."""
    shape = (*what.signal.shape[:-1], *domain.shape)
    dtypes = (np.result_type(what.dtype, np.complex64), what.dtype, what.dtype)
    for file, dtype in zip(files, dtypes, strict=True):
        head = {"descr": npy.dtype_to_descr(dtype), "fortran_order": True, "shape": shape}
        npy.write_array_header_1_0(file, head)
    calls = domain.calls(what.signal.size // domain.n)
    for block in steps(_blocks(calls, frames), "STFT relevance"):
        start, stop = domain.reach(block[0][0], block[-1][1])
        x, m, _ = what.read(start, stop)
        m = domain.divided(m, start)
        for first, last in block:
            a, b = domain.reach(first, last)
            here = slice(a - start, b - start)
            with np.errstate(over="ignore", invalid="ignore"):
                y, products = domain.share_of_frames(x[..., here], m[..., here], first, last)
                checks.products(products, 0, what.name)
            for file, part in zip(files, (y, products.real, products.imag), strict=True):
                file.write(np.ascontiguousarray(part.swapaxes(-1, -2).T).data)
        what.forget()


def _blocks(calls: list[tuple[int, int]], frames: int) -> list[list[tuple[int, int]]]:
    """Put FFT calls together until they have so many frames."""
    blocks: list[list[tuple[int, int]]] = []
    for call in calls:
        if not blocks or blocks[-1][-1][1] - blocks[-1][0][0] >= frames:
            blocks.append([])
        blocks[-1].append(call)
    return blocks


@contextmanager
def _staged(target: Path, size: int) -> Iterator[Path]:
    """A hidden folder whose files replace those of `target` once the block has succeeded."""
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
            _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _refuse_own_files(target: Path, what: Source) -> None:
    """Refuse to replace what is still being read."""
    for array, name in ((what.signal, "signal"), (what.given, what.name)):
        for path in (target / file for file in FILES):
            if any(_same(path, base) for base in _bases(array)):
                raise InputError(
                    f"{path}: the {name} is read from this file; write to another folder"
                )


def _same(path: Path, array: AnyArray) -> bool:
    file = getattr(array, "filename", None)  # of a memory map
    return file is not None and path.exists() and Path(file).exists() and path.samefile(file)


def _bases(array: Any) -> Iterator[AnyArray]:
    """The array, what it is a view of, and so on."""
    while isinstance(array, np.ndarray):
        yield array
        array = array.base


def _forget(array: AnyArray) -> None:
    """Let go of the pages of a read-only or shared memory map; they are read again if needed.

    Without it, what was read would count as memory until the system wants it back.  A
    copy-on-write map would lose what was written to it, so it is left alone.
    """
    mode, base = None, None
    for view in _bases(array):
        mode, base = getattr(view, "mode", mode), view.base
    if mode in {"r", "r+", "w+"} and isinstance(base, mmap.mmap) and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)
