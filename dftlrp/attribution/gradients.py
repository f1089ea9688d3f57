"""Methods that average multipliers: gradients, or those of LRP, at points about the input.

The multiplier of a method is a mean of the multipliers m(p) of the explained score at points p,
and its relevance is a difference times that mean.  So it moves to other domains exactly as the
relevance of LRP does.

* integrated gradients: R = (x - r) * mean of m over the way from the reference r to the input x;
  the sum of R is the score at x minus that at r, up to the error of the mean [1]_;
* the same mean of the multipliers of LRP rules;
* SmoothGrad: R = x * mean of m over noisy copies of x [2]_.

A value v behind the input has R = sum of the changes of v on the way, each times the multiplier
there (conductance [3]_).

References
----------
.. [1] M. Sundararajan et al., "Axiomatic attribution for deep networks", arXiv 1703.01365.
.. [2] D. Smilkov et al., "SmoothGrad: removing noise by adding noise", arXiv 1706.03825.
.. [3] K. Dhamdhere et al., "How important is a neuron?", arXiv 1805.12233.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from dftlrp.attribution.batches import Arrays, Point, run_variants, split_variants
from dftlrp.core.backend import get_backend
from dftlrp.core.ledger import Ledger, LedgerRow
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.backward import Answer
from dftlrp.engine.evaluate import evaluate
from dftlrp.engine.flows import Flow
from dftlrp.engine.settings import Question
from dftlrp.graph.structure import find_ancestors
from dftlrp.tracing.answers import answer

Found = dict[str, Flow]  # by value: its numbers at a point, and its multiplier there
DOUBLE = np.dtype(np.float64)
POWER = 3  # measured: docs/reference/methods.md


def average_on_the_way(point: Point, steps: int) -> Answer:
    """Return relevance by the mean multiplier on the straight way from the reference.

    The way is cut into steps whose edges lie at (k / steps)^3, since logarithms and biases change
    most near silence; the multiplier of a step is that at its middle.

    Parameters
    ----------
    steps : int
        How many points the mean is of.
    """
    edges = (np.arange(steps + 1) / steps) ** POWER
    middles = ((np.arange(steps) + 0.5) / steps) ** POWER
    r = point.reference

    def make(points: Real) -> Arrays:
        return {k: _stack([r[k] + a * (x - r[k]) for a in points]) for k, x in point.inputs.items()}

    inner = {
        name: _read_changes(point, name, (make(edges[k : k + 1]) for k in range(steps + 1)))
        for name in point.question.keep
        if name not in point.inputs
    }
    means = {k: np.zeros(x.shape) for k, x in point.inputs.items()}
    sums: dict[str, Any] = dict.fromkeys(inner, 0.0)
    variants = run_variants(point, steps, lambda a, b: make(middles[a:b]), _ask(point))
    for k, found in enumerate(variants):
        for name in means:
            means[name] += (edges[k + 1] - edges[k]) * found[name].multiplier
        for name, changes in inner.items():
            sums[name] = sums[name] + next(changes) * found[name].multiplier
    flows = {k: Flow((x - r[k]) * means[k], means[k]) for k, x in point.inputs.items()}
    flows |= {k: Flow(R, None) for k, R in sums.items()}
    z = np.asarray(point.answer.explained, np.float64)
    return make_answer(point, flows, point.coefficients * (z - point.predict(r)))


def average_over_noise(point: Point, samples: int, sigma: float) -> Answer:
    """Return relevance by the mean multiplier over noisy copies.

    Parameters
    ----------
    samples : int
        How many copies; every second one has the noise of the one before with the other sign.
    sigma : float
        Standard deviation of the noise, as a share of the root mean square of the input.
    """
    sizes = {k: sigma * _measure_loudness(x) for k, x in point.inputs.items()}

    def make(start: int, stop: int) -> Arrays:
        return {
            k: _stack([x + sizes[k] * _draw_copy(n, x.shape) for n in range(start, stop)])
            for k, x in point.inputs.items()
        }

    sums: dict[str, Any] = dict.fromkeys([*point.inputs, *point.question.keep], 0.0)
    for found in run_variants(point, samples, make, _ask(point)):
        sums = {name: total + found[name].multiplier for name, total in sums.items()}
    means = {k: m / samples for k, m in sums.items()}
    flows = {k: Flow(point.answer.kept[k] * m, m) for k, m in means.items()}
    return make_answer(point, flows, np.asarray(point.answer.seed, np.float64))


def make_answer(point: Point, flows: dict[str, Flow], seed: Real) -> Answer:
    """Return the answer at the input with other relevance, and an account of seed and input."""
    arrived = [flows[name].relevance for name in point.inputs]
    account = count_up(seed, arrived)
    return point.answer._replace(flows=flows, seed=seed, ledger=account)


def count_up(seed: Real, arrived: Sequence[Real]) -> Ledger:
    """Return the account of a method that has no layers: what was explained, and what arrived."""
    nothing, size = np.zeros(1), float(sum(np.abs(R).sum() for R in arrived))
    total = np.full(1, sum(float(R.sum()) for R in arrived))
    row = LedgerRow(
        "from output to input", "", "", np.full(1, float(seed.sum())), total, nothing, nothing,
        nothing, max(size, float(np.abs(seed).sum())),
    )  # fmt: skip
    return Ledger((row,))


def _ask(point: Point) -> Callable[[Arrays, int], tuple[Real, Sequence[Found]]]:
    """Return the function that asks for the multipliers at several points."""

    def ask(inputs: Arrays, copies: int) -> tuple[Real, Sequence[Found]]:
        point.tally.passes += copies
        question = _hold_question(point, copies)
        plain = replace(point.settings, reference=None)  # the way itself leads from there
        (found,) = answer(point.model, dict(inputs), plain, [question])
        parts = {k: _split_flow(found, k, copies) for k in found.flows}
        items = [{k: Flow(v[i], m[i]) for k, (v, m) in parts.items()} for i in range(copies)]
        return found.explained, items

    return ask


def _split_flow(found: Answer, name: str, copies: int) -> tuple[AnyArray, AnyArray]:
    """Return values and multipliers with an axis of points in front."""
    value = np.asarray(found.kept[name], np.float64)
    m = found.flows[name].multiplier
    if m is None and name in found.plan.signals:
        raise InputError(
            f"relevance arrives at {name!r} without a multiplier, so that there is none to "
            "average: take a rule that has one there (not flat, wsquare, zbox or pass)"
        )
    if m is None:  # a graph gives that of signals only; a value of 0 has no relevance to show
        R = np.asarray(found.flows[name].relevance, np.float64)
        m = np.divide(R, value, out=np.zeros_like(R), where=value != 0)
    return split_variants(value, copies), split_variants(np.asarray(m, np.float64), copies)


def _hold_question(point: Point, copies: int) -> Question:
    """Return the question with the target and the coefficients that the input itself has."""
    found, kind = point.answer, point.answer.seed_kind.taken
    asked = replace(point.question, seed=kind, ledger=False)
    if found.target is not None and kind != "one":
        each: Any = list(found.target) * copies
        return replace(asked, target=each)
    c = np.concatenate([point.coefficients] * copies) if copies > 1 else point.coefficients
    return replace(asked, target=lambda z: c * z, seed="logit")


def _read_changes(point: Point, name: str, inputs: Iterator[Arrays]) -> Iterator[Real]:
    """Yield the changes of a value from each of several inputs to the next."""
    values = (read_value(point, name, given) for given in inputs)
    return (after - before for before, after in pairwise(values))


def read_value(point: Point, name: str, inputs: Arrays) -> Real:
    """Return a value on the way of the forward pass, in float64.

    Raises
    ------
    InputError
        It is one of a loop or a cell, which no node of the graph makes.
    """
    if name in inputs:
        return np.asarray(inputs[name], np.float64)
    plan, bk = point.plan, get_backend()
    if all(node.output != name for node in plan.graph.nodes):
        raise InputError(
            f"{name!r} is made while the model runs: its relevance on the way is not known"
        )
    graph = replace(plan, nodes=find_ancestors(plan.graph.nodes, [name]), output=name)
    given = {**point.model.constants(bk, DOUBLE), **inputs}
    value: Real = evaluate(graph, given, bk, DOUBLE).values[name]
    return value


def _measure_loudness(x: Real) -> Real:
    """Return the root mean square of each sample of a batch, in a shape that multiplies it."""
    mean: Real = np.mean(x**2, axis=tuple(range(x.ndim > 1, x.ndim)), keepdims=True)
    return np.sqrt(mean)


def _stack(arrays: Sequence[Real]) -> Real:
    """Return several inputs as one batch."""
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _draw_copy(number: int, shape: tuple[int, ...]) -> Real:
    """Return standard normal noise; those of 2 k and 2 k + 1 differ in the sign."""
    noise = np.random.default_rng([0, number // 2]).standard_normal(shape)
    return -noise if number % 2 else noise
