"""`inspect`: the layers of a model as they are explained, with their rules.

The model runs once on noise, since shapes, branches and merged layers are only known then.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dftlrp.core.names import suggest
from dftlrp.core.rule_text import Rule
from dftlrp.core.text import make_printable
from dftlrp.core.types import DftlrpError, InputError, UnsupportedModelError
from dftlrp.engine.composites import Composite, Layer
from dftlrp.engine.evaluate import MAX_BYTES
from dftlrp.engine.forward import Ready, run_forward
from dftlrp.engine.known_streams import find_known_rate
from dftlrp.engine.model import Model, as_model
from dftlrp.engine.reach import WHOLE, find_reaches
from dftlrp.engine.settings import Settings
from dftlrp.engine.states import find_states, make_start, propose_settings
from dftlrp.graph.load import load_graph
from dftlrp.graph.structure import Value

PROBE_NUMBERS, PROBE_BYTES = 2**22, 2**28  # that a file may ask for; its user, by shapes, for more
LENGTHS = (64, 256, 1024, 4096, 16384, 65536)  # tried in turn if the length of an axis is open


@dataclass(frozen=True)
class LayerInfo:
    """One layer.

    Attributes
    ----------
    name, op, rule : str
        Name of its first output, as in Netron; ONNX op type; rule, or "carried".
    shape : tuple of int
        Shape of its output for the inputs it was run with.
    parameters : int
        Number of its weights.
    receptive_field : int or None
        Number of samples of the signal that one element depends on; None for all.
    names : tuple of str
        Further names by which the layer is known: node names, and those of merged nodes.
    """

    name: str
    op: str
    rule: str
    shape: tuple[int, ...]
    parameters: int
    receptive_field: int | None
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The layers of a model; what `inspect` returns.

    Attributes
    ----------
    model, composite : str
        Name of the file, and of the preset.
    inputs, outputs : dict of str to str
        Type and declared shape by name.
    probe : dict of str to tuple of int
        Shapes of the inputs it was run with.
    layers : tuple of LayerInfo
        From input to output.
    bound : dict
        Inputs that are settings, with their values.
    folded : int
        Number of nodes that do not depend on the signal.
    explained, stripped : str
        The value that is explained; the op behind it that is left out, or "".
    refused : tuple of dict
        ``name``, ``op`` and ``reason`` of every node that cannot be explained.
    states : dict of str to str
        Inputs that a streaming model hands on to itself, and why they are taken for that.

    See Also
    --------
    inspect : Makes one.

    Examples
    --------
    >>> found = dftlrp.inspect("model.onnx")
    >>> found.layers[0].name, found.layers[0].op, found.layers[0].parameters
    ('conv1', 'Conv', 1960)
    >>> found.refused
    ()
    """

    model: str
    composite: str = ""
    inputs: dict[str, str]
    outputs: dict[str, str]
    probe: dict[str, tuple[int, ...]] = field(default_factory=dict)
    layers: tuple[LayerInfo, ...] = ()
    bound: dict[str, Any]
    folded: int = 0
    explained: str = ""
    stripped: str = ""
    refused: tuple[dict[str, str], ...] = ()
    states: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them.

        Returns
        -------
        dict
            The attributes by name, layers as dicts; ``dftlrp inspect --json`` prints it.

        Examples
        --------
        >>> sorted(dftlrp.inspect("model.onnx").to_dict())[:3]
        ['bound', 'composite', 'explained']
        """
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(_write_lines(self))

    def __repr__(self) -> str:
        refused = f", {len(self.refused)} nodes refused" if self.refused else ""
        told = f"{self.model}: {len(self.layers)} layers by {self.composite}{refused}"
        return f"Inspection of {make_printable(told)}; print it for all of them"


def inspect(
    model: Any,
    *,
    composite: str | Composite = "auto",
    overrides: Mapping[str, str | Rule] | None = None,
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Inspection:
    """Return the layers of a model: name, op, shape, rule, parameters and receptive field.

    Parameters
    ----------
    model : path, Model or object
        An ONNX file, also one that `dftlrp.load` refuses; or what else that loads.
    composite, overrides, output, bind
        As in `dftlrp.attribute`; the default composite is chosen for noise.  Settings that leave no
        doubt are bound (docs/guides/streams.md).
    shapes : dict, optional
        Shapes of inputs to run with, if the file leaves them open.

    Returns
    -------
    Inspection
        ``print`` shows it as a table.

    Raises
    ------
    ModelError, InputError
        The file is no model; an argument is wrong; an open shape cannot be guessed.

    See Also
    --------
    load : A model that can be explained.
    Model.table : The rules alone.

    Examples
    --------
    >>> found = dftlrp.inspect("model.onnx", composite="EpsilonPlus")
    >>> [(layer.name, layer.rule) for layer in found.layers][0]
    ('conv1', 'zplus')
    """
    if isinstance(model, str | os.PathLike):
        model = Model(Path(model), load_graph(model))
    model = as_model(model)
    room = MAX_BYTES if shapes else PROBE_BYTES
    states = find_states(model.graph, bind or {})
    taken = propose_settings(model.graph, model.rate or find_known_rate(model.graph, states.pairs))
    bound = {name: value for name, value, _ in taken} | dict(bind or {})
    settings = Settings(output, bound, composite, overrides or {}, room=room)
    known: dict[str, Any] = {
        "model": model.path.name,
        "inputs": {k: _describe_input(v) for k, v in model.graph.inputs.items()},
        "outputs": {k: _describe_input(v) for k, v in model.graph.outputs.items()},
        "bound": bound,
        "states": dict(states.words),
    }
    try:
        own = {n: make_start(model.graph.inputs[n]).shape for n in states.words}
        ready, probe = _run_on_noise(model, settings, own | dict(shapes or {}))
    except UnsupportedModelError as error:
        refused = tuple(dict(zip(("name", "op", "reason"), r, strict=True)) for r in error.reasons)
        if not refused:
            raise
        return Inspection(**known, refused=refused)
    plan, table = ready.plan, ready.table
    return Inspection(
        **known,
        composite=table.composite,
        probe=probe,
        layers=tuple(_describe_layers(ready)),
        folded=len(plan.nodes) - len(plan.live),
        explained=plan.explained,
        stripped=plan.stripped,
    )


def _describe_input(value: Value) -> str:
    """Return type and declared shape, as ``float32 (1, ?)``."""
    dims = (
        "any" if value.dims is None else ", ".join("?" if d is None else str(d) for d in value.dims)
    )
    return f"{value.dtype} ({dims})"


def _run_on_noise(
    model: Model, settings: Settings, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Ready, dict[str, tuple[int, ...]]]:
    """Run on noise of the declared shapes, with open lengths in turn; also return the shapes."""
    plan = model.plan(settings.output, settings.bind)
    if unknown := sorted(set(shapes) - set(plan.signals)):
        meant = suggest(unknown[0], plan.signals)
        raise InputError(f"--shape {unknown[0]}: {meant}the model reads {list(plan.signals)}")
    for name, value in plan.signals.items():
        if value.dims is None and name not in shapes:
            raise InputError(f"input {name!r} has no shape: give --shape {name}=1,2,3")
    failed: DftlrpError | None = None
    for length in LENGTHS:
        probe = {n: shapes.get(n) or _choose_shape(v, length) for n, v in plan.signals.items()}
        rng = np.random.default_rng(0)
        try:
            for name in probe.keys() - shapes.keys():
                _refuse_large(name, probe[name])
            noise = {n: _draw_noise(rng, s, plan.signals[n]) for n, s in probe.items()}
            return run_forward(model, noise, settings), probe
        except UnsupportedModelError as error:
            if error.reasons:
                raise
            failed = error  # a budget is spent: longer ones would spend it, too
            break
        except InputError as error:
            failed = error
            if all(v.dims and None not in v.dims[1:] for v in plan.signals.values()):
                break
    raise InputError(f"the model does not run on noise ({failed}): give --shape NAME=1,2,3")


def _choose_shape(value: Value, length: int) -> tuple[int, ...]:
    dims = value.dims or ()
    return tuple(d or (1 if i == 0 and len(dims) > 1 else length) for i, d in enumerate(dims))


def _refuse_large(name: str, shape: tuple[int, ...]) -> None:
    if math.prod(shape) > PROBE_NUMBERS:
        told = ",".join(map(str, shape))
        raise InputError(f"input {name!r} of shape {told} is made on request only")


def _draw_noise(rng: np.random.Generator, shape: tuple[int, ...], value: Value) -> Any:
    if value.dtype.startswith(("int", "uint")):
        return rng.integers(0, 2, shape)
    return 0.1 * rng.standard_normal(shape)


def _describe_layers(ready: Ready) -> Iterator[LayerInfo]:
    plan, values, table = ready.plan, ready.values, ready.table
    axes = {n: int(np.argmax(values[n].shape)) for n in plan.signals}
    seen = find_reaches(plan.path, values, plan.live, axes)
    made = {layer.key: [n for n in plan.path if n.layer == layer.key] for layer in table.layers}
    for layer in table.layers:
        nodes = made[layer.key]
        reach = max((seen.get(n.output, WHOLE) for n in nodes), key=lambda r: r.size)
        yield LayerInfo(
            name=layer.key,
            op=layer.op,
            rule=layer.rule_name,
            shape=tuple(int(n) for n in values[nodes[-1].output].shape),
            parameters=_count_parameters(ready, layer),
            receptive_field=None if math.isinf(reach.size) else int(reach.size),
            names=tuple(
                dict.fromkeys(n for n in (layer.alias, *layer.names) if n and n != layer.key)
            ),
        )


def _count_parameters(ready: Ready, layer: Layer) -> int:
    """Return how many numbers a layer reads that do not depend on the signal, each once."""
    plan, values = ready.plan, ready.values
    used = {
        name
        for n in plan.path
        if n.layer == layer.key
        for i, name in enumerate(n.inputs)
        if name and i not in plan.live[n.key] and name not in plan.live
    }
    return sum(int(values[name].size) for name in used if values[name].dtype.kind == "f")


def _write_lines(i: Inspection) -> Iterator[str]:
    reads = ", ".join(f"{k} {v}" for k, v in i.inputs.items())
    yield make_printable(f"{i.model}: reads {reads}")
    for name, value in i.bound.items():
        yield make_printable(f"bound: {name} = {value}")
    for name, why in i.states.items():
        yield make_printable(f"state: {name}, {why}")
    if i.refused:
        yield f"refused: {len(i.refused)} node(s)"
        yield from (make_printable(f"  {r['name']} ({r['op']}): {r['reason']}") for r in i.refused)
        return
    rows = [
        (
            make_printable(la.name), la.op, "x".join(map(str, la.shape)), la.rule,
            str(la.parameters), "all" if la.receptive_field is None else str(la.receptive_field),
        )
        for la in i.layers
    ]  # fmt: skip
    head = ("layer", "op", "shape", f"rule ({i.composite})", "parameters", "receptive field")
    wide = [max(len(row[c]) for row in (head, *rows)) for c in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(text.ljust(w) for text, w in zip(row, wide, strict=True)).rstrip()
    yield make_printable(f"run with {', '.join(f'{k} {v}' for k, v in i.probe.items())}")
    yield f"folded: {i.folded} nodes that do not depend on the signal"
    left_out = f" (the final {i.stripped} is left out)" if i.stripped else ""
    yield make_printable(f"explained: {i.explained}{left_out}")
