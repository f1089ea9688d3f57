"""Values as bytes: they come back equal, equal ones have equal bytes, and nothing runs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dftlrp.core.encoding import UnwritableError, decode, encode
from dftlrp.core.rule_text import Rule


class Pair(NamedTuple):
    left: Any
    right: Any


NUMBERS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
RULES = st.sampled_from([Rule("epsilon"), Rule("gamma", (("gamma", 0.1),))])
LEAVES = NUMBERS | st.binary(max_size=9) | RULES | st.frozensets(st.integers(), max_size=3)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_values_come_back_equal_and_of_the_same_types(value: Any) -> None:
    data = encode(value)
    again = decode(data, [Pair, Rule])
    assert again == value
    assert encode(again) == data  # in which types count


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "u1", "?", "c8", "U3"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_arrays_come_back_as_they_were(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(6).astype(dtype)[: int(np.prod(shape))].reshape(shape)
    again = decode(encode([array, array.ravel()[:1].sum() if dtype != "U3" else 0]), [])[0]
    assert again.dtype == array.dtype
    assert again.shape == array.shape
    assert again.tobytes() == array.tobytes()
    assert again.flags.writeable


def test_what_differs_has_other_bytes() -> None:
    alike = [1, 1.0, True, "1", [1], (1,), {1: 1}, {1}, np.int64(1), np.array(1), b"1", -1, None]
    assert len({encode(value) for value in alike}) == len(alike)
    assert encode(0.0) != encode(-0.0)


@pytest.mark.parametrize("value", [object(), print, {"a": [len]}, np.array([None]), lambda: 0])
def test_what_is_no_data_is_refused(value: Any) -> None:
    with pytest.raises(UnwritableError):
        encode(value)


def test_only_records_that_are_named_are_made() -> None:
    with pytest.raises(KeyError):
        decode(encode(Pair(1, 2)), [Rule])
