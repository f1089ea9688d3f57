"""`check`: compare an exported graph with the network that it was exported from.

In come a graph and the network in its own framework; out goes a table of deviations: activations,
gradient, relevance by every rule, and the ledger.  What differs is reported, never raised.
"""

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
from dftlrp.core.rule_text import read_rule
from dftlrp.core.types import AnyArray, DftlrpError, InputError, UnsupportedModelError
from dftlrp.engine.composites import PRESETS, Composite
from dftlrp.engine.evaluate import evaluate, make_at
from dftlrp.engine.forward import check_inputs
from dftlrp.engine.model import Model, as_model
from dftlrp.engine.plan import Plan
from dftlrp.frameworks.checking.findings import Check, Finding
from dftlrp.frameworks.checking.match import Pair, match_parts, measure_deviation, split_scope
from dftlrp.frameworks.checking.native import Arrays, Native, Ran, find_native
from dftlrp.ops import OPS, At

__all__ = ["RULES", "Check", "Finding", "check"]

# The rule zbox is checked in the preset EpsilonGammaBox; the rule pass fits few layers.
RULES = ("epsilon", "zplus", "alpha_beta(2, 1)", "gamma(0.25)", "flat", "wsquare")
ALLOWED = {"float64": 1e-6, "float32": 1e-4}  # activations; ONNX holds attributes in float32
AGREED = {"float64": 1e-10, "float32": 1e-4}  # relevance by two backends
CLOSED = {"float64": 1e-9, "float32": 1e-4}  # gap of a ledger
LIMIT = 10  # times the deviation of the reference in float32, which is due to round-off
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
        The graph.  A framework's model is exported, and the export compared with the model.
    against : object or str, optional
        The network: a framework's model; ``"FILE.py:FUNCTION"``, which returns (model, example
        inputs); ``"torch"`` or ``"tensorflow"``, which run the operators of the graph; ``"onnx"``
        (the default for a file), which is onnxruntime without optimisations.
    inputs : array, or dict of str to array, optional
        Inputs of both, batch first; if not given, the example inputs, or noise.
    output, bind
        As of `dftlrp.attribute`.
    shapes : dict, optional
        Shapes of inputs for the noise, where the file leaves them open.
    backends : sequence of str, optional
        Backends that are compared with the float64 reference; if not given, onnx and that of the
        network's framework.

    Returns
    -------
    Check
        ``print`` shows each comparison, and where the first difference lies.

    Raises
    ------
    InputError
        If there is nothing to compare with, or the inputs do not fit.

    See Also
    --------
    check_frontend : Whether features are computed as declared.

    Notes
    -----
    A network in float64 may deviate by 1e-6 (ONNX holds attributes in float32), one in float32 by
    1e-4.  The relevance of a backend may deviate from the reference by 1e-10 in float64 and by 1e-4
    in float32.  Where round-off alone deviates by more, the limit is ten times the deviation of the
    reference in float32 (for float64, scaled to its precision).

    Examples
    --------
    >>> import onnx
    >>> text = '<ir_version: 8, opset_import: ["": 17]> tiny (float[1, 4] x) => (float[1, 4] y) '
    >>> text += '{y = Relu(x)}'
    >>> onnx.save(onnx.parser.parse_model(text), "tiny.onnx")
    >>> dftlrp.check("tiny.onnx").ok
    True
    """
    known = isinstance(model, Model | str | os.PathLike)
    graph = as_model(model, inputs)
    if against is None:
        against = "onnx" if known else model
    native = find_native(against, graph, inputs)
    plan = graph.plan(output, bind)
    given = native.example if inputs is None and native.example else inputs
    compared = _Comparison(
        graph, plan, native, _name_signals(plan, given, shapes or {}), output, bind
    )
    try:
        compared.values  # noqa: B018  # computed here
    except DftlrpError as error:  # a node refuses the inputs, as one in training mode does
        value = [*str(error).split("'"), ""][1]
        layer = (split_scope(value) or [value])[-1]
        wrong = Finding("activations", layer, value, "refused", float("inf"), compared.allowed)
        return Check(graph.path.name, native.name, (wrong,), (*native.notes, str(error)))
    names = _choose_backends(native) if backends is None else backends
    rules, ledger, notes = compared.compare_rules(names)
    found = (*compared.compare_activations(), *compared.compare_gradient(), *rules, *ledger)
    return Check(graph.path.name, native.name, found, (*native.notes, *notes))


def _choose_backends(native: Native) -> list[str]:
    return list(dict.fromkeys(filter(None, ("onnx", native.backend))))


def _name_signals(plan: Plan, given: Any, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Return the inputs by the graph's names; other names stand for these in the same order."""
    names = list(plan.signals)
    if given is None:
        given = _make_noise(plan, shapes)
    elif isinstance(given, Mapping):
        same = set(given) == set(names)
        given = dict(given if same else zip(names, given.values(), strict=False))
    elif isinstance(given, tuple | list):
        given = dict(zip(names, given, strict=False))
    arrays = {k: np.asarray(a) for k, a in given.items()} if isinstance(given, Mapping) else given
    return check_inputs(plan, arrays, DOUBLE)


def _make_noise(plan: Plan, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    rng, made = np.random.default_rng(0), Arrays()
    for name, value in plan.signals.items():
        known = (d or (2 if i == 0 else 0) for i, d in enumerate(value.dims or (0, 0)))
        dims = shapes.get(name) or tuple(known)
        if 0 in dims:
            raise InputError(f"input {name!r} has an open shape: give --shape {name}=1,2,3")
        made[name] = rng.normal(size=dims) if value.is_float else rng.integers(0, 2, dims)
    return made


@dataclass(frozen=True)
class _Comparison:
    """The comparison of a graph and a network at the same inputs."""

    model: Model
    plan: Plan
    native: Native
    signals: Arrays
    output: str | None
    bind: Mapping[str, Any] | None

    @property
    def allowed(self) -> float:
        return ALLOWED[self.native.dtype]

    def name_inputs(self) -> Arrays:
        """Return the inputs by the network's own names."""
        names = list(self.native.example) or [*self.signals, *self.plan.bound]
        return dict(zip(names, (*self.signals.values(), *self.plan.bound.values()), strict=False))

    @cached_property
    def ran(self) -> Ran:
        """The outputs of the network and of its parts."""
        return self.native.run(self.name_inputs())

    @cached_property
    def values(self) -> Arrays:
        """All values of the graph in float64, also those that no output depends on."""
        constants = self.model.constants(NUMPY, DOUBLE)
        whole = replace(self.plan, nodes=self.model.graph.nodes)
        return evaluate(whole, {**constants, **self.signals}, NUMPY, DOUBLE).values

    @property
    def ends(self) -> dict[str, str]:
        """Name of the network's output for each output of the graph."""
        return dict(zip(self.model.graph.outputs, self.ran.outputs, strict=False))

    def compare_activations(self) -> list[Finding]:
        """Compare each part of the network that is in the graph, and each output."""
        real = {k: v for k, v in self.values.items() if v.dtype.kind == "f"}
        ends = [
            Pair(name, value, "output", measure_deviation(real[value], self.ran.outputs[name]))
            for value, name in self.ends.items() if value in real
        ]  # fmt: skip
        differ = any(p.deviation > self.allowed for p in ends)
        pairs = match_parts(self.model.graph, real, self.ran.parts, self.allowed, differ)
        pairs += [p for p in ends if p.part not in self.ran.parts]
        return [Finding("activations", *p[:3], p.deviation, self.allowed) for p in pairs]

    def compare_gradient(self) -> list[Finding]:
        """Compare gradient x input of a random linear combination of the output's entries."""
        plan = self.plan
        c = np.random.default_rng(1).normal(size=self.values[plan.output].shape)
        slopes = self.native.gradient(self.name_inputs(), self.ends[plan.output], c)
        if slopes is None:
            return []
        z, before = self.values[plan.explained], self._pull_back(c)
        seed = (before * z).reshape  # of a vector with a batch axis, too
        ours = self._attribute("Gradient", "numpy", target=lambda rows: seed(rows.shape)).relevance
        pairs = zip(self.signals.items(), slopes.values(), strict=False)
        off = _measure_distance(ours, {k: x * slope for (k, x), slope in pairs})
        return [
            Finding("gradient", self.ends[plan.output], plan.output, "autodiff", off, self.allowed)
        ]

    def _pull_back(self, c: AnyArray) -> AnyArray:
        """Return a gradient at the output as one at the explained value before a final Softmax."""
        made, value = {n.output: n for n in self.plan.nodes}, self.plan.output
        while value != self.plan.explained:
            here = make_at(self.plan, made[value], self.values, NUMPY)
            (c, *_) = _take_tangent(here).adjoint(c)
            value = here.node.inputs[0]
        return c

    def compare_rules(
        self, backends: Sequence[str]
    ) -> tuple[list[Finding], list[Finding], list[str]]:
        """Compare relevance by every preset, and by every rule in all layers.

        Returns
        -------
        list of Finding
            The relevance of each backend.
        list of Finding
            The worst ledger of each backend.
        list of str
            Notes on what was left out.
        """
        rules, ledger, notes = list[Finding](), dict[str, Finding](), list[str]()
        for name, composite in _list_composites():
            try:
                want = self._attribute(composite, "numpy")
                _keep_worst(ledger, name, "numpy float64", want.ledger.gap)
                for backend, dtype in _list_backends(backends):
                    ours = self._attribute(composite, backend, dtype, list(want.target or ()))
                    rules.append(self._compare_relevance(name, composite, ours, want, dtype))
                    _keep_worst(ledger, name, rules[-1].against, ours.ledger.gap)
            except UnsupportedModelError as error:
                notes.append(f"{name} is left out: {error}")
        return rules, list(ledger.values()), notes

    def _compare_relevance(
        self, name: str, composite: Any, ours: Attribution, want: Attribution, dtype: str
    ) -> Finding:
        """Compare relevance; where it deviates too much, estimate the share of round-off."""
        off, allowed = _measure_distance(ours.relevance, want.relevance), AGREED[dtype]
        if not off <= allowed:
            narrow = self._attribute(composite, "numpy", "float32", list(want.target or ()))
            digits = np.finfo(dtype).eps / np.finfo("float32").eps
            limit = LIMIT * float(digits) * _measure_distance(narrow.relevance, want.relevance)
            allowed = max(allowed, limit)
        return Finding("rules", name, f"{ours.backend} {dtype}", "", off, allowed)

    def _attribute(
        self, composite: Any, backend: str, dtype: str | None = None, target: Any = "argmax"
    ) -> Attribution:
        return attribute(
            self.model, self.signals, composite=composite, backend=backend, dtype=dtype,
            target=target, output=self.output, bind=self.bind,
        )  # fmt: skip


def _list_composites() -> Iterator[tuple[str, str | Composite]]:
    """Yield name and composite of each preset, and of each rule in all layers."""
    yield from ((name, name) for name in PRESETS)
    yield from ((text, Composite(text, read_rule(text))) for text in RULES)


def _list_backends(backends: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield backends with the dtypes that they compute in."""
    for name in backends:
        traces = name.partition(":")[0] == "onnx"
        yield from ((name, d) for d in (("float32",) if traces else ("float64", "float32")))


def _keep_worst(ledger: dict[str, Finding], name: str, by: str, gap: float) -> None:
    """Keep the worst ledger of each backend."""
    if by not in ledger or not gap <= ledger[by].deviation:
        ledger[by] = Finding("ledger", name, by, "", gap, CLOSED[by.rsplit(maxsplit=1)[-1]])


def _take_tangent(here: At) -> Affine:
    """Return the tangent map of a node at its activations."""
    linearise = OPS[here.node.op].linearise
    assert linearise is not None
    layer = linearise(here)
    assert not isinstance(layer, Stop)
    return layer.tangent()


def _measure_distance(ours: Any, want: Any) -> float:
    """Return the relative L1 difference over all signals."""
    off = sum(float(np.abs(ours[k] - want[k]).sum()) for k in want)
    return off / (sum(float(np.abs(want[k]).sum()) for k in want) or 1.0)
