"""Einsum in one operand; the others are its weights."""

from __future__ import annotations

import string

import numpy as np

from dftlrp.core.maps import Affine, Array
from dftlrp.core.types import UnsupportedModelError
from dftlrp.ops.linear import share_product
from dftlrp.ops.registry import At, Inputs, register_affine

SOURCE = "Bach et al. 2015"
EACH = 4  # times what a product takes where it is one of a matrix product


def _parse_equation(at: At) -> tuple[list[str], str]:
    """Return the letters of each operand and of the output, with ellipses written out."""
    equation: str = at.get_attr("equation").replace(" ", "")
    left, arrow, out = equation.partition("->")
    terms, ranks = left.split(","), [a.ndim for a in at.args]
    given = list(zip(terms, ranks, strict=True))
    wide = max((n - len(t) + 3 for t, n in given if "..." in t), default=0)
    dots = "".join([c for c in string.ascii_letters if c not in equation][:wide])
    operands = [t.replace("...", dots[wide - (n - len(t) + 3) :]) for t, n in given]
    if not arrow:
        once = sorted(c for c in set(left) if left.count(c) == 1 and c.isalpha())
        return operands, dots + "".join(once)
    return operands, out.replace("...", dots)


def _drop_repeats(letters: str) -> str:
    return "".join(dict.fromkeys(letters))


def _measure_letters(operands: list[str], at: At) -> dict[str, int]:
    """Return how far each letter runs; a length of one is stretched."""
    sizes: dict[str, int] = {}
    for letters, a in zip(operands, at.args, strict=True):
        for c, n in zip(letters, a.shape, strict=True):
            sizes[c] = max(sizes.get(c, 1), n)
    return sizes


def _evaluate_einsum(at: At) -> Array:
    operands, out = _parse_equation(at)
    sizes = _measure_letters(operands, at)
    at.grant([sizes[c] for c in out])
    at.count_work(EACH, *sizes.values())
    # the order of the products bounds what is between
    order = ("greedy", at.budget.room // 8) if len(operands) > 2 else False
    return at.bk.asarray(np.einsum(f"{','.join(operands)}->{out}", *at.args, optimize=order))


def _multiply_others(at: At, operands: list[str], kept: str) -> tuple[str, Array]:
    """Return the letters and the value of the product of the operands that carry no relevance.

    Letters that are not kept are summed over.
    """
    fixed = [i for i in range(len(operands)) if i not in at.live]
    others = [operands[i] for i in fixed]
    letters = "".join(c for c in _drop_repeats("".join(others)) if c in kept)
    sizes = _measure_letters(operands, at)
    at.grant([sizes[c] for c in letters])
    if not others:
        return letters, np.ones(())
    return letters, np.einsum(f"{','.join(others)}->{letters}", *(at.args[i] for i in fixed))


@register_affine(
    "Einsum", evaluate=_evaluate_einsum, inputs=Inputs(None, together=True, product=True)
)
def einsum(at: At) -> Affine:
    """``y = sum W x`` with W the product of the other operands over the letters that stay."""
    if len(at.live) == 2:
        return share_product(at, einsum)
    if len(at.live) > 2:
        raise UnsupportedModelError(
            f"node {at.node.key!r} (Einsum): a product of {len(at.live)} signals has no rule"
        )
    bk, x, (live,) = at.bk, at.inputs[0], at.live
    operands, out = _parse_equation(at)
    own = _drop_repeats(operands[live])
    w_letters, weight = _multiply_others(at, operands, own + out)
    # a letter twice in the operand (a diagonal) is a movement; ones it alone has are summed over
    index = np.einsum(f"{operands[live]}->{own}", np.arange(x.size).reshape(x.shape))
    stay = [c in w_letters + out for c in own]
    back_letters = "".join(c for c, kept in zip(own, stay, strict=True) if kept)
    narrow = tuple(n if kept else 1 for kept, n in zip(stay, index.shape, strict=True))
    back_like = np.empty([n for kept, n in zip(stay, index.shape, strict=True) if kept])

    def linear(w: Array, v: Array) -> Array:
        return np.einsum(f"{own},{w_letters}->{out}", bk.pick(v, index), w)

    def transpose(w: Array, r: Array) -> Array:
        g = np.einsum(f"{out},{w_letters}->{back_letters}", r, w)
        g = bk.reshape(bk.sum_to(g, back_like), narrow)
        return bk.pick_T(bk.expand(g, index.shape), index, x)

    return Affine(
        lambda ws, xs: linear(ws[0], xs[0]),
        lambda ws, r: (transpose(ws[0], r),),
        (bk.asarray(weight, x.dtype),),
    )
