"""The patterns of nodes that are one layer; each is recognised at its last node.

* Conv, ConvTranspose, MatMul (and reshapes behind it) + Add of a constant: the layer's bias.
* BatchNormalization, or Mul + Add of constants, right behind one of these: folded into it.
* Mul + Add of constants elsewhere: one map, as BatchNormalization.
* Layers that are written out: `dftlrp.engine.spellings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from dftlrp.core.types import AnyArray, Shape
from dftlrp.engine.context import MERGED, Context, merge_names
from dftlrp.engine.spellings import merge_activation, merge_layer_norm, merge_softmax
from dftlrp.graph.structure import Node

LINEAR = ("Conv", "ConvTranspose", "MatMul", "Gemm")
RESHAPES = ("Squeeze", "Unsqueeze", "Reshape", "Transpose", "Flatten", "Gather", "Select")


def _merge_bias(node: Node, c: Context) -> list[Node] | None:
    """Merge an Add of a constant into the linear layer before it; moves may be in between."""
    split = c.split_live(node) if node.op == "Add" else None
    if split is None or not c.is_fixed(split[0]):
        return None
    source, name = split
    if c.find_shape(node.output) != c.find_shape(name):
        return None
    layer, chain = _find_layer(name, c)
    if layer is None or len(layer.inputs) > 2 or len(c.live[layer.key]) != 1:
        return None
    bias = c.read(source)
    vector = _narrow_bias(bias, name, layer, chain, c)
    if vector is None:
        return None
    places = np.arange(bias.size).reshape(bias.shape)
    moved = _narrow_bias(places, name, layer, chain, c) if vector.shape == bias.shape else None
    as_it_is = moved is not None and np.array_equal(moved, places)  # for any numbers
    constant = source if as_it_is else c.add_constant(f"{node.output}/bias", vector, source)
    return _add_bias(node, layer, constant, chain[::-1], c)


def _narrow_bias(
    bias: AnyArray, name: str, layer: Node, chain: Sequence[Node], c: Context
) -> AnyArray | None:
    """Return what is added to a value as the bias of the layer behind it."""
    spread = _undo_moves(np.broadcast_to(bias, c.find_shape(name)), chain, c)
    return _narrow_constant(spread, layer, c.find_shape(layer.output))


def _find_layer(name: str, c: Context) -> tuple[Node | None, list[Node]]:
    """Return the linear layer behind a value, and the moves in between, last first."""
    chain: list[Node] = []
    while len(chain) < MERGED and (move := c.find_maker(name, *RESHAPES)) is not None:
        if not _is_reshape(move, c):
            break
        chain.append(move)
        name = move.inputs[0]
    return c.find_maker(name, *LINEAR), chain


def _is_reshape(move: Node, c: Context) -> bool:
    """Return whether a node only gives its input another shape; a Transpose counts as one.

    What takes places of an axis does so if there is only one place.
    """
    before = c.find_shape(move.inputs[0])
    if move.op in {"Gather", "Select"} and before[move.attrs.get("axis", 0)] != 1:
        return False
    return math.prod(before) == math.prod(c.find_shape(move.output))


def _undo_moves(bias: AnyArray, chain: Sequence[Node], c: Context) -> AnyArray:
    """Return the bias in the shape of the layer's output, before the moves."""
    for move in chain:
        before = c.find_shape(move.inputs[0])
        if move.op == "Transpose":
            perm = move.attrs.get("perm", range(len(before))[::-1])
            bias = bias.transpose(np.argsort(list(perm)))
        else:
            bias = bias.reshape(before)
    return bias


def _narrow_constant(spread: AnyArray, layer: Node, shape: Shape) -> AnyArray | None:
    """Return the bias as the layer takes it: per channel, or one for a product's rows."""
    rank = len(shape)
    if layer.op in {"Conv", "ConvTranspose"}:
        vector = np.moveaxis(spread, 1, -1)[(0,) * (rank - 1)]
        same = vector.reshape(1, -1, *(1,) * (rank - 2))
    else:
        vector = same = spread[(0,) * (rank - 1)] if rank else spread
        if layer.op == "MatMul" and not np.array_equal(np.broadcast_to(same, shape), spread):
            vector = same = spread
    return vector.copy() if np.array_equal(np.broadcast_to(same, shape), spread) else None


def _add_bias(
    node: Node, layer: Node, constant: str, moves: Sequence[Node], c: Context
) -> list[Node]:
    """Return the layer with its bias, and the moves behind it."""
    bias = c.read(constant)
    shape = (1, -1, *(1,) * (len(c.find_shape(layer.output)) - 2))
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
            c.add_value(own, _apply_move(move, c.values[output], c), output)
        output = own
    return nodes


def _apply_move(move: Node, x: AnyArray, c: Context) -> AnyArray:
    if move.op == "Transpose":
        return x.transpose(move.attrs.get("perm", range(x.ndim)[::-1]))
    return x.reshape(c.find_shape(move.output))


def fold_norm(node: Node, c: Context) -> list[Node] | None:
    """Merge a BatchNormalization into the linear layer before it; moves may be in between."""
    found = _read_factor_and_shift(node, c) if c.fold else None
    layer, chain = _find_layer(node.inputs[0], c) if found is not None else (None, [])
    if found is None or layer is None or c.live[layer.key] != (0,):
        return None
    made = c.find_shape(layer.output)
    whole = (np.broadcast_to(a, c.find_shape(node.output)) for a in found)
    w, b = (_narrow_constant(_undo_moves(a, chain, c), layer, made) for a in whole)
    new = _scale_layer(layer, w, b, node, c) if w is not None and b is not None else None
    if new is None or w is None or b is None:
        return None
    if not chain:
        return [replace(new, output=node.output)]
    shape = (1, -1, *(1,) * (len(made) - 2)) if layer.op in {"Conv", "ConvTranspose"} else (-1,)
    factors = [
        c.add_constant(f"{node.output}/{what}", a.reshape(shape), *node.inputs[1:])
        for what, a in (("factor", w), ("shifted", b))
    ]
    output = c.derive(f"{node.output}/merged", "MulAdd", layer.output, *factors)
    return [replace(new, output=output), *_repeat_moves(node, output, chain[::-1], c)]


def _scale_layer(layer: Node, w: AnyArray, b: AnyArray, node: Node, c: Context) -> Node | None:
    """Return the layer with each output channel times w, plus b."""
    if not c.is_fixed(*layer.inputs[1:]):
        return None
    weights, *biases = map(c.read, layer.inputs[1:])
    bias = biases[0] if biases else np.zeros_like(w)
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
    if node.op not in {"BatchNormalization", "MulAdd"} or not c.is_fixed(*node.inputs[1:]):
        return None
    if node.op == "MulAdd":
        return c.read(node.inputs[1]), c.read(node.inputs[2])
    g, b, mean, var = map(c.read, node.inputs[1:5])
    w = g / np.sqrt(var + node.attrs.get("epsilon", 1e-5))
    shape = (-1, *(1,) * (len(c.find_shape(node.output)) - 2))
    return w.reshape(shape), (b - w * mean).reshape(shape)


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
    if not w or not c.find_shape(w) or c.find_shape(x) != c.find_shape(node.output):
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
        split = c.split_live(step)
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
        split = c.split_live(step)
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


PATTERNS: tuple[Callable[[Node, Context], list[Node] | None], ...] = (
    merge_softmax,
    merge_activation,
    merge_layer_norm,
    fold_norm,
    _merge_scale_and_shift,
    _merge_bias,
)
