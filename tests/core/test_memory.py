"""Memory of large arrays is used again while something is computed, and only then."""

import ctypes
import os
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from dftlrp.core import memory
from dftlrp.core.memory import MANY, OTHERWISE, WHILE_COMPUTING, find_library, reuse_memory

LARGE = 2**23  # numbers: 64 MB, above what glibc keeps by itself
SEVERAL = 5
BEGIN, END = list(WHILE_COMPUTING.items()), list(OTHERWISE.items())
glibc = pytest.mark.skipif(find_library() is None, reason="no mallopt, or it is set from outside")


@pytest.fixture
def asked(monkeypatch):
    """What the allocator is told, noted instead; nothing was computed before."""
    found = []
    library = SimpleNamespace(
        mallopt=lambda *pair: found.append(pair),
        malloc_trim=lambda _: found.append("trim"),
    )
    monkeypatch.setattr(memory, "_count_pages", lambda: 0)
    monkeypatch.setattr(memory, "find_library", lambda: library)
    monkeypatch.setattr(memory._ALLOCATOR, "last", "a")
    return found


def count_new_pages(turns):
    before = memory._count_pages()
    for _ in range(turns):
        np.ones(LARGE).sum()
    return memory._count_pages() - before


@glibc
def test_the_second_large_array_takes_no_new_pages():
    with reuse_memory("a"):
        count_new_pages(1)
        inside = count_new_pages(8)
    assert inside < 8
    assert count_new_pages(8) >= 8 * LARGE * 8 / 2**22  # of huge pages, even


@glibc
def test_the_same_again_finds_its_memory_and_another_hands_it_back(monkeypatch):
    monkeypatch.setattr(memory, "MANY", 0)  # huge pages are few

    def read():
        status = open("/proc/self/status", encoding="ascii")  # noqa: SIM115
        with status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    for _ in range(2):
        with reuse_memory("a"):
            few = [np.ones(LARGE) for _ in range(SEVERAL)]  # 320 MB
            kept = np.ones(10_000)  # which lies above what is free now
            del few
            few = count_new_pages(1)
    assert few < 8
    before = read()
    with reuse_memory("b"):
        assert read() < before - SEVERAL * LARGE * 8 // 1024 // 2
    assert kept.sum() == 10_000


def test_the_allocator_is_set_once_however_many_compute(asked):
    both = threading.Barrier(2)

    def compute():
        with reuse_memory("a"):
            both.wait(10)

    thread = threading.Thread(target=compute)
    with reuse_memory("a"), reuse_memory("a"):
        thread.start()
        both.wait(10)
        thread.join()
        assert asked == BEGIN
    assert asked == [*BEGIN, *END]


def test_an_error_sets_the_allocator_back(asked):
    with pytest.raises(ZeroDivisionError), reuse_memory("b"):
        1 / 0  # noqa: B018
    assert asked == [*BEGIN, *END]


@pytest.mark.parametrize("taken", [MANY, MANY + 1])
def test_memory_is_handed_back_for_another_call_if_it_is_much(asked, monkeypatch, taken):
    monkeypatch.setattr(memory._ALLOCATOR, "taken", taken)
    for what in "ab":
        with reuse_memory(what):
            pass
    assert asked == [*BEGIN, *END, *["trim"] * (taken > MANY), *BEGIN, *END]


def test_a_forked_process_has_no_calls_of_others(asked):
    with reuse_memory("a"):
        allocator = memory._ALLOCATOR
        calls, lock = allocator.calls, allocator.lock
        allocator.start_anew()
        assert allocator.calls == 0
        assert allocator.lock is not lock
        assert asked == [*BEGIN, *END]
        allocator.calls = calls


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_an_allocator_that_the_environment_sets_is_left_alone(monkeypatch, name):
    monkeypatch.setitem(os.environ, name, "1")
    assert find_library.__wrapped__() is None


def test_systems_without_it_are_left_alone(monkeypatch):
    def refuse(_):
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert find_library.__wrapped__() is None
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert find_library.__wrapped__() is None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert find_library.__wrapped__() is None
