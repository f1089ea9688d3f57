"""The comparison of explanations over some recordings: what a worker computes of a shard.

Every recording is explained in each variant for the same target.  In each domain the units are
ranked by each variant and by what is always compared with it: gradient x input, occlusion of each
unit by the same replacement, the energy of each unit, and an order drawn at random.  All are held
against the same score, that of the first variant.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dftlrp.attribution.array_explanation import explain_array
from dftlrp.attribution.explain import explain
from dftlrp.core.types import AnyArray, DftlrpError, Real
from dftlrp.engine.auto import name_reference
from dftlrp.engine.model import Model, load
from dftlrp.engine.settings import Question, Settings
from dftlrp.evaluation.complexity import cancellation, complexity, sparseness
from dftlrp.evaluation.faithfulness import STEPS, Curves, compare_curves, occlude
from dftlrp.evaluation.randomisation import randomise
from dftlrp.evaluation.stability import rank_correlation, stability
from dftlrp.results.explanation import Explanation
from dftlrp.results.heard import find_silent_reason, hear
from dftlrp.results.units import Units

GRADIENT, OCCLUSION, AMPLITUDE, RANDOM = "gradient x input", "occlusion", "amplitude", "random"
BESIDE = (GRADIENT, OCCLUSION, AMPLITUDE, RANDOM)
CHECKS = ("faithfulness", "complexity", "stability", "sound", "randomisation")
GRID = np.linspace(0, 1, STEPS + 1)  # of the curves that are kept
STAGES = 4  # of randomisation
SHARDED = 4  # recordings that are computed together
MODELS_OWN = -1  # the target of a recording that is the model's largest output
Row = tuple[int, Any, Any]  # number, recording (path or array), and class or other target of it


@dataclass(frozen=True)
class Experiment:
    """What is compared, with all that a worker needs.

    Attributes
    ----------
    model : str
        Path of an ONNX file.
    variants : dict of str to dict
        By name, the arguments of `dftlrp.explain` that make them differ; the first is the default.
    common : dict
        Arguments of `dftlrp.explain` that all share.
    domains, replacements, checks : tuple of str
    count : dict of str to int
        Number of units by domain, where it is not the usual one.
    arrays : dict of str to array
        Replacements of one's own by the names that they have among ``replacements``.
    """

    model: str
    variants: Mapping[str, Mapping[str, Any]]
    common: Mapping[str, Any]
    domains: tuple[str, ...]
    replacements: tuple[str, ...]
    checks: tuple[str, ...]
    count: Mapping[str, int] = field(default_factory=dict)
    arrays: Mapping[str, AnyArray] = field(default_factory=dict)

    @property
    def first(self) -> str:
        """Name of the first variant."""
        return next(iter(self.variants))

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names of all that is compared."""
        return (*self.variants, *BESIDE)

    @property
    def explained(self) -> dict[str, dict[str, Any]]:
        """Arguments of each candidate that `dftlrp.explain` computes."""
        of_first = {k: v for k, v in self.variants[self.first].items() if k == "seed"}
        gradient = {GRADIENT: {**of_first, "composite": "Gradient"}}
        return {**{k: dict(v) for k, v in self.variants.items()}, **gradient}


@dataclass(eq=False)
class Seen:
    """What is kept of a recording: the first explanation, and relevance by candidate and domain."""

    first: Explanation
    pooled: dict[tuple[str, str], Real] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)


def make_array_work(experiment: Experiment) -> ArrayWork:
    """Return the function for arrays that a model reads, in place of recordings."""
    return ArrayWork(experiment, load(experiment.model))


def make_experiment_work(experiment: Experiment) -> Work:
    """Return the function with which a worker computes a shard."""
    return Work(experiment, load(experiment.model))


@dataclass(frozen=True)
class Work:
    """The model in a worker process."""

    experiment: Experiment
    model: Model

    def __call__(self, shard: tuple[str, Sequence[Row]]) -> dict[str, AnyArray]:
        """Return the numbers of a shard as text in an array; what is skipped, with the reason."""
        kind, rows = shard
        found = self.randomise(rows) if kind == "randomisation" else self.compare(rows)
        text = json.dumps(found, sort_keys=True).encode()
        return {"numbers": np.frombuffer(text, np.uint8)}

    def explain(self, row: Row, given: Mapping[str, Any], target: Any = None) -> Explanation:
        """Return an explanation of a recording in all domains."""
        own = "argmax" if row[2] == MODELS_OWN else row[2]
        domains = dict.fromkeys((*self.experiment.domains, "time-frequency"))
        return explain(
            self.model, row[1], target=own if target is None else target, domains=list(domains),
            versus=None, **{**self.experiment.common, **given},
        )  # fmt: skip

    def compare(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the numbers of each recording; a variant at a time, so that its graph is kept."""
        seen, skipped = dict[int, Seen](), dict[int, str]()
        for name, given in self.experiment.explained.items():
            for row in (r for r in rows if r[0] not in skipped):
                try:
                    self.explain_variant(row, name, given, seen)
                except DftlrpError as error:
                    skipped[row[0]] = f"{name}: {error}".replace(f"{row[1]}: ", "")
        for row in (r for r in rows if r[0] not in skipped):
            try:
                self.rank_candidates(row, seen[row[0]])
            except DftlrpError as error:
                skipped[row[0]] = str(error)
        kept = {n: s.numbers for n, s in seen.items() if n not in skipped}
        return {"recordings": kept, "skipped": skipped}

    def explain_variant(
        self, row: Row, name: str, given: Mapping[str, Any], seen: dict[int, Seen]
    ) -> None:
        """Explain a recording in one variant, and keep what is measured of it."""
        known = seen.get(row[0])
        one = self.explain(row, given, None if known is None else known.first.target)
        if known is None:
            known = seen[row[0]] = Seen(one)
            known.numbers = _describe_recording(one, row)
        known.numbers["reached"][name] = _measure_arrival(one, self.experiment.domains[0])
        for domain in self.experiment.domains:
            units = known.first.cut(domain, self.experiment.count.get(domain))
            known.pooled[name, domain] = units.pool(one.relevance[domain])
        if "sound" in self.experiment.checks and not find_silent_reason(known.first):
            heard = hear(known.first, one.relevance["time-frequency"])
            known.numbers["sound"][name] = list(heard)
        if "stability" in self.experiment.checks:
            known.numbers["stability"][name] = self.measure_stability(row, given, known.first, one)

    def measure_stability(
        self, row: Row, given: Mapping[str, Any], first: Explanation, one: Explanation
    ) -> dict[str, float]:
        """Return the correlations of `stability` for one variant."""

        def explain_cells(samples: Real) -> Real:
            changed = {**self.experiment.common, **given, "rate": one.rate}
            found = explain(
                self.model, samples, target=first.target, domains=["time-frequency"],
                versus=None, **changed,
            )  # fmt: skip
            return found.relevance["time-frequency"]

        samples = first.find_asked("time").samples
        return stability(explain_cells, samples, one.relevance["time-frequency"], row[0])

    def rank_candidates(self, row: Row, known: Seen) -> None:
        """Measure the curves of every candidate in every domain by every replacement."""
        self.listen_beside(row, known)
        first, checks = known.first, self.experiment.checks
        for domain in self.experiment.domains:
            score = first.find_asked(domain).score
            pools = {k: known.pooled[k, domain] for k in self.experiment.explained}
            units = first.cut(domain, self.experiment.count.get(domain))
            pools |= {AMPLITUDE: _pool_energy(first, domain, units)}
            pools |= {RANDOM: np.random.default_rng([row[0], 1]).random(units.count)}
            if "complexity" in checks:
                known.numbers["complexity"][domain] = {
                    k: [cancellation(R), complexity(R), sparseness(R)] for k, R in pools.items()
                }
            if "faithfulness" not in checks:
                continue
            for name in self.experiment.replacements:
                other = self.experiment.arrays.get(name, name)
                deletion = first.delete(domain, other, units=units, seed=row[0])
                ranked = {**pools, OCCLUSION: occlude(score, deletion)}
                curves = compare_curves(score, deletion, ranked, seed=row[0])
                known.numbers["faithfulness"].setdefault(domain, {})[name] = {
                    k: _tell_curves(c) for k, c in curves.items()
                }

    def listen_beside(self, row: Row, known: Seen) -> None:
        """Measure what is heard through masks of energy and of chance, too."""
        if "sound" not in self.experiment.checks or find_silent_reason(known.first):
            return
        cells = np.abs(known.first.signal["time-frequency"]) ** 2
        drawn = np.random.default_rng([row[0], 2]).random(cells.shape)
        for name, R in ((AMPLITUDE, cells), (RANDOM, drawn)):
            known.numbers["sound"][name] = list(hear(known.first, R))

    def randomise(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return rank correlations of each variant with models that lost weights, by recording."""
        found, skipped = dict[int, Any](), dict[int, str]()
        for row in rows:
            try:
                found[row[0]] = self.randomise_one(row)
            except DftlrpError as error:
                skipped[row[0]] = f"randomisation: {error}".replace(f"{row[1]}: ", "")
        return {"randomisation": found, "skipped": skipped}

    def randomise_one(self, row: Row) -> dict[str, dict[str, float]]:
        """Return by variant and share of randomised layers the rank correlation of tiles."""
        variants, target, own = self.experiment.explained, None, dict[str, Real]()
        for name, given in variants.items():
            one = self.explain(row, given, target)
            own[name] = one.relevance["time-frequency"]
            target = one.target
        found: dict[str, dict[str, float]] = {name: {} for name in variants}
        for share, other in randomise(self.model, STAGES):
            work = Work(self.experiment, other)
            for name, given in variants.items():
                R = work.explain(row, given, target).relevance["time-frequency"]
                found[name][f"{share:.3g}"] = rank_correlation(own[name], R)
        return found


@dataclass(frozen=True)
class ArrayWork(Work):
    """The same where a recording is an array that the model reads, and ``"input"`` the domain."""

    def explain(self, row: Row, given: Mapping[str, Any], target: Any = None) -> Explanation:
        """Return an explanation of an array."""
        own = "argmax" if row[2] == MODELS_OWN else row[2]
        asked = {"seed": "auto", "method": "lrp", "reference": "auto", **given}
        question = Question(
            own if target is None else target, asked.pop("seed"), labels=self.model.labels
        )
        method, reference = asked.pop("method"), asked.pop("reference")
        settings = Settings(**{**self.experiment.common, **asked})
        plan = self.model.plan(settings.output, settings.bind)
        settings = replace(settings, reference=name_reference(reference, plan))
        return explain_array(self.model, row[1], settings, question, method)


def _describe_recording(one: Explanation, row: Row) -> dict[str, Any]:
    """Return where the numbers of a recording are collected."""
    scores = one.explained.reshape(-1)
    known = isinstance(row[2], int) and row[2] != MODELS_OWN and one.explained.ndim == 1
    right = bool(scores.argmax() == row[2]) if known else None
    found: dict[str, Any] = {"label": one.label, "right": right}
    return found | {check: {} for check in (*CHECKS[:-1], "reached")}


def _measure_arrival(one: Explanation, domain: str) -> float:
    """Return the share of the explained score that arrived at the input, by the ledger."""
    seed = float(one.ledger.rows[0].relevance.sum()) if one.ledger.rows else 0.0
    arrived = float(one.relevance[domain].sum()) + one.rest[domain]
    return arrived / seed if seed else math.nan


def _pool_energy(first: Explanation, domain: str, units: Units) -> Real:
    """Return the energy of each unit, which is what amplitude alone would call important."""
    pair = first.delete(domain, units=units)
    return units.pool(np.abs(pair.values) ** 2)


def _tell_curves(found: Curves) -> dict[str, Any]:
    """Return area, span and the curves on the common grid."""
    curves = {k: np.interp(GRID, found.removed, getattr(found, k)) for k in ("most", "least")}
    return {"area": found.area, "span": found.span, "insertion": found.insertion * found.span,
            **{k: [float(f"{v:.7g}") for v in curve] for k, curve in curves.items()}}  # fmt: skip
