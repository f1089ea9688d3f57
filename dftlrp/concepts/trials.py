"""Ablation trials: the neurons of a class are silenced for some of its recordings."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from dftlrp.attribution.attribute import answer_questions
from dftlrp.concepts.ablation import Ablation, silenced
from dftlrp.concepts.conditions import Concepts
from dftlrp.concepts.layers import find_layers
from dftlrp.concepts.recordings import Item
from dftlrp.concepts.shards import Failure, Workers, open_store, run
from dftlrp.concepts.statistics import average
from dftlrp.concepts.study import Study, count_together, read_sample
from dftlrp.concepts.survey import Survey
from dftlrp.core.types import AnyArray
from dftlrp.engine.model import Model
from dftlrp.engine.settings import Question

RECORDINGS = 8  # of each class, evenly spaced among its names
NEURONS = 100  # of the layer, evenly spaced among their ranks by relevance
TOGETHER, DRAWS = 5, 20  # neurons that are silent at once, and draws of random ones


@dataclass(frozen=True)
class Trial:
    """The neurons to silence for one recording.

    Attributes
    ----------
    name, path : str
        Of the recording.
    of_class : int
    neurons : tuple of int
        Silenced one by one.
    groups : tuple of tuple of int
        Silenced together: the most relevant neurons, then the random draws.
    """

    name: str
    path: str
    of_class: int
    neurons: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


def ablations(
    found: Survey,
    classes: Sequence[int],
    folder: str | os.PathLike[str],
    *,
    workers: int = 1,
    scheduler: str | None = None,
) -> tuple[dict[int, Ablation], list[Failure]]:
    """Return the effect of silencing neurons beside their relevance, for each class.

    Parameters
    ----------
    found : Survey
        From `survey`.
    classes : sequence of int
        For which neurons are silenced.
    folder : path
        Where results are stored.  After an interruption the same call continues from them.
    workers, scheduler
        As of `dftlrp.concepts.shards.Workers`.

    Returns
    -------
    dict of int to Ablation
        By class, for those that have recordings.
    list of Failure
        Recordings without a result.

    See Also
    --------
    silenced : Of single recordings.

    Examples
    --------
    >>> by_class, failures = dftlrp.concepts.ablations(surveyed, [7], "trials")
    >>> by_class[7].most_relevant > by_class[7].random, failures
    (True, [])
    """
    trials = [trial for c in classes for trial in _plan_trials(found, c)]
    plain = [{k: v for k, v in asdict(t).items() if k != "path"} for t in trials]
    settings = found.study.identity(found.recordings) | {"trials": plain}
    with open_store(folder, settings) as store:
        make = partial(_make_trial_work, found.study)
        machines = Workers(workers, scheduler)
        failures = run(make, trials, store, machines, progress="recordings under ablation")
        results = {trials[i]: store.load(i) for i in sorted(store.done)}
    by_class = {c: {t: a for t, a in results.items() if t.of_class == c} for c in classes}
    return {c: _average_trials(own) for c, own in by_class.items() if own}, failures


def choose_recordings(found: Survey, of_class: int, count: int = RECORDINGS) -> list[Item]:
    """Return usable recordings of a class, evenly spaced among their names."""
    bad = {name for name, _ in found.skipped}
    own = [i for i in found.recordings.items if i.index == of_class and i.name not in bad]
    return [own[i] for i in _choose_evenly(len(own), count)]


def _choose_evenly(many: int, count: int) -> list[int]:
    """Return ``count`` of ``many`` indices at equal distances, the first and the last included."""
    return sorted({round(i) for i in np.linspace(0, many - 1, min(many, count))})


def _plan_trials(found: Survey, of_class: int) -> list[Trial]:
    """Return the trials of a class; its random draws are the same for all its recordings."""
    count = found.layers.concepts(found.study.layer).count
    order = found.statistics.strongest(of_class, count)
    neurons = tuple(order[i] for i in _choose_evenly(count, NEURONS))
    size, rng = min(TOGETHER, count), np.random.default_rng(of_class)
    draws = (rng.choice(count, size, replace=False) for _ in range(DRAWS))
    groups = (tuple(order[:size]), *(tuple(map(int, draw)) for draw in draws))
    items = choose_recordings(found, of_class)
    return [Trial(i.name, str(i.path), of_class, neurons, groups) for i in items]


def _make_trial_work(study: Study) -> Callable[[Trial], dict[str, AnyArray]]:
    """Return the function with which a worker does a trial."""
    return partial(_run_trial, study, study.loaded(), {})


def _run_trial(
    study: Study, model: Model, known: dict[tuple[int, ...], Concepts], trial: Trial
) -> dict[str, AnyArray]:
    """Return relevance and effect of each neuron, and the effect of each group.

    ``known`` keeps the concepts of the layer by the shape of a sample.
    """
    sample = read_sample(model, study, trial.path)
    settings, shape = study.settings(sample), sample.array.shape
    if shape not in known:
        known[shape] = find_layers(model, sample.array, settings[0]).concepts(study.layer)
    concepts = known[shape]
    question = Question(trial.of_class, study.seed, keep=[study.layer], ledger=False)
    answers = [f for s in settings for f in answer_questions(model, sample.array, s, [question])]
    R = average([np.asarray(f.kept[study.layer][1], np.float64) for f in answers])
    relevance = concepts.per_concept(R)[0]
    own = {k: study.keywords[k] for k in ("seed", "output", "bind", "backend")}
    groups = [*((n,) for n in trial.neurons), *trial.groups]
    together = count_together(model.plan(study.output, study.bind), sample.place)
    falls = average([
        silenced(
            model, sample.array, trial.of_class, concepts, groups, batch=together,
            reference=s.reference, **own,
        )[0]
        for s in settings
    ])  # fmt: skip
    alone = len(trial.neurons)
    return {
        "relevance": relevance.sum(axis=1)[list(trial.neurons)],
        "effect": falls[:alone],
        "groups": falls[alone:],
    }


def _average_trials(results: dict[Trial, dict[str, AnyArray]]) -> Ablation:
    """Average the trials of one class into an `Ablation`."""
    trial = next(iter(results))
    effect, relevance, groups = (
        np.mean([arrays[k] for arrays in results.values()], axis=0)
        for k in ("effect", "relevance", "groups")
    )
    neurons = np.array(trial.neurons)
    return Ablation(neurons, effect, relevance, groups, trial.groups[0], len(results))
