"""Samples that come in blocks only, kept so that any stretch of them can be read."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

import numpy as np

from dftlrp.attribution.formats.contents import check_claim
from dftlrp.core.types import InputError, Real

IN_MEMORY = 2**27  # bytes; more lie on the disk


class Spool:
    """Samples of several channels, in the memory or in a temporary file without a name.

    Parameters
    ----------
    size : int
        Bytes of the file that they come from, which limits how many there may be.
    """

    def __init__(self, size: int) -> None:
        self.file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self.size, self.channels, self.frames = size, 0, 0

    def append(self, block: Real) -> None:
        """Add the next samples (channels, N)."""
        self.channels, self.frames = len(block), self.frames + block.shape[-1]
        check_claim(self.frames * self.channels, self.size)
        try:
            self.file.write(np.ascontiguousarray(block.T, "<f8").tobytes())
        except OSError as error:
            raise InputError(f"cannot be kept for reading: {error.strerror}") from None

    def read(self, channels: Sequence[int], start: int, stop: int) -> Real:
        """Return a stretch of some channels, as `Contents.read` does."""
        width = 8 * self.channels
        self.file.seek(start * width)
        data = self.file.read((stop - start) * width)
        rows: Real = np.frombuffer(data, "<f8").reshape(-1, self.channels).T[list(channels)]
        return rows.astype(np.float64)

    def close(self) -> None:
        """Forget them."""
        self.file.close()
