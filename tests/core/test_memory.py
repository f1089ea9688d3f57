"""Memory of large arrays is used again while something is computed, and only then."""

import os
import sys
import threading

import numpy as np
import pytest

from dftlrp.core import memory
from dftlrp.core.memory import ELSE, WHILE_COMPUTING, reuse_memory

LARGE = 2**23  # numbers: 64 MB, above what glibc keeps by itself


@pytest.fixture
def asked(monkeypatch):
    """What the allocator is told, noted instead."""
    found = []
    monkeypatch.setattr(memory, "_find_setter", lambda: lambda *pair: found.append(pair))
    return found


def count_new_pages(turns):
    import resource

    def read():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    before = read()
    for _ in range(turns):
        np.ones(LARGE).sum()
    return read() - before


@pytest.mark.skipif(
    memory._find_setter() is None, reason="the C library is not glibc, or is set from outside"
)
def test_the_second_large_array_takes_no_new_pages():
    with reuse_memory():
        count_new_pages(1)
        inside = count_new_pages(8)
    assert inside < 8
    assert count_new_pages(8) >= 8 * LARGE * 8 / 2**22  # of huge pages, even


def test_the_allocator_is_set_once_however_many_compute(asked):
    both = threading.Barrier(2)

    def compute():
        with reuse_memory():
            both.wait(10)

    thread = threading.Thread(target=compute)
    with reuse_memory(), reuse_memory():
        thread.start()
        both.wait(10)
        thread.join()
        assert asked == list(WHILE_COMPUTING.items())
    assert asked == [*WHILE_COMPUTING.items(), *ELSE.items()]


def test_an_error_hands_memory_back(asked):
    with pytest.raises(ZeroDivisionError), reuse_memory():
        1 / 0  # noqa: B018
    assert asked[-len(ELSE) :] == list(ELSE.items())


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_an_allocator_that_the_environment_sets_is_left_alone(monkeypatch, name):
    monkeypatch.setitem(os.environ, name, "1")
    assert memory._find_setter.__wrapped__() is None


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory._find_setter.__wrapped__() is None
