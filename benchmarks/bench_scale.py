"""Surveys of large data sets: what a shard costs, two workers beside one, and many on paper.

    python benchmarks/bench_scale.py FOLDER [--pattern P] [--count N] [--clips 100000] [--json FILE]

A survey of `conv4` of the embedded waveform model is cut into shards of 64 recordings.  This
measures what each of its parts takes (seconds of the processor, bytes), runs it on a
dask.distributed cluster on this machine with one worker and with two (a thread each; where the
machine has other work to do, look at the seconds of the processor), and simulates it with up to 100
workers from what was measured: each worker starts, imports and traces, then takes one shard after
the other; the process that asks lists the recordings before, records each result (one after the
other, while the workers go on), and merges all of them after.  docs/guides/scale.md says what
follows.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dftlrp
from dftlrp.assets import embedded
from dftlrp.concepts import Study, survey
from dftlrp.concepts.recordings import Recordings, find_recordings
from dftlrp.concepts.shards.store import Store, open_store, pack_arrays, write_shard
from dftlrp.concepts.study import SHARD
from dftlrp.concepts.survey import (
    _make_shards,
    _make_survey_work,
    _merge_shards,
    settle_study,
)

SCHEDULING = 1e-3  # seconds of dask's scheduler for a task, by its documentation
WORKERS = (1, 2, 4, 8, 16, 32, 64, 100)
HEAVY = 20  # times the embedded model's time in a shard: a model of AudioNet's size, or 20 s clips


def find_all(folder: Path, pattern: str) -> Recordings:
    """Return the recordings of a folder."""
    model = dftlrp.load(embedded("waveform"))
    return find_recordings(
        folder, len(model.labels), model.labels, pattern=pattern, rate=model.rate
    )


def take_time(work: Callable[[], Any]) -> float:
    """Return the seconds of the processor that some work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure_parts(study: Study, found: Recordings, folder: Path, pattern: str) -> dict[str, float]:
    """Return what each part of a survey takes, in seconds of the processor and in bytes."""
    cost = {"list a recording": take_time(lambda: find_all(folder, pattern)) / len(found.items)}
    settled, _ = settle_study(study, found.items)
    shards = list(_make_shards(found.items))
    start = time.process_time()
    work = _make_survey_work(settled)
    work(shards[0])
    first = time.process_time() - start
    some = shards[: max(2, min(8, len(shards) - 1))]
    each = [take_time(lambda s=s: work(s)) for s in some]
    cost["compute a shard"] = statistics.median(each)
    cost["trace in a worker"] = first - cost["compute a shard"]
    arrays = work(some[0])
    packed = pack_arrays(arrays)
    cost["bytes read for a shard"] = sum(os.path.getsize(path) for _, path, _ in some[0])
    cost["bytes of a result"] = len(packed)
    cost["bytes of a task"] = len(pickle.dumps(some[0]))
    with tempfile.TemporaryDirectory() as place, open_store(place, {}) as store:
        cost |= _measure_store(store, packed)
    return cost


def _measure_store(store: Store, packed: bytes, count: int = 32) -> dict[str, float]:
    """Return what it takes to write, to record and to merge a result; these wait for a disk."""
    start = time.perf_counter()
    hashes = [write_shard(store.folder, i, packed) for i in range(count)]
    written = time.perf_counter()
    for i, digest in enumerate(hashes):
        store.record(i, digest)
    recorded = time.perf_counter()
    merged = take_time(lambda: _merge_shards(store.load(i) for i in range(count)))
    return {
        "write a result": (written - start) / count,
        "record a result": (recorded - written) / count,
        "merge a result": merged / count,
    }


def measure_import() -> float:
    """Return the seconds of the processor that a new process takes to import what it needs."""
    code = "import time, dftlrp.concepts.survey; print(time.process_time())"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(made.stdout)


def run_cluster(study: Study, found: Recordings, workers: int) -> tuple[float, float]:
    """Return what a survey takes on a cluster of so many workers, which have started.

    They have imported what they need, as workers of a cluster that is in use have.

    Returns
    -------
    float
        The seconds that pass.
    float
        Seconds of the processor, of the process that asks and of the worker that has most to do:
        what would pass if each had a core of its own and none ever waited.
    """
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None,
            host="127.0.0.1",
        ) as cluster,
        tempfile.TemporaryDirectory() as place,
    ):  # fmt: skip
        address = cluster.scheduler_address
        few = replace(found, items=found.items[: SHARD * workers])
        survey(study, few, f"{place}/first", scheduler=address)
        with distributed.Client(cluster, set_as_default=False) as client:
            before, own = client.run(time.process_time), time.process_time()
            start = time.perf_counter()
            survey(study, found, f"{place}/all", scheduler=address)
            passed, own = time.perf_counter() - start, time.process_time() - own
            after = client.run(time.process_time)
        return passed, own + max(after[name] - before[name] for name in after)


def simulate(clips: int, workers: int, cost: Mapping[str, float], heavy: float = 1) -> float:
    """Return the seconds that a survey takes with so many workers."""
    shards = -(-clips // SHARD)
    start = cost["start a worker"] + cost["trace in a worker"]
    one = heavy * cost["compute a shard"] + cost["write a result"]
    free = [start] * workers
    heapq.heapify(free)
    scheduled = recorded = 0.0
    for _ in range(shards):
        scheduled += SCHEDULING
        end = max(heapq.heappop(free), scheduled) + one
        heapq.heappush(free, end)
        recorded = max(recorded, end) + cost["record a result"]
    return clips * cost["list a recording"] + recorded + shards * cost["merge a result"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pattern", default="{label}_{speaker}_{take}.wav")
    parser.add_argument("--count", type=int, help="recordings of the cluster's runs; default: all")
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-spectra", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of workers, which inherit it, and here
    found = find_all(args.folder, args.pattern)
    study = Study(str(embedded("waveform")), "conv4", found.rate, 10, spectra=not args.no_spectra)
    print(f"load before: {os.getloadavg()[0]:.1f}")
    cost = measure_parts(study, found, args.folder, args.pattern)
    cost["start a worker"] = measure_import()
    for name, value in cost.items():
        unit = "kB" if name.startswith("bytes") else "ms"
        print(f"{name:24} {value / 1e3 if unit == 'kB' else value * 1e3:8.2f} {unit}")
    few = replace(found, items=found.items[: args.count])
    runs: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(args.repeat):
        for workers, each in runs.items():
            each.append(run_cluster(study, few, workers))
            told = "{:.1f} s pass, {:.1f} s of the processor one after the other".format(*each[-1])
            print(f"{workers} on this machine: {told}, load {os.getloadavg()[0]:.1f}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of a worker: {peak:.0f} MB")
    one, two = (
        [statistics.median(kind) for kind in zip(*each, strict=True)] for each in runs.values()
    )
    paper = simulate(len(few.items), 1, cost) / simulate(len(few.items), 2, cost)
    print(
        f"{len(few.items)} recordings, medians: two workers are {one[0] / two[0]:.2f} times as "
        f"fast as one, by seconds of the processor {one[1] / two[1]:.2f} times, simulated "
        f"{paper:.2f} times"
    )
    table = {
        heavy: {n: simulate(args.clips, n, cost, heavy) for n in WORKERS} for heavy in (1, HEAVY)
    }
    for heavy, rows in table.items():
        print(f"{args.clips} recordings, {heavy} times the time in the model:")
        for n, seconds in rows.items():
            print(f"  {n:4} workers {seconds:9.1f} s, efficiency {rows[1] / seconds / n:.2f}")
    if args.json:
        whole = {"cost": cost, "runs": runs, "simulated": table}
        Path(args.json).write_text(json.dumps(whole, indent=1))


if __name__ == "__main__":
    main()
