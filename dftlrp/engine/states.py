"""Inputs that are no signal: states that a streaming model hands on to itself, and settings.

A file says of an input its name, shape and dtype, and no more.  `find_states` takes an input for a
state where an output of the same shape and dtype is its next value, by their names (``state`` and
``stateN``, ``h`` and ``hn``, ``in_cache0`` and ``out_cache0``) or, where only one pair of inputs
and outputs can be meant, by shape alone.  `propose_settings` gives a rate to what is called so, and
to a limit the number that lets everything pass.  Each says in words what it took and why.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dftlrp.core.types import AnyArray
from dftlrp.graph.structure import Graph, Value

NO_PART = {  # of a name that tells one state from another
    "in", "input", "inputs", "out", "output", "outputs", "new", "next", "prev", "previous", "past",
    "present", "last", "old", "cur", "current", "init", "initial", "start", "final", "end",
}  # fmt: skip
NEXT = ("n", "out", "new", "next", "t")  # at the end of the name of a next value
STATE = re.compile(  # names of states that nothing feeds back
    r"(init(ial)?_?)?(h|c|hx|cx|hidden|cell|state|states|hidden_?state|cell_?state|cache|memory)"
    r"_?(0|in|init)?"
)
RATE = {"sr", "fs", "samplerate", "samplingrate", "samplefreq", "samplingfrequency"}
LOWER, UPPER = {"GreaterOrEqual", "Greater"}, {"LessOrEqual", "Less"}  # of constant and input


@dataclass(frozen=True)
class States:
    """What of a model's inputs is a state.

    Attributes
    ----------
    pairs : dict of str to str
        From each input that is a state to the output that is its next value.
    starts : tuple of str
        Inputs that are states which nothing feeds back: a network's state before the first frame.
    words : dict of str to str
        By input, why it was taken for a state.
    unclear : tuple of str
        Inputs that have the shape of several outputs, or an output that of several inputs.
    """

    pairs: Mapping[str, str] = field(default_factory=dict)
    starts: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    unclear: tuple[str, ...] = ()


def find_states(graph: Graph, bound: Collection[str] = ()) -> States:
    """Return the inputs that are states, by names and shapes; a model of one signal has none.

    Parameters
    ----------
    bound : collection of str
        Inputs that are settings.
    """
    floats = {n: v for n, v in graph.inputs.items() if v.is_float and v.dims and n not in bound}
    inputs = {n: v for n, v in floats.items() if n in graph.signals}
    if len(floats) < 2:
        return States()
    outputs = {n: v for n, v in graph.outputs.items() if v.is_float or not v.dtype}
    pairs, unclear = dict[str, str](), list[str]()
    for name, value in floats.items():  # of one number, too
        found = _find_namesakes(name, [o for o, v in outputs.items() if _may_follow(value, v)])
        pairs |= {name: found[0]} if len(found) == 1 else {}
        unclear += [name] if len(found) > 1 else []
    pairs = {i: o for i, o in pairs.items() if list(pairs.values()).count(o) == 1}
    if pairs.keys() >= inputs.keys():  # a filter: its signal is what its first output is of
        pairs = {i: o for i, o in pairs.items() if o != next(iter(outputs))}
    words = {i: f"its next value is {o!r}, by name and shape" for i, o in pairs.items()}
    left = [n for n in inputs if n not in pairs]
    if len(left) > 1 and not unclear:  # the first of both is the signal, by custom
        rest = {o: v for o, v in list(outputs.items())[1:] if o not in pairs.values()}
        more = _pair_by_shape({n: inputs[n] for n in left[1:]}, rest)
        pairs |= more
        words |= {i: f"its next value is {o!r}, by shape alone" for i, o in more.items()}
        left = [n for n in left if n not in more]
        unclear += [n for n in left[1:] if _has_follower(inputs[n], rest)]
    starts = tuple(n for n in left if n not in unclear and _is_start(n, inputs[n]))
    starts = starts if len(starts) < len(left) else ()
    words |= dict.fromkeys(starts, "by its name; nothing feeds it back")
    return States(pairs, starts, words, tuple(unclear))


def _pair_by_shape(inputs: Mapping[str, Value], outputs: Mapping[str, Value]) -> dict[str, str]:
    """Return the inputs and outputs of one shape, where there is no other of that shape."""
    pairs = dict[str, str]()
    for name, value in inputs.items():
        found = [o for o, v in outputs.items() if v == value]
        rivals = [n for n, v in inputs.items() if v == value]
        if len(found) == len(rivals) == 1 and value.dims and None not in value.dims:
            pairs[name] = found[0]
    return pairs


def _has_follower(value: Value, outputs: Mapping[str, Value]) -> bool:
    return any(_may_follow(value, v) for v in outputs.values())


def _may_follow(state: Value, output: Value) -> bool:
    """Return whether an output may have a state's shape and dtype; what is open may."""
    if output.dtype not in {"", state.dtype}:
        return False
    a, b = state.dims, output.dims
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(None in {m, n} or m == n for m, n in zip(a, b, strict=True))


def _find_namesakes(state: str, outputs: Collection[str]) -> list[str]:
    """Return the outputs whose names are the most like that of a state's next value."""
    ranks = {name: _measure_likeness(state, name) for name in outputs}
    best = max(ranks.values(), default=0)
    return [name for name, rank in ranks.items() if rank == best > 0]


def _measure_likeness(state: str, output: str) -> int:
    """Return 2 where names differ in direction alone, 1 where one ends as in ``hn``, else 0."""
    (a, i), (b, k) = _split_name(state), _split_name(output)
    if not a or not b:
        return 0
    if (a, i) == (b, k):
        return 2
    stems = {a, a.removesuffix("in") or a}
    follows = b in stems or b in {stem + end for stem in stems for end in NEXT}
    return int(follows and (i == k or (i in {"", "0"} and k in {"", "1"})))


def _split_name(name: str) -> tuple[str, str]:
    """Return the letters and the digits of a name, without what says that it comes or goes."""
    words = re.findall(r"[a-z]+|\d+", re.sub(r"([a-z])([A-Z][a-z])", r"\1_\2", name).lower())
    letters = (w for w in words if w.isalpha() and w not in NO_PART)
    return "".join(letters), "_".join(w for w in words if w.isdigit())


def _is_start(name: str, value: Value) -> bool:
    """Return whether an input is a state by its name, of a shape that is known but for a batch."""
    known = value.dims is not None and sum(d is None for d in value.dims) <= 1
    return known and STATE.fullmatch(name.lower()) is not None


def make_start(value: Value) -> AnyArray:
    """Return a state of zeros; an axis that is left open is the batch, of one."""
    return np.zeros([d or 1 for d in value.dims or ()], value.dtype or np.float32)


def propose_settings(graph: Graph, rate: float | None) -> Iterator[tuple[str, Any, str]]:
    """Yield name, value and reason of the settings that leave no doubt.

    Parameters
    ----------
    rate : float or None
        Hertz that the model reads, where known.
    """
    for name, value in graph.inputs.items():
        if not value.is_scalar or name in graph.signals:
            continue
        if re.sub(r"[^a-z]", "", name.lower()) in RATE and rate is not None:
            yield name, int(rate) if float(rate).is_integer() else rate, "the rate that is read"
        elif value.is_float and (limit := _find_limit(graph, name)) is not None:
            yield name, limit, "the limit that leaves nothing out"


def _find_limit(graph: Graph, name: str) -> float | None:
    """Return the number with which a setting that constants are compared with lets all pass.

    None where the setting is read in another way, too.
    """
    limits = list[float]()
    for node in (n for n in graph.nodes if name in n.reads):
        other = next((i for i in node.inputs if i != name), "")
        if node.op not in LOWER | UPPER or other not in graph.constants:
            return None
        is_lower = (node.op in LOWER) == (node.inputs[1] == name)
        values = graph.constants[other]
        limits.append(float(values.min() if is_lower else values.max()))
    return limits[0] if len(set(limits)) == 1 else None
