"""`check`: whether an exported graph is the network that it was exported from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from dftlrp.attribution.attribute import Attribution, attribute
from dftlrp.core.maps import Affine, Stop
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.rules import rule
from dftlrp.core.types import AnyArray, DftlrpError, InputError, UnsupportedModelError
from dftlrp.engine.composites import PRESETS, Composite
from dftlrp.engine.evaluate import evaluate, make_at
from dftlrp.engine.forward import checked_arrays
from dftlrp.engine.model import Model, as_model
from dftlrp.engine.plan import Plan
from dftlrp.frameworks.checking.findings import Check, Finding
from dftlrp.frameworks.checking.match import Pair, deviation, matched, scoped
from dftlrp.frameworks.checking.native import Arrays, Native, Ran, native_of
from dftlrp.ops import OPS, At

__all__ = ["RULES", "Check", "Finding", "check"]

# zbox stands in EpsilonGammaBox, at its place; pass goes with few layers
RULES = ("epsilon", "zplus", "alpha_beta(2, 1)", "gamma(0.25)", "flat", "wsquare")
ALLOWED = {"float64": 1e-6, "float32": 1e-4}  # ONNX holds attributes (an epsilon) in float32
AGREED = {"float64": 1e-10, "float32": 1e-4}  # relevance by two backends
CLOSED = {"float64": 1e-9, "float32": 1e-4}
LIMIT = 10  # times as far off as round-off makes the reference itself
DOUBLE = np.dtype(np.float64)


def check(
    model: Any,
    against: Any = None,
    inputs: Any = None,
    *,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    backends: Sequence[str] | None = None,
) -> Check:
    """Compare a graph with the network it was exported from, layer by layer.

    Parameters
    ----------
    model : path, Model, or a framework's model
        The graph; of a framework's model its export is checked against itself.
    against : object or str, optional
        The network: a framework's model; ``"FILE.py:FUNCTION"``, which returns (model, example
        inputs); ``"torch"``, ``"tensorflow"``: the graph's own ops run by that; ``"onnx"`` (if not
        given): by onnxruntime without optimisations.
    inputs : array, or dict of str to array, optional
        What both read, batch first; if not given, the example inputs, or noise.
    output, bind
        As of `dftlrp.attribute`.
    shapes : dict, optional
        Shape of an input for the noise, where the file leaves it open.
    backends : sequence of str, optional
        Which are compared with the float64 reference; if not given onnx, and the network's own.

    Raises
    ------
    InputError
        Nothing to compare with, or inputs that do not fit.

    Notes
    -----
    A network in float64 may deviate by 1e-6 (ONNX holds attributes in float32), one in float32 by
    1e-4.  Relevance by a backend may deviate from the reference by 1e-10 in float64 and 1e-4 in
    float32, or, where that is round-off's own limit, by ten times what the reference in float32
    deviates (in float64: by that many of its digits).
    """
    known = isinstance(model, Model | str | os.PathLike)
    graph = as_model(model, inputs)
    if against is None:
        against = "onnx" if known else model
    native = native_of(against, graph, inputs)
    plan = graph.plan(output, bind)
    given = native.example if inputs is None and native.example else inputs
    asked = _Asked(graph, plan, native, _signals(plan, given, shapes or {}), output, bind)
    try:
        asked.values  # noqa: B018  # computed here
    except DftlrpError as error:  # a node refuses what the network reads, as one in training mode
        value = [*str(error).split("'"), ""][1]
        layer = (scoped(value) or [value])[-1]
        wrong = Finding("activations", layer, value, "refused", float("inf"), asked.allowed)
        return Check(graph.path.name, native.name, (wrong,), (*native.notes, str(error)))
    rules, ledger, notes = asked.rules(_backends(native) if backends is None else backends)
    found = (*asked.activations(), *asked.gradient(), *rules, *ledger)
    return Check(graph.path.name, native.name, found, (*native.notes, *notes))


def _backends(native: Native) -> list[str]:
    return list(dict.fromkeys(filter(None, ("onnx", native.backend))))


def _signals(plan: Plan, given: Any, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """The signals by the graph's names; others' names stand for them in their order."""
    names = list(plan.signals)
    if given is None:
        given = _noise(plan, shapes)
    elif isinstance(given, Mapping):
        same = set(given) == set(names)
        given = dict(given if same else zip(names, given.values(), strict=False))
    elif isinstance(given, tuple | list):
        given = dict(zip(names, given, strict=False))
    arrays = {k: np.asarray(a) for k, a in given.items()} if isinstance(given, Mapping) else given
    return checked_arrays(plan, arrays, DOUBLE)


def _noise(plan: Plan, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    rng, made = np.random.default_rng(0), Arrays()
    for name, value in plan.signals.items():
        known = (d or (2 if i == 0 else 0) for i, d in enumerate(value.dims or (0, 0)))
        dims = shapes.get(name) or tuple(known)
        if 0 in dims:
            raise InputError(f"input {name!r} has an open shape: give --shape {name}=1,2,3")
        made[name] = rng.normal(size=dims) if value.is_float else rng.integers(0, 2, dims)
    return made


@dataclass(frozen=True)
class _Asked:
    """The graph and the network, and what both read."""

    model: Model
    plan: Plan
    native: Native
    signals: Arrays
    output: str | None
    bind: Mapping[str, Any] | None

    @property
    def allowed(self) -> float:
        return ALLOWED[self.native.dtype]

    def given(self) -> Arrays:
        """What the network reads, by its own names."""
        names = list(self.native.example) or [*self.signals, *self.plan.bound]
        return dict(zip(names, (*self.signals.values(), *self.plan.bound.values()), strict=False))

    @cached_property
    def ran(self) -> Ran:
        """What the network gives."""
        return self.native.run(self.given())

    @cached_property
    def values(self) -> Arrays:
        """Every value of the graph, what no output needs included, in float64."""
        constants = self.model.constants(NUMPY, DOUBLE)
        whole = replace(self.plan, nodes=self.model.graph.nodes)
        return evaluate(whole, {**constants, **self.signals}, NUMPY, DOUBLE).values

    @property
    def ends(self) -> dict[str, str]:
        """The network's outputs by the graph's."""
        return dict(zip(self.model.graph.outputs, self.ran.outputs, strict=False))

    def activations(self) -> list[Finding]:
        """Each part that stands in the graph, and each output."""
        real = {k: v for k, v in self.values.items() if v.dtype.kind == "f"}
        ends = [
            Pair(name, value, "output", deviation(real[value], self.ran.outputs[name]))
            for value, name in self.ends.items() if value in real
        ]  # fmt: skip
        differ = any(p.deviation > self.allowed for p in ends)
        pairs = matched(self.model.graph, real, self.ran.parts, self.allowed, differ)
        pairs += [p for p in ends if p.part not in self.ran.parts]
        return [Finding("activations", *p[:3], p.deviation, self.allowed) for p in pairs]

    def gradient(self) -> list[Finding]:
        """Gradient x input of a random mixture of the output's numbers."""
        plan = self.plan
        c = np.random.default_rng(1).normal(size=self.values[plan.output].shape)
        slopes = self.native.gradient(self.given(), self.ends[plan.output], c)
        if slopes is None:
            return []
        z, before = self.values[plan.explained], self._before_the_end(c)
        seed = (before * z).reshape  # of a vector with a batch axis, too
        ours = self._attributed("Gradient", "numpy", target=lambda rows: seed(rows.shape)).relevance
        pairs = zip(self.signals.items(), slopes.values(), strict=False)
        off = _distance(ours, {k: x * slope for (k, x), slope in pairs})
        return [
            Finding("gradient", self.ends[plan.output], plan.output, "autodiff", off, self.allowed)
        ]

    def _before_the_end(self, c: AnyArray) -> AnyArray:
        """A gradient at the output, at what is explained before a final Softmax."""
        made, value = {n.output: n for n in self.plan.nodes}, self.plan.output
        while value != self.plan.explained:
            here = make_at(self.plan, made[value], self.values, NUMPY)
            (c, *_) = _slope(here).adjoint(c)
            value = here.node.inputs[0]
        return c

    def rules(self, backends: Sequence[str]) -> tuple[list[Finding], list[Finding], list[str]]:
        """Every preset, and every rule in all layers; and the worst ledger of each backend."""
        rules, ledger, notes = list[Finding](), dict[str, Finding](), list[str]()
        for name, composite in _composites():
            try:
                want = self._attributed(composite, "numpy")
                _worse(ledger, name, "numpy float64", want.ledger.gap)
                for backend, dtype in _computed(backends):
                    ours = self._attributed(composite, backend, dtype, list(want.target or ()))
                    rules.append(self._compared(name, composite, ours, want, dtype))
                    _worse(ledger, name, rules[-1].against, ours.ledger.gap)
            except UnsupportedModelError as error:
                notes.append(f"{name} is left out: {error}")
        return rules, list(ledger.values()), notes

    def _compared(
        self, name: str, composite: Any, ours: Attribution, want: Attribution, dtype: str
    ) -> Finding:
        """Relevance; where it is off by too much, how much of that is round-off."""
        off, allowed = _distance(ours.relevance, want.relevance), AGREED[dtype]
        if not off <= allowed:
            narrow = self._attributed(composite, "numpy", "float32", list(want.target or ()))
            digits = np.finfo(dtype).eps / np.finfo("float32").eps
            limit = LIMIT * float(digits) * _distance(narrow.relevance, want.relevance)
            allowed = max(allowed, limit)
        return Finding("rules", name, f"{ours.backend} {dtype}", "", off, allowed)

    def _attributed(
        self, composite: Any, backend: str, dtype: str | None = None, target: Any = "argmax"
    ) -> Attribution:
        return attribute(
            self.model, self.signals, composite=composite, backend=backend, dtype=dtype,
            target=target, output=self.output, bind=self.bind,
        )  # fmt: skip


def _composites() -> Iterator[tuple[str, str | Composite]]:
    yield from ((name, name) for name in PRESETS)
    yield from ((text, Composite(text, rule(text))) for text in RULES)


def _computed(backends: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in backends:
        traces = name.partition(":")[0] == "onnx"
        yield from ((name, d) for d in (("float32",) if traces else ("float64", "float32")))


def _worse(ledger: dict[str, Finding], name: str, by: str, gap: float) -> None:
    """Keep what of each backend closes worst."""
    if by not in ledger or not gap <= ledger[by].deviation:
        ledger[by] = Finding("ledger", name, by, "", gap, CLOSED[by.rsplit(maxsplit=1)[-1]])


def _slope(here: At) -> Affine:
    linearise = OPS[here.node.op].linearise
    assert linearise is not None
    layer = linearise(here)
    assert not isinstance(layer, Stop)
    return layer.tangent()


def _distance(ours: Any, want: Any) -> float:
    """Relative L1 difference over all signals."""
    off = sum(float(np.abs(ours[k] - want[k]).sum()) for k in want)
    return off / (sum(float(np.abs(want[k]).sum()) for k in want) or 1.0)
