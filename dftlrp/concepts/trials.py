"""Trials: ablation of a class's neurons over some of its recordings, in the workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from dftlrp.attribution.attribute import attribute
from dftlrp.concepts.ablation import Ablation, silenced
from dftlrp.concepts.layers import layers_of
from dftlrp.concepts.recordings import Item
from dftlrp.concepts.shards import Failure, open_store, run
from dftlrp.concepts.survey import Study, Survey, read, together
from dftlrp.core.types import AnyArray, Real
from dftlrp.engine.model import Model

RECORDINGS = 8  # of a class, spread evenly over its names
NEURONS = 100  # of a layer, spread evenly over their ranks by relevance
TOGETHER, DRAWS = 5, 20  # neurons that are silent at once, and how often random ones are drawn


@dataclass(frozen=True)
class Trial:
    """What is silenced for one recording.

    Attributes
    ----------
    name, path : str
        Of the recording.
    of_class : int
    neurons : tuple of int
        Each alone.
    groups : tuple of tuple of int
        Together: the most relevant ones, then the random draws.
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
    """By class, the effect of silence beside relevance; interrupted, the same call goes on.

    Parameters
    ----------
    folder : path
        Where results are stored.
    workers, scheduler
        As of `dftlrp.concepts.shards.run`.

    Returns
    -------
    dict of int to Ablation
        Of the classes that have recordings.
    list of Failure
        Recordings without a result.
    """
    trials = [trial for c in classes for trial in _trials(found, c)]
    plain = [{k: v for k, v in asdict(t).items() if k != "path"} for t in trials]
    settings = found.study.identity(found.recordings) | {"trials": plain}
    with open_store(folder, settings) as store:
        failures = run(
            partial(_worker, found.study), trials, store, workers=workers, scheduler=scheduler,
            progress="recordings under ablation",
        )  # fmt: skip
        results = {trials[i]: store.load(i) for i in sorted(store.done)}
    by_class = {c: {t: a for t, a in results.items() if t.of_class == c} for c in classes}
    return {c: _mean(own) for c, own in by_class.items() if own}, failures


def some_of(found: Survey, of_class: int, count: int = RECORDINGS) -> list[Item]:
    """Recordings of a class that can be used, spread evenly over their names."""
    bad = {name for name, _ in found.skipped}
    own = [i for i in found.recordings.items if i.index == of_class and i.name not in bad]
    return [own[i] for i in _spread(len(own), count)]


def _spread(many: int, count: int) -> list[int]:
    """Some of many, at equal distances, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, many - 1, min(many, count))})


def _trials(found: Survey, of_class: int) -> list[Trial]:
    count = found.layers.concepts(found.study.layer).count
    order = found.statistics.strongest(of_class, count)
    neurons = tuple(order[i] for i in _spread(count, NEURONS))
    size, rng = min(TOGETHER, count), np.random.default_rng(of_class)
    draws = (rng.choice(count, size, replace=False) for _ in range(DRAWS))
    groups = (tuple(order[:size]), *(tuple(map(int, draw)) for draw in draws))
    items = some_of(found, of_class)
    return [Trial(i.name, str(i.path), of_class, neurons, groups) for i in items]


def _worker(study: Study) -> Callable[[Trial], dict[str, AnyArray]]:
    """What a worker does with a trial."""
    return partial(_tried, study, study.loaded())


def _tried(study: Study, model: Model, trial: Trial) -> dict[str, AnyArray]:
    """Relevance and effect of each neuron, and the effect of each group."""
    samples, shape = read(model, study, trial.path)
    concepts = layers_of(model, samples, **study.rules).concepts(study.layer)
    found = attribute(
        model, samples, target=trial.of_class, keep=[study.layer], ledger=False, **study.settings
    )
    relevance: Real = concepts.per_concept(np.asarray(found.kept[study.layer][1], np.float64))[0]
    own = {k: study.settings[k] for k in ("seed", "output", "bind", "backend")}
    falls = silenced(
        model, samples, trial.of_class, concepts, [*((n,) for n in trial.neurons), *trial.groups],
        batch=together(model.plan(study.output, study.bind), shape), **own,
    )[0]  # fmt: skip
    alone = len(trial.neurons)
    return {
        "relevance": relevance.sum(axis=1)[list(trial.neurons)],
        "effect": falls[:alone],
        "groups": falls[alone:],
    }


def _mean(results: dict[Trial, dict[str, AnyArray]]) -> Ablation:
    """Of one class."""
    trial = next(iter(results))
    effect, relevance, groups = (
        np.mean([arrays[k] for arrays in results.values()], axis=0)
        for k in ("effect", "relevance", "groups")
    )
    neurons = np.array(trial.neurons)
    return Ablation(neurons, effect, relevance, groups, trial.groups[0], len(results))
