"""Laws of explanations side by side: their names, their differences, their files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from explanations import explanation, quake, stacked, two_tones, with_input, with_mel

import dftlrp
from dftlrp.core.types import InputError
from dftlrp.results.bands import POOLED, pool_relevance, pool_together
from dftlrp.results.differences import find_scales, is_relative

SEVEN = explanation()
SIX = explanation(label="six", total=2.0, against=-1.2)
LONG = explanation(np.random.default_rng(0).normal(size=9000))  # 1.125 s instead of 0.5 s
FINE = explanation(two_tones(8000, 16000.0), rate=16000.0)
OTHERS = {"another class": SIX, "another length": LONG, "another rate": FINE}


def of(facts, e=SEVEN):
    """An explanation with other facts of how it was made."""
    return replace(e, provenance={**e.provenance, **facts})


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("what", POOLED)
def test_units_in_common_are_those_of_each_and_hold_all_relevance(other, what):
    pair = pool_together([SEVEN, other], what)
    for pooled, e in zip(pair, (SEVEN, other), strict=True):
        R = e.relevance[pooled.domain]
        for part, own in ((pooled.net, R), (pooled.favour, R[R > 0]), (pooled.against, R[R < 0])):
            assert part.sum() == pytest.approx(own.sum())
        assert len(pooled.edges) == len(pair[0].edges)
        for edges, shared in zip(pooled.edges, pair[0].edges, strict=True):
            np.testing.assert_array_equal(edges, shared)
    if other is SIX:
        for pooled, e in zip(pair, (SEVEN, other), strict=True):
            np.testing.assert_array_equal(pooled.net, pool_relevance(e, what).net)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("what", POOLED)
def test_differences_add_up_are_antisymmetric_and_begin_with_the_largest(other, what):
    there = dftlrp.compare(SEVEN, other).differences(what, None)
    back = dftlrp.compare(other, SEVEN).differences(what, None)
    domain = POOLED[what]
    total = SEVEN.relevance[domain].sum() - other.relevance[domain].sum()
    assert sum(d.difference for d in there) == pytest.approx(total, abs=1e-9)
    assert {(d.band, d.time): d.difference for d in there} == {
        (d.band, d.time): -d.difference for d in back
    }
    sizes = [abs(d.difference) for d in there]
    assert sizes == sorted(sizes, reverse=True)
    assert all(d.difference == d.amounts[0] - d.amounts[1] for d in there)
    assert dftlrp.compare(SEVEN, other).differences(what, 3) == there[:3]


@pytest.mark.parametrize("what", POOLED)
def test_nothing_differs_from_itself(what):
    both = dftlrp.compare(SEVEN, SEVEN)
    assert both.labels == ("A", "B")
    assert all(d.difference == 0 for d in both.differences(what, None))


@pytest.mark.parametrize("fact", ["model sha256", "method", "composite", "reference"])
def test_of_two_models_or_methods_shares_are_compared(fact):
    pair = (SEVEN, of({fact: "another"}, replace(SEVEN, relevance={
        d: 100 * R for d, R in SEVEN.relevance.items()})))  # fmt: skip
    assert is_relative(pair)
    assert not is_relative((SEVEN, SIX, LONG))
    for what, domain in POOLED.items():
        rows = dftlrp.compare(*pair).differences(what, None)
        assert all(d.relative and abs(d.difference) < 1e-12 for d in rows)
        assert sum(abs(d.amounts[0]) for d in rows) == pytest.approx(1)
        first, second = find_scales(pair, domain)
        assert first == pytest.approx(100 * second)
    silent = explanation(np.zeros(4000), provenance={"method": "x"})
    assert find_scales((silent, SEVEN), "time")[0] == 1


def test_of_several_each_is_compared_with_the_first():
    three = dftlrp.compare(SEVEN, SIX, LONG, names=["x", "y", "z"])
    assert len(three) == 3
    assert list(three) == [SEVEN, SIX, LONG]
    pairs = {d.names for d in three.differences("bands", None)}
    assert pairs == {("x", "y"), ("x", "z")}


NAMED = {"model": "a.onnx", "method": "lrp", "recording": "a.wav"}


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        ([{}, {"model": "b.onnx"}], ("a.onnx", "b.onnx")),
        ([{}, {"recording": "b.wav"}], ("a.wav", "b.wav")),
        ([{}, {"method": "rise"}], ("lrp", "rise")),
        ([{}, {"model": "b.onnx", "recording": "b.wav"}], ("a.onnx", "b.onnx")),
        ([{}, {"model": "b.onnx"}, {"method": "rise"}],
         ("a.onnx, lrp", "b.onnx, lrp", "a.onnx, rise")),
        ([{}, {}, {"recording": "b.wav"}], ("A", "B", "C")),
    ],
)  # fmt: skip
def test_names_are_the_shortest_that_tell_explanations_apart(facts, names):
    made = [of({**NAMED, **one}) for one in facts]
    assert dftlrp.compare(*made).labels == names
    given = [f"name {i}" for i in range(len(made))]
    assert dftlrp.compare(*made, names=given).labels == tuple(given)
    assert dftlrp.compare(SEVEN, of({"model": "b.onnx"}, SIX)).labels == ("seven", "six")


def test_what_has_nothing_in_common_is_refused_in_one_line():
    parts = {d: replace(SEVEN, **{g: {d: getattr(SEVEN, g)[d]} for g in ("signal", "relevance",
             "axes")}) for d in SEVEN.domains}  # fmt: skip
    slow = explanation(two_tones(90), rate=1.0)
    for pair, said in (
        ((SEVEN,), "1 explanations: two or more"),
        ((SEVEN, "out"), "str cannot be compared"),
        ((parts["time"], parts["frequency"]), r"no domain .* \(A: time; B: frequency\)"),
        ((SEVEN, slow), "1 samples per second and .* 8000: rates more than 16 times apart"),
        ((SEVEN, stacked(SEVEN, SEVEN, SEVEN)), "1 and 3 channels"),
        ((SEVEN,) * 9, "9 explanations: 1 to 8"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            dftlrp.compare(*pair)
        assert "\n" not in str(caught.value)
    for names in (["a"], ["a", "a"], "ab", ["a", "b", "c"]):
        with pytest.raises(InputError, match="give 2 different ones"):
            dftlrp.compare(SEVEN, SIX, names=names)


def test_parts_that_start_at_other_times_are_counted_from_their_starts(tmp_path):
    later = replace(SIX, start=60.0, axes={
        "time": SIX.axes["time"] + 60, "frequency": SIX.axes["frequency"],
        "time-frequency": (SIX.axes["time-frequency"][0], SIX.axes["time-frequency"][1] + 60),
    })  # fmt: skip
    for what in POOLED:
        now, then = (dftlrp.compare(SEVEN, e).differences(what, None) for e in (SIX, later))
        for a, b in zip(now, then, strict=True):
            assert (a.band, a.time) == (b.band, b.time)
            assert a.difference == pytest.approx(b.difference)
    page = dftlrp.compare(SEVEN, later).save(tmp_path)[0].read_text("utf-8")
    assert "counted from the start of each part: “seven” 0 s, “six” 60 s." in page


def test_a_figure_names_what_the_label_does_not_tell_apart():
    other = of({"method": "rise"})
    title = dftlrp.compare(of({"method": "lrp"}), other).plot().get_suptitle()
    assert "“seven, lrp”" in title
    assert "“seven, rise”" in title
    assert dftlrp.compare(SEVEN, SIX).plot().get_suptitle().startswith("Why “seven”?")
    with pytest.raises(InputError, match="one figure shows explanations of one recording"):
        dftlrp.compare(SEVEN, LONG).plot()


def test_rows_print_as_sentences():
    row = dftlrp.compare(SEVEN, SIX).differences("tiles", 1)[0]
    assert str(row) == "355 to 447 Hz at 0.1 to 0.15 s: “seven” 4.99, “six” −3.79 (+8.78)"
    shares = dftlrp.compare(SEVEN, of({"method": "rise"}, SIX))
    assert str(shares.differences("bands", 1)[0]).endswith("“seven” 71.4 %, “six” −45.4 % (+117 %)")
    head, *rows = repr(shares).splitlines()
    assert head == "Comparison of “seven” and “six”"
    assert len(rows) == 6
    assert "\x1b" not in repr(dftlrp.compare(SEVEN, SIX, names=["\x1b[2J", "b"]))


def test_files_of_each_have_a_prefix_and_a_recording_is_written_once(tmp_path):
    made = [of({"recording": "a.wav"}), of({"recording": "a.wav"}, SIX), LONG]
    files = {p.name for p in dftlrp.compare(*made).save(tmp_path)}
    kinds = {"resynthesis", "complement", "heatmap", "rectified", "negative"}
    own = {"explanation.npz", "bands.csv", "segments.csv", *(f"{k}.wav" for k in kinds)}
    assert files == own | {f"versus-{n}" for n in own} | {f"versus-2-{n}" for n in own} | {
        "report.html", "original.wav", "versus-2-original.wav"
    }  # fmt: skip
    assert [dftlrp.Explanation.load(tmp_path / f"{p}explanation.npz").label
            for p in ("", "versus-", "versus-2-")] == ["seven", "six", "seven"]  # fmt: skip
    SEVEN.save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} - {".lock", ".dftlrp.json"} == own | {
        "report.html", "original.wav"
    }  # fmt: skip


def test_the_page_shows_what_all_have_and_says_what_only_one_has(tmp_path):
    more = with_mel(with_input(SIX, np.ones((5, 7)), np.eye(5, 7)))
    page = dftlrp.compare(SEVEN, more).save(tmp_path)[0].read_text("utf-8")
    assert "Only “six” has input, mel: not shown here." in page
    dftlrp.compare(quake(500), replace(quake(500), label="S")).save(tmp_path)


def test_the_same_explanations_give_the_same_page(tmp_path):
    pages = [dftlrp.compare(SEVEN, LONG).save(tmp_path / n)[0].read_bytes() for n in "ab"]
    assert pages[0] == pages[1]
