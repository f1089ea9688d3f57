"""The patterns of nodes that are one layer; each is recognised at its last node.

* Conv, ConvTranspose, MatMul (and reshapes behind it) + Add of a constant: the layer's bias.
* BatchNormalization, or Mul + Add of constants, right behind one of these: folded into it.
* Mul + Add of constants elsewhere: one map, as BatchNormalization.
* (x - mean) / sqrt(var + eps), written out in either spelling: LayerNormalization.
* Elementwise nodes that are together a function of one value (GELU, SiLU, x x, x sigmoid(b x),
  ...): one activation.
* exp(x) / sum exp(x), written out: Softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.types import AnyArray
from dftlrp.engine.context import Context, merge_names
from dftlrp.graph.structure import Node
from dftlrp.ops import At
from dftlrp.ops.pointwise import POINTWISE
from dftlrp.ops.reduce import read_reduced_axes
from dftlrp.ops.softmax import compute_softmax

ELEMENTWISE = POINTWISE | {"Add", "Sub", "Mul", "Div", "Neg", "Max", "Min", "Sum", "Where"}
MERGED = 64  # nodes of an activation, at most
LINEAR = ("Conv", "ConvTranspose", "MatMul", "Gemm")
MOVES = ("Identity", "Dropout", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose")
RESHAPES = ("Squeeze", "Unsqueeze", "Reshape", "Transpose", "Flatten", "Gather", "Select")


def _merge_bias(node: Node, c: Context) -> list[Node] | None:
    """Merge an Add of a constant into the linear layer before it; moves may be in between."""
    split = c.split_fixed(node) if node.op == "Add" else None
    if split is None or c.values[node.output].shape != c.values[split[1]].shape:
        return None
    source, name, bias = split
    layer, chain = _find_layer(name, c)
    if layer is None or len(layer.inputs) > 2 or len(c.live[layer.key]) != 1:
        return None
    spread = _undo_moves(np.broadcast_to(bias, c.values[node.output].shape), chain, c)
    vector = _narrow_constant(spread, layer, c.values[layer.output])
    if vector is None:
        return None
    as_it_is = np.array_equal(bias, vector)
    constant = source if as_it_is else c.add_constant(f"{node.output}/bias", vector, source)
    return _add_bias(node, layer, constant, chain[::-1], c)


def _find_layer(name: str, c: Context) -> tuple[Node | None, list[Node]]:
    """Return the linear layer behind a value, and the moves in between, last first."""
    chain: list[Node] = []
    while len(chain) < MERGED and (move := c.find_maker(name, *RESHAPES)) is not None:
        if c.values[move.inputs[0]].size != c.values[name].size:
            break
        chain.append(move)
        name = move.inputs[0]
    return c.find_maker(name, *LINEAR), chain


def _undo_moves(bias: AnyArray, chain: Sequence[Node], c: Context) -> AnyArray:
    """Return the bias in the shape of the layer's output, before the moves."""
    for move in chain:
        before = c.values[move.inputs[0]]
        if move.op == "Transpose":
            perm = move.attrs.get("perm", range(before.ndim)[::-1])
            bias = bias.transpose(np.argsort(list(perm)))
        else:
            bias = bias.reshape(before.shape)
    return bias


def _narrow_constant(spread: AnyArray, layer: Node, y: AnyArray) -> AnyArray | None:
    """Return the bias as the layer takes it: per channel, or one for a product's rows."""
    if layer.op in {"Conv", "ConvTranspose"}:
        vector = np.moveaxis(spread, 1, -1)[(0,) * (y.ndim - 1)]
        same = vector.reshape(1, -1, *(1,) * (y.ndim - 2))
    else:
        vector = same = spread[(0,) * (y.ndim - 1)] if y.ndim else spread
        if layer.op == "MatMul" and not np.array_equal(np.broadcast_to(same, y.shape), spread):
            vector = same = spread
    return vector.copy() if np.array_equal(np.broadcast_to(same, y.shape), spread) else None


def _add_bias(
    node: Node, layer: Node, constant: str, moves: Sequence[Node], c: Context
) -> list[Node]:
    """Return the layer with its bias, and the moves behind it."""
    bias = c.values[constant]
    shape = (1, -1, *(1,) * (c.values[layer.output].ndim - 2))
    conv = layer.op in {"Conv", "ConvTranspose"}
    names = merge_names(layer, node)
    if not moves:
        inputs, key = (*layer.inputs, constant), layer.layer
        return [replace(layer, output=node.output, inputs=inputs, names=names, layer_key=key)]
    added = (
        c.add_constant(f"{constant}/spread", bias.reshape(shape), constant) if conv else constant
    )
    output = c.derive(f"{node.output}/biased", "Add", layer.output, added)
    new = replace(layer, output=output, inputs=(*layer.inputs, constant), names=names,
                  layer_key=layer.layer)  # fmt: skip
    return [new, *_repeat_moves(node, output, moves, c)]


def _repeat_moves(node: Node, output: str, moves: Sequence[Node], c: Context) -> list[Node]:
    """Return the moves on the merged layer's output; the last makes the node's own value."""
    nodes = []
    for i, move in enumerate(moves):
        last = i == len(moves) - 1
        own = node.output if last else f"{move.output}/of {output}"
        nodes.append(replace(move, inputs=(output, *move.inputs[1:]), output=own))
        if not last:
            c.values[own] = _apply_move(move, c.values[output], c)
        output = own
    return nodes


def _apply_move(move: Node, x: AnyArray, c: Context) -> AnyArray:
    if move.op == "Transpose":
        return x.transpose(move.attrs.get("perm", range(x.ndim)[::-1]))
    return x.reshape(c.values[move.output].shape)


def fold_norm(node: Node, c: Context) -> list[Node] | None:
    """Merge a BatchNormalization into the linear layer before it; moves may be in between."""
    found = _read_factor_and_shift(node, c) if c.fold else None
    layer, chain = _find_layer(node.inputs[0], c) if found is not None else (None, [])
    if found is None or layer is None or c.live[layer.key] != (0,):
        return None
    y = c.values[layer.output]
    whole = (np.broadcast_to(a, c.values[node.output].shape) for a in found)
    w, b = (_narrow_constant(_undo_moves(a, chain, c), layer, y) for a in whole)
    new = _scale_layer(layer, w, b, node, c) if w is not None and b is not None else None
    if new is None or w is None or b is None:
        return None
    if not chain:
        return [replace(new, output=node.output)]
    shape = (1, -1, *(1,) * (y.ndim - 2)) if layer.op in {"Conv", "ConvTranspose"} else (-1,)
    factors = [
        c.add_constant(f"{node.output}/{what}", a.reshape(shape), *node.inputs[1:])
        for what, a in (("factor", w), ("shifted", b))
    ]
    output = c.derive(f"{node.output}/merged", "MulAdd", layer.output, *factors)
    return [replace(new, output=output), *_repeat_moves(node, output, chain[::-1], c)]


def _scale_layer(layer: Node, w: AnyArray, b: AnyArray, node: Node, c: Context) -> Node | None:
    """Return the layer with each output channel times w, plus b."""
    args = [c.values[name] for name in layer.inputs]
    weights, bias = args[1], args[2] if len(args) > 2 else np.zeros_like(w)
    if layer.op == "Gemm":
        if layer.attrs.get("transA", 0):
            return None
        turned = weights.T if layer.attrs.get("transB", 0) else weights
        weights = layer.attrs.get("alpha", 1.0) * turned
        bias = layer.attrs.get("beta", 1.0) * bias
    scaled = _scale_weights(layer.op, weights, w, layer.attrs.get("group", 1))
    if scaled is None or bias.ndim > 1 or w.ndim != 1 or b.ndim != 1:
        return None
    sources = (*layer.inputs[1:], *node.inputs[1:])
    names = tuple(
        c.add_constant(f"{node.output}/{name}", value, *sources)
        for name, value in (("folded", scaled), ("bias", np.asarray(bias * w + b)))
    )
    op = "MatMul" if layer.op == "Gemm" else layer.op
    return replace(
        layer, op=op, inputs=(layer.inputs[0], *names), attrs={} if op == "MatMul" else layer.attrs,
        names=merge_names(layer, node), layer_key=layer.layer,
    )  # fmt: skip


def _read_factor_and_shift(node: Node, c: Context) -> tuple[AnyArray, AnyArray] | None:
    """Return factor and shift of a BatchNormalization, in one node or in several."""
    if node.op == "BatchNormalization":
        g, b, mean, var = (c.values[name] for name in node.inputs[1:5])
        w = g / np.sqrt(var + node.attrs.get("epsilon", 1e-5))
        shape = (-1, *(1,) * (c.values[node.output].ndim - 2))
        return w.reshape(shape), (b - w * mean).reshape(shape)
    if node.op != "MulAdd":
        return None
    return c.values[node.inputs[1]], c.values[node.inputs[2]]


def _scale_weights(op: str, weights: AnyArray, w: AnyArray, groups: int) -> AnyArray | None:
    """Return the weights with each output channel times its factor."""
    if op == "Conv":
        return weights * w.reshape(-1, *(1,) * (weights.ndim - 1))
    if op == "ConvTranspose":  # (in, out / groups, ...): inputs of a group share its outputs
        per_input = np.repeat(w.reshape(groups, -1), len(weights) // groups, axis=0)
        return np.asarray(weights * per_input.reshape(*per_input.shape, *(1,) * (weights.ndim - 2)))
    fits = weights.ndim == 2 and weights.shape[1] == len(w)
    return np.asarray(weights * w) if fits else None


def _merge_scale_and_shift(node: Node, c: Context) -> list[Node] | None:
    """Merge Mul, Div, Add and Sub of constants into ``w x + b``, or into a LayerNorm before."""
    steps, x = _collect_steps(node, c)
    kinds = {step.op for step in steps}
    if not (kinds & {"Mul", "Div"} and kinds & {"Add", "Sub"}):
        return None
    w, b = _compose_steps(node, steps, c)
    if not w or c.values[w].ndim == 0 or c.values[x].shape != c.values[node.output].shape:
        return None
    names = merge_names(*reversed(steps))
    norm = c.find_maker(x, "Normalised")
    if norm is not None and len(norm.inputs) == 2:
        factor = c.derive(f"{node.output}/scale", "Mul", w, norm.inputs[1])
        inputs = (norm.inputs[0], factor, b)
        return [
            replace(norm, output=node.output, inputs=inputs, names=(*merge_names(norm), *names))
        ]
    return [Node(node.output, "MulAdd", (x, w, b), names=names, alias=node.alias)]


def _collect_steps(node: Node, c: Context) -> tuple[list[Node], str]:
    """Return the sums and products with constants that end here, last first, and what they read."""
    steps: list[Node] = []
    name, step = node.output, c.raw.get(node.output)
    while step is not None and step.op in {"Mul", "Div", "Add", "Sub"} and len(steps) < MERGED:
        split = c.split_fixed(step)
        turned = step.op in {"Sub", "Div"} and c.live.get(step.key) != (0,)
        if split is None or turned or len(c.true.get(step.key, ())) != 1:
            break
        steps.append(step)
        name = split[1]
        step = c.raw.get(name)
    return steps, name


def _compose_steps(node: Node, steps: Sequence[Node], c: Context) -> tuple[str, str]:
    """Return the names of w and b of the steps, made one after the other from their constants."""
    w = b = ""
    for i, step in enumerate(reversed(steps)):
        split = c.split_fixed(step)
        assert split is not None
        k = split[0]
        if step.op in {"Add", "Sub"}:
            shift = c.derive(f"{node.output}/minus{i}", "Neg", k) if step.op == "Sub" else k
            b = c.derive(f"{node.output}/shift{i}", "Add", b, shift) if b else shift
            continue
        factor = k
        if step.op == "Div":
            one = c.add_constant(f"{node.output}/one{i}", np.ones((), c.values[k].dtype))
            factor = c.derive(f"{node.output}/inverse{i}", "Div", one, k)
        w = c.derive(f"{node.output}/factor{i}", "Mul", w, factor) if w else factor
        b = c.derive(f"{node.output}/scaled{i}", "Mul", b, factor) if b else b
    return w, b


def _merge_layer_norm(node: Node, c: Context) -> list[Node] | None:
    """Merge (x - mean(x)) / s, or times s, with s frozen: a normalisation if s is the deviation."""
    scaled = c.split_fixed(node) if node.op in {"Div", "Mul"} else None
    centred = c.find_maker(scaled[1], "Sub") if scaled is not None else None
    mean = c.find_maker(centred.inputs[1], "ReduceMean") if centred is not None else None
    if scaled is None or centred is None or mean is None or mean.inputs[0] != centred.inputs[0]:
        return None
    x = c.values[centred.inputs[0]]
    if (node.op == "Div" and c.live[node.key] != (0,)) or c.values[node.output].shape != x.shape:
        return None
    name = scaled[0]
    if node.op == "Div":
        name = c.derive(f"{node.output}/deviation", "Reciprocal", name)
    at = At(mean, NUMPY, tuple(c.values[i] if i else None for i in mean.inputs), (0,))
    return [
        Node(
            node.output, "Normalised", (centred.inputs[0], name), {"axes": read_reduced_axes(at)},
            names=merge_names(mean, centred, node), alias=node.alias,
        )
    ]  # fmt: skip


def _merge_softmax(node: Node, c: Context) -> list[Node] | None:
    """Merge exp(x - max) / sum of exp(x - max) into a Softmax."""
    exp = c.find_maker(node.inputs[0], "Exp") if node.op == "Div" else None
    total = _skip_moves(node.inputs[1], (*MOVES, "Expand"), c) if exp is not None else None
    if exp is None or total is None or total.op != "ReduceSum" or total.inputs[0] != exp.output:
        return None
    shifted = c.raw.get(exp.inputs[0])
    x = exp.inputs[0] if shifted is None or shifted.op != "Sub" else shifted.inputs[0]
    at = At(total, NUMPY, tuple(c.values[i] if i else None for i in total.inputs), (0,))
    axes = read_reduced_axes(at)
    given, made = c.values[x], c.values[node.output]
    if len(axes) != 1 or given.shape != made.shape or given.dtype.kind != "f":
        return None
    y = compute_softmax(given, axes)[0]
    if not np.allclose(y, made, rtol=1e-4, atol=1e-7):
        return None
    return [
        Node(
            node.output, "Softmax", (x,), {"axis": axes[0]}, opset=13,
            names=merge_names(exp, node), alias=node.alias,
        )
    ]  # fmt: skip


def _skip_moves(name: str, through: Sequence[str], c: Context) -> Node | None:
    """Return the node behind others that only move its output."""
    node = c.raw.get(name)
    while node is not None and node.op in through:
        node = c.raw.get(node.inputs[0])
    return node


def _merge_activation(node: Node, c: Context) -> list[Node] | None:
    """Merge nodes that are together one function of one value, elementwise."""
    if node.op not in ELEMENTWISE or len(c.true.get(node.key, ())) < 2:
        return _merge_scaled_activation(node, c)
    shape, region = c.values[node.output].shape, [node]
    front = _find_signal_inputs(node, c)
    while len(front) > 1 and len(region) < MERGED:
        last = max(front, key=lambda name: c.order.get(name, -1))
        maker = c.raw.get(last)
        if maker is None or maker.op not in ELEMENTWISE or c.values[last].shape != shape:
            return None
        region.append(maker)
        front = (front - {last}) | _find_signal_inputs(maker, c)
    source = next(iter(front))
    if len(front) > 1 or c.values[source].shape != shape:
        return None
    steps = tuple((n, c.true[n.key]) for n in reversed(region))
    others = dict.fromkeys(v for n in region for v in (*n.inputs, n.output) if v)
    inputs = (source, *(v for v in others if v not in {source, node.output}))
    names = merge_names(*reversed(region))
    attrs = {"steps": steps, "label": _name_activation(region)}
    return [Node(node.output, "Pointwise", inputs, attrs, names=names, alias=node.alias)]


def _merge_scaled_activation(node: Node, c: Context) -> list[Node] | None:
    """Merge an activation and its product with a number: x (1 + erf(x / sqrt 2)), times a half."""
    scaled = c.split_fixed(node) if node.op in {"Mul", "Div"} else None
    inner = c.find_maker(scaled[1], "Pointwise") if scaled is not None else None
    if scaled is None or inner is None or scaled[2].size != 1 or node.inputs[1] == node.inputs[0]:
        return None
    others = (name for name in node.inputs if name not in inner.inputs)
    steps = (*inner.attrs["steps"], (node, c.true[node.key]))
    return [
        replace(
            inner, output=node.output, inputs=(*inner.inputs, *others),
            attrs={**inner.attrs, "steps": steps}, names=merge_names(inner, node), alias=node.alias,
        )
    ]  # fmt: skip


def _find_signal_inputs(node: Node, c: Context) -> set[str]:
    """Return the values depending on the signal that a node reads."""
    return {node.inputs[i] for i in c.true.get(node.key, ())}


def _name_activation(region: Sequence[Node]) -> str:
    """Return what an activation is called."""
    ops = {node.op for node in region}
    if "Erf" in ops:
        return "Gelu"
    if ops <= {"Mul", "Sigmoid"} and "Sigmoid" in ops:
        return "Silu"
    if "Tanh" in ops and ops <= {"Mul", "Add", "Tanh", "Pow", "Div"}:
        return "Gelu" if "Pow" in ops or len(region) > 4 else "Pointwise"
    return "Square" if ops == {"Mul"} and len(region) == 1 else "Pointwise"


PATTERNS: tuple[Callable[[Node, Context], list[Node] | None], ...] = (
    _merge_softmax,
    _merge_activation,
    _merge_layer_norm,
    fold_norm,
    _merge_scale_and_shift,
    _merge_bias,
)
