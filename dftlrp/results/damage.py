"""Stored results that somebody may have changed: bounded, and as `save` writes them or refused.

An archive of a few kilobytes can claim terabytes.  So the headers are read first, and each array
must be as large as its header states.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from dftlrp.core.types import AnyArray

FLOOR, PER_BYTE, MOST_BYTES = 2**27, 64, 2**31  # of all arrays, by the bytes of the archive
MOST_ARRAYS = 10_000
KINDS = {"signal": "fc", "relevance": "f", "axes": "fiu"}
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class DamageError(ValueError):
    """What is wrong with stored results, in a few words."""


def read_npz(file: BinaryIO, size: int) -> dict[str, AnyArray]:
    """Return the arrays of an npz file of so many bytes.

    Raises
    ------
    DamageError
        If it claims more than a file of this size holds; what NumPy and zipfile raise, otherwise.
    """
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if len(entries) > MOST_ARRAYS or total > min(MOST_BYTES, FLOOR + PER_BYTE * size):
            raise DamageError(f"it claims {len(entries)} arrays of {total} bytes")
        for entry in entries:
            with archive.open(entry) as part:
                _check_archive(part, entry)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _check_archive(part: Any, entry: zipfile.ZipInfo) -> None:
    """Raise `DamageError` unless an array has the size that its header states."""
    shape, _, dtype = HEADERS[np.lib.format.read_magic(part)](part)
    if dtype.hasobject or part.tell() + math.prod(shape) * dtype.itemsize != entry.file_size:
        raise DamageError(f"{entry.filename} does not hold what its header states")


def check_fields(fields: Mapping[str, Any]) -> None:
    """Check kinds, shapes and finiteness of the fields of an explanation.

    Raises
    ------
    DamageError
        If something is not as `dftlrp.explain` makes it.
    """
    for damage in (*_find_bad_arrays(fields), *_find_bad_shapes(fields), *_find_bad_words(fields)):
        raise DamageError(damage)


def _find_bad_arrays(fields: Mapping[str, Any]) -> Iterator[str]:
    rows = [("output", fields["output"], "fiu"), ("explained", fields["explained"], "fiu")]
    for group, kinds in KINDS.items():
        for domain, value in fields[group].items():
            parts = value if isinstance(value, tuple) else (value,)
            rows += [(f"{group} of {domain}", part, kinds) for part in parts]
    for name, array, kinds in rows:
        if array.dtype.kind not in kinds:
            yield f"{name} is of type {array.dtype}"
        elif " of " in name and not np.isfinite(array).all():  # a model's output may be -inf
            yield f"{name} is not finite"


def _find_bad_shapes(fields: Mapping[str, Any]) -> Iterator[str]:
    signal, relevance, axes = fields["signal"], fields["relevance"], fields["axes"]
    if not relevance or not signal.keys() == relevance.keys() == axes.keys():
        yield "the domains of signal, relevance and axes differ"
        return
    for domain, r in relevance.items():
        own = axes[domain] if isinstance(axes[domain], tuple) else (axes[domain],)
        lengths = tuple(axis.size for axis in own)
        if signal[domain].shape != r.shape or r.shape[r.ndim - len(own) :] != lengths:
            yield f"the shapes of {domain} differ"


def _find_bad_words(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the numbers and words beside the arrays."""
    numbers = {"rate": fields["rate"], **{f"rest of {k}": v for k, v in fields["rest"].items()}}
    for name, number in numbers.items():
        if not isinstance(number, int | float) or not math.isfinite(number):
            yield f"{name} is {number!r}"
    if not fields["rate"] > 0:
        yield f"rate is {fields['rate']!r}"
    words = (fields["label"], *fields["labels"], *fields["notes"], *fields.get("channel_names", ()))
    if not all(isinstance(word, str) for word in words):
        yield "a label, a note or a name is not text"
    target = fields["target"] if isinstance(fields["target"], tuple) else (fields["target"],)
    if not all(isinstance(i, int) for i in target):
        yield f"target is {fields['target']!r}"
    for name in ("stft", "provenance"):
        if not isinstance(fields[name], dict):
            yield f"{name} is no table"
