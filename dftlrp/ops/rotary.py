"""RotaryEmbedding: pairs of features turned by an angle that depends on the position."""

from __future__ import annotations

import numpy as np

from dftlrp.core.maps import Affine, Array
from dftlrp.ops.registry import At, register_affine


def _read_angles(at: At) -> tuple[Array, Array]:
    """Return cosine and sine of each token's angles, (batch, 1, tokens, pairs)."""
    caches, positions = at.args[1:3], at.get_arg(3)
    if positions is not None:
        caches = tuple(c[np.asarray(positions)] for c in caches)
    cos, sin = (c[:, None] for c in caches)
    return cos, sin


def _split_heads(at: At, v: Array) -> Array:
    """Return (batch, tokens, features) as (batch, heads, tokens, size)."""
    if v.ndim == 4:
        return v
    return v.reshape(*v.shape[:2], at.get_attr("num_heads"), -1).swapaxes(1, 2)


def _turn_pairs(at: At, v: Array, cos: Array, sin: Array) -> Array:
    """Return ``(cos a - sin b, sin a + cos b)`` for each pair; features behind the last stay."""
    bk, x, pairs = at.bk, _split_heads(at, v), cos.shape[-1]
    axis = -1 if at.get_attr("interleaved", 0) else -2  # of the two in a pair
    lead, shape = x.shape[:-1], (pairs, 2) if axis == -1 else (2, pairs)
    both = bk.reshape(x[..., : 2 * pairs], (*lead, *shape))
    a, b = (both[..., i] if axis == -1 else both[..., i, :] for i in (0, 1))
    thick = (*lead, pairs, 1) if axis == -1 else (*lead, 1, pairs)
    parts = tuple(bk.reshape(p, thick) for p in (cos * a - sin * b, sin * a + cos * b))
    y = bk.reshape(bk.concat(parts, axis), (*lead, 2 * pairs))
    y = bk.concat((y, x[..., 2 * pairs :]), -1) if 2 * pairs < x.shape[-1] else y
    return y if v.ndim == 4 else y.swapaxes(1, 2).reshape(v.shape)


@register_affine("RotaryEmbedding", weighted=False)
def rotary_embedding(at: At) -> Affine:
    """A rotation of pairs of features, whose transpose turns back."""
    cos, sin = _read_angles(at)
    return Affine(
        lambda _, xs: _turn_pairs(at, xs[0], cos, sin),
        lambda _, r: (_turn_pairs(at, r, cos, -sin),),
    )
