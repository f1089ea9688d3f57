"""Convolutions and max pools on torch tensors, by torch's own kernels.

They pad by the same amount on both sides; other pads are written out first.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.utils.weak import WeakTensorKeyDictionary

from dftlrp.core.backend import Window
from dftlrp.core.types import Shape, UnsupportedModelError

CONV: dict[int, Any] = {n: getattr(functional, f"conv{n}d") for n in (1, 2, 3)}
CONV_T: dict[int, Any] = {n: getattr(functional, f"conv_transpose{n}d") for n in (1, 2, 3)}
POOL: dict[int, Any] = {n: getattr(functional, f"max_pool{n}d") for n in (1, 2, 3)}

WINNERS: Any = WeakTensorKeyDictionary()


def _find_kernel(kernels: dict[int, Any], g: Window) -> Any:
    rank = len(g.kernel)
    if rank not in kernels:
        raise UnsupportedModelError(
            f"a window over {rank} axes: torch has them over 1, 2 or 3: use backend='numpy'"
        )
    return kernels[rank]


def pad_axes(x: Tensor, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> Tensor:
    """Return x with its last axes padded, or cut where a number is negative."""
    flat = [n for pair in reversed(pads) for n in pair]
    return functional.pad(x, flat, value=value) if any(flat) else x


def conv(x: Tensor, w: Tensor, g: Window) -> Tensor:
    """Return the contract's `conv`."""
    pads = tuple(begin for begin, _ in g.pads)
    if any(begin != end for begin, end in g.pads):
        x, pads = pad_axes(x, g.pads), (0,) * len(pads)
    y: Tensor = _find_kernel(CONV, g)(x, w, None, g.strides, pads, g.dilations, g.groups)
    return y


def conv_T(r: Tensor, w: Tensor, g: Window, size: Shape) -> Tensor:
    """Return the contract's `conv_T`."""
    pads, late = tuple(begin for begin, _ in g.pads), _count_missing(r, g, size)
    room = zip(late, g.strides, g.dilations, strict=True)
    if all(0 <= n < max(s, d) for n, s, d in room):  # torch's output_padding
        y: Tensor = _find_kernel(CONV_T, g)(
            r, w, None, g.strides, pads, late, g.groups, g.dilations
        )
        return y
    y = _find_kernel(CONV_T, g)(r, w, None, g.strides, 0, 0, g.groups, g.dilations)
    ends = (n - b - y.shape[2 + i] for i, (n, b) in enumerate(zip(size, pads, strict=True)))
    return pad_axes(y, tuple((-b, n + 2 * b) for b, n in zip(pads, ends, strict=True)))


def _count_missing(r: Tensor, g: Window, size: Shape) -> Shape:
    """Return how many samples the transposed convolution, equally padded, lacks at the end."""
    axes = zip(r.shape[2:], g.strides, g.dilations, g.kernel, g.pads, size, strict=True)
    return tuple(n - (s * (t - 1) + d * (k - 1) + 1 - 2 * b) for t, s, d, k, (b, _), n in axes)


def _find_winners(x: Tensor, g: Window) -> Tensor:
    """Return the place of each window's winner in the flattened, padded channel of x.

    torch takes a later sample only where it is strictly greater, as the contract wants it.  The
    places are kept as long as x exists, since an activation is pooled forwards and backwards.
    """
    if x.is_inference():  # it does not tell whether its numbers have changed
        return _compare(x, g)
    key = (x._version, g)
    known: dict[Any, Tensor] = WINNERS.setdefault(x, {})
    if key not in known:
        known[key] = _compare(x, g)
    return known[key]


def _compare(x: Tensor, g: Window) -> Tensor:
    wide = pad_axes(x.detach(), g.pads, -math.inf)
    places: Tensor = _find_kernel(POOL, g)(
        wide, g.kernel, g.strides, 0, g.dilations, ceil_mode=False, return_indices=True
    )[1]
    return places


def maxpool(v: Tensor, x: Tensor, g: Window) -> Tensor:
    """Return the contract's `maxpool`."""
    index = _find_winners(x, g)
    flat = pad_axes(v, g.pads).flatten(2).expand(*x.shape[:2], -1)
    return flat.gather(2, index.flatten(2)).reshape(index.shape)


def maxpool_T(r: Tensor, x: Tensor, g: Window) -> Tensor:
    """Return the contract's `maxpool_T`."""
    index = _find_winners(x, g).flatten(2)
    wide = [n + sum(p) for n, p in zip(x.shape[2:], g.pads, strict=True)]
    flat = r.new_zeros((*x.shape[:2], math.prod(wide)))
    back = flat.scatter_add_(2, index, r.flatten(2)).reshape(*x.shape[:2], *wide)
    return pad_axes(back, tuple((-begin, -end) for begin, end in g.pads))
