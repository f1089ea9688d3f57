r"""LSTM, GRU and RNN, written out step by step in plainer nodes, so that one text serves all.

With :math:`[x, h]` for the inputs joined, the candidate of a cell is one affine map of both; a gate
is frozen and the signal it gates takes all (Arras et al. 2017, "Explaining recurrent neural
network predictions in sentiment analysis"):

.. math::
    i, o, f &= \sigma([x, h] W_{i,o,f} + b) \quad \text{(frozen)} \\
    c_t &= f \odot c_{t-1} + i \odot \tanh([x, h] W_c + b), \qquad h_t = o \odot \tanh(c_t)

and for the GRU :math:`h_t = (1 - z) \odot \tilde h + z \odot h_{t-1}`.  Sums share by value.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dftlrp.core.maps import Array
from dftlrp.core.types import AnyArray, UnsupportedModelError
from dftlrp.graph.structure import Node
from dftlrp.ops.control import refuse_long, selected, stacked
from dftlrp.ops.registry import Known, expands

STEP = 16  # nodes that one step takes, about
GATES = {"LSTM": "iofc", "GRU": "zrh", "RNN": "h"}
ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
TAKES_ALPHA = {"leakyrelu": "LeakyRelu", "thresholdedrelu": "ThresholdedRelu", "elu": "Elu"}
TAKES_BOTH = {"hardsigmoid": "HardSigmoid"}
PLAIN = {n.lower(): n for n in ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus")}
State = tuple[str, str]  # names of h and c


@dataclass
class _Cell:
    """Collects the nodes of one direction; each is a part of the cell's layer."""

    node: Node
    direction: int
    values: Known
    nodes: list[Node] = field(default_factory=list)

    def put(self, node: Node) -> str:
        layer = next(filter(None, self.node.outputs))
        self.nodes.append(
            replace(node, layer_key=layer, layer_op=self.node.op, alias=self.node.alias)
        )
        return node.output

    def add(self, name: str, op: str, *inputs: str, **attrs: Any) -> str:
        output = f"{self.node.outputs[0] or self.node.output}/{self.direction}/{name}"
        return self.put(Node(output, op, inputs, attrs, opset=9))

    def number(self, name: str, value: Any) -> str:
        return self.add(name, "Constant", value=np.asarray(value))

    def flush(self) -> list[Node]:
        nodes, self.nodes = self.nodes, []
        return nodes

    def given(self, position: int) -> AnyArray | None:
        """A weight of this direction; None where it is left out."""
        inputs = self.node.inputs
        name = inputs[position] if position < len(inputs) else ""
        return self.values.decide(name)[self.direction] if name else None

    def attr(self, name: str, default: Any = None) -> Any:
        return self.node.attrs.get(name, default)

    # -- what a step is made of

    def linear(self, name: str, x: str, weights: str) -> str:
        """``x W + b``."""
        return self.add(name, "MatMul", x, f"{weights}W", f"{weights}b")

    def activated(self, which: int, y: str, name: str) -> str:
        if clip := self.attr("clip"):
            y = self.add(f"{name}/clipped", "Clip", y, min=-clip, max=clip)
        op, attrs = _activation(self.node, self.direction, which)
        return self.add(name, op, y, **attrs)

    def gate(self, gate: str, xh: str, step: str, peek: str) -> str:
        """A gate; it looks at the state where there are peepholes."""
        y = self.linear(f"{step}/{gate}/sum", xh, self.weights(gate))
        if self.given(7) is not None and gate in "iof":
            seen = self.add(f"{step}/{gate}/seen", "Mul", peek, f"{self.weights(gate)}p")
            y = self.add(f"{step}/{gate}/peeped", "Add", y, seen)
        return self.activated(0, y, f"{step}/{gate}")

    def weights(self, gate: str) -> str:
        """How the weights of a gate are called, up to their last letter."""
        return f"{self.node.outputs[0] or self.node.output}/{self.direction}/{gate}/"


def _activation(node: Node, direction: int, which: int) -> tuple[str, dict[str, float]]:
    """The op and the numbers of one of a cell's activations.

    alpha and beta are consumed in the order of the activations that take them.
    """
    defaults = ACTIVATIONS[node.op]
    names = [n.lower() for n in node.attrs.get("activations", defaults * 2)]
    place = direction * len(defaults) + which
    name = names[place]
    op = PLAIN.get(name) or TAKES_ALPHA.get(name) or TAKES_BOTH.get(name)
    if op is None:
        raise UnsupportedModelError(f"node {node.key!r} ({node.op}): activation {name!r}")
    attrs = {}
    for key, takers in (("alpha", TAKES_ALPHA | TAKES_BOTH), ("beta", TAKES_BOTH)):
        given = node.attrs.get(f"activation_{key}", [])
        before = sum(n in takers for n in names[:place])
        if name in takers and before < len(given):
            attrs[key] = given[before]
    return op, attrs


def _weights(cell: _Cell) -> None:
    """The matrix for [x, h], the bias and the peephole of each gate, as constants."""
    op = cell.node.op
    W, R, B, P = (cell.given(i) for i in (1, 2, 3, 7))
    assert W is not None
    assert R is not None
    size = R.shape[-1]
    count = len(GATES[op])
    b = np.zeros(2 * count * size) if B is None else B
    for k, gate in enumerate(GATES[op]):
        rows = slice(k * size, (k + 1) * size)
        back = slice((count + k) * size, (count + k + 1) * size)
        if op == "GRU" and gate == "h" and cell.attr("linear_before_reset", 0):
            _constants(cell, "x", W[rows].T, b[rows])
            _constants(cell, "r*h", R[rows].T, b[back])
        else:
            _constants(cell, gate, np.concatenate([W[rows], R[rows]], 1).T, b[rows] + b[back])
        if op == "LSTM" and P is not None and gate in "iof":
            cell.number(f"{gate}/p", P[rows])
    cell.number("one", np.ones(()))
    cell.number("zero", np.zeros(()))


def _constants(cell: _Cell, gate: str, W: AnyArray, b: AnyArray) -> None:
    cell.number(f"{gate}/W", W)
    cell.number(f"{gate}/b", b)


def _lstm(cell: _Cell, x: str, state: State, step: str) -> State:
    h, c = state
    xh = cell.add(f"{step}/xh", "Concat", x, h, axis=1)
    i = cell.gate("i", xh, step, c)
    if cell.attr("input_forget", 0):
        f = cell.add(f"{step}/f", "Sub", _own(cell, "one"), i)
    else:
        f = cell.gate("f", xh, step, c)
    g = cell.activated(1, cell.linear(f"{step}/c/sum", xh, cell.weights("c")), f"{step}/g")
    c = cell.add(f"{step}/c", "Gated", f, c, i, g)
    o = cell.gate("o", xh, step, c)
    op, attrs = _activation(cell.node, cell.direction, 2)
    return cell.add(f"{step}/h", "Gated", o, cell.add(f"{step}/out", op, c, **attrs)), c


def _gru(cell: _Cell, x: str, state: State, step: str) -> State:
    h, c = state
    xh = cell.add(f"{step}/xh", "Concat", x, h, axis=1)
    z, r = (cell.gate(gate, xh, step, "") for gate in "zr")
    one = _own(cell, "one")
    if cell.attr("linear_before_reset", 0):
        now = cell.linear(f"{step}/h/x", x, cell.weights("x"))
        then = cell.linear(f"{step}/h/h", h, cell.weights("r*h"))
        y = cell.add(f"{step}/h/sum", "Gated", one, now, r, then)
    else:
        reset = cell.add(f"{step}/h/reset", "Gated", r, h)
        xr = cell.add(f"{step}/h/xr", "Concat", x, reset, axis=1)
        y = cell.linear(f"{step}/h/sum", xr, cell.weights("h"))
    candidate = cell.activated(1, y, f"{step}/candidate")
    new = cell.add(f"{step}/1-z", "Sub", one, z)
    return cell.add(f"{step}/h", "Gated", new, candidate, z, h), c


def _rnn(cell: _Cell, x: str, state: State, step: str) -> State:
    h, c = state
    xh = cell.add(f"{step}/xh", "Concat", x, h, axis=1)
    return cell.activated(0, cell.linear(f"{step}/sum", xh, cell.weights("h")), f"{step}/h"), c


STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


def _own(cell: _Cell, name: str) -> str:
    return f"{cell.node.outputs[0] or cell.node.output}/{cell.direction}/{name}"


def _initial(cell: _Cell, position: int, name: str, shape: tuple[int, int]) -> str:
    """The state that a direction starts from: given, or zeros."""
    inputs = cell.node.inputs
    if position < len(inputs) and inputs[position]:
        axis = cell.attr("layout", 0)
        own = selected(_own(cell, name), inputs[position], axis, cell.direction)
        return cell.put(own)
    return cell.number(name, np.zeros(shape))


def _reversed(cell: _Cell, x: str, lengths: str, name: str) -> str:
    return cell.add(name, "ReverseSequence", x, lengths, time_axis=0, batch_axis=1)


def _direction(
    cell: _Cell, x: str, length: int, batch: int, backward: bool
) -> Generator[Node, None, tuple[str, str, str]]:
    """The nodes of one direction; gives back the names of all h, the last h and the last c."""
    _weights(cell)
    R = cell.given(2)
    assert R is not None
    shape = (batch, R.shape[-1])
    state = (_initial(cell, 5, "h0", shape), _initial(cell, 6, "c0", shape))
    inputs = cell.node.inputs
    lengths = inputs[4] if len(inputs) > 4 else ""
    ends = cell.values.decide(lengths) if lengths else np.full(batch, length)
    order = range(length)
    if backward and lengths:
        x = _reversed(cell, x, lengths, "turned")
    elif backward:
        order = order[::-1]
    hs = []
    for t in order:
        step = str(t)
        now = cell.put(selected(_own(cell, f"{step}/x"), x, 0, t))
        new = STEPS[cell.node.op](cell, now, state, step)
        shown = new[0]
        if (t >= ends).any():  # past its end a sequence keeps its state and puts out zeros
            going = cell.number(f"{step}/going", (t < ends)[:, None])
            shown = cell.add(f"{step}/shown", "Where", going, new[0], _own(cell, "zero"))
            new = (
                cell.add(f"{step}/kept/h", "Where", going, new[0], state[0]),
                cell.add(f"{step}/kept/c", "Where", going, new[1], state[1]),
            )
        state = new
        hs.append(shown)
        yield from cell.flush()
    ordered = hs[::-1] if backward and not lengths else hs
    y = cell.put(stacked(_own(cell, "Y"), ordered, 0))
    if backward and lengths:
        y = _reversed(cell, y, lengths, "returned")
    yield from cell.flush()
    return y, *state


def _refuse_misshapen(node: Node, values: Mapping[str, Array]) -> None:
    """Weights must fit each other: the state is as large as one of them says."""
    W, R = (np.shape(values[name]) for name in node.inputs[1:3])
    count = len(GATES[node.op])
    if len(W) != 3 or (*W[:1], W[1], W[1] // count) != R or W[1] % count:
        raise ValueError(f"weights of shapes {W} and {R} do not fit")


@expands("LSTM", "GRU", "RNN")
def cell(node: Node, values: Known, room: int) -> Iterator[Node]:
    """All directions of a cell, and its outputs Y, Y_h and (LSTM) Y_c."""
    layout = node.attrs.get("layout", 0)
    x, first = node.inputs[0], _Cell(node, 0, values)
    length, batch = values[x].shape[:2][:: -1 if layout else 1]
    refuse_long(node, length, STEP, room)
    _refuse_misshapen(node, values)
    if layout:
        x = first.add("time_first", "Transpose", x, perm=[1, 0, 2])
        yield from first.flush()
    which = node.attrs.get("direction", "forward")
    backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[which]
    ends = []
    for d, backward in enumerate(backwards):
        ends.append((yield from _direction(_Cell(node, d, values), x, length, batch, backward)))
    ys, hs, cs = (list(names) for names in zip(*ends, strict=True))
    wanted = dict(zip(("Y", "Y_h", "Y_c"), node.outputs, strict=False))
    if y := wanted.get("Y"):
        name = first.put(stacked(_own(first, "all") if layout else y, ys, 1))
        if layout:
            first.put(Node(y, "Transpose", (name,), {"perm": [2, 0, 1, 3]}))
    for key, parts in (("Y_h", hs), ("Y_c", cs)):
        if output := wanted.get(key):
            first.put(stacked(output, parts, layout))
    yield from first.flush()
