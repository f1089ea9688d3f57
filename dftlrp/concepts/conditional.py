"""Conditional relevance: the relevance that passes through the neurons of a condition."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from dftlrp.attribution.attribute import Attribution, answer_questions
from dftlrp.concepts.conditions import TARGET, Concepts, Condition
from dftlrp.concepts.layers import Layers, find_layers
from dftlrp.core.rule_text import Rule
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.auto import name_reference
from dftlrp.engine.composites import Composite
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import AUTO, Question, Settings

Inputs = AnyArray | Mapping[str, AnyArray]


@dataclass(frozen=True, eq=False)
class Conditional:
    """Relevance under one condition.

    Attributes
    ----------
    condition : dict
        As given.
    relevance, multiplier : array or dict of str to array
        At the input, in the shape (1, ...) of the sample; the multiplier may be None, see
        `dftlrp.Attribution`.
    output : array
        Output of the model.
    before, after : dict of str to array
        For each layer of the condition and each recorded one, the relevance that arrives there, and
        the part of it that the condition lets pass.
    gap : float
        Gap of the ledger.

    See Also
    --------
    conditional : Makes them.

    Examples
    --------
    >>> model = dftlrp.load("waveform")
    >>> x = np.random.default_rng(0).normal(scale=0.1, size=(1, 1, 8000))
    >>> a, b = dftlrp.concepts.conditional(model, x, [{"y": [7]}, {"y": [1]}])
    >>> both = a + b
    >>> np.allclose(both.relevance, a.relevance + b.relevance)
    True
    """

    condition: Condition
    relevance: Real | dict[str, Real]
    multiplier: Real | dict[str, Real | None] | None
    output: Real
    before: dict[str, Real]
    after: dict[str, Real]
    gap: float = field(default=0.0)

    def __add__(self, other: Conditional) -> Conditional:
        """Return the sum of both, as of two targets."""
        return replace(
            self,
            relevance=_add_nested(self.relevance, other.relevance),
            multiplier=_add_nested(self.multiplier, other.multiplier),
            before=_add_nested(self.before, other.before),
            after=_add_nested(self.after, other.after),
            gap=max(self.gap, other.gap),
        )

    def __truediv__(self, count: int) -> Conditional:
        """Return the sum of several as their mean, as over references; one stays as it is.

        A mean has no multiplier, since each of its parts is that of another change of the input.
        """
        if count == 1:
            return self
        return replace(
            self,
            relevance=_divide_nested(self.relevance, count),
            multiplier=None,
            before=_divide_nested(self.before, count),
            after=_divide_nested(self.after, count),
        )


def _divide_nested(a: Any, count: int) -> Any:
    """Return a / count, for dicts by key."""
    return {k: v / count for k, v in a.items()} if isinstance(a, dict) else a / count


def _add_nested(a: Any, b: Any) -> Any:
    """Return a + b, for dicts by key, or None if one of them is None."""
    if isinstance(a, dict):
        return {k: _add_nested(a[k], b[k]) for k in a}
    return None if a is None or b is None else a + b


def conditional(
    model: Model,
    inputs: Inputs,
    conditions: Sequence[Condition],
    *,
    record: Collection[str] = (),
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    seed: str = "logit",
    composite: str | Composite = "auto",
    overrides: Mapping[str, str | Rule] | None = None,
    backend: str | None = None,
    dtype: Any = None,
    reference: Any = AUTO,
    layers: Layers | None = None,
) -> list[Conditional]:
    """Return the relevance under each condition, in the order given.

    Parameters
    ----------
    model : Model
        From `dftlrp.load`.
    inputs : array, or dict of str to array
        One sample (1, ...) for all conditions, which then share one forward pass; or one sample for
        each condition.
    conditions : list of dict
        ``{"y": [9], "conv6": [125]}``.  ``y`` is the target: a class, a label or an index; several
        are summed; without it the largest output is explained.  Every other key is a layer of the
        layer table, with channels, places or a mask (see `Concepts.mask`); ``[]`` blocks the layer.
    record : collection of str
        Other layers whose relevance is returned.
    output, bind, seed, composite, overrides, backend, dtype, reference
        As of `dftlrp.attribute`; of a list of references the mean relevance is returned.
    layers : Layers, optional
        Of the model at inputs of this shape, if they are known already.

    Returns
    -------
    list of Conditional
        One for each condition.

    Raises
    ------
    InputError
        If a layer is unknown, a channel is out of range, or no path joins two layers.

    See Also
    --------
    masks_through : Masks for `dftlrp.explain`, which shows and plays the same.

    Notes
    -----
    R_(i <- j) = (z_ij / z_j) sum over c in M of delta_jc R_j, with the set M of places in a layer:
    Achtibat et al. (2023), doi 10.1038/s42256-023-00711-8, equation 4.

    Examples
    --------
    The part of the relevance of class 7 that passes through three channels of a layer:

    >>> model = dftlrp.load("waveform")
    >>> x = np.random.default_rng(0).normal(scale=0.1, size=(1, 1, 8000))
    >>> part, whole = dftlrp.concepts.conditional(
    ...     model, x, [{"y": [7], "conv6": [1, 2, 3]}, {"y": [7]}], record=["conv6"]
    ... )
    >>> part.relevance.shape, part.after["conv6"].shape
    ((1, 1, 8000), (1, 128, 31))
    """
    plain = Settings(output, bind or {}, composite, overrides or {}, backend, dtype)
    passes = compare_with_each(plain, model.plan(output, plain.bind), reference)
    samples = _split_samples(inputs, len(conditions))
    known = layers or find_layers(model, samples[0], passes[0])
    asked = [_split_condition(c, known, record, seed) for c in conditions]
    each = [_answer_conditions(model, samples, s, conditions, asked) for s in passes]
    return [sum(rest, start=first) / len(each) for first, *rest in zip(*each, strict=True)]


def compare_with_each(settings: Settings, plan: Plan, reference: Any) -> list[Settings]:
    """Return the settings for each reference; ``reference`` may be a list of several."""
    several = (reference or [None]) if isinstance(reference, list) else [reference]
    return [replace(settings, reference=name_reference(r, plan)) for r in several]


def _answer_conditions(
    model: Model,
    samples: Sequence[Inputs],
    settings: Settings,
    conditions: Sequence[Condition],
    asked: Sequence[Sequence[_Part]],
) -> list[Conditional]:
    """Return the relevance under each condition, compared with one reference or none."""
    if len(samples) > 1:
        answers = [
            answer_questions(model, x, settings, [a.question for a in parts])
            for parts, x in zip(asked, samples, strict=True)
        ]
    else:
        every = [a.question for parts in asked for a in parts]
        all_answers = iter(answer_questions(model, samples[0], settings, every))
        answers = [list(islice(all_answers, len(parts))) for parts in asked]
    found = [
        [_collect_relevance(c, a, own) for a, own in zip(parts, each, strict=True)]
        for c, parts, each in zip(conditions, asked, answers, strict=True)
    ]
    return [sum(rest, start=first) for first, *rest in found]


def _split_samples(inputs: Inputs, count: int) -> list[Inputs]:
    """Return the one sample for all conditions, or one sample for each."""
    arrays = inputs if isinstance(inputs, Mapping) else {"": inputs}
    (batch,) = {len(a) for a in arrays.values()} or {0}
    if batch not in {1, count}:
        raise InputError(
            f"{batch} samples for {count} conditions: give one sample, or one for each"
        )
    if isinstance(inputs, Mapping):
        return [{k: a[i : i + 1] for k, a in inputs.items()} for i in range(batch)]
    return [inputs[i : i + 1] for i in range(batch)]


@dataclass(frozen=True)
class _Part:
    """A condition for one target, as a question."""

    question: Question
    layers: dict[str, Concepts]


def _split_condition(
    condition: Condition, known: Layers, record: Collection[str], seed: str
) -> list[_Part]:
    """Return the parts of a condition, one for each target."""
    layers = {name: known.concepts(name) for name in (*condition, *record) if name != TARGET}
    masks = {name: layers[name].mask(c) for name, c in condition.items() if name != TARGET}
    if len({layers[name].value for name in masks}) < len(masks):
        raise InputError(f"two of {', '.join(map(repr, masks))} name one layer: join their places")
    targets = condition.get(TARGET, ["argmax"])
    each = targets if isinstance(targets, list) else [targets]
    if not each:
        raise InputError("condition 'y': [] explains nothing: leave it out for the largest output")
    return [_Part(Question(t, seed, tuple(layers), masks), layers) for t in each]


def _collect_relevance(condition: Condition, part: _Part, a: Attribution) -> Conditional:
    """Return the relevance under a condition; it is 0 at layers that no relevance reaches."""
    masks = part.question.masks
    before = {k: a.kept[k][1] if k in a.kept else np.zeros(c.shape) for k, c in part.layers.items()}
    after = {
        name: R * (name not in masks) if (mask := masks.get(name)) is None else R * mask
        for name, R in before.items()
    }
    return Conditional(condition, a.relevance, a.multiplier, a.output, before, after, a.ledger.gap)
