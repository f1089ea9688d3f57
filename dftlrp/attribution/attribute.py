"""`attribute` and `predict`: relevance and outputs of plain arrays in batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dftlrp.attribution.methods import (
    Method,
    answer_by,
    list_facts_of,
    make_point,
    read_method,
)
from dftlrp.attribution.streaming import settle_array
from dftlrp.core.backend import Backend
from dftlrp.core.ledger import LEAST, Ledger
from dftlrp.core.names import list_some
from dftlrp.core.rule_text import Rule
from dftlrp.core.text import make_printable
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.auto import FIRST, Choice, name_reference
from dftlrp.engine.backward import Answer, find_values
from dftlrp.engine.composites import Composite, LayerTable
from dftlrp.engine.forward import Inputs, Prediction, check_inputs
from dftlrp.engine.model import Model, as_model
from dftlrp.engine.seeds import Index, Target
from dftlrp.engine.settings import AUTO, NONE, SILENCE, Question, Settings
from dftlrp.tracing.answers import answer, predict_output

FREE = "a function of the output"  # seed kind of a target that is a function
CANCELLED = 100  # sum |R| / |seed| against a reference that is worth a warning
ABSORBED = 0.1  # share of the seed in the stabilisers that is worth a warning
ADVICE = (
    " or small beside epsilon: if the input is quiet, normalise it, or make epsilon relative to "
    "each layer, as composite='EpsilonGamma(relative=1)' with reference='silence' does"
)


@dataclass(frozen=True, eq=False)
class Attribution:
    """Relevance of a batch, and how it was computed.

    Attributes
    ----------
    relevance : array, or dict of str to array
        In the shape of the input; a dict by input name where a dict was given.
    multiplier : array, dict or None
        m with relevance = input * m; None if the rule at the input has none (flat, wsquare, zbox,
        pass).
    output : array
        The model's own output.
    explained : array
        The value at which relevance starts: the output, or what a final Softmax reads.
    seed : array
        Relevance at ``explained``.
    seed_kind : str
        Kind of seed, as in the argument ``seed``.
    target : tuple of tuple of int, or None
        The target's index in the output of each sample; None if a function was given.
    ledger : Ledger
        Where the relevance of every node went; empty with ``ledger=False``.
    table : LayerTable
        The rule of every layer.
    notes : tuple of str
        What was taken and why, and what was left out.
    backend : str
        Name of the backend that computed it.
    precision : str
        The dtype that it computed in, and what it may have rounded products to: ``"float32 by
        torch:cuda; TF32 in convolutions"``.
    kept : dict of str to (value, relevance)
        The values asked for with ``keep``, and the signals.
    method : str
        How relevance was computed, with its numbers; see `dftlrp.attribution.methods`.
    facts : dict
        The reference, and what else there is to know of the method, as values that JSON can hold.
    defaults : dict of str to str
        Why the composite, seed, reference and backend were taken that the caller left open.

    See Also
    --------
    attribute : Makes one.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(scale=0.1, size=(2, 1, 8000))
    >>> a = dftlrp.attribute("waveform", x, target=7)
    >>> a.relevance.shape, a.output.shape, a.target
    ((2, 1, 8000), (2, 10), ((7,), (7,)))
    >>> np.allclose(a.relevance, x * a.multiplier, atol=1e-6)
    True
    """

    relevance: Real | dict[str, Real]
    multiplier: Real | dict[str, Real | None] | None
    output: Real
    explained: Real
    seed: Real
    seed_kind: str
    target: tuple[Index, ...] | None
    ledger: Ledger
    table: LayerTable
    notes: tuple[str, ...]
    backend: str
    precision: str = ""
    kept: dict[str, tuple[Real, Real]] = field(default_factory=dict)
    method: str = "lrp"
    facts: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        named = self.relevance if isinstance(self.relevance, dict) else {"": self.relevance}
        count = len(self.output) if np.ndim(self.output) else 1
        read = ", ".join(f"{name} {np.shape(R)}".strip() for name, R in named.items())
        targets = FREE if self.target is None else list_some(self.target)
        told = [
            f"Attribution of {count} samples, relevance of shape {read}",
            f"  target   {targets}",
            f"  made by  {self.method}, {self.table.composite}, {self.backend}",
            f"  seed     {self.seed_kind}",
            f"  account  gap {self.ledger.gap:.1g}" if self.ledger.rows else "  account  none",
            "  next     a.relevance, a.multiplier, a.output, print(a.ledger), print(a.table)",
        ]
        return "\n".join(map(make_printable, told))


def attribute(
    model: Any,
    inputs: Inputs,
    *,
    target: Target = "argmax",
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    seed: str = "logit",
    composite: str | Composite = "auto",
    overrides: Mapping[str, str | Rule] | None = None,
    backend: str | Backend | None = None,
    dtype: Any = None,
    ledger: bool = True,
    keep: Collection[str] = (),
    masks: Mapping[str, AnyArray | None] | None = None,
    method: str = "lrp",
    reference: Any = "auto",
) -> Attribution:
    """Return the relevance of the inputs for a target.

    Parameters
    ----------
    model : Model, path or object
        From `dftlrp.load`, or what that loads; ``inputs`` are the example of a framework's model.
    inputs : array, or dict of str to array
        In the shapes that the model declares, batch first.  One array for a model that reads a
        state, too: a recording, over which the state goes on (docs/guides/streams.md).
    target : int, list of int, tuple of int, str, callable, or "argmax"
        The class of all samples, as index or label; a class for each sample; an index into an
        output of higher rank; a function from the explained output to the relevance there; the
        largest output of each sample.
    output : str, optional
        The output to explain; the first if not given.
    bind : dict, optional
        Values of inputs that are settings, not signals.
    seed : str
        ``"logit"``, ``"contrast"``, ``"contrast:CLASS"`` or ``"one"``; see `dftlrp.engine.seeds`.
        ``"auto"``: contrast for a classifier, the logit otherwise.
    composite : str or Composite
        A preset of rules; ``"auto"``: AttnLRP for a model with attention, else EpsilonGamma (see
        `dftlrp.engine.auto`).
    overrides : dict, optional
        Rules by layer; see `dftlrp.engine.composites.make_layer_table`.
    backend : str or Backend, optional
        ``"onnx"`` (``"onnx:PROVIDER:THREADS"``): one graph, run by onnxruntime in float32, traced
        at the first call for inputs of these shapes.  ``"numpy"``: the reference in float64.
        ``"torch"`` (``"torch:DEVICE"``): on torch tensors.  If not given: onnx, or numpy for a
        model that cannot be traced (a note says why).
    dtype : dtype, optional
        The dtype to compute in; that of the backend if not given.  Without a backend, float64
        chooses numpy.
    ledger : bool
        Whether to keep the accounts of every layer.
    keep : collection of str
        Names of layers, as in the table, whose relevance is wanted, too, as it arrives there,
        before a mask.
    masks : dict of str to array or None, optional
        Conditions (CRP): by layer, what the relevance of its output is multiplied by, in a shape
        that broadcasts to the output's.  Relevance on paths that bypass the layer is left out; with
        None only that relevance is kept.  See `dftlrp.concepts`.
    method : str
        ``"lrp"``, ``"gradient"`` (times the input), ``"integrated-gradients"``, ``"smoothgrad"`` or
        ``"lrp(path=8)"``, as of `dftlrp.explain`; ``relevance`` is then the change from the
        reference (silence if none is given), or with ``"smoothgrad"`` the input, times
        ``multiplier``.
    reference : array, dict of str to array, "silence", "none" or "auto"
        What the output is compared with, in shapes that broadcast to the inputs'; ``"silence"`` is
        zero everywhere.  ``"auto"``: silence, or nothing (``"none"``) where the model has attention
        or reads whole numbers, where silence is no point that it can be compared at, and beside a
        composite that is asked for by name.  With a reference the difference of the outputs is
        explained: relevance is that of ``inputs - reference``, biases cancel, and what a preset
        freezes is accounted for in a column of the ledger; see `dftlrp.engine.difference`.

    Returns
    -------
    Attribution
        Relevance in the shape of the inputs, with what it was computed from.

    Raises
    ------
    InputError
        A name, shape, target, preset or rule is wrong.
    NonFiniteError
        The input or a layer holds NaN or Inf; the message names it.
    UnsupportedModelError
        The backend asked for cannot compute this model.

    See Also
    --------
    explain : One recording, in several domains.
    predict : The output alone.
    dft_lrp : Carries the relevance on to frequency.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(scale=0.1, size=(2, 1, 8000))
    >>> a = dftlrp.attribute("waveform", x, target=[7, 1], composite="EpsilonPlus")
    >>> a.relevance.shape
    (2, 1, 8000)

    By name, as a model of several inputs needs it; the reference is what it is compared with:

    >>> model = dftlrp.load("waveform")
    >>> (name,) = model.graph.signals
    >>> a = dftlrp.attribute(model, {name: x}, reference="silence")
    >>> lost = a.relevance[name].sum(axis=(1, 2)) - a.seed.sum(axis=-1)
    >>> bool(abs(lost).max() < 1e-3)
    True
    """
    by, reading = read_method(method), settle_array(as_model(model, inputs), inputs, bind, output)
    model, bind = reading.model, reading.bound
    compared = name_reference(reference, model.plan(output, bind))
    settings = by.choose_rules(Settings(
        output, bind or {}, composite, overrides or {}, backend, dtype, reference=compared
    ))  # fmt: skip
    question = Question(target, seed, keep, masks or {}, ledger)
    by.refuse(question, isinstance(compared, dict))
    if by.is_single:
        (found,) = answer_questions(model, inputs, settings, [question])
        found = replace(found, method=by.name)
    else:
        found = _attribute_about(model, inputs, settings, question, by)
    return replace(found, notes=(*reading.words, *found.notes))


def _attribute_about(
    model: Model, inputs: Inputs, settings: Settings, question: Question, by: Method
) -> Attribution:
    """Return what a method says that asks about other points than the input."""
    if by.kind.value:
        raise InputError(
            f"method {by.name!r} replaces parts of a recording: use dftlrp.explain, which has one"
        )
    plan = model.plan(settings.output, settings.bind)
    arrays = check_inputs(plan, inputs, np.dtype(np.float64))
    point = make_point(model, arrays, settings, question)
    values = find_values(point.plan, point.answer.table, question.keep)
    found = answer_by(by, point, list(values))
    made = make_attribution(question, found, isinstance(inputs, Mapping), str(by))
    return replace(made, facts=list_facts_of(by, point))


def answer_questions(
    model: Model, inputs: Inputs, settings: Settings, questions: Sequence[Question]
) -> list[Attribution]:
    """Return what `attribute` says to several questions about the same inputs.

    NumPy computes the forward pass once for all of them.
    """
    named = isinstance(inputs, Mapping)
    answers = answer(model, inputs, settings, questions)
    return [make_attribution(q, a, named) for q, a in zip(questions, answers, strict=True)]


def make_attribution(
    question: Question, found: Answer, named: bool, method: str = "lrp"
) -> Attribution:
    """Return an answer with dicts by input name if the inputs were given so."""
    plan, table = found.plan, found.table
    wanted = find_values(plan, table, question.keep)
    kept = {wanted.get(k, k): (found.kept[k], f.relevance) for k, f in found.flows.items()}
    flows = {k: found.flows[k] for k in plan.signals}
    only = next(iter(flows.values()))
    by = found.backend.taken
    choices: dict[str, Choice[Any]] = {"reference": found.reference} if method == "lrp" else {}
    choices |= {
        "composite": found.composite,
        "seed": found.seed_kind,
        "backend": found.backend,
    }
    return Attribution(
        relevance={k: f.relevance for k, f in flows.items()} if named else only.relevance,
        multiplier={k: f.multiplier for k, f in flows.items()} if named else only.multiplier,
        output=found.output,
        explained=found.explained,
        seed=found.seed,
        seed_kind=FREE if callable(question.target) else found.seed_kind.taken,
        target=None if found.target is None else tuple(found.target),
        ledger=found.ledger,
        table=table,
        notes=tuple(_write_notes(question, found, method)),
        backend=by if isinstance(by, str) else by.name,
        precision=found.precision,
        kept=kept,
        method=method,
        facts={"reference": found.reference.taken},
        defaults={name: choice.reason for name, choice in choices.items() if choice.reason},
    )


def predict(
    model: Any,
    inputs: Inputs,
    *,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    backend: str | Backend | None = None,
    dtype: Any = None,
    scaled: Mapping[str, AnyArray] | None = None,
    reference: Any = NONE,
) -> Prediction:
    """Return the output of the forward pass alone, as `attribute` computes it.

    Parameters
    ----------
    model, inputs, output, bind, backend, dtype
        As of `attribute`, which also describes the errors.
    scaled : dict of str to array, optional
        What values (outputs of nodes) are multiplied by on the way; zeros silence them.
    reference : array, dict of str to array, "silence" or "none"
        What values are ``scaled`` towards: zeros then set them to what they are there.

    Returns
    -------
    Prediction
        ``output``, that of the model, and ``explained``, the value that would be explained (before
        a final Softmax); each (batch, ...).

    See Also
    --------
    attribute : With relevance.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(scale=0.1, size=(2, 1, 8000))
    >>> dftlrp.predict("waveform", x).output.shape
    (2, 10)
    """
    reading = settle_array(as_model(model, inputs), inputs, bind, output)
    model, bind = reading.model, reading.bound
    compared = name_reference(reference, model.plan(output, bind))
    if compared == AUTO:
        raise InputError(f"reference {AUTO!r}: give an array, {SILENCE!r} or {NONE!r}")
    settings = Settings(output, bind or {}, backend=backend, dtype=dtype, reference=compared)
    return predict_output(model, inputs, settings, scaled or {})


def _write_notes(question: Question, found: Answer, method: str) -> Iterator[str]:
    """Yield what was taken and why, and what was left out."""
    plan, composite = found.plan, found.composite
    if method != "lrp":
        yield f"method {method}"
    if method.startswith("lrp"):
        yield f"composite {composite.taken.name}" + (composite.reason and f", {composite.reason}")
    seed = "of the function given" if callable(question.target) else str(found.seed_kind)
    yield f"seed {seed}; relevance starts at {plan.explained!r}"
    if labels := [name for name in plan.graph.outputs if name not in plan.graph.scores]:
        yield f"output {plan.output!r} is explained: {labels[0]!r} holds labels"
    if method == "lrp":  # others go from silence to the input by their own way
        given = callable(question.target) or found.seed_kind.taken == "one"
        yield from _tell_reference_taken(found.reference, given)
    if plan.stripped:
        yield f"the final {plan.stripped} is left out: what it reads is explained"
    yield from found.notes
    yield from _warn_of_absorption(found)
    yield from _warn_of_cancellation(found)
    if found.backend.reason and found.backend is not FIRST:
        yield f"computed by backend {found.backend}"


def _tell_reference_taken(reference: Choice[str], given: bool) -> Iterator[str]:
    """Yield what the scores are compared with, where that is silence or was left open.

    ``given`` says whether the relevance at the output is no score, but given.
    """
    more = "" if given else ": the difference of the two scores is explained"
    why = reference.reason and f", {reference.reason}"
    if reference.taken == SILENCE:
        yield f"compared with silence{why}{more}"
    elif reference.taken == NONE and why:
        yield f"compared with nothing{why}"


def _warn_of_cancellation(found: Answer) -> Iterator[str]:
    """Yield a warning where parts of the relevance against a reference are huge and cancel."""
    R = [found.flows[name].relevance for name in found.plan.signals]
    seed = float(np.abs(found.seed).sum())
    ratio = sum(float(np.abs(r).sum()) for r in R) / seed if seed else 0.0
    if found.reference.taken != NONE and ratio >= CANCELLED:
        yield (
            f"warning: the parts of the relevance are {ratio:.0f} times as large as their sum: "
            "between this reference and the input the model is too steep; take reference 'none', "
            "'noise' or another recording"
        )


def _warn_of_absorption(found: Answer) -> Iterator[str]:
    """Yield a warning if there is nothing to share, or if stabilisers took much of it.

    Amounts are added without their signs over layers, so that none hides another.
    """
    compared = found.reference.taken != NONE
    if compared and not any(map(np.any, found.changes.values())):
        what = "silent" if found.reference.taken == SILENCE else "the reference itself"
        yield f"warning: the input is {what}: there is no relevance to share"
        return
    if not np.any(found.seed):
        yield "warning: the explained number is zero: there is no relevance to share"
        return
    rows = found.ledger.rows
    amounts = np.array([np.abs(row.stabiliser) for row in rows]) if rows else np.zeros((1, 1))
    seed = np.abs(found.seed, dtype=np.float64).reshape(amounts.shape[1], -1).sum(axis=1)
    shares = amounts.sum(axis=0) / np.maximum(seed, LEAST)
    sample = int(np.argmax(shares))
    if shares[sample] < ABSORBED:
        return
    worst = rows[int(np.argmax(amounts[:, sample]))]
    of = f" of sample {sample}" if len(shares) > 1 else ""
    exact = "relative=1" in worst.rule or "epsilon=0" in worst.rule
    yield (
        f"warning: stabilisers absorbed {100 * shares[sample]:.0f} % of the relevance{of}, most at "
        f"{worst.node!r} ({worst.rule}), where sums are zero{'' if exact else ADVICE}"
    )
