"""The patterns of nodes that are one layer, each by its last node.

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

from dftlrp.graph.context import Context, merged
from dftlrp.graph.graph import Node
from dftlrp.numpy_backend import BACKEND as NUMPY
from dftlrp.ops import At
from dftlrp.ops.pointwise import POINTWISE
from dftlrp.ops.reduce import reduced_axes
from dftlrp.ops.softmax import softmax_of
from dftlrp.types import AnyArray

ELEMENTWISE = POINTWISE | {"Add", "Sub", "Mul", "Div", "Neg", "Max", "Min", "Sum", "Where"}
MERGED = 64  # nodes of an activation, at most
LINEAR = ("Conv", "ConvTranspose", "MatMul", "Gemm")
MOVES = ("Identity", "Dropout", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose")
RESHAPES = ("Squeeze", "Unsqueeze", "Reshape", "Transpose", "Flatten")


def _bias(node: Node, c: Context) -> list[Node] | None:
    """Add of a constant behind a linear layer, reshapes in between allowed."""
    split = c.fixed(node) if node.op == "Add" else None
    if split is None or c.values[node.output].shape != c.values[split[1]].shape:
        return None
    source, name, bias = split
    chain: list[Node] = []
    while len(chain) < MERGED and (move := c.maker(name, *RESHAPES)) is not None:
        chain.append(move)
        name = move.inputs[0]
    layer = c.maker(name, *LINEAR)
    if layer is None or len(layer.inputs) > 2 or len(c.live[layer.key]) != 1:
        return None
    spread = _unmoved(np.broadcast_to(bias, c.values[node.output].shape), chain, c)
    vector = _narrowed(spread, layer, c.values[layer.output])
    if vector is None:
        return None
    constant = c.constant(f"{node.output}/bias", vector, source)
    return _with_bias(node, layer, constant, chain[::-1], c)


def _unmoved(bias: AnyArray, chain: Sequence[Node], c: Context) -> AnyArray:
    """The bias in the shape of the layer's output, before the moves."""
    for move in chain:
        before = c.values[move.inputs[0]]
        if move.op == "Transpose":
            perm = move.attrs.get("perm", range(before.ndim)[::-1])
            bias = bias.transpose(np.argsort(list(perm)))
        else:
            bias = bias.reshape(before.shape)
    return bias


def _narrowed(spread: AnyArray, layer: Node, y: AnyArray) -> AnyArray | None:
    """The bias as the layer takes it: per channel, or broadcastable to a product's rows."""
    if layer.op in {"Conv", "ConvTranspose"}:
        vector = np.moveaxis(spread, 1, -1)[(0,) * (y.ndim - 1)]
        same = vector.reshape(1, -1, *(1,) * (y.ndim - 2))
    else:
        vector = same = spread[(0,) * (y.ndim - 1)] if y.ndim else spread
        if layer.op == "MatMul" and not np.array_equal(np.broadcast_to(same, y.shape), spread):
            vector = same = spread
    return vector.copy() if np.array_equal(np.broadcast_to(same, y.shape), spread) else None


def _with_bias(
    node: Node, layer: Node, constant: str, moves: Sequence[Node], c: Context
) -> list[Node]:
    """The layer with its bias, and the moves behind it."""
    bias = c.values[constant]
    shape = (1, -1, *(1,) * (c.values[layer.output].ndim - 2))
    conv = layer.op in {"Conv", "ConvTranspose"}
    names = merged(layer, node)
    if not moves:
        inputs, key = (*layer.inputs, constant), layer.layer
        return [replace(layer, output=node.output, inputs=inputs, names=names, layer_key=key)]
    spread = bias.reshape(shape) if conv else bias
    added = c.constant(f"{constant}/spread", spread, constant)
    output = c.derive(f"{layer.output}/biased", "Add", layer.output, added)
    nodes = [replace(layer, output=output, inputs=(*layer.inputs, constant), names=names,
                     layer_key=layer.layer)]  # fmt: skip
    for i, move in enumerate(moves):
        last = i == len(moves) - 1
        own = node.output if last else f"{move.output}/biased"
        nodes.append(replace(move, inputs=(output, *move.inputs[1:]), output=own))
        if not last:
            c.values[own] = _moved(move, c.values[output], c)
        output = own
    return nodes


def _moved(move: Node, x: AnyArray, c: Context) -> AnyArray:
    if move.op == "Transpose":
        return x.transpose(move.attrs.get("perm", range(x.ndim)[::-1]))
    return x.reshape(c.values[move.output].shape)


def folded(node: Node, c: Context) -> list[Node] | None:
    """A BatchNormalization right behind a linear layer is a part of it."""
    found = _affine_by_channel(node, c) if c.fold else None
    layer = c.maker(node.inputs[0], *LINEAR) if found is not None else None
    if found is None or layer is None or c.live[layer.key] != (0,):
        return None
    (w, b), args = found, [c.values[name] for name in layer.inputs]
    weights, bias = args[1], args[2] if len(args) > 2 else np.zeros_like(w)
    if layer.op == "Gemm":
        if layer.attrs.get("transA", 0):
            return None
        weights = layer.attrs.get("alpha", 1.0) * (
            weights.T if layer.attrs.get("transB", 0) else weights
        )
        bias = layer.attrs.get("beta", 1.0) * bias
    groups = layer.attrs.get("group", 1)
    scaled = _scaled_weights(layer.op, weights, w, groups)
    if scaled is None or bias.ndim > 1:
        return None
    sources = (*layer.inputs[1:], *node.inputs[1:])
    names = tuple(
        c.constant(f"{node.output}/{name}", value, *sources)
        for name, value in (("folded", scaled), ("bias", np.asarray(bias * w + b)))
    )
    op = "MatMul" if layer.op == "Gemm" else layer.op
    return [
        replace(
            layer, op=op, inputs=(layer.inputs[0], *names), output=node.output,
            attrs={} if op == "MatMul" else layer.attrs,
            names=merged(layer, node), layer_key=layer.layer,
        )
    ]  # fmt: skip


def _affine_by_channel(node: Node, c: Context) -> tuple[AnyArray, AnyArray] | None:
    """Factor and shift of each channel of a BatchNormalization, in one node or in two."""
    if node.op == "BatchNormalization":
        g, b, mean, var = (c.values[name] for name in node.inputs[1:5])
        w = g / np.sqrt(var + node.attrs.get("epsilon", 1e-5))
        return w, b - w * mean
    if node.op != "MulAdd":
        return None
    y = c.values[node.output]
    axis = 1 if c.maker(node.inputs[0], "Conv", "ConvTranspose") else y.ndim - 1
    spread = (np.broadcast_to(c.values[name], y.shape) for name in node.inputs[1:3])
    first = [np.moveaxis(a, axis, -1)[(0,) * (y.ndim - 1)] for a in spread]
    shape = tuple(-1 if i == axis else 1 for i in range(y.ndim))
    for a, name in zip(first, node.inputs[1:3], strict=True):
        whole = np.broadcast_to(c.values[name], y.shape)
        if not np.array_equal(np.broadcast_to(a.reshape(shape), y.shape), whole):
            return None
    return first[0], first[1]


def _scaled_weights(op: str, weights: AnyArray, w: AnyArray, groups: int) -> AnyArray | None:
    """The weights with each output channel times its factor."""
    if op == "Conv":
        return weights * w.reshape(-1, *(1,) * (weights.ndim - 1))
    if op == "ConvTranspose":  # (in, out / groups, ...): inputs of a group share its outputs
        per_input = np.repeat(w.reshape(groups, -1), len(weights) // groups, axis=0)
        return np.asarray(weights * per_input.reshape(*per_input.shape, *(1,) * (weights.ndim - 2)))
    fits = weights.ndim == 2 and weights.shape[1] == len(w)
    return np.asarray(weights * w) if fits else None


def _scale_and_shift(node: Node, c: Context) -> list[Node] | None:
    """Mul and Add of constants: y = w x + b, as a BatchNormalization, or behind a LayerNorm."""
    shift = c.fixed(node) if node.op in {"Add", "Sub"} else None
    if shift is None or (node.op == "Sub" and c.live[node.key] != (0,)):
        return None
    mul = c.maker(shift[1], "Mul")
    scale = c.fixed(mul) if mul is not None else None
    if mul is None or scale is None or scale[2].ndim == 0:
        return None
    w, x, _ = scale
    y = c.values[node.output]
    if c.values[x].shape != y.shape:
        return None
    b = c.derive(f"{node.output}/shift", "Neg", shift[0]) if node.op == "Sub" else shift[0]
    norm = c.maker(x, "Normalised")
    if norm is not None and len(norm.inputs) == 2:
        factor = c.derive(f"{node.output}/scale", "Mul", w, norm.inputs[1])
        inputs = (norm.inputs[0], factor, b)
        return [replace(norm, output=node.output, inputs=inputs, names=merged(norm, mul, node))]
    return [Node(node.output, "MulAdd", (x, w, b), names=merged(mul, node), alias=node.alias)]


def _layer_norm(node: Node, c: Context) -> list[Node] | None:
    """(x - mean(x)) / s or times s, s frozen: a normalisation, if s is the deviation."""
    scaled = c.fixed(node) if node.op in {"Div", "Mul"} else None
    centred = c.maker(scaled[1], "Sub") if scaled is not None else None
    mean = c.maker(centred.inputs[1], "ReduceMean") if centred is not None else None
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
            node.output, "Normalised", (centred.inputs[0], name), {"axes": reduced_axes(at)},
            names=merged(mean, centred, node), alias=node.alias,
        )
    ]  # fmt: skip


def _softmax(node: Node, c: Context) -> list[Node] | None:
    """exp(x - max) / sum of exp(x - max), written out."""
    exp = c.maker(node.inputs[0], "Exp") if node.op == "Div" else None
    total = _behind(node.inputs[1], (*MOVES, "Expand"), c) if exp is not None else None
    if exp is None or total is None or total.op != "ReduceSum" or total.inputs[0] != exp.output:
        return None
    shifted = c.raw.get(exp.inputs[0])
    x = exp.inputs[0] if shifted is None or shifted.op != "Sub" else shifted.inputs[0]
    at = At(total, NUMPY, tuple(c.values[i] if i else None for i in total.inputs), (0,))
    axes = reduced_axes(at)
    if len(axes) != 1 or c.values[x].shape != c.values[node.output].shape:
        return None
    y = softmax_of(c.values[x], axes)[0]
    if not np.allclose(y, c.values[node.output], rtol=1e-4, atol=1e-7):
        return None
    return [
        Node(
            node.output, "Softmax", (x,), {"axis": axes[0]}, opset=13,
            names=merged(exp, node), alias=node.alias,
        )
    ]  # fmt: skip


def _behind(name: str, through: Sequence[str], c: Context) -> Node | None:
    """The node behind others that only move its output."""
    node = c.raw.get(name)
    while node is not None and node.op in through:
        node = c.raw.get(node.inputs[0])
    return node


def _activation(node: Node, c: Context) -> list[Node] | None:
    """Nodes that are together one function of one value, elementwise."""
    if node.op not in ELEMENTWISE or len(c.true.get(node.key, ())) < 2:
        return _scaled_activation(node, c)
    shape, region = c.values[node.output].shape, [node]
    front = _read(node, c)
    while len(front) > 1 and len(region) < MERGED:
        last = max(front, key=lambda name: c.order.get(name, -1))
        maker = c.raw.get(last)
        if maker is None or maker.op not in ELEMENTWISE or c.values[last].shape != shape:
            return None
        region.append(maker)
        front = (front - {last}) | _read(maker, c)
    source = next(iter(front))
    if len(front) > 1 or c.values[source].shape != shape:
        return None
    steps = tuple((n, c.true[n.key]) for n in reversed(region))
    others = dict.fromkeys(v for n in region for v in (*n.inputs, n.output) if v)
    inputs = (source, *(v for v in others if v not in {source, node.output}))
    names = merged(*reversed(region))
    return [Node(node.output, "Pointwise", inputs, {"steps": steps, "label": _label(region)},
                 names=names, alias=node.alias)]  # fmt: skip


def _scaled_activation(node: Node, c: Context) -> list[Node] | None:
    """A merged activation times a number: x (1 + erf(x / sqrt 2)), times a half."""
    scaled = c.fixed(node) if node.op in {"Mul", "Div"} else None
    inner = c.maker(scaled[1], "Pointwise") if scaled is not None else None
    if scaled is None or inner is None or scaled[2].size != 1 or node.inputs[1] == node.inputs[0]:
        return None
    others = (name for name in node.inputs if name not in inner.inputs)
    steps = (*inner.attrs["steps"], (node, c.true[node.key]))
    return [
        replace(
            inner, output=node.output, inputs=(*inner.inputs, *others),
            attrs={**inner.attrs, "steps": steps}, names=merged(inner, node), alias=node.alias,
        )
    ]  # fmt: skip


def _read(node: Node, c: Context) -> set[str]:
    """The values depending on the signal that a node reads."""
    return {node.inputs[i] for i in c.true.get(node.key, ())}


def _label(region: Sequence[Node]) -> str:
    """What an activation is called, if it has a name."""
    ops = {node.op for node in region}
    if "Erf" in ops:
        return "Gelu"
    if ops <= {"Mul", "Sigmoid"} and "Sigmoid" in ops:
        return "Silu"
    if "Tanh" in ops and ops <= {"Mul", "Add", "Tanh", "Pow", "Div"}:
        return "Gelu" if "Pow" in ops or len(region) > 4 else "Pointwise"
    return "Square" if ops == {"Mul"} and len(region) == 1 else "Pointwise"


PATTERNS: tuple[Callable[[Node, Context], list[Node] | None], ...] = (
    _softmax,
    _activation,
    _layer_norm,
    folded,
    _scale_and_shift,
    _bias,
)
