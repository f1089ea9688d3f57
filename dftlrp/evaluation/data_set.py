"""`evaluate`: which of several explanations is right, over a data set."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dftlrp.attribution.explain import explain
from dftlrp.attribution.references import identify_references
from dftlrp.attribution.waveform import find_waveform, read_signal
from dftlrp.concepts.recordings import Recordings, find_recordings, list_recordings
from dftlrp.concepts.shards import Failure, Workers, open_store, run
from dftlrp.concepts.shards.store import describe_setting
from dftlrp.core.disk import lock_folder, report_system_errors, write_file
from dftlrp.core.names import suggest
from dftlrp.core.text import make_printable
from dftlrp.core.types import AnyArray, DftlrpError, InputError
from dftlrp.core.versions import find_versions
from dftlrp.engine.model import Model, attach_front_end, load
from dftlrp.evaluation.evaluation_page import (
    describe_in_json,
    list_verdicts,
    make_table_of_cells,
    render_evaluation,
)
from dftlrp.evaluation.experiment import (
    BESIDE,
    CHECKS,
    SHARDED,
    Experiment,
    make_experiment_work,
)
from dftlrp.evaluation.outcome import EvaluationData
from dftlrp.evaluation.summary import (
    summarise_arrival,
    summarise_complexity,
    summarise_faithfulness,
    summarise_randomisation,
    summarise_sound,
    summarise_stability,
)
from dftlrp.results.deletion import REPLACEMENTS, open_domain
from dftlrp.results.report.cell import frame_page
from dftlrp.results.result_folder import STORES, refuse_other_files
from dftlrp.results.units import WORDS, make_units
from dftlrp.spectral import stft_for

DOMAINS = ("time", "frequency", "time-frequency")
RANDOMISED = 3  # recordings
SCHEMA = 1  # of evaluation.json; raised when a key changes its meaning or goes
STORE = STORES["evaluate"]  # folder of intermediate results in that of the results
OWN = {
    "model", "signal", "channels", "target", "rate", "labels", "output", "bind", "domains",
    "frontend",
}  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(EvaluationData):
    """What a comparison found; `EvaluationData` describes its attributes."""

    def __repr__(self) -> str:
        told = [f"Evaluation over {self.recordings} recordings"]
        told += [f"  {line}" for line in (*list_verdicts(self), *self.warnings)]
        told += ["  next     save(FOLDER), cells, sound, stability, arrival"]
        return "\n".join(map(make_printable, told))

    def _repr_html_(self) -> str:
        return frame_page(render_evaluation(self), repr(self))

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write report.html, evaluation.json and faithfulness.csv, the report last.

        Raises
        ------
        InputError
            If the folder cannot be written, or another run is writing there.
        """
        target = Path(folder)
        told = {"schema": SCHEMA, "dftlrp": find_versions("dftlrp")["dftlrp"]}
        text = json.dumps(told | describe_in_json(self), indent=1, allow_nan=False)
        files = {
            "evaluation.json": text + "\n",
            "faithfulness.csv": make_table_of_cells(self),
            "report.html": render_evaluation(self),
        }
        with lock_folder(target), report_system_errors(target):
            for name, data in files.items():
                write_file(target / name, data.encode())
        return [target / name for name in reversed(files)]


def evaluate(
    model: str | os.PathLike[str],
    source: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str],
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    target: str = "argmax",
    domains: Sequence[str] = DOMAINS,
    replacements: Sequence[str] = ("zero", "noise", "stationary"),
    checks: Sequence[str] = CHECKS[:-1],
    count: Mapping[str, int] | None = None,
    limit: int | None = None,
    pattern: str | None = None,
    labels: Sequence[str] | None = None,
    rate: float | None = None,
    frontend: str | os.PathLike[str] | None = None,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> Evaluation:
    """Compare explanations of a model over recordings, by experiments on the model.

    Parameters
    ----------
    model : path
        An ONNX file.
    source : path
        A folder of recordings, or a CSV file that lists them.
    folder : path
        Where intermediate results are stored.  After an interruption the same call continues from
        them.
    variants : dict of str to dict, optional
        By name, arguments of `dftlrp.explain` (composite, seed, overrides, ...).  The first is what
        the others are compared with; if none is given, the default alone.  Gradient x input,
        occlusion, amplitude and an order drawn at random are always beside.
    target : {"argmax", "label"}
        What is explained: the largest output, or the class that the label of a recording names.
    domains : list of str
        Where units are removed: ``"time"``, ``"frequency"``, ``"time-frequency"``, ``"input"``.
    replacements : list of str
        What takes their place: ``"zero"``, ``"mean"``, ``"noise"``, ``"stationary"``.
    checks : list of str
        Any of ``"faithfulness"``, ``"complexity"``, ``"stability"``, ``"sound"`` and, not by
        default, ``"randomisation"``.
    count : dict of str to int, optional
        Number of units by domain.
    limit : int, optional
        Recordings at most, evenly spread over the sorted list.
    pattern : str, optional
        Where the label of a recording stands, as of `dftlrp.concepts.recordings.find_recordings`.
    labels, rate, frontend, output, bind
        As of `dftlrp.explain`.
    workers, scheduler
        As of `dftlrp.concepts.shards.Workers`.

    Returns
    -------
    Evaluation
        Means with standard errors; ``save`` writes a page, JSON and a table.

    Raises
    ------
    InputError
        Before anything is computed, if model, recordings or settings are wrong, or there are fewer
        than two recordings; afterwards, if fewer than two could be used.

    See Also
    --------
    dftlrp.metrics.explanation_curves : Of one explanation.
    Explanation.verify : Of one explanation, in a sentence.

    Examples
    --------
    >>> found = dftlrp.evaluate(
    ...     "model.onnx", "clips", folder="work", domains=["frequency"], replacements=["zero"],
    ...     checks=["faithfulness"], count={"frequency": 8},
    ... )
    >>> found.recordings
    2
    """
    _check_names(domains, replacements, checks, count or {}, target)
    chosen = _check_variants(variants or {"default": {}})
    machines = Workers(workers, scheduler)
    refuse_other_files(folder, "evaluate")
    known = attach_front_end(load(model), frontend)
    recordings = _find_labelled(known, source, target, {
        "pattern": pattern, "labels": labels, "rate": rate, "output": output, "bind": bind,
    })  # fmt: skip
    items = _spread_over(recordings, limit)
    common = {"rate": recordings.rate, "labels": labels, "output": output, "bind": bind,
              "frontend": None if frontend is None else os.fspath(frontend)}  # fmt: skip
    experiment = Experiment(
        os.fspath(model), chosen, {k: v for k, v in common.items() if v is not None},
        tuple(dict.fromkeys(domains)), tuple(dict.fromkeys(replacements)),
        tuple(dict.fromkeys(checks)), dict(count or {}),
    )  # fmt: skip
    _check_units(experiment, known, items)
    taken = _try_variants(experiment, known, items)
    rows = [(n, str(items.items[n].path), items.items[n].index) for n in range(len(items.items))]
    shards: list[tuple[str, Any]] = [
        ("compare", rows[i : i + SHARDED]) for i in range(0, len(rows), SHARDED)
    ]
    if "randomisation" in checks:
        shards += [("randomisation", [row]) for row in rows[:RANDOMISED]]
    with open_store(Path(folder) / STORE, _identify(experiment, known, items)) as store:
        make = partial(make_experiment_work, experiment)
        failures = run(make, shards, store, machines, progress=f"groups of {SHARDED} recordings")
        parts = [_read_shard_numbers(store.load(index)) for index in sorted(store.done)]
    return _collect(experiment, items, parts, failures, taken)


def _check_names(
    domains: Sequence[str],
    replacements: Sequence[str],
    checks: Sequence[str],
    count: Mapping[str, int],
    target: str,
) -> None:
    """Refuse names that nothing has, and empty lists."""
    tables = {
        "domain": (domains, tuple(WORDS)),
        "replacement": (replacements, REPLACEMENTS),
        "check": (checks, CHECKS),
        "domain with a number of units": (count, tuple(domains)),
        "target": ([target], ("argmax", "label")),
    }
    for what, (given, allowed) in tables.items():
        for name in given:
            if name not in allowed:
                meant = suggest(name, allowed)
                raise InputError(f"{what} {name!r}: {meant}choose one of {', '.join(allowed)}")
        if not given and what in {"domain", "replacement", "check"}:
            raise InputError(f"no {what} is asked for: choose among {', '.join(allowed)}")
    for domain, number in count.items():
        if number < 2:
            raise InputError(f"{number} units in domain {domain!r}: at least two can be ranked")


def _check_variants(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the variants; refuse arguments that `explain` does not have or that all share."""
    allowed = set(inspect.signature(explain).parameters) - OWN
    for name, given in variants.items():
        if name in BESIDE:
            raise InputError(f"variant {name!r}: {', '.join(BESIDE)} are always beside")
        for key in given:
            if key not in allowed:
                raise InputError(
                    f"variant {name!r}: {key!r} is no argument that can differ between "
                    f"explanations: {suggest(key, allowed)}choose one of "
                    f"{', '.join(sorted(allowed))}"
                )
    return {name: dict(given) for name, given in variants.items()}


def _find_labelled(
    model: Model, source: str | os.PathLike[str], target: str, asked: Mapping[str, Any]
) -> Recordings:
    """Return the recordings, with labels where they are the target."""
    plan = model.plan(asked["output"], asked["bind"])
    channels, rate = find_waveform(plan, None).channels, model.rate or asked["rate"]
    if target != "label":
        if asked["pattern"]:
            raise InputError("a pattern says where labels are: give target='label', too")
        return list_recordings(source, rate=rate, channels=channels)
    names = tuple(map(str, asked["labels"] or model.labels))
    dims = plan.graph.outputs[plan.output].dims
    many = len(names) or (dims[-1] if dims else None)
    if not many:
        raise InputError(f"{model.path}: the number of classes is not known: give the labels")
    return find_recordings(
        source, many, names, pattern=asked["pattern"], rate=rate, channels=channels
    )


def _check_units(experiment: Experiment, model: Model, recordings: Recordings) -> None:
    """Refuse more units than there are cells in the first recording."""
    path = str(recordings.items[0].path)
    plan = model.plan(experiment.common.get("output"), experiment.common.get("bind"))
    read = find_waveform(plan, path)
    samples = read_signal(model, path, recordings.rate, read).samples
    for domain in (d for d in experiment.domains if d != "input"):
        pair = open_domain(domain, samples, stft_for(recordings.rate))
        shape = samples.shape[-1:] if pair is None else pair.shape
        make_units(domain, shape, recordings.rate, experiment.count.get(domain))


def _try_variants(experiment: Experiment, model: Model, recordings: Recordings) -> tuple[str, ...]:
    """Explain the first recording in each variant, and return what each took.

    So a variant that cannot be computed is refused before hours of work.
    """
    item, told = recordings.items[0], list[str]()
    for name, given in experiment.variants.items():
        try:
            one = explain(
                model, str(item.path), target=item.index if item.index >= 0 else "argmax",
                domains=["time"], **{**experiment.common, "frontend": None, **given},
            )  # fmt: skip
        except DftlrpError as error:
            raise type(error)(f"variant {name!r}: {error}") from None
        taken = [n for n in one.notes if n.startswith(("composite", "seed", "method", "compared"))]
        told.append(f"{name}: {'; '.join(taken)}")
    return tuple(told)


def _spread_over(recordings: Recordings, limit: int | None) -> Recordings:
    """Return at most so many recordings, evenly spread; refuse fewer than two."""
    have = len(recordings.items)
    if limit is not None and limit < 2:
        raise InputError(f"limit {limit}: at least two recordings are needed")
    if have < 2:
        name = recordings.items[0].name
        raise InputError(f"only one recording, {name}: at least two are needed for an error")
    if limit is None or limit >= have:
        return recordings
    chosen = tuple(recordings.items[i * have // limit] for i in range(limit))
    return Recordings(chosen, recordings.rate, recordings.skipped, recordings.notes)


def _identify(experiment: Experiment, model: Model, recordings: Recordings) -> dict[str, Any]:
    """Return all that the results depend on, as values that JSON can hold."""
    own = asdict(experiment) | {"model": model.graph.sha256, "frontend": repr(model.frontend)}
    own["references"] = [
        identify_references(given.get("reference")) for given in experiment.variants.values()
    ]
    versions = find_versions("dftlrp", "numpy", "scipy", "onnxruntime")
    rows = {"data": recordings.digest, "batch": SHARDED, "versions": versions}
    return {k: describe_setting(v) for k, v in (own | rows).items()}


def _read_shard_numbers(arrays: Mapping[str, AnyArray]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(arrays["numbers"].tobytes())
    return found


def _collect(
    experiment: Experiment,
    recordings: Recordings,
    parts: Sequence[Mapping[str, Any]],
    failures: Sequence[Failure],
    taken: Sequence[str],
) -> Evaluation:
    """Return the means of all parts."""
    by_number = {int(n): one for p in parts for n, one in p.get("recordings", {}).items()}
    used = [by_number[n] for n in sorted(by_number)]
    why = {int(n): text for p in parts for n, text in p["skipped"].items()}
    skipped = [(recordings.items[n].name, text) for n, text in sorted(why.items())]
    if len(used) < 2:
        reason = failures[0].reason if failures else f"{skipped[0][0]}: {skipped[0][1]}"
        raise InputError(f"fewer than two recordings could be used: {reason}")
    return Evaluation(
        experiment, len(used),
        summarise_faithfulness(experiment, used), summarise_complexity(experiment, used),
        summarise_arrival(used),
        summarise_stability(experiment, used), summarise_sound(used),
        summarise_randomisation([
            one for p in parts for _, one in sorted(p.get("randomisation", {}).items())
        ]),
        (*recordings.skipped, *skipped), tuple(failures),
        (*taken, *_write_notes_on(experiment, recordings, used)),
    )  # fmt: skip


def _write_notes_on(
    experiment: Experiment, recordings: Recordings, used: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    notes = [
        f"all are held against the score that {experiment.first!r} explains",
        *recordings.notes,
    ]
    if right := [one["right"] for one in used if one["right"] is not None]:
        notes.append(f"the model classifies {sum(right)} of {len(right)} recordings correctly")
    if "sound" in experiment.checks and not any(one["sound"] for one in used):
        notes.append("nothing is said about sound: the model's output is no list of classes")
    return tuple(notes)
