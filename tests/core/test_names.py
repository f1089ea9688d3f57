"""Names as people type them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dftlrp.core.names import SHOWN, find_alike, find_name, list_some, match_name, suggest
from dftlrp.core.types import InputError

NAMES = st.lists(st.text(string.ascii_letters, min_size=1, max_size=6), min_size=1, unique=True)


@given(NAMES, st.data())
def test_an_exact_name_wins_and_another_case_is_found_where_it_is_the_only_one(names, data):
    name = data.draw(st.sampled_from(names))
    assert match_name(name, names) == name
    other = name.swapcase()
    same = [n for n in names if n.casefold() == name.casefold()]
    expected = other if other in names else name if len(same) == 1 else None
    assert match_name(other, names) == expected


def test_a_name_that_several_have_in_other_cases_is_refused():
    with pytest.raises(InputError, match=r"label 'AB': did you mean 'Ab' or 'ab'\? choose one of"):
        find_name("AB", ["Ab", "ab", "c"], "label")


@pytest.mark.parametrize(
    ("typed", "alike"),
    [
        ("gama", ["gamma"]),
        ("GAMA", ["gamma"]),
        ("conv4", ["/features/conv4/Conv"]),
        ("nothing", []),
        ("x", []),
        ("", []),
    ],
)
def test_only_what_is_alike_is_suggested(typed, alike):
    known = ["gamma", "zplus", "/features/conv4/Conv", "wave"]
    assert find_alike(typed, known) == alike
    assert bool(suggest(typed, known)) == bool(alike)


def test_a_message_lists_some_of_many():
    assert list_some(range(SHOWN)).endswith(f", {SHOWN - 1}")
    assert list_some(range(SHOWN + 5)).endswith(f"{SHOWN - 1}, and 5 more")
