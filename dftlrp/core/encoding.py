"""Records as bytes and back: numbers, text, arrays and dataclasses, and nothing that runs.

A line of JSON says what there is, the numbers of the arrays follow.  Equal values have equal bytes
in every process, so that a digest of them can name what was made from them; and what is read is
data only, wherever it comes from.  A pickle is neither.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from dftlrp.core.types import AnyArray

PLAIN = (type(None), bool, int, float, str)
MAKERS: dict[str, type] = {"list": list, "tuple": tuple, "set": frozenset}


class UnwritableError(TypeError):
    """A value that has no form as bytes."""


def encode(value: Any) -> bytes:
    """Return a value as bytes.

    Parameters
    ----------
    value : object
        None, a number, text, bytes, an array, or a list, tuple, dict, set, dataclass or named tuple
        of these.

    Raises
    ------
    UnwritableError
        It holds something else.
    """
    arrays = list[AnyArray]()
    said = _describe_data(value, arrays)
    listed = [[a.dtype.str, a.shape] for a in arrays]
    head = json.dumps([said, listed]).encode()
    return b"".join([head, b"\n", *(a.tobytes() for a in arrays)])


def decode(data: bytes, records: Sequence[type]) -> Any:
    """Return the value of `encode`; ``records`` are the classes that it may hold.

    Raises
    ------
    ValueError, LookupError, TypeError
        The bytes are not those of `encode`.
    """
    begin = data.index(b"\n") + 1
    said, listed = json.loads(data[:begin])
    arrays = list[AnyArray]()
    for kind, shape in listed:
        dtype = np.dtype(kind)
        array = np.frombuffer(data, dtype, math.prod(shape), begin).reshape(shape)
        arrays.append(array.copy())  # aligned, and its own
        begin += array.nbytes
    return _restore_data(said, arrays, {kind.__name__: kind for kind in records})


def _describe_data(value: Any, arrays: list[AnyArray]) -> Any:
    """Return a value as JSON knows it; arrays are added to a list."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind not in "biufcSU":
            raise UnwritableError(f"an array of {value.dtype}")
        arrays.append(np.asarray(value))
        return ["array" if kind is np.ndarray else "number", len(arrays) - 1]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    name, parts = _take_data_apart(value)
    return [name, *([_describe_data(x, arrays) for x in part] for part in parts)]


def _take_data_apart(value: Any) -> tuple[str, list[Any]]:
    """Return what holds other values by its kind, and these as lists."""
    kind = type(value)
    if isinstance(value, Mapping):
        return "dict", list(value.items())
    if isinstance(value, AbstractSet):
        return "set", [(x,) for x in sorted(value)]
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        named = [(name, getattr(value, name)) for name in _list_fields(kind)]
        return "record", [(kind.__name__,), *named]
    if kind in (list, tuple):
        return kind.__name__, [value]
    raise UnwritableError(f"a {kind.__name__}")


def _list_fields(kind: Any) -> tuple[str, ...]:
    """Return the names of a record's fields."""
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else kind._fields


def _restore_data(said: Any, arrays: Sequence[AnyArray], records: Mapping[str, type]) -> Any:
    """Return the value that JSON describes."""
    if not isinstance(said, list):
        return said
    kind, *parts = said

    if kind in ("array", "number"):
        return arrays[parts[0]] if kind == "array" else arrays[parts[0]][()]
    if kind == "bytes":
        return bytes.fromhex(parts[0])
    rows = [[_restore_data(x, arrays, records) for x in part] for part in parts]
    if kind == "record":
        return records[rows[0][0]](**dict(rows[1:]))
    return dict(rows) if kind == "dict" else MAKERS[kind](x for row in rows for x in row)
