"""Scattering: data in which some elements are replaced by updates, or have updates added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.core.maps import Affine, Array, Arrays, Route, move
from dftlrp.core.types import UnsupportedModelError
from dftlrp.ops.gather import Key, along
from dftlrp.ops.registry import At, affine, route

_UFUNCS: dict[str, Any] = {"mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _element_key(at: At) -> Key:
    return along(np.asarray(at.args[1]), at.axes(at.attr("axis", 0))[0])


def _nd_key(at: At) -> Key:
    if np.shape(at.args[1])[-1] > at.x.ndim:
        raise ValueError(f"an index of {np.shape(at.args[1])[-1]} numbers, rank {at.x.ndim}")
    return tuple(np.moveaxis(np.asarray(at.args[1]), -1, 0))


def _written(at: At, key: Key, second: int = 2) -> Array:
    """Data with the updates written into it, or combined with what is there."""
    data, updates, reduction = at.x, at.args[second], at.attr("reduction", "none")
    both = replace(at, live=(0, second))
    if reduction == "none":
        return _replaced(both, key, second).tangent().apply(data, updates)
    if reduction == "add":
        return _added(both, key).apply(data, updates)
    y = np.array(data)
    _UFUNCS[reduction].at(y, key, np.asarray(updates))
    return y


def _replaced(at: At, key: Key, second: int = 2) -> Route:
    """Each output element is one of data (input 0) or one of updates (input ``second``)."""
    bk, data, updates = at.bk, at.x, at.args[second]
    sizes = {0: data.size, second: updates.size}
    index = np.arange(data.size).reshape(data.shape)
    index[key] = data.size + np.arange(updates.size).reshape(updates.shape)
    flat = np.empty(data.size + updates.size, data.dtype)

    def linear(*live: Array) -> Array:
        given = dict(zip(at.live, live, strict=True))
        parts = (given.get(i, np.zeros(n, data.dtype)) for i, n in sizes.items())
        joined = bk.concat(tuple(bk.reshape(p, (-1,)) for p in parts), 0)
        return bk.take(joined, index)

    def back(r: Array) -> Arrays:
        both = bk.take_T(r, index, flat)
        cut = {0: slice(0, data.size), second: slice(data.size, None)}
        return tuple(bk.reshape(bk.slice(both, (cut[i],)), at.args[i].shape) for i in at.live)

    alone = len(at.live) < 2
    covered = linear(*(bk.ones_like(x) for x in at.inputs)) if alone else None
    return move(linear, back, covered)


def _added(at: At, key: Key) -> Affine:
    """``data + S updates``, S zeros and ones; what carries no relevance is the bias."""
    bk, data = at.bk, at.x
    target = np.arange(data.size).reshape(data.shape)[key]
    spread = {0: lambda v: v, 2: lambda v: bk.take_T(v, target, data)}
    collect = {0: lambda r: r, 2: lambda r: bk.take(r, target)}
    fixed = [i for i in (0, 2) if i not in at.live]
    return Affine(
        lambda ws, xs: sum(w * spread[i](x) for i, w, x in zip(at.live, ws, xs, strict=True)),
        lambda ws, r: tuple(w * collect[i](r) for i, w in zip(at.live, ws, strict=True)),
        (np.asarray(1.0, data.dtype),) * len(at.live),
        sum(spread[i](at.args[i]) for i in fixed) if fixed else None,
    )


def _scattering(name: str, key: Callable[[At], Key]) -> None:
    """Register one way to say where updates go."""

    def evaluate(at: At) -> Array:
        return _written(at, key(at))

    @affine(name, carries=(0, 2), together=True, evaluate=evaluate)
    def build(at: At) -> Affine | Route:
        reduction = at.attr("reduction", "none")
        if reduction in {"none", "add"}:
            return (_replaced if reduction == "none" else _added)(at, key(at))
        raise UnsupportedModelError(
            f"node {at.node.key!r} ({name}): no rule shares relevance for reduction={reduction!r}"
        )


_scattering("Scatter", _element_key)
_scattering("ScatterElements", _element_key)
_scattering("ScatterND", _nd_key)


# -- a cache of keys or values, whose part from some step on is written


def _cache_key(at: At) -> Key:
    update, axis = at.args[1], at.axes(at.attr("axis", -2))[0]
    first = np.zeros(len(update), np.int64) if at.arg(2) is None else np.asarray(at.args[2])
    steps = np.arange(update.shape[axis]).reshape(-1, *(1,) * (update.ndim - axis - 1))
    index = first.reshape(-1, *(1,) * (update.ndim - 1)) + steps
    if at.attr("mode", "linear") == "circular":
        index = index % at.x.shape[axis]
    return along(np.broadcast_to(index, update.shape), axis)


@route(
    "TensorScatter",
    carries=(0, 1),
    together=True,
    evaluate=lambda at: _written(at, _cache_key(at), second=1),
)
def tensor_scatter(at: At) -> Route:
    """The cache with the update written into it."""
    return _replaced(at, _cache_key(at), second=1)
