"""Laws of a run: whoever computes and whoever dies, the folder is the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from jobs import (
    COUNT,
    PATIENCE,
    SETTINGS,
    computed,
    done,
    files,
    loaded,
    make_nothing,
    make_refusal,
    pids,
    shards,
    until,
)

from dftlrp.concepts.shards import Failure, Workers, local, open_store, run
from dftlrp.core.types import InputError


def test_every_shard_has_its_result(undisturbed, tmp_path):
    assert len([name for name in undisturbed if name.startswith("shards/")]) == COUNT
    done(tmp_path, shards()[:3], count=1)
    with open_store(tmp_path, SETTINGS) as store:
        assert [int(r["count"]) for r in loaded(store)] == [0, 1, 2]


def test_one_and_two_workers_leave_the_same_bytes(undisturbed, tmp_path):
    assert done(tmp_path, count=2) == []
    assert files(tmp_path) == undisturbed


def test_what_is_done_is_not_computed_again(undisturbed, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    done(tmp_path / "out", shards()[:20], first)
    done(tmp_path / "out", shards(), second)
    assert set(computed(first)) == set(range(20))
    assert computed(second) == dict.fromkeys(range(20, COUNT), 1)
    assert files(tmp_path / "out") == undisturbed


def test_a_killed_worker_costs_the_shard_it_held(undisturbed, tmp_path):
    faults = {f"s{i}": {"fault": "die", "until": tmp_path / f"died{i}"} for i in (0, 7, 30)}
    assert done(tmp_path / "out", shards(**faults), tmp_path / "log", count=2) == []
    counts = computed(tmp_path / "log")
    assert {i: n for i, n in counts.items() if n != 1} == {0: 2, 7: 2, 30: 2}
    assert files(tmp_path / "out") == undisturbed


def test_a_worker_killed_from_outside_costs_one_shard(undisturbed, tmp_path):
    log = tmp_path / "log"
    log.touch()

    def kill():
        until(lambda: len(log.read_text().splitlines()) > 19)
        os.kill(min(pids(log)), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with open_store(tmp_path / "out", SETTINGS) as store:
        assert run(partial(pausing, log), shards(), store, Workers(2)) == []
    killer.join()
    assert sum(computed(log).values()) <= COUNT + 1
    assert files(tmp_path / "out") == undisturbed


def pausing(log):
    from jobs import make

    return make(log, 0.02)


def test_a_shard_that_kills_every_worker_is_named_and_the_others_are_done(undisturbed, tmp_path):
    log = tmp_path / "log"
    failures = done(tmp_path / "out", shards(s5={"fault": "die"}), log, count=2)
    assert failures == [Failure(5, "its worker died, 3 times")]
    assert computed(log) == {i: 3 if i == 5 else 1 for i in range(COUNT)}
    assert done(tmp_path / "out") == []
    assert files(tmp_path / "out") == undisturbed


def test_a_shard_that_needs_more_memory_than_there_is_is_named_and_the_others_are_done(tmp_path):
    (failure,) = done(tmp_path, shards(s5={"fault": "grow"})[:9], tmp_path / "log", count=2)
    assert failure.index == 5
    assert "MemoryError: Unable to allocate" in failure.reason
    assert computed(tmp_path / "log") == dict.fromkeys(range(9), 1)
    assert done(tmp_path, shards()[:9]) == []


@pytest.mark.parametrize("fault", ["hang", pytest.param("freeze", marks=pytest.mark.slow)])
def test_a_shard_that_hangs_is_tried_again(undisturbed, tmp_path, fault):
    faults = {"s5": {"fault": fault, "until": tmp_path / "hung"}}
    assert done(tmp_path / "out", shards(**faults), count=2, timeout=2) == []
    assert files(tmp_path / "out") == undisturbed


def test_a_shard_that_always_hangs_is_named(tmp_path):
    failures = done(tmp_path, shards(s1={"fault": "hang"})[:4], count=2, timeout=0.5)
    assert failures == [Failure(1, "took more than 0.5 s, 3 times")]


def test_what_the_work_raises_is_a_failure_in_one_line_and_is_tried_by_the_next_run(
    undisturbed, tmp_path
):
    of = shards(s9={"fault": "raise"}, s2={"fault": "raise"})
    reason = "ZeroDivisionError: of all things"
    log = tmp_path / "log"
    assert done(tmp_path / "out", of, log, count=2) == [Failure(2, reason), Failure(9, reason)]
    assert computed(log)[9] == 1
    assert done(tmp_path / "out") == []
    assert files(tmp_path / "out") == undisturbed


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_refusal, "^model.onnx: no such file$"),
        (make_nothing, "a worker cannot be made: KeyError: 'no such model'"),
        (partial(int, "x"), "a worker cannot be made: ValueError"),
    ],
)
def test_a_worker_that_cannot_be_made_stops_the_run(tmp_path, make, said):
    with open_store(tmp_path, SETTINGS) as store, pytest.raises(InputError, match=said):
        run(make, shards(), store, Workers(2))


@pytest.mark.parametrize("options", [{"count": 0}, {"count": 1.5}, {"timeout": 0}])
def test_senseless_options_are_refused(tmp_path, options):
    with pytest.raises(InputError, match="a positive number"):
        done(tmp_path, **options)


def test_workers_compute_with_one_thread_and_the_caller_does_as_before(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with open_store(tmp_path, SETTINGS) as store:
        assert run(threads, [0], store, Workers()) == []
        assert store.load(0)["limits"].tolist() == ["1", "1", "1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def threads():
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return lambda shard: {"limits": [os.environ[name] for name in names]}


def call_script(folder, *lines):
    names = "from dftlrp.concepts.shards import Workers, open_store, run"
    text = "\n".join(["from functools import partial", names, *lines])
    (folder / "script.py").write_text(text)
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def test_a_script_needs_no_guard_and_is_not_run_again(tmp_path):
    child = call_script(
        tmp_path,
        "print('here')",
        "with open_store('out', {}) as store:",
        "    assert run(partial(partial, dict), [{'a': 1.0}], store, Workers()) == []",
    )
    assert (child.returncode, child.stdout) == (0, "here\n"), child.stderr


def test_what_a_script_defines_can_be_the_work(tmp_path):
    child = call_script(
        tmp_path,
        "def make():",
        "    return lambda shard: {'a': float(shard)}",
        "if __name__ == '__main__':",
        "    with open_store('out', {}) as store:",
        "        assert run(make, [1, 2], store, Workers()) == []",
        "        print(store.load(1)['a'])",
    )
    assert (child.returncode, child.stdout) == (0, "2.0\n"), child.stderr


def test_without_distributed_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'dftlrp\[cluster\]'"):
        done(tmp_path, scheduler="tcp://127.0.0.1:1")


def test_runs_share_their_workers_where_these_are_kept_and_a_broken_pool_is_not(tmp_path):
    def workers():
        return {child.pid for child in multiprocessing.active_children()}

    with local.keep_workers():
        done(tmp_path / "a", shards()[:2], count=1)
        first = workers()
        done(tmp_path / "b", shards()[:2], count=1)
        assert len(first) == 1
        assert workers() == first
        with open_store(tmp_path / "c", SETTINGS) as store, pytest.raises(InputError):
            run(make_refusal, shards(), store, Workers(1))
        assert workers() == set()
        done(tmp_path / "d", shards()[:2], count=1)
        assert len(workers()) == 1
    assert workers() == set()
    assert files(tmp_path / "a") == files(tmp_path / "d")


def ignore_the_end(log):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    log.write_text(str(os.getpid()))
    time.sleep(PATIENCE)


def test_a_pool_that_ends_while_a_worker_starts_says_nothing(tmp_path, capfd):
    def workers():
        return {child.pid for child in multiprocessing.active_children()}

    log = tmp_path / "log"
    with local._open_pool(2, False) as pool:
        pool.schedule(ignore_the_end, (log,))
        until(lambda: log.exists() and log.read_text())
        busy = int(log.read_text())
        (idle,) = workers() - {busy}
        os.kill(idle, signal.SIGKILL)
        until(lambda: workers() - {busy, idle})
    assert workers() == set()
    assert capfd.readouterr().err == ""
