"""A network on integers as one on real numbers, before a plan of it is made.

Layers on integers are written out (`dftlrp.ops.integer_layers`).  What exporters write for a layer
whose input is quantised by its own range,

    q, s, z = DynamicQuantizeLinear(x);  y = Cast(MatMulInteger(q, W, z, z_W)) * (s * s_W),

is MatMul of the dequantised q and W, so that the bias behind it is that layer's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dftlrp.core.types import AnyArray, ModelError
from dftlrp.engine.evaluate import blame
from dftlrp.graph.structure import Graph, Node
from dftlrp.ops import EXPANSIONS, STATIC
from dftlrp.ops.registry import Known

FLOATS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}
AXES = {"MatMulInteger": -1, "ConvInteger": 0}  # of the weights: the output's channels


def write_out(graph: Graph) -> Graph:
    """Return the graph with layers on integers as layers on real numbers.

    Raises
    ------
    ModelError
        A value is called as one that is added.
    InputError, UnsupportedModelError
        A node has not what its op needs; it is named.
    """
    if not any(node.op in STATIC for node in graph.nodes):
        return graph
    made = dict[str, Node]()
    for node in _join_scales(graph):
        for new in _expand(node, graph.constants):
            old = made.setdefault(new.output, new)  # weights that two outputs need are made once
            own = new.output in graph.inputs or new.output in graph.constants
            if own or (old.op, old.inputs) != (new.op, new.inputs):
                raise ModelError(f"two values are called {new.output!r}, one in {node.key!r}")
    return replace(graph, nodes=tuple(made.values()))


def _expand(node: Node, constants: Mapping[str, AnyArray]) -> Sequence[Node]:
    if node.op not in STATIC:
        return (node,)
    with blame(node):
        return tuple(EXPANSIONS[node.op](node, Known(constants), 0))


def _join_scales(graph: Graph) -> Iterator[Node]:
    """Yield the nodes, with a product of integers and its scale as one layer."""
    made = {node.output: node for node in graph.nodes}
    count = Counter(name for node in graph.nodes for name in node.reads)
    count.update(list(graph.outputs))
    for node in graph.nodes:
        joined = _join_product(node, made, count, graph.constants) if node.op == "Mul" else ()
        yield from joined or (node,)


def _join_product(
    node: Node, made: Mapping[str, Node], count: Counter[str], constants: Mapping[str, AnyArray]
) -> Sequence[Node]:
    """Return the nodes that stand for a product of integers and its scale, or none."""
    for cast, scale in (node.inputs, node.inputs[::-1]):
        integers = _follow(made, cast, "Cast")
        product = integers and _follow(made, integers.inputs[0], *FLOATS)
        unit = _follow(made, scale, "Mul")
        if not product or not unit or not integers or len(product.inputs) < 3:
            continue
        if integers.attrs.get("to") != 1 or count[cast] > 1 or count[product.output] > 1:
            continue
        rounded = _follow(made, product.inputs[0], "DynamicQuantizeLinear")
        own = rounded.outputs[1] if rounded else ""
        other = [name for name in unit.inputs if name != own]
        if len(other) == 1 and _fits_weights(product, constants.get(other[0])):
            return _dequantise(node, product, own, other[0])
    return ()


def _follow(made: Mapping[str, Node], name: str, *ops: str) -> Node | None:
    """Return the node that makes a value, if it is one of these ops."""
    node = made.get(name)
    return node if node is not None and node.op in ops else None


def _fits_weights(product: Node, scale: AnyArray | None) -> bool:
    """Return whether the scale of the weights is one number, or one for each column."""
    if scale is None:
        return False
    return scale.size == 1 or (product.op == "MatMulInteger" and scale.ndim == 1)


def _dequantise(node: Node, product: Node, scale: str, weights: str) -> Sequence[Node]:
    """Return the product of the dequantised factors, under the name of the node."""
    x, w, zero, *zeros = product.inputs
    names = [f"{node.output}/{side}" for side in ("x", "w")]
    parts = [
        Node(names[0], "DequantizeLinear", (x, scale, zero)),
        Node(
            names[1],
            "DequantizeLinear",
            (w, weights, *filter(None, zeros)),
            {"axis": AXES[product.op]},
        ),
        Node(
            node.output,
            FLOATS[product.op],
            tuple(names),
            product.attrs,
            names=(product.output,),
        ),
    ]
    op = parts[-1].op
    return [
        replace(n, alias=product.alias, layer_key=node.output, layer_op="" if n.op == op else op)
        for n in parts
    ]
