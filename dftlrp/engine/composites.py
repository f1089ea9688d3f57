"""Composites: which rule stands at which layer, by op type, by name and by position.

The presets have the names and the maps of zennit (LGPL; facts only): convolutions have the preset's
rule, all other affine maps (dense layers, sums, average pools, normalisation) have epsilon, and in
a preset whose name ends in Flat or Box the first layer has a rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import chain

from dftlrp.core.names import find_name, list_some, suggest
from dftlrp.core.rule_text import Rule, read_rule
from dftlrp.core.text import make_printable
from dftlrp.core.types import InputError
from dftlrp.engine.gates import FROZEN, SHARED, TANGENT, WHOLE
from dftlrp.engine.plan import Plan
from dftlrp.ops import OPS

FRONT = read_rule("epsilon(0)")  # of transforms and front ends: exact, with 0 / 0 = 0
CONVOLUTION = ("Conv", "ConvTranspose")
DENSE = ("Gemm", "MatMul")


@dataclass(frozen=True)
class Composite:
    """Rules for kinds of layers.

    Attributes
    ----------
    name : str
        Its name, as results show it.
    default : Rule
        The rule of every affine map that nothing else names.
    by_op : dict of str to Rule
        Rules by ONNX op type.
    first : Rule, optional
        The rule of the first layer among ``first_of``, in the order of execution.
    first_of : tuple of str
        Op types that count as a layer for ``first``.
    products : str
        How products of two signals are treated: ``"frozen"``, ``"shared"`` or ``"whole"``; see
        `dftlrp.engine.gates`.
    fold : bool
        Whether a BatchNormalization right behind a linear layer is a part of it, so that a network
        is explained alike whether its exporter folded it or not.

    See Also
    --------
    attribute : Takes one, or the name of a preset.
    Model.table : Shows which rule stands where.

    Examples
    --------
    >>> from dftlrp.core.rule_text import read_rule
    >>> mine = dftlrp.Composite("mine", by_op={"Conv": read_rule("gamma(0.1)")})
    >>> dftlrp.explain("waveform", clip, composite=mine).provenance["composite"]
    'mine'
    """

    name: str
    default: Rule = field(default_factory=lambda: read_rule("epsilon"))
    by_op: Mapping[str, Rule] = field(default_factory=dict)
    first: Rule | None = None
    first_of: tuple[str, ...] = CONVOLUTION + DENSE
    products: str = FROZEN
    fold: bool = True

    def find_treatment(self, difference: bool) -> str:
        """Return how products are treated; as the true tangent if the default rule asks for that.

        Parameters
        ----------
        difference : bool
            Whether a difference to a reference is explained: only then is ``"whole"`` exact, and
            without it factors share by half.

        Returns
        -------
        str
            ``"frozen"``, ``"shared"``, ``"whole"`` or ``"tangent"``.

        Examples
        --------
        >>> dftlrp.Composite("mine", products="whole").find_treatment(difference=False)
        'shared'
        """
        if self.default.on_tangent:
            return TANGENT
        return SHARED if self.products == WHOLE and not difference else self.products


@dataclass(frozen=True)
class Layer:
    """One row of the table; ``rule`` is None if relevance is only carried."""

    key: str
    op: str
    kind: str
    rule: Rule | None
    alias: str = ""
    names: tuple[str, ...] = ()

    @property
    def rule_name(self) -> str:
        """The rule as text, or ``"carried"``."""
        return str(self.rule) if self.rule else "carried"


@dataclass(frozen=True)
class LayerTable:
    """The rule of every layer, from input to output."""

    composite: str
    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        keys = [make_printable(layer.key) for layer in self.layers]
        wide = max([5, *map(len, keys)])
        rows = [
            f"{key:{wide}}  {layer.op:20}  {layer.rule_name}"
            for key, layer in zip(keys, self.layers, strict=True)
        ]
        return "\n".join([f"{'layer':{wide}}  {'op':20}  rule ({self.composite})", *rows])

    def rules(self) -> dict[str, Rule | None]:
        """Return the rules by the key of their layer."""
        return {layer.key: layer.rule for layer in self.layers}


def _make_convolutional(
    name: str, conv: str, first: str | None = None, box: bool = False
) -> Composite:
    return Composite(
        name,
        by_op=dict.fromkeys(CONVOLUTION, read_rule(conv)),
        first=read_rule(first) if first else None,
        first_of=CONVOLUTION if box else CONVOLUTION + DENSE,
    )


def epsilon_gamma_box(low: float = -1.0, high: float = 1.0, gamma: float = 0.25) -> Composite:
    """Return EpsilonGammaBox for inputs in the box [low, high]."""
    box = f"zbox({low}, {high})"
    return _make_convolutional("EpsilonGammaBox", f"gamma({gamma})", box, box=True)


def innvestigate_preset(which: str, flat: bool = False, epsilon: float = 0.1) -> Composite:
    """Return iNNvestigate's ``lrp.sequential_preset_a`` or ``_b``, or its ``_flat`` variant."""
    conv = read_rule({"a": "innvestigate.Alpha1Beta0", "b": "innvestigate.Alpha2Beta1"}[which])
    dense = read_rule(f"innvestigate.Epsilon({epsilon})")
    return Composite(
        f"iNNvestigate preset {which}{' flat' * flat}",
        read_rule("innvestigate.Z"),
        dict.fromkeys(CONVOLUTION, conv) | dict.fromkeys(DENSE, dense),
        first=read_rule("innvestigate.Flat") if flat else None,
    )


PRESETS: dict[str, Callable[[], Composite]] = {
    "EpsilonPlus": lambda: _make_convolutional("EpsilonPlus", "zplus"),
    "EpsilonPlusFlat": lambda: _make_convolutional("EpsilonPlusFlat", "zplus", "flat"),
    "EpsilonAlpha2Beta1": lambda: _make_convolutional("EpsilonAlpha2Beta1", "alpha_beta(2, 1)"),
    "EpsilonAlpha2Beta1Flat": lambda: _make_convolutional(
        "EpsilonAlpha2Beta1Flat", "alpha_beta(2, 1)", "flat"
    ),
    "EpsilonGammaBox": epsilon_gamma_box,
    "AttnLRP": lambda: Composite("AttnLRP", by_op={"Softmax": FRONT}, products=SHARED),
    "CPLRP": lambda: Composite("CPLRP"),
    "Epsilon": lambda: Composite("Epsilon"),
    "EpsilonGamma": lambda: replace(
        _make_convolutional("EpsilonGamma", "gamma(0.1)"), products=WHOLE
    ),
    "Gradient": lambda: Composite("Gradient", read_rule("gradient")),
}


def find_composite(name: str | Composite) -> Composite:
    """Return a preset by its name, and a composite as it is.

    Parameters
    ----------
    name : str or Composite
        ``"EpsilonPlus"``; in brackets behind it numbers for all its rules: those of the epsilon
        rule, as in ``"EpsilonPlus(relative=1)"`` or ``"EpsilonPlus(1e-9, bias=0)"``.

    Raises
    ------
    InputError
        The name is unknown; the message has those that exist.  A number is none of these rules'.
    """
    if isinstance(name, Composite):
        return name
    base, bracket, numbers = name.partition("(")
    preset = PRESETS[find_name(base.strip(), PRESETS, "unknown composite")]()
    return _give_numbers(preset, f"{bracket}{numbers}") if bracket else preset


def _give_numbers(composite: Composite, text: str) -> Composite:
    """Return the composite with numbers, written in brackets, for all rules that take them.

    A rule that is exact (`FRONT`) stays so.
    """
    if composite.default.on_tangent:
        raise InputError(f"composite {composite.name!r} takes no numbers, {text} given")
    try:
        numbers = dict(read_rule(f"epsilon{text}").params)
    except InputError as error:
        raise InputError(f"composite {composite.name + text!r}: {error}") from None

    def change(rule: Rule) -> Rule:
        return rule if rule == FRONT else rule.with_numbers(numbers)

    return replace(
        composite,
        name=f"{composite.name}{text}",
        default=change(composite.default),
        by_op={op: change(rule) for op, rule in composite.by_op.items()},
        first=composite.first and change(composite.first),
    )


def make_layer_table(
    plan: Plan, composite: str | Composite, overrides: Mapping[str, str | Rule] | None = None
) -> LayerTable:
    """Return the rule of every layer between the signals and the explained value.

    Parameters
    ----------
    overrides : dict, optional
        From ``"first"``, ``"last"``, an op type, a layer's name or a pattern of names
        (``"conv*"``) to a rule.  A name is stronger than a pattern, a pattern than a position, a
        position than a type; among equals the later one counts.  Nodes of a front end have the rule
        epsilon(0), and neither a position nor a type means them.  A transform (STFT, DFT) has no
        weights that a rule could modify, and keeps epsilon(0) instead.

    Raises
    ------
    InputError
        A composite or rule is unknown; a key matches no layer that has a rule.
    """
    chosen = find_composite(composite)
    layers = _list_layers(plan)
    affine = [la for la in layers if la.kind == "Affine"]
    if chosen.default.on_tangent:
        if overrides:
            raise InputError("Gradient is one rule for all layers: it takes no overrides")
        return _fill_table(layers, chosen.name, {la.key: chosen.default for la in layers})
    own = [la for la in affine if la.key not in plan.graph.front]
    rules = {la.key: FRONT for la in affine} | {
        la.key: chosen.by_op.get(la.op, chosen.default) for la in own
    }
    first = next((la.key for la in own if la.op in chosen.first_of), None)
    if chosen.first and first:
        rules[first] = chosen.first
    steps = [(*_match_layers(key, own, affine), to) for key, to in (overrides or {}).items()]
    for _, keys, to in sorted(steps, key=lambda step: step[0]):
        rules.update(dict.fromkeys(keys, read_rule(to)))
    bare = _find_weightless(plan)
    unfit = [la.key for la in affine if la.key in bare and rules[la.key].modifies_weights]
    return _fill_table(layers, chosen.name, rules | dict.fromkeys(unfit, FRONT))


def _list_layers(plan: Plan) -> list[Layer]:
    """Return the layers on the path, from input to output; all steps of a loop are one layer."""
    found: dict[str, Layer] = {}
    for n in plan.path:
        op = n.layer_op or n.attrs.get("label", n.op)
        kind = OPS[n.op].kind if n.op in OPS else "Affine"
        known = found.get(n.layer)
        if known is None or (kind == "Affine" and known.kind != kind):
            alias = known.alias if known else n.alias
            found[n.layer] = Layer(n.layer, op, kind, None, alias, (n.output, *n.names))
    return list(found.values())


def _find_weightless(plan: Plan) -> set[str]:
    """Return layers whose affine maps have no weights that a rule could modify."""
    maps = [n for n in plan.path if n.op in OPS and OPS[n.op].kind == "Affine"]
    return {n.layer for n in maps} - {n.layer for n in maps if OPS[n.op].weighted}


def _match_layers(key: str, own: list[Layer], affine: list[Layer]) -> tuple[int, list[str]]:
    """Return how specific the key of an override is, and the layers that it means."""
    layers = [la.key for la in own if la.op in CONVOLUTION + DENSE] or [la.key for la in own]
    names = {la.key: {la.key, la.alias, *la.names} for la in affine}
    exact = [k for k, known in names.items() if key in known]
    ends = {"first": layers[:1], "last": layers[-1:]}
    options = [
        (3, exact),
        (1, ends.get(key, [])),
        (0, [la.key for la in own if la.op == key]),
        (2, [k for k, known in names.items() if any(fnmatchcase(name, key) for name in known)]),
    ]
    for rank, keys in options:
        if keys:
            return rank, keys
    known = ["first", "last", *(la.op for la in own), *chain.from_iterable(names.values())]
    raise InputError(
        f"override {key!r} matches no layer with a rule: {suggest(key, known)}use 'first', 'last', "
        f"an op type or one of {list_some(names)}"
    )


def _fill_table(layers: list[Layer], name: str, rules: Mapping[str, Rule]) -> LayerTable:
    """Return the table of layers with their rules."""
    return LayerTable(name, tuple(replace(la, rule=rules.get(la.key)) for la in layers))
