"""Targets and seeds: the relevance at the explained output, where the way back starts.

With the explained output z (logits), the seed is R = z c with multiplier c:

* ``logit``: c is one at the target, so R is the logit itself;
* ``contrast``: c = e_target - mean of the others (softmax ignores a common offset of the logits);
* ``contrast:NAME``: c = e_target - e_NAME (why this class rather than that);
* ``one``: R = e_target, c = R / z.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from operator import index as integer
from typing import Any

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.maps import Array
from dftlrp.core.names import list_some, match_name, suggest
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.sharing import Support
from dftlrp.core.types import InputError, Real
from dftlrp.engine.evaluate import check_finite
from dftlrp.engine.flows import Flow

Target = int | str | Sequence[int] | tuple[int, ...] | Callable[[Real], Real]
Index = tuple[int | slice, ...]
PLACE = r"\s*(-?\d+|-?\d*:-?\d*)\s*"
PLACES = re.compile(rf"(?=.*[,:]){PLACE}(,{PLACE})*")  # "10:20,3"
SEEDS = ("logit", "contrast", "one")
ONE_CLASS = "seed 'contrast' needs at least two classes: use 'logit'"


def find_class(label: str, labels: Sequence[str], count: int) -> int:
    """Return the index of a class that is given as a label or as digits.

    Raises
    ------
    InputError
        It is neither a known label nor a number in range.
    """
    if list(labels).count(label) > 1:
        raise InputError(f"label {label!r} names several classes: use an index")
    if label in labels:
        return labels.index(label)
    if label.isdecimal() and int(label) < count:
        return int(label)
    found = match_name(label, labels)
    if found is not None and found != label:
        return find_class(found, labels, count)
    known = list_some(labels) if labels else "no labels (give --labels FILE)"
    raise InputError(
        f"unknown target {label!r}: {suggest(label, labels)}use an index from 0 to {count - 1}; "
        f"labels: {known}"
    )


def find_targets(target: Any, z: Real, labels: Sequence[str] = ()) -> list[Index]:
    """Return for each sample the index of the target in that sample's output.

    Parameters
    ----------
    target : int, str, list of int, tuple of int, or "argmax"
        One class for all samples; its label; a class for each sample; an index into an output of
        higher rank, where a slice means the sum over it, also as text (``"10:20,3"``: class 3,
        frames 10 to 19; ``":,3"``: all frames); each sample's largest entry.
    z : array (batch, ...)
        The explained output.

    Raises
    ------
    InputError
        The target is out of range, of the wrong rank, or unknown.
    """
    shape = z.shape[1:]
    if not z.size:
        raise InputError(f"the explained output is empty, {z.shape}: there is nothing to explain")
    target = parse_target(target)
    if isinstance(target, str) and target != "argmax":
        target = find_class(target, labels, shape[-1] if shape else 1)
    if isinstance(target, str):
        flat = z.reshape(z.shape[0], -1).argmax(axis=1)
        places = [axis.tolist() for axis in np.unravel_index(flat, shape)] if shape else []
        return list(zip(*places, strict=True)) if shape else [()] * len(flat)
    many = isinstance(target, list) or (isinstance(target, np.ndarray) and target.ndim > 0)
    each = list(target) if many else [target] * z.shape[0]
    if len(each) != z.shape[0]:
        raise InputError(f"{len(each)} targets for {z.shape[0]} samples")
    return [_complete_index(t, shape) for t in each]


def parse_target(target: Any) -> Any:
    """Return text like ``"10:20,3"`` as numbers and slices, and any other target as it is."""
    if isinstance(target, str) and PLACES.fullmatch(target):
        return tuple(map(_parse_place, target.split(",")))
    return target


def _parse_place(text: str) -> int | slice:
    """Return ``"3"`` as a number, ``"10:20"`` and ``":"`` as slices."""
    parts = [int(p) if p.strip() else None for p in text.split(":")]
    return slice(*parts) if len(parts) > 1 else int(text)


def _complete_index(target: Any, shape: tuple[int, ...]) -> Index:
    """Return a target as an index with one place for each axis of an output."""
    wide = [i for i, n in enumerate(shape) if n > 1]
    given = target if isinstance(target, tuple) else (target,)
    try:
        index = tuple(t if isinstance(t, slice) else integer(t) for t in given)
    except TypeError:
        raise InputError(f"target {target!r} is not an index, a label or 'argmax'") from None
    if len(index) == 1 and len(shape) != 1 and len(wide) <= 1:  # one class axis among ones
        index = tuple(
            index[0] if i in wide or (not wide and i == 0) else 0 for i in range(len(shape))
        )
    if len(index) != len(shape):
        raise InputError(
            f"target {target!r}: the output has shape {shape} per sample: give a tuple"
        )
    if any(not _is_within(i, n) for i, n in zip(index, shape, strict=True)):
        raise InputError(f"target {target!r} is out of range for an output of shape {shape}")
    return index


def _is_within(place: int | slice, size: int) -> bool:
    if isinstance(place, slice):
        if any(edge is not None and abs(edge) > size for edge in (place.start, place.stop)):
            return False
        return len(range(*place.indices(size))) > 0
    return 0 <= place < size


def make_coefficients(kind: str, indices: list[Index], z: Real, labels: Sequence[str] = ()) -> Real:
    """Return the array c of the module's docstring, in the shape of z.

    For ``one`` it is the same as for ``logit``.

    Raises
    ------
    InputError
        The kind is unknown; the output has one class only, or the target is its own rival.
    """
    name, colon, versus = kind.partition(":")
    if name not in SEEDS or (colon and not (versus and name == "contrast")):
        known = (*SEEDS, "contrast:CLASS")
        meant = suggest(kind, known)
        raise InputError(f"unknown seed {kind!r}: {meant}choose one of {', '.join(known)}")
    c, classes = np.zeros_like(z), z.shape[-1] if z.ndim > 1 else 1
    rival = find_class(versus, labels, classes) if versus else None
    for samples, index in _stack_indices(indices):
        others = (samples, *index[:-1])
        if name == "contrast" and index and isinstance(index[-1], slice):
            raise InputError("seed 'contrast' needs one class: use 'logit' for a sum over classes")
        if name == "contrast" and classes < 2:
            raise InputError(ONE_CLASS)
        if rival is not None and np.any(rival == index[-1]):
            raise InputError(f"seed {kind!r}: the target cannot be contrasted with itself")
        if rival is not None:
            c[(*others, rival)] -= 1
        elif name == "contrast":
            c[others] = -1 / (classes - 1)
            c[(samples, *index)] = 0
        c[(samples, *index)] += 1
    return c


def _stack_indices(indices: list[Index]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield samples, and the index of each: all in arrays at once if none has a slice."""
    if any(isinstance(place, slice) for index in indices for place in index):
        yield from enumerate(indices)
    elif indices:
        yield np.arange(len(indices)), tuple(np.array(indices, np.int64).T)


def choose_start(target: Any, kind: str, z: Real, labels: Sequence[str] = ()) -> tuple[Real, bool]:
    """Return coefficients c in the shape of z, and whether R = c z (otherwise R = c).

    Parameters
    ----------
    target : list of tuple of int, or callable
        What `find_targets` returns, or a function from z to the array R.
    """
    if callable(target):
        R = np.asarray(target(z), z.dtype)
        if R.shape != z.shape:
            raise InputError(f"the target's array has shape {R.shape}, the output {z.shape}")
        check_finite(R, "the target's array")
        return R, False
    return make_coefficients(kind, target, z, labels), kind != "one"


def mark_largest(z: Array, kind: str) -> tuple[Array, Array]:
    """Return coefficients c of each sample's largest entry, and its place in the flattened sample.

    It is what `make_coefficients` returns, computed where the numbers of z are.

    Parameters
    ----------
    z : array (batch, ...), of any backend
    kind : {"logit", "contrast", "one"}

    Raises
    ------
    InputError
        z is empty, or has one class only.
    """
    if 0 in z.shape:
        raise InputError(f"the explained output is empty, {z.shape}: there is nothing to explain")
    batch, classes = z.shape[0], z.shape[-1] if z.ndim > 1 else 1
    flat = z.reshape((batch, -1))
    place = np.argmax(flat, axis=1, keepdims=True)
    c = np.equal(place, np.arange(flat.shape[1])).astype(z.dtype)
    if kind == "contrast":
        if classes < 2:
            raise InputError(ONE_CLASS)
        c = c.reshape((batch, -1, classes))
        c = c - np.sum(c, axis=-1, keepdims=True) * (1 - c) / (classes - 1)
    return c.reshape(tuple(z.shape)), place


def start_flow(bk: Backend, c: Array, z: Array, scaled: bool) -> Flow:
    """Return relevance R and multiplier m at z by coefficients c.

    R = c z and m = c if they are scaled; else R = c and m = c / z, with 0 where z is 0.
    """
    if scaled:
        return Flow(c * z, c, Support.NOT_ZERO)
    zero = 1 - bk.step(z, strict=True) - bk.step(-z, strict=True)
    return Flow(c, c * (1 - zero) / (z + zero))


def make_seed(target: Any, kind: str, z: Real, labels: Sequence[str] = ()) -> Flow:
    """Return relevance and multiplier at z in NumPy; arguments are those of `choose_start`."""
    c, scaled = choose_start(target, kind, z, labels)
    return start_flow(NUMPY, c, z, scaled)
