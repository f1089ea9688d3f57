"""The model's own output, by onnxruntime on the original file, beside the output that is explained.

What relevance goes back through is not the file but a graph that was read from it, recognised,
folded and perhaps traced.  So its output is compared with the file's own, once for inputs of each
shape: a difference that round-off does not explain is an error that names the first node for which
the two disagree.  In a quantised model, where engines round differently, it is a warning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from dftlrp.core.backend import get_backend
from dftlrp.core.identity import (
    Difference,
    allow_deviation,
    find_difference,
    measure_deviation,
)
from dftlrp.core.types import (
    AnyArray,
    DftlrpError,
    InputError,
    ModelError,
    NonFiniteError,
    Real,
)
from dftlrp.engine.cache import Recent
from dftlrp.engine.evaluate import evaluate
from dftlrp.engine.forward import Inputs, check_inputs
from dftlrp.engine.model import Model, make_key
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import Settings
from dftlrp.graph.structure import find_ancestors
from dftlrp.tracing.assembly import name_only
from dftlrp.tracing.overflow import add_checks, find_overflow, list_infinite
from dftlrp.tracing.session import TYPES, Arrays, load_runtime

DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)
COARSE_TYPES = {TensorProto.BFLOAT16: "bfloat16", TensorProto.FLOAT16: "float16"}
COARSE = 2e-2  # a deviation that rounding alone does not make often
CPU = (
    ", and on processors without VNNI its sums of uint8 times int8 saturate: quantise with "
    "reduce_range=True, or weights to uint8"
)
LARGE = 2**16  # bytes of a weight that is kept beside the graph
CHUNKS = "Chunks"  # a recording cut in chunks: no file computes this


@dataclass(eq=False)
class Comparisons:
    """What comparisons gave, kept with the model: notes by output, settings and shapes."""

    notes: Recent[tuple[str, ...]] = field(default_factory=lambda: Recent[tuple[str, ...]](64))


def compare_with_original(
    model: Model, inputs: Inputs, settings: Settings, given: Mapping[str, Real]
) -> tuple[str, ...]:
    """Compare what is explained with the original file's own, once for inputs of each shape.

    Parameters
    ----------
    given : dict of str to array
        The output, and the value in front of a final Softmax or Sigmoid, as the graph that
        relevance goes back through made them.  The latter is compared where it is known: of a
        small probability little is left.

    Returns
    -------
    tuple of str
        What the user has to know: a deviation of a quantised model, or why nothing was compared.

    Raises
    ------
    ModelError
        The outputs differ by more than round-off; the message names the first node.
    """
    plan = model.plan(settings.output, settings.bind)
    arrays = check_inputs(plan, inputs, DOUBLE)
    shapes = tuple((name, a.shape) for name, a in arrays.items())
    key = (make_key(settings.output, settings.bind), shapes)
    notes = model.cache.part(Comparisons).notes
    return notes.find(key, lambda: tuple(_compare_outputs(model, plan, arrays, given)))


def _compare_outputs(
    model: Model, plan: Plan, arrays: Arrays, ours: Mapping[str, Real]
) -> Iterator[str]:
    try:
        whole = read_original(model)
        if whole is None:
            return
        proto, weights = _set_weights_aside(whole)
        del whole
        made = {name for node in proto.graph.node for name in node.output}
        name = plan.explained if plan.explained in ours.keys() & made else plan.output
        value = ours[name]
        feed, shown = find_feed(model, plan, arrays), _ask_for(proto, [name])
        checks = add_checks(
            shown,
            [n.output for n in plan.nodes if n.key in plan.live and n.output != name],
            _find_finest(proto),
        )
        found = _run(shown, feed, [name, *checks], str(model.path), weights)
    except InputError as error:
        yield f"the output was not compared with the file's own: {error}"
        return
    yield from _warn_of_overflow(model, plan, arrays, list_infinite(found))
    wanted = found[name]
    off, coarsest = measure_deviation(value, wanted), _find_coarsest(proto)
    if off <= allow_deviation(coarsest):
        return
    if np.isfinite(off) and any(_is_quantised(node.op_type) for node in shown.graph.node):
        yield (
            f"warning: the output is {off:.1e} of its largest number off the file's own by "
            f"onnxruntime: engines round quantised numbers differently{'' if off < COARSE else CPU}"
        )
        return
    try:
        values = {dtype.name: _evaluate(model, plan, arrays, dtype) for dtype in (DOUBLE, SINGLE)}
    except NonFiniteError as error:  # of float32: in float64 there is a result
        yield f"warning: this is explained in float64, since in the file's own float32 {error}"
        return
    noise = measure_deviation(values["float32"][name], values["float64"][name])
    allowed = allow_deviation(coarsest, noise, _count_terms(plan, values["float64"]))
    if off <= allowed:
        return
    first = _find_first_difference(proto, feed, plan, values, allowed, weights)
    told = first or Difference(name, off, allowed)
    raise ModelError(
        f"{model.path}: what would be explained is not the model: against onnxruntime on the file, "
        f"{told}: explain by another backend, and report this model"
    )


def _warn_of_overflow(
    model: Model, plan: Plan, arrays: Arrays, infinite: frozenset[str]
) -> Iterator[str]:
    """Yield a warning if a value overflows in front of the output."""
    if not infinite:
        return
    try:
        overflow = find_overflow(plan, infinite, _evaluate(model, plan, arrays, DOUBLE))
    except NonFiniteError:  # which the user is told as an error
        return
    if overflow is not None:
        node, size = overflow
        yield (
            f"warning: in the file's own float32 the output of node {node.key!r} ({node.op}), "
            f"which is up to {size:.1e}, overflows: in float32 relevance that goes through it is "
            "lost; backend='numpy' computes in float64"
        )


def _find_coarsest(proto: ModelProto) -> str:
    """Return the coarsest dtype among the file's inputs, weights and casts, float32 at best."""
    graph = proto.graph
    kinds = {x.type.tensor_type.elem_type for x in graph.input}
    kinds |= {t.data_type for t in graph.initializer}
    kinds |= {a.i for n in graph.node if n.op_type == "Cast" for a in n.attribute if a.name == "to"}
    return next((name for kind, name in COARSE_TYPES.items() if kind in kinds), SINGLE.name)


def _find_finest(proto: ModelProto) -> int:
    """Return the type of a float that holds every number of the file: float32 if that is enough."""
    graph = proto.graph
    kinds = {x.type.tensor_type.elem_type for x in graph.input}
    kinds |= {t.data_type for t in graph.initializer}
    attributes = [a for n in graph.node for a in n.attribute]
    kinds |= {k for a in attributes for k in (a.t.data_type, a.i if a.name == "to" else 0)}
    inner = any(a.HasField("g") or a.graphs for a in attributes)
    fine = inner or not kinds.isdisjoint({TensorProto.DOUBLE, TensorProto.COMPLEX128})
    return TensorProto.DOUBLE if fine else TensorProto.FLOAT


def _set_weights_aside(proto: ModelProto) -> tuple[ModelProto, Arrays]:
    """Return a file's graph in which large weights are only named, and these.

    So neither a copy of the graph nor a session has a copy of them.
    """
    graph, weights = proto.graph, Arrays()
    given = {x.name for x in graph.input}
    for tensor in graph.initializer:
        large = len(tensor.raw_data) > LARGE and tensor.data_type == TensorProto.FLOAT
        if large and tensor.name not in given:
            weights[tensor.name] = numpy_helper.to_array(tensor)
            tensor.CopyFrom(name_only(tensor.name, weights[tensor.name]))
    light = ModelProto()
    light.ParseFromString(proto.SerializeToString())  # what a message lets go stays its own
    return light, weights


def _is_quantised(op: str) -> bool:
    return "Quantize" in op or "Integer" in op or op.startswith("Q")


def _count_terms(plan: Plan, values: Arrays) -> int:
    """Return the length of the longest sum, by how many numbers a node reads for each it makes."""
    read = {n.output: sum(np.size(values.get(name, 0)) for name in n.reads) for n in plan.nodes}
    return max((k // max(1, np.size(values.get(name, 0))) for name, k in read.items()), default=0)


def read_original(model: Model) -> ModelProto | None:
    """Return the file that a model was read from, with its weights inside.

    The result is None for a model that no file computes (one that was cut in chunks).

    Raises
    ------
    InputError
        The file is gone, or another one by now.
    """
    if any(node.op == CHUNKS for node in model.graph.nodes):
        return None
    try:
        data = model.data or model.path.read_bytes()
    except OSError as error:
        raise InputError(f"{model.path} is not there any more ({error.strerror})") from None
    try:
        proto: ModelProto = ModelProto.FromString(data)
    except DecodeError:
        raise InputError(f"{model.path} is no model any more") from None
    outside = [t for t in proto.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    if not outside and hashlib.sha256(data).hexdigest() != model.graph.sha256:
        raise InputError(f"{model.path} is another file since it was loaded")
    for tensor in outside:
        tensor.CopyFrom(numpy_helper.from_array(model.graph.constants[tensor.name], tensor.name))
    return proto


def run_original(model: Model, plan: Plan, several: Sequence[AnyArray]) -> list[AnyArray | None]:
    """Return what the file itself answers to inputs of its one signal, by onnxruntime.

    That is the value that is explained where the file makes it, else the output; None for an input
    that the model does not take, or for which it is not finite.

    Raises
    ------
    InputError
        No file computes the model, or it is gone.
    ModelError
        onnxruntime does not load it.
    """
    proto = read_original(model)
    if proto is None:
        raise InputError(f"{model.path}: no file computes this model")
    made = {name for node in proto.graph.node for name in node.output}
    name = plan.explained if plan.explained in made else plan.output
    shown = _ask_for(proto, [name])
    runtime = load_runtime(shown.SerializeToString(), optimised=False, name=str(model.path))
    types = {x.name: TYPES.get(x.type, np.float64) for x in runtime.get_inputs()}
    (signal,) = plan.signals
    found = list[AnyArray | None]()
    for array in several:
        feed = {**plan.bound, signal: array}
        given: Arrays = {k: np.ascontiguousarray(feed[k], t) for k, t in types.items() if k in feed}
        try:
            (y,) = runtime.run([name], given)
        except Exception:  # onnxruntime has no type of its own
            found.append(None)
        else:
            answer = _as_array(y)
            found.append(answer if np.isfinite(answer).all() else None)
    return found


def find_feed(model: Model, plan: Plan, arrays: Arrays) -> Arrays:
    """Return the inputs of the original: behind a front end, what that makes of the waveform."""
    if not plan.graph.reads:
        return {**arrays, **plan.bound}
    front = [*find_ancestors(plan.nodes, [plan.graph.reads])]
    given = model.constants(get_backend(), DOUBLE) | arrays
    values = evaluate(_restrict(plan, front), given, get_backend(), DOUBLE).values
    own = {name: a for name, a in arrays.items() if name not in {n for f in front for n in f.reads}}
    return {plan.graph.reads: values[plan.graph.reads], **own, **plan.bound}


def _restrict(plan: Plan, nodes: Sequence[Any]) -> Plan:
    """Return the plan of some of its nodes, the last of which makes the output."""
    return replace(plan, nodes=tuple(nodes), output=nodes[-1].output)


def _run(
    proto: ModelProto, feed: Mapping[str, AnyArray], outputs: Sequence[str], name: str,
    weights: Arrays,
) -> Arrays:  # fmt: skip
    """Return outputs of the original by onnxruntime without optimisations.

    Raises
    ------
    InputError
        onnxruntime does not run the file.
    """
    graph = proto.SerializeToString()
    runtime = load_runtime(graph, weights=weights, optimised=False, name=name)
    types = {x.name: TYPES.get(x.type, np.float64) for x in runtime.get_inputs()}
    given: Arrays = {k: np.ascontiguousarray(feed[k], t) for k, t in types.items() if k in feed}
    try:
        results = runtime.run(list(outputs), given)
    except ModelError:
        raise
    except Exception as error:  # onnxruntime has no type of its own
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"onnxruntime does not run the file: {line}") from None
    return {k: _as_array(y) for k, y in zip(outputs, results, strict=True) if y is not None}


def _ask_for(proto: ModelProto, names: Sequence[str]) -> ModelProto:
    """Return the file with these values as its outputs and the nodes that they need.

    onnxruntime computes what nobody fetches, too; the other nodes were never checked.
    """
    shown = ModelProto()
    shown.CopyFrom(proto)
    graph, needed, kept = shown.graph, set(names), list[NodeProto]()
    for node in reversed(proto.graph.node):
        if not needed.isdisjoint(node.output):
            needed |= _list_reads(node)
            kept.append(node)
    declared = {output.name: output for output in proto.graph.output}
    del graph.node[:], graph.output[:]
    graph.node.extend(reversed(kept))
    graph.output.extend(declared.get(name) or ValueInfoProto(name=name) for name in names)
    return shown


def _list_reads(node: NodeProto) -> set[str]:
    """Return the names that a node reads, and that the nodes of its bodies read."""
    inner = (n for a in node.attribute for g in (a.g, *a.graphs) for n in (*g.node, *g.output))
    reads = (n.name if isinstance(n, ValueInfoProto) else _list_reads(n) for n in inner)
    return set(node.input).union(*({r} if isinstance(r, str) else r for r in reads))


def _as_array(y: Any) -> AnyArray:
    """Return an output as an array; a list of maps from labels to scores as its scores."""
    return np.array([list(row.values()) for row in y]) if isinstance(y, list) else np.asarray(y)


def _evaluate(model: Model, plan: Plan, arrays: Arrays, dtype: Any) -> Arrays:
    """Return all values by the reference in a dtype."""
    bk = get_backend()
    given = model.constants(bk, dtype) | {
        k: a.astype(dtype) if a.dtype.kind == "f" else a for k, a in arrays.items()
    }
    return evaluate(plan, given, bk, dtype).values


def _find_first_difference(
    proto: ModelProto, feed: Arrays, plan: Plan, values: Mapping[str, Arrays], allowed: float,
    weights: Arrays,
) -> Difference | None:  # fmt: skip
    """Return the first value of the reference that the original makes otherwise, or None."""
    made = [n for node in proto.graph.node for n in node.output if n in values["float64"]]
    floats = [n for n in made if values["float64"][n].dtype.kind == "f"]
    try:
        want = _run(_ask_for(proto, floats), feed, floats, "the model", weights)
    except (DftlrpError, ValueError):
        return None
    return find_difference(values["float64"], want, allowed)
