"""Scattering: data in which some elements are replaced by updates, or have updates added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.core.maps import Affine, Array, Arrays, Route, add_up
from dftlrp.core.types import UnsupportedModelError
from dftlrp.ops.common import route_parts
from dftlrp.ops.gather import Key, make_index_key
from dftlrp.ops.registry import At, Inputs, register_affine, register_route

_UFUNCS: dict[str, Any] = {"mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _make_element_key(at: At) -> Key:
    return make_index_key(np.asarray(at.args[1]), at.read_axis("axis", 0))


def _make_nd_key(at: At) -> Key:
    if np.shape(at.args[1])[-1] > at.x.ndim:
        raise ValueError(f"an index of {np.shape(at.args[1])[-1]} numbers, rank {at.x.ndim}")
    return tuple(np.moveaxis(np.asarray(at.args[1]), -1, 0))


def _evaluate_scatter(at: At, key: Key, second: int = 2) -> Array:
    """Return data with the updates written into it, or combined with what is there."""
    data, updates, reduction = at.x, at.args[second], at.get_attr("reduction", "none")
    both = replace(at, live=(0, second))
    if reduction == "none":
        return _route_replaced(both, key, second).tangent().apply(data, updates)
    if reduction == "add":
        return _add_updates(both, key).apply(data, updates)
    y = np.array(data)
    _UFUNCS[reduction].at(y, key, np.asarray(updates))
    return y


def _route_replaced(at: At, key: Key, second: int = 2) -> Route:
    """Return the route of elements that are one of data (input 0) or of updates (``second``)."""
    bk, data, updates = at.bk, at.x, at.args[second]
    sizes = {0: data.size, second: updates.size}
    index = np.arange(data.size).reshape(data.shape)
    index[key] = data.size + np.arange(updates.size).reshape(updates.shape)
    flat = np.empty(data.size + updates.size, data.dtype)

    def linear(*live: Array) -> Array:
        given = dict(zip(at.live, live, strict=True))
        parts = (given.get(i, np.zeros(n, data.dtype)) for i, n in sizes.items())
        joined = bk.concat(tuple(bk.reshape(p, (-1,)) for p in parts), 0)
        return bk.pick(joined, index)

    def back(r: Array) -> Arrays:
        both = bk.pick_T(r, index, flat)
        cut = {0: slice(0, data.size), second: slice(data.size, None)}
        return tuple(bk.reshape(bk.slice(both, (cut[i],)), at.args[i].shape) for i in at.live)

    return route_parts(at, linear, back, complete=len(at.live) == 2)


def _add_updates(at: At, key: Key) -> Affine:
    """Return ``data + S updates``, S zeros and ones; what carries no relevance is the bias."""
    bk, data = at.bk, at.x
    target = np.arange(data.size).reshape(data.shape)[key]
    spread = {0: lambda v: v, 2: lambda v: bk.pick_T(v, target, data)}
    collect = {0: lambda r: r, 2: lambda r: bk.pick(r, target)}
    fixed = [i for i in (0, 2) if i not in at.live]
    return Affine(
        lambda ws, xs: add_up(w * spread[i](x) for i, w, x in zip(at.live, ws, xs, strict=True)),
        lambda ws, r: tuple(w * collect[i](r) for i, w in zip(at.live, ws, strict=True)),
        (np.asarray(1.0, data.dtype),) * len(at.live),
        add_up(spread[i](at.args[i]) for i in fixed) if fixed else None,
    )


def _register_scatter(name: str, make_key: Callable[[At], Key]) -> None:
    """Register one way to say where updates go."""

    @register_affine(
        name,
        evaluate=lambda at: _evaluate_scatter(at, make_key(at)),
        inputs=Inputs((0, 2), together=True),
    )
    def build(at: At) -> Affine | Route:
        """Data with updates written (a `Route`) or added; other reductions are refused."""
        reduction = at.get_attr("reduction", "none")
        if reduction in {"none", "add"}:
            return (_route_replaced if reduction == "none" else _add_updates)(at, make_key(at))
        raise UnsupportedModelError(
            f"node {at.node.key!r} ({name}): no rule shares relevance for reduction={reduction!r}"
        )


_register_scatter("Scatter", _make_element_key)
_register_scatter("ScatterElements", _make_element_key)
_register_scatter("ScatterND", _make_nd_key)


# -- a cache of keys or values, whose part from some step on is written


def _make_cache_key(at: At) -> Key:
    update, axis = at.args[1], at.read_axis("axis", -2)
    first = np.zeros(len(update), np.int64) if at.get_arg(2) is None else np.asarray(at.args[2])
    steps = np.arange(update.shape[axis]).reshape(-1, *(1,) * (update.ndim - axis - 1))
    index = first.reshape(-1, *(1,) * (update.ndim - 1)) + steps
    if at.get_attr("mode", "linear") == "circular":
        index = index % at.x.shape[axis]
    return make_index_key(np.broadcast_to(index, update.shape), axis)


@register_route(
    "TensorScatter",
    evaluate=lambda at: _evaluate_scatter(at, _make_cache_key(at), second=1),
    inputs=Inputs((0, 1), together=True),
)
def tensor_scatter(at: At) -> Route:
    """The cache with the update written into it."""
    return _route_replaced(at, _make_cache_key(at), second=1)
