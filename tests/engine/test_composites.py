"""Composites: which rule stands where, and what overrides it."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import NETWORKS, Nodes, loaded, signals
from reference import attribute

from dftlrp import Model
from dftlrp.core.rule_text import read_rule
from dftlrp.core.types import InputError
from dftlrp.engine.composites import (
    PRESETS,
    Composite,
    epsilon_gamma_box,
    find_composite,
    innvestigate_preset,
)

MODELS: dict[str, Model] = {name: loaded(make()) for name, make in NETWORKS.items()}


def rules(
    model: str, composite: str | Composite = "EpsilonPlus", **overrides: str
) -> dict[str, str]:
    """Rule by layer, where one stands."""
    table = MODELS[model].table(composite, overrides)
    return {key: str(r) for key, r in table.rules().items() if r is not None}


@pytest.mark.parametrize(
    ("preset", "first", "conv", "dense"),
    [
        ("EpsilonPlus", "zplus", "zplus", "epsilon"),
        ("EpsilonPlusFlat", "flat", "zplus", "epsilon"),
        ("EpsilonAlpha2Beta1", *["alpha_beta(alpha=2, beta=1)"] * 2, "epsilon"),
        ("EpsilonAlpha2Beta1Flat", "flat", "alpha_beta(alpha=2, beta=1)", "epsilon"),
        ("EpsilonGammaBox", "zbox(low=-1, high=1)", "gamma(gamma=0.25)", "epsilon"),
        ("Epsilon", "epsilon", "epsilon", "epsilon"),
        ("AttnLRP", "epsilon", "epsilon", "epsilon"),
        ("CPLRP", "epsilon", "epsilon", "epsilon"),
    ],
)
def test_a_preset_gives_convolutions_their_rule_and_the_rest_epsilon(
    preset: str, first: str, conv: str, dense: str
) -> None:
    assert rules("conv_stack", preset) == {
        "c1": first,
        "c2": conv,
        "p2": "epsilon",
        "h": dense,
        "z": dense,
    }
    assert rules("unet", preset)["up"] == conv
    assert rules("residual", preset)["sum"] == rules("residual", preset)["bn"] == "epsilon"


@pytest.mark.parametrize(("which", "conv"), [("a", "Alpha1Beta0"), ("b", "Alpha2Beta1")])
@pytest.mark.parametrize("flat", [False, True])
def test_innvestigates_presets_give_convolutions_alpha_beta_and_dense_layers_epsilon(
    which: str, conv: str, flat: bool
) -> None:
    names = {"c1": "Flat" if flat else conv, "c2": conv, "p2": "Z"}
    names |= dict.fromkeys("hz", "Epsilon(0.1)")
    want = {layer: str(read_rule(f"innvestigate.{name}")) for layer, name in names.items()}
    assert rules("conv_stack", innvestigate_preset(which, flat)) == want


def test_flat_stands_at_the_first_layer_of_any_kind_the_box_at_the_first_convolution() -> None:
    n = Nodes()
    n.add("Mul", f"x {n.weight('gain', 1, 6)}", "m")
    n.gemm("m", "h", 6, 6)
    n.add("Reshape", f"h {n.ints('s', -1, 2, 3)}", "r")
    n.conv("r", "c", (2, 2, 2))
    n.add("Flatten", "c", "z")
    model = loaded(n.model({"x": ["B", 6]}, {"z": ["B", 4]}))
    flat = model.table("EpsilonPlusFlat").rules()
    box = model.table("EpsilonGammaBox").rules()
    assert [str(flat[k]) for k in "mhc"] == ["epsilon", "flat", "zplus"]
    assert [str(box[k]) for k in "mhc"] == ["epsilon", "epsilon", "zbox(low=-1, high=1)"]


def test_routes_are_carried_except_by_the_gradient() -> None:
    carried = MODELS["conv_stack"].table("EpsilonPlus").rules()
    assert {k for k, r in carried.items() if r is None} == {"r1", "p1", "r2", "f", "hr"}
    assert set(map(str, MODELS["conv_stack"].table("Gradient").rules().values())) == {"gradient"}


def test_the_table_runs_from_input_to_output_and_can_be_read() -> None:
    table = MODELS["conv_stack"].table("EpsilonPlus")
    assert [layer.key for layer in table.layers] == [
        "c1",
        "r1",
        "p1",
        "c2",
        "r2",
        "p2",
        "f",
        "h",
        "hr",
        "z",
    ]
    head, first, second, *_ = str(table).splitlines()
    assert head.split(maxsplit=2) == ["layer", "op", "rule (EpsilonPlus)"]
    assert first.split() == ["c1", "Conv", "zplus"]
    assert second.split() == ["r1", "Relu", "carried"]
    assert table.layers[0].alias == "n_c1"


@pytest.mark.parametrize("key", ["c2", "n_c2"])
def test_a_layer_goes_by_its_outputs_name_or_its_nodes(key: str) -> None:
    assert rules("conv_stack", **{key: "gamma(0.1)"})["c2"] == "gamma(gamma=0.1)"


@pytest.mark.parametrize(
    ("key", "layers"),
    [
        ("first", {"c1"}),
        ("last", {"z"}),
        ("Conv", {"c1", "c2"}),
        ("AveragePool", {"p2"}),
        ("c*", {"c1", "c2"}),
        ("n_c?", {"c1", "c2"}),
        ("*", {"c1", "c2", "p2", "h", "z"}),
    ],
)
def test_an_override_means_a_place_an_op_or_a_pattern(key: str, layers: set[str]) -> None:
    changed = rules("conv_stack", **{key: "wsquare"})
    assert {k for k, r in changed.items() if r == "wsquare"} == layers


def test_first_and_last_are_layers_with_weights() -> None:
    n = Nodes()
    n.add("Mul", f"x {n.weight('gain', 1)}", "m")
    n.gemm("m", "h", 3, 3)
    n.add("Add", f"h {n.weight('off', 1)}", "z")
    table = loaded(n.model({"x": ["B", 3]}, {"z": ["B", 3]})).table(
        "Epsilon", {"first": "zplus", "last": "flat"}
    )
    assert [str(r) for r in table.rules().values()] == ["epsilon", "flat", "epsilon"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_beats_a_pattern_a_pattern_a_place_a_place_an_op(order: int) -> None:
    ladder = [("Conv", "gamma(1)"), ("first", "gamma(2)"), ("c*", "gamma(3)"), ("c1", "gamma(4)")]
    for count in range(1, 5):
        given = dict(ladder[:count][::order])
        assert rules("conv_stack", **given)["c1"] == f"gamma(gamma={count})"


def test_of_two_patterns_the_later_counts() -> None:
    assert rules("conv_stack", **{"c*": "flat", "*1": "wsquare"})["c1"] == "wsquare"
    assert rules("conv_stack", **{"*1": "wsquare", "c*": "flat"})["c1"] == "flat"


def test_an_override_that_matches_nothing_names_the_layers() -> None:
    with pytest.raises(InputError, match=r"override 'conv9' matches no layer .* c1, c2, p2, h, z"):
        rules("conv_stack", conv9="flat")
    with pytest.raises(InputError, match="'r1' matches no layer with a rule"):
        rules("conv_stack", r1="flat")


def test_an_unknown_rule_or_preset_names_what_there_is() -> None:
    with pytest.raises(InputError, match="unknown rule 'nought'"):
        rules("conv_stack", first="nought")
    with pytest.raises(
        InputError, match=f"unknown composite 'Nought': choose one of {', '.join(PRESETS)}"
    ):
        rules("conv_stack", "Nought")


def test_gradient_is_one_rule_for_all() -> None:
    with pytest.raises(InputError, match="takes no overrides"):
        rules("conv_stack", "Gradient", first="flat")


def test_the_box_and_gamma_can_be_set() -> None:
    table = rules("conv_stack", epsilon_gamma_box(low=-3, high=0.5, gamma=0.1))
    assert (table["c1"], table["c2"]) == ("zbox(low=-3, high=0.5)", "gamma(gamma=0.1)")


def test_numbers_behind_a_presets_name_are_those_of_all_rules_that_take_them() -> None:
    table = rules("conv_stack", "EpsilonAlpha2Beta1Flat(1e-3, bias=0, relative=1)")
    own = "epsilon=0.001, bias=0, relative=1"
    assert table["c1"] == "flat(epsilon=0.001, relative=1)"
    assert table["c2"] == f"alpha_beta(alpha=2, beta=1, {own})"
    assert table["h"] == f"epsilon({own})"
    named = find_composite("EpsilonPlus(relative=1)")
    assert find_composite(named.name) == named
    front = find_composite("AttnLRP(1e-3)").by_op["Softmax"]
    assert str(front) == "epsilon(epsilon=0)"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("EpsilonPlus(gamma=1)", r"composite 'EpsilonPlus\(gamma=1\)': .*no parameter"),
        ("EpsilonPlus(relative=2)", "relative must be one of"),
        ("EpsilonPlus(1", "unknown rule"),
        ("Gradient(1e-3)", "'Gradient' takes no numbers"),
        ("Nought(1)", "unknown composite"),
    ],
)
def test_numbers_that_a_preset_does_not_take_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_composite(name)


def test_a_composite_of_ones_own() -> None:
    mine = Composite(
        "mine",
        read_rule("gamma"),
        by_op={"Gemm": read_rule("flat")},
        first=read_rule("wsquare"),
        first_of=("Gemm",),
    )
    assert rules("conv_stack", mine) == {
        "c1": "gamma",
        "c2": "gamma",
        "p2": "gamma",
        "h": "wsquare",
        "z": "flat",
    }
    assert find_composite(mine) is mine


def test_the_table_is_what_runs() -> None:
    proto = NETWORKS["conv_stack"]()
    result = attribute(
        MODELS["conv_stack"],
        signals(proto),
        target=0,
        composite="EpsilonPlus",
        overrides={"first": "flat", "h": "gamma"},
    )
    shown = {layer.key: layer.rule_name for layer in result.table.layers}
    assert {r.node: r.rule for r in result.ledger.rows} == shown
    assert shown["c1"] == "flat"
    other = attribute(
        MODELS["conv_stack"],
        signals(proto),
        target=0,
        composite="EpsilonPlusFlat",
        overrides={"h": "gamma"},
    )
    np.testing.assert_array_equal(result.relevance["x"], other.relevance["x"])
