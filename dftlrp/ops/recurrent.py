r"""LSTM, GRU and RNN, written out step by step in plain nodes, whose maps are known.

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
from dftlrp.ops.control import make_select, make_stack, refuse_long
from dftlrp.ops.registry import Known, register_expansion

SOURCE = "Arras et al. 2017"
STEP = 16  # nodes that one step takes, about
GATES = {"LSTM": "iofc", "GRU": "zrh", "RNN": "h"}
ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
TAKES_ALPHA = {"leakyrelu": "LeakyRelu", "thresholdedrelu": "ThresholdedRelu", "elu": "Elu"}
TAKES_BOTH = {"hardsigmoid": "HardSigmoid"}
PLAIN = {n.lower(): n for n in ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus")}
State = tuple[str, str]  # names of h and c


@dataclass
class _Cell:
    """Collects the nodes of one direction; each is a part of the cell's layer, and of a step."""

    node: Node
    direction: int
    values: Known
    nodes: list[Node] = field(default_factory=list)
    turn: tuple[str, int] = ("", 0)

    def put(self, node: Node) -> str:
        """Append a node and return the name of its value."""
        layer = next(filter(None, self.node.outputs))
        op, alias = self.node.op, self.node.alias
        self.nodes.append(replace(node, layer_key=layer, layer_op=op, alias=alias, turn=self.turn))
        return node.output

    def add(self, name: str, op: str, *inputs: str, **attrs: Any) -> str:
        """Append a node by a name within the cell, and return the name of its value."""
        return self.put(Node(self.name_value(name), op, inputs, attrs, opset=9))

    def add_number(self, name: str, value: Any) -> str:
        """Append a constant."""
        return self.add(name, "Constant", value=np.asarray(value))

    def flush(self) -> list[Node]:
        """Remove and return the nodes that were appended."""
        nodes, self.nodes = self.nodes, []
        return nodes

    def name_value(self, name: str) -> str:
        """Return the full name of a value of this direction."""
        return f"{self.node.outputs[0] or self.node.output}/{self.direction}/{name}"

    def get_input(self, position: int) -> str:
        """Return the name of an input, or an empty one if it is left out."""
        inputs = self.node.inputs
        return inputs[position] if position < len(inputs) else ""

    def read_weights(self, position: int) -> AnyArray | None:
        """Return a weight of this direction, or None if it is left out."""
        name = self.get_input(position)
        return self.values.decide(name)[self.direction] if name else None

    def get_attr(self, name: str, default: Any = None) -> Any:
        """Return an attribute of the cell, or the default."""
        return self.node.attrs.get(name, default)

    # -- what a step is made of

    def add_linear(self, name: str, x: str, gate: str) -> str:
        """Append ``x W + b`` with the weights of a gate."""
        weights = (self.name_value(f"{gate}/W"), self.name_value(f"{gate}/b"))
        return self.add(name, "MatMul", x, *weights)

    def add_activation(self, which: int, y: str, name: str) -> str:
        """Append one of the cell's activations, of what is clipped if the cell says so."""
        if clip := self.get_attr("clip"):
            y = self.add(f"{name}/clipped", "Clip", y, min=-clip, max=clip)
        op, attrs = choose_activation(self.node, self.direction, which)
        return self.add(name, op, y, **attrs)

    def add_gate(self, gate: str, xh: str, step: str, peek: str) -> str:
        """Append a gate; it reads the state, too, where there are peepholes."""
        y = self.add_linear(f"{step}/{gate}/sum", xh, gate)
        if self.get_input(7) and gate in "iof":
            seen = self.add(f"{step}/{gate}/seen", "Mul", peek, self.name_value(f"{gate}/p"))
            y = self.add(f"{step}/{gate}/peeped", "Add", y, seen)
        return self.add_activation(0, y, f"{step}/{gate}")

    def add_kept(self, step: str, going: str, new: State, old: State) -> State:
        """Append the states of a step in which a sequence past its end keeps its own."""
        h, c = (
            self.add(f"{step}/kept/{name}", "Where", going, then, before)
            for name, then, before in zip("hc", new, old, strict=True)
        )
        return h, c


def find_direction(step: Node) -> int:
    """Return the direction that a node of a step belongs to."""
    return int(step.turn[0].split("/")[-2])


def choose_activation(node: Node, direction: int, which: int) -> tuple[str, dict[str, float]]:
    """Return the op and the numbers of one of a cell's activations.

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


def _add_weights(cell: _Cell) -> int:
    """Append the matrix for [x, h], the bias and the peephole of each gate, as constants.

    Return the number of units.
    """
    op = cell.node.op
    W, R, B, P = (cell.read_weights(i) for i in (1, 2, 3, 7))
    assert W is not None
    assert R is not None
    size = int(R.shape[-1])
    count = len(GATES[op])
    b = np.zeros(2 * count * size) if B is None else B
    for k, gate in enumerate(GATES[op]):
        rows = slice(k * size, (k + 1) * size)
        back = slice((count + k) * size, (count + k + 1) * size)
        if op == "GRU" and gate == "h" and cell.get_attr("linear_before_reset", 0):
            _add_gate_weights(cell, "x", W[rows].T, b[rows])
            _add_gate_weights(cell, "r*h", R[rows].T, b[back])
        else:
            joined = np.concatenate([W[rows], R[rows]], 1).T
            _add_gate_weights(cell, gate, joined, b[rows] + b[back])
        if op == "LSTM" and P is not None and gate in "iof":
            cell.add_number(f"{gate}/p", P[rows])
    cell.add_number("one", np.ones(()))
    cell.add_number("zero", np.zeros(()))
    return size


def _add_gate_weights(cell: _Cell, gate: str, W: AnyArray, b: AnyArray) -> None:
    cell.add_number(f"{gate}/W", W)
    cell.add_number(f"{gate}/b", b)


def _step_lstm(cell: _Cell, x: str, state: State, step: str) -> State:
    h, c = state
    xh = cell.add(f"{step}/xh", "Concat", x, h, axis=1)
    i = cell.add_gate("i", xh, step, c)
    if cell.get_attr("input_forget", 0):
        f = cell.add(f"{step}/f", "Sub", cell.name_value("one"), i)
    else:
        f = cell.add_gate("f", xh, step, c)
    g = cell.add_activation(1, cell.add_linear(f"{step}/c/sum", xh, "c"), f"{step}/g")
    c = cell.add(f"{step}/c", "Gated", f, c, i, g)
    o = cell.add_gate("o", xh, step, c)
    op, attrs = choose_activation(cell.node, cell.direction, 2)
    return cell.add(f"{step}/h", "Gated", o, cell.add(f"{step}/out", op, c, **attrs)), c


def _step_gru(cell: _Cell, x: str, state: State, step: str) -> State:
    h, c = state
    xh = cell.add(f"{step}/xh", "Concat", x, h, axis=1)
    z, r = (cell.add_gate(gate, xh, step, "") for gate in "zr")
    one = cell.name_value("one")
    if cell.get_attr("linear_before_reset", 0):
        now = cell.add_linear(f"{step}/h/x", x, "x")
        then = cell.add_linear(f"{step}/h/h", h, "r*h")
        y = cell.add(f"{step}/h/sum", "Gated", one, now, r, then)
    else:
        reset = cell.add(f"{step}/h/reset", "Gated", r, h)
        xr = cell.add(f"{step}/h/xr", "Concat", x, reset, axis=1)
        y = cell.add_linear(f"{step}/h/sum", xr, "h")
    candidate = cell.add_activation(1, y, f"{step}/candidate")
    new = cell.add(f"{step}/1-z", "Sub", one, z)
    return cell.add(f"{step}/h", "Gated", new, candidate, z, h), c


def _step_rnn(cell: _Cell, x: str, state: State, step: str) -> State:
    h, c = state
    xh = cell.add(f"{step}/xh", "Concat", x, h, axis=1)
    return cell.add_activation(0, cell.add_linear(f"{step}/sum", xh, "h"), f"{step}/h"), c


STEPS = {"LSTM": _step_lstm, "GRU": _step_gru, "RNN": _step_rnn}


def _add_initial_state(cell: _Cell, position: int, name: str, shape: tuple[int, int]) -> str:
    """Append the state that a direction starts from: the given one, or zeros."""
    if given := cell.get_input(position):
        axis = cell.get_attr("layout", 0)
        return cell.put(make_select(cell.name_value(name), given, axis, cell.direction))
    return cell.add_number(name, np.zeros(shape))


def _add_reversal(cell: _Cell, x: str, lengths: str, name: str) -> str:
    return cell.add(name, "ReverseSequence", x, lengths, time_axis=0, batch_axis=1)


def _write_direction(
    cell: _Cell, x: str, length: int, batch: int, backward: bool
) -> Generator[Node, None, tuple[str, str, str]]:
    """Yield the nodes of one direction; return the names of all h, the last h and the last c."""
    shape = (batch, _add_weights(cell))
    state = (
        _add_initial_state(cell, 5, "h0", shape),
        _add_initial_state(cell, 6, "c0", shape),
    )
    lengths = cell.get_input(4)
    ends = cell.values.decide(lengths) if lengths else np.full(batch, length)
    turns = backward and not lengths  # sequences of their own lengths are reversed before
    if backward and lengths:
        lengths = cell.add_number("lengths", ends.astype(np.int64))
        x = _add_reversal(cell, x, lengths, "turned")
    shown = [""] * length
    for count, t in enumerate(range(length)[:: -1 if turns else 1]):
        cell.turn = (cell.name_value("steps"), count)
        now = cell.put(make_select(cell.name_value(f"{t}/x"), x, 0, t))
        new = STEPS[cell.node.op](cell, now, state, str(t))
        shown[t] = new[0]
        if (t >= ends).any():  # past its end a sequence keeps its state and puts out zeros
            going = cell.add_number(f"{t}/going", (t < ends)[:, None])
            zero = cell.name_value("zero")
            shown[t] = cell.add(f"{t}/shown", "Where", going, new[0], zero)
            new = cell.add_kept(str(t), going, new, state)
        state = new
        yield from cell.flush()
    cell.turn = ("", 0)
    y = cell.put(make_stack(cell.name_value("Y"), shown, 0))
    if backward and lengths:
        y = _add_reversal(cell, y, lengths, "returned")
    yield from cell.flush()
    return y, *state


def _refuse_misshapen(node: Node, values: Mapping[str, Array]) -> None:
    """Raise ValueError unless the weights fit each other: both tell how large the state is."""
    W, R = (np.shape(values[name]) for name in node.inputs[1:3])
    count = len(GATES[node.op])
    if len(W) != 3 or (*W[:1], W[1], W[1] // count) != R or W[1] % count:
        raise ValueError(f"weights of shapes {W} and {R} do not fit")


@register_expansion("LSTM", "GRU", "RNN")
def recurrent(node: Node, values: Known, room: int) -> Iterator[Node]:
    """The nodes of all directions and steps, and of the outputs Y, Y_h and (LSTM) Y_c."""
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
        cell = _Cell(node, d, values)
        ends.append((yield from _write_direction(cell, x, length, batch, backward)))
    ys, hs, cs = (list(names) for names in zip(*ends, strict=True))
    wanted = dict(zip(("Y", "Y_h", "Y_c"), node.outputs, strict=False))
    if y := wanted.get("Y"):
        name = first.put(make_stack(first.name_value("all") if layout else y, ys, 1))
        if layout:
            first.put(Node(y, "Transpose", (name,), {"perm": [2, 0, 1, 3]}))
    for key, parts in (("Y_h", hs), ("Y_c", cs)):
        if output := wanted.get(key):
            first.put(make_stack(output, parts, layout))
    yield from first.flush()
