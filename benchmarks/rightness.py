"""Which explanation is right, over many models: what docs/explanation/rightness.md says.

    python benchmarks/rightness.py --write PAGE --state FOLDER [--only PATTERN]

Every model of `rightness_cases` is explained on recordings that suit it by each candidate, and
`dftlrp.evaluation` removes units by what each calls relevant.  Five networks are trained first.
What is finished lies in FOLDER, one file for each model, and is not computed again: take a new
folder after a change of the code.  ``--quick`` takes three recordings of each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from real_inputs import Shared
from rightness_cases import CASES, Trial
from rightness_nets import FAMILIES, train_family
from rightness_page import write_page

import dftlrp
from dftlrp.core.disk import write_file
from dftlrp.evaluation.experiment import ArrayWork, Experiment, Work

SHARED = Path(__file__).parents[2] / "shared"
DEFAULT, SILENCE, MEAN = "default", "silence", "mean of the training data"
QUICK = 3  # recordings
BACKEND = "onnx:CPUExecutionProvider:1"  # one thread, as models are measured side by side


def list_variants(trial: Trial, quick: bool = False) -> dict[str, dict[str, Any]]:
    """Return the candidates by name, as arguments of `dftlrp.explain`; the default first."""
    found: dict[str, dict[str, Any]] = {
        DEFAULT: {},
        f"{trial.old}, the default before": {"composite": trial.old},
        "EpsilonGamma, no reference": {"composite": "EpsilonGamma"},
        "Epsilon, silence": {"composite": "Epsilon", "reference": "silence"},
        "AttnLRP, no reference": {"composite": "AttnLRP"},
        "integrated gradients": {"method": "integrated-gradients"},
    }
    if trial.mean is not None:
        found["EpsilonGamma, mean"] = {"composite": "EpsilonGamma", "reference": trial.mean}
    if trial.noise and not trial.arrays and not quick:
        found["EpsilonGamma, noise"] = {"composite": "EpsilonGamma", "reference": "noise"}
    seed = {} if trial.seed == "auto" else {"seed": trial.seed}
    return {name: {**given, **seed} for name, given in found.items()}


def make_experiment(trial: Trial, quick: bool = False) -> Experiment:
    """Return what is compared for a model."""
    replacements, own = trial.replacements, dict[str, Any]()
    if trial.arrays:
        replacements, own = ("zero", MEAN), {MEAN: trial.mean}
    checks = ("faithfulness", "complexity") + (() if trial.arrays else ("sound",))
    return Experiment(
        str(trial.model), list_variants(trial, quick), trial.common,
        trial.domains, replacements, checks, trial.units, arrays=own,
    )  # fmt: skip


def run_case(name: str, args: argparse.Namespace) -> str:
    """Compare all candidates on one model, keep what was measured, and return a line about it."""
    case, start = CASES[name], time.perf_counter()
    count = QUICK if args.quick else case.count
    trial = case.make(Shared(args.models, args.data), args.state, count)
    experiment = make_experiment(trial, args.quick)
    path, identity = args.state / f"{name.replace(' ', '_')}.json", identify(trial, experiment)
    if path.exists() and json.loads(path.read_text())["identity"] == identity:
        return f"{name}: known already"
    alone = replace(experiment, common={"backend": BACKEND, **experiment.common})
    work = (ArrayWork if trial.arrays else Work)(alone, dftlrp.load(trial.model))
    rows = [(i, x, target) for i, (x, target) in enumerate(trial.items)]
    found = work.compare(rows)
    notes = work.explain(rows[0], experiment.variants[DEFAULT]).notes
    seconds = time.perf_counter() - start
    kept = {
        "identity": identity, "accuracy": trial.accuracy, "seconds": seconds,
        "recordings": list(found["recordings"].values()),
        "skipped": list(found["skipped"].values()),
        "variants": list(experiment.variants), "domains": experiment.domains,
        "replacements": experiment.replacements,
        "taken": "; ".join(n for n in notes if n.startswith(("composite", "seed", "compared"))),
    }  # fmt: skip
    write_file(path, json.dumps(kept).encode())
    return f"{name}: {len(kept['recordings'])} recordings, {seconds:.0f} s"


def identify(trial: Trial, experiment: Experiment) -> str:
    """Return a hash of all that the numbers of a model depend on, but for the code."""
    digest = hashlib.sha256(Path(trial.model).read_bytes())
    for part in _list_parts(
        [
            dict(experiment.variants),
            dict(experiment.common),
            experiment.domains,
            experiment.replacements,
            dict(experiment.arrays),
            trial.items,
        ]
    ):
        digest.update(part)
    return digest.hexdigest()


def _list_parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, Mapping):
        value = sorted(value.items(), key=lambda item: str(item[0]))
    if isinstance(value, list | tuple):
        yield b"["
        for one in value:
            yield from _list_parts(one)
    else:
        yield np.asarray(value).tobytes() if hasattr(value, "tobytes") else repr(value).encode()


def choose_cases(pattern: str) -> list[str]:
    """Return the names of models that a pattern means."""
    chosen = [name for name in CASES if fnmatchcase(name, pattern) or pattern in name]
    if not chosen:
        raise SystemExit(f"--only {pattern!r}: choose among {', '.join(CASES)}")
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--only", default="*")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--models", type=Path, default=SHARED / "models")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.state.mkdir(parents=True, exist_ok=True)
    chosen = choose_cases(args.only)
    nets = [name for name in FAMILIES if any(case.startswith(name) for case in chosen)]
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.workers, fresh, max_tasks_per_child=1) as pool:
        trained = [pool.submit(train_family, name, args.data, args.state) for name in nets]
        for name, job in zip(nets, trained, strict=True):
            print(f"{name}: {100 * job.result()[1]:.1f} % of the test split right", flush=True)
        for job in [pool.submit(run_case, name, args) for name in chosen]:
            print(job.result(), flush=True)
    if args.write:
        write_file(args.write, write_page(args).encode())


if __name__ == "__main__":
    main()
