"""Laws of a run over a dask cluster: those of any run, with workers that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import jobs
import pytest
from jobs import (
    COUNT,
    SETTINGS,
    computed,
    done,
    files,
    make,
    make_from,
    make_nothing,
    make_refusal,
    pids,
    recorded,
    until,
    with_more_threads,
)
from jobs import shards as all_shards
from needed import needed

from dftlrp.concepts.shards import Failure, Workers, open_store, run
from dftlrp.core.types import InputError

needed("distributed")
distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
def cluster():
    """Two workers, each a process with a nanny."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    ) as two:
        yield two


def workers(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        return client.run(os.getpid)


def test_a_cluster_leaves_the_same_bytes(cluster, undisturbed, tmp_path):
    log = tmp_path / "log"
    assert done(tmp_path / "out", log=log, scheduler=cluster.scheduler_address) == []
    assert computed(log) == dict.fromkeys(range(COUNT), 1)
    assert pids(log) == set(workers(cluster).values())
    assert files(tmp_path / "out") == undisturbed


def test_a_run_begun_by_processes_goes_on_in_a_cluster(cluster, undisturbed, tmp_path):
    done(tmp_path / "out", all_shards()[:20])
    assert done(tmp_path / "out", log=tmp_path / "log", scheduler=cluster.scheduler_address) == []
    assert computed(tmp_path / "log") == dict.fromkeys(range(20, COUNT), 1)
    assert files(tmp_path / "out") == undisturbed


def test_a_killed_worker_costs_the_shards_in_its_window(cluster, undisturbed, tmp_path):
    log = tmp_path / "log"
    log.touch()
    killed = min(workers(cluster).values())

    def kill():
        until(lambda: len(log.read_text().splitlines()) > 19)
        os.kill(killed, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with open_store(tmp_path / "out", SETTINGS) as store:
        slow = partial(make, log, 0.02)
        assert run(slow, all_shards(), store, Workers(scheduler=cluster.scheduler_address)) == []
    killer.join()
    assert sum(computed(log).values()) <= COUNT + 2
    assert files(tmp_path / "out") == undisturbed


def test_where_the_run_is_killed_another_goes_on_in_the_same_cluster(
    cluster, undisturbed, tmp_path
):
    out, log = tmp_path / "out", tmp_path / "log"
    code = "import sys, jobs; sys.exit(jobs.main(*sys.argv[1:]))"  # workers know no __main__
    options = ["1", tmp_path / "first", "0.05", cluster.scheduler_address]
    command = [sys.executable, "-c", code, out, *options]
    with subprocess.Popen(command, cwd=Path(jobs.__file__).parent) as child:
        until(lambda: len(recorded(out)) > 9 or child.poll() is not None)
        child.kill()
    kept = recorded(out)
    assert done(out, log=log, scheduler=cluster.scheduler_address) == []
    assert not kept & computed(log).keys()
    assert files(out) == undisturbed


def test_a_shard_that_kills_every_worker_is_named_and_the_others_are_done(
    cluster, undisturbed, tmp_path
):
    log, of = tmp_path / "log", all_shards(s5={"fault": "die"})
    failures = done(tmp_path / "out", of, log, scheduler=cluster.scheduler_address)
    assert failures == [Failure(5, "its worker died or took too long, 4 times")]
    assert computed(log)[5] == 4
    assert done(tmp_path / "out") == []
    assert files(tmp_path / "out") == undisturbed


def test_a_shard_that_hangs_is_tried_again(cluster, undisturbed, tmp_path):
    of = all_shards(s5={"fault": "hang", "until": tmp_path / "hung"})
    address = cluster.scheduler_address
    assert done(tmp_path / "out", of, tmp_path / "log", scheduler=address, timeout=3) == []
    assert computed(tmp_path / "log")[5] == 2
    assert files(tmp_path / "out") == undisturbed


def test_a_frozen_worker_counts_as_dead_after_its_time(cluster, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr("dftlrp.concepts.shards.cluster.WORKER_TTL", 6)  # seconds, not 60
    of = all_shards(s5={"fault": "freeze", "until": tmp_path / "frozen"})
    assert done(tmp_path / "out", of, scheduler=cluster.scheduler_address) == []
    assert cluster.scheduler.worker_ttl == 6
    assert files(tmp_path / "out") == undisturbed


def test_what_the_work_raises_is_a_failure_in_one_line(cluster, tmp_path):
    of = all_shards(s2={"fault": "raise"})
    failures = done(tmp_path / "out", of, tmp_path / "log", scheduler=cluster.scheduler_address)
    assert failures == [Failure(2, "ZeroDivisionError: of all things")]
    assert computed(tmp_path / "log")[2] == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_refusal, "^model.onnx: no such file$"),
        (make_nothing, "a worker cannot be made: KeyError: 'no such model'"),
    ],
)
def test_a_worker_that_cannot_be_made_stops_the_run(cluster, tmp_path, make, said):
    with open_store(tmp_path, SETTINGS) as store, pytest.raises(InputError, match=said):
        run(make, all_shards(), store, Workers(scheduler=cluster.scheduler_address))


def test_a_folder_that_workers_cannot_write_stops_the_run(cluster, tmp_path):
    with open_store(tmp_path / "out", SETTINGS) as store:
        (tmp_path / "out" / "shards").rmdir()
        with pytest.raises(InputError, match="cannot write: No such file"):
            run(make, all_shards(), store, Workers(scheduler=cluster.scheduler_address))


def test_workers_that_compute_with_more_threads_are_refused(cluster, tmp_path):
    with distributed.Client(cluster, set_as_default=False) as client:
        client.run(with_more_threads)
    with pytest.raises(InputError, match="start it with OMP_NUM_THREADS=1"):
        done(tmp_path, scheduler=cluster.scheduler_address)


def test_each_run_makes_its_own_workers(cluster, tmp_path):
    path, found = tmp_path / "model", []
    for text in ("old", "new"):
        path.write_text(text)
        with open_store(tmp_path / text, SETTINGS) as store:
            run(
                partial(make_from, path),
                [0, 1],
                store,
                Workers(scheduler=cluster.scheduler_address),
            )
            found.append(str(store.load(1)["text"]))
    assert found == ["old", "new"]


def test_where_the_cluster_goes_away_the_run_stops_and_another_goes_on(undisturbed, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    with distributed.LocalCluster(n_workers=1, dashboard_address="127.0.0.1:0") as short:

        def close():
            until(lambda: len(recorded(out)) > 9)
            short.close()

        closer = threading.Thread(target=close)
        closer.start()
        with open_store(out, SETTINGS) as store, pytest.raises(InputError, match="has gone"):
            run(
                partial(make, None, 0.05),
                all_shards(),
                store,
                Workers(scheduler=short.scheduler_address),
            )
        closer.join()
    kept = recorded(out)
    assert done(out, log=log) == []
    assert not kept & computed(log).keys()
    assert files(out) == undisturbed


def test_the_scheduler_forgives_three_deaths_and_waits_a_minute(cluster, tmp_path):
    done(tmp_path, all_shards()[:2], scheduler=cluster.scheduler_address)
    assert cluster.scheduler.allowed_failures == 3
    assert cluster.scheduler.worker_ttl == 60


def test_where_no_scheduler_answers_the_run_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("dftlrp.concepts.shards.cluster.PATIENCE", 1)
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(InputError, match="no scheduler at") as caught:
            done(tmp_path, scheduler=address)
        assert "\n" not in str(caught.value)


def test_a_scheduler_without_workers_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("dftlrp.concepts.shards.cluster.PATIENCE", 1)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as empty,
        pytest.raises(InputError, match="has no worker"),
    ):
        done(tmp_path, scheduler=empty.scheduler_address)


@pytest.mark.parametrize("address", ["tls://127.0.0.1:1", "nowhere://x:1"])
def test_an_address_that_needs_what_is_not_configured_is_refused_in_one_line(tmp_path, address):
    with pytest.raises(InputError, match=r"^no scheduler at [^\n]*$"):
        done(tmp_path / "out", scheduler=address)
