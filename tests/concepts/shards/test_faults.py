"""Killed, interrupted, out of space, damaged: the same command again, and the same bytes."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jobs
import pytest
from jobs import COUNT, PATIENCE, computed, done, files, pids, recorded, until

from dftlrp.core.types import InputError


@pytest.fixture
def start(tmp_path):
    """Starts a run of its own; none is left behind."""
    started = []

    def begin(log="log", workers=2, pause=0.03, **options):
        command = [sys.executable, jobs.__file__, tmp_path / "out", str(workers), tmp_path / log]
        child = subprocess.Popen(
            [*command, str(pause)], stderr=subprocess.PIPE, text=True, start_new_session=True,
            **options,
        )  # fmt: skip
        started.append(child)
        return child

    yield begin
    for child in started:
        child.kill()
        child.communicate()


def alive(pid):
    """Whether a process still runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ended(log):
    """Wait until no worker is left."""
    until(lambda: not any(map(alive, pids(log))))


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments_a_run_computes_nothing_twice(start, undisturbed, tmp_path, kills):
    rng = random.Random(7)
    for leg, goal in enumerate(sorted(rng.sample(range(COUNT - 4), kills))):
        before, log = recorded(tmp_path / "out"), tmp_path / f"log{leg}"
        log.touch()
        child = start(log.name)
        until(lambda goal=goal: len(recorded(tmp_path / "out")) >= goal)
        time.sleep(rng.uniform(0, 0.05))
        child.kill()
        child.wait()
        ended(log)
        assert not before & computed(log).keys()
    last = start("last")
    assert last.communicate(timeout=PATIENCE)[1] == ""
    assert last.returncode == 0
    assert files(tmp_path / "out") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.05, 0.2, 0.4, 0.6, 0.8])
def test_killed_while_it_starts_a_run_can_be_started_again(start, undisturbed, tmp_path, delay):
    child = start()
    time.sleep(delay)
    child.kill()
    child.wait()
    assert done(tmp_path / "out", count=2) == []
    assert files(tmp_path / "out") == undisturbed


@pytest.mark.parametrize("whom", [os.kill, os.killpg])
def test_ctrl_c_leaves_no_process_and_a_folder_to_go_on_with(start, undisturbed, tmp_path, whom):
    child = start()
    until(lambda: len(recorded(tmp_path / "out")) > 9)
    whom(child.pid, signal.SIGINT)
    assert child.communicate(timeout=PATIENCE)[1] == ""
    assert child.returncode == 130
    ended(tmp_path / "log")
    kept = recorded(tmp_path / "out")
    assert len(kept) > 9
    done(tmp_path / "out", log=tmp_path / "second")
    assert not kept & computed(tmp_path / "second").keys()
    assert files(tmp_path / "out") == undisturbed


def test_a_second_run_in_the_same_folder_is_refused_in_one_line(start, undisturbed, tmp_path):
    first = start(pause=0.2)  # longer than a second one takes to start
    until(lambda: recorded(tmp_path / "out"))
    second = start("other")
    said = second.communicate(timeout=PATIENCE)[1]
    assert second.returncode == 2
    assert "another run is writing here" in said
    assert said.count("\n") == 1
    assert first.wait(PATIENCE) == 0
    assert files(tmp_path / "out") == undisturbed


def mounted(folder, size):
    """A small disk; skip where this user may make none."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if shutil.which("mount") is None or subprocess.run(command, stderr=-3, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")


def test_on_a_full_disk_a_run_stops_in_one_line_and_goes_on_once_there_is_room(
    start, undisturbed, tmp_path
):
    disk = tmp_path / "out"
    disk.mkdir()
    mounted(disk, "200k")
    try:
        child = start()
        said = child.communicate(timeout=PATIENCE)[1]
        assert child.returncode == 2
        assert "No space left on device" in said
        assert said.count("\n") == 1
        kept = recorded(disk)
        assert 5 < len(kept) < COUNT
        subprocess.run(["mount", "-o", "remount,size=10m", disk], check=True)
        done(disk, log=tmp_path / "second")
        assert not kept & computed(tmp_path / "second").keys()
        assert files(disk) == undisturbed
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("good", [0, 1, 3, 20])  # syncs: settings, their folder, manifest
def test_where_the_disk_cannot_sync_a_run_stops_in_one_line(
    undisturbed, tmp_path, monkeypatch, good
):
    real, left = os.fsync, [None] * good

    def sync(number):
        if not left:
            raise OSError(errno.EIO, "Input/output error")
        left.pop()
        real(number)

    monkeypatch.setattr("os.fsync", sync)
    with pytest.raises(InputError, match=r"^[^\n]*Input/output error[^\n]*$"):
        done(tmp_path / "out")
    monkeypatch.undo()
    assert done(tmp_path / "out") == []
    assert files(tmp_path / "out") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 60, 2000, 3000])  # bytes: settings, manifest, or shards
def test_where_files_cannot_grow_a_run_stops_in_one_line(start, undisturbed, tmp_path, limit):
    def few():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    child = start(preexec_fn=few, cwd=tmp_path)
    said = child.communicate(timeout=PATIENCE)[1]
    assert child.returncode == 2
    assert "File too large" in said
    assert said.count("\n") == 1
    assert done(tmp_path / "out") == []
    assert files(tmp_path / "out") == undisturbed


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def tear(path):
    """The last line, as where a machine loses power."""
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("name", "damage", "redone"),
    [
        ("shards/000007.npz", cut, {7}),
        ("shards/000007.npz", flip, {7}),
        ("shards/000007.npz", lambda path: path.write_bytes(b""), {7}),
        ("shards/000007.npz", Path.unlink, {7}),
        ("manifest.jsonl", tear, {COUNT - 1}),
        ("manifest.jsonl", flip, {COUNT // 2}),
        ("manifest.jsonl", Path.unlink, set(range(COUNT))),
    ],
)
def test_what_is_damaged_is_found_and_redone_alone(undisturbed, tmp_path, name, damage, redone):
    for file, data in undisturbed.items():
        (tmp_path / "out" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / file).write_bytes(data)
    damage(tmp_path / "out" / name)
    assert done(tmp_path / "out", log=tmp_path / "log") == []
    assert computed(tmp_path / "log") == dict.fromkeys(redone, 1)
    assert files(tmp_path / "out") == undisturbed
