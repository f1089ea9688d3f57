"""Einsum in one operand; the others are its weights."""

from __future__ import annotations

import string

import numpy as np

from dftlrp.core.maps import Affine, Array
from dftlrp.core.types import UnsupportedModelError
from dftlrp.ops.linear import shared
from dftlrp.ops.registry import At, affine

EACH = 4  # times what a product takes where it is one of a matrix product
Terms = tuple[list[str], str]


def terms(equation: str, ranks: list[int]) -> Terms:
    """The letters of each operand and of the output, ellipses written out."""
    left, arrow, out = equation.replace(" ", "").partition("->")
    spare = [c for c in string.ascii_letters if c not in equation]
    given = left.split(",")
    wide = max((n - len(t) + 3 for t, n in zip(given, ranks, strict=True) if "..." in t), default=0)
    dots = "".join(spare[:wide])

    def full(term: str, rank: int) -> str:
        here = rank - len(term) + 3
        return term.replace("...", dots[wide - here :])

    operands = [full(t, n) for t, n in zip(given, ranks, strict=True)]
    if not arrow:
        once = sorted(c for c in set(left) if left.count(c) == 1 and c.isalpha())
        return operands, dots + "".join(once)
    return operands, out.replace("...", dots)


def _unique(letters: str) -> str:
    return "".join(dict.fromkeys(letters))


def _sizes(found: list[str], at: At) -> dict[str, int]:
    """How far each letter runs; a length of one is stretched."""
    sizes: dict[str, int] = {}
    for letters, a in zip(found, at.args, strict=True):
        for c, n in zip(letters, a.shape, strict=True):
            sizes[c] = max(sizes.get(c, 1), n)
    return sizes


def _einsum(at: At) -> Array:
    found, out = terms(at.attr("equation"), [a.ndim for a in at.args])
    sizes = _sizes(found, at)
    at.grant([sizes[c] for c in out])
    at.work(EACH, *sizes.values())
    order = ("greedy", at.budget.room // 8) if len(found) > 2 else False  # bounds what is between
    return at.bk.asarray(np.einsum(f"{','.join(found)}->{out}", *at.args, optimize=order))


@affine("Einsum", carries=None, together=True, evaluate=_einsum, product=True)
def einsum(at: At) -> Affine:
    """``y = sum W x`` with W the product of the other operands over the letters that stay."""
    if len(at.live) == 2:
        return shared(at, einsum)
    if len(at.live) > 2:
        raise UnsupportedModelError(
            f"node {at.node.key!r} (Einsum): a product of {len(at.live)} signals has no rule"
        )
    bk, x, (live,) = at.bk, at.inputs[0], at.live
    found, out = terms(at.attr("equation"), [a.ndim for a in at.args])
    mine, others = found[live], [t for i, t in enumerate(found) if i != live]
    fixed = [a for i, a in enumerate(at.args) if i != live]
    own = _unique(mine)
    w_letters = "".join(c for c in _unique("".join(others)) if c in own + out)
    sizes = _sizes(found, at)
    at.grant([sizes[c] for c in w_letters])
    weight = np.einsum(f"{','.join(others)}->{w_letters}", *fixed) if others else np.ones(())
    # a letter twice in the operand (a diagonal) is a movement; ones it alone has are summed over
    index = np.einsum(f"{mine}->{own}", np.arange(x.size).reshape(x.shape))
    back_letters = "".join(c for c in own if c in w_letters + out)
    narrow = tuple(n if c in back_letters else 1 for c, n in zip(own, index.shape, strict=True))

    def linear(w: Array, v: Array) -> Array:
        return np.einsum(f"{own},{w_letters}->{out}", bk.take(v, index), w)

    def transpose(w: Array, r: Array) -> Array:
        g = np.einsum(f"{out},{w_letters}->{back_letters}", r, w)
        shape = tuple(n for c, n in zip(own, index.shape, strict=True) if c in back_letters)
        g = bk.reshape(bk.sum_to(g, np.empty(shape)), narrow)
        return bk.take_T(bk.expand(g, index.shape), index, x)

    return Affine(
        lambda ws, xs: linear(ws[0], xs[0]),
        lambda ws, r: (transpose(ws[0], r),),
        (bk.asarray(weight, x.dtype),),
    )
