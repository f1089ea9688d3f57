"""Programs: what a backend was asked to compute once, to be computed again for other numbers.

The engine decides at each call which nodes run, how layers are merged, which rule and which
geometry belong to each.  All that depends on the model, its settings and the shapes, and not on the
numbers.  While a backend is watched, each function that it calls on arrays that depend on the
inputs is noted; what does not depend on them is a constant, computed once and for all.  Run for
other numbers, these calls are the whole explanation, without any of the decisions.

They are of no use for other numbers if numbers were looked at to decide what comes next.  What
looks at them and decides nothing, as checks do, says so by `looking_only`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from dftlrp.core.maps import Array

_LOOKING: ContextVar[bool] = ContextVar("looking", default=False)


@contextmanager
def looking_only() -> Iterator[None]:
    """While it lasts, numbers that are read decide nothing about what is computed."""
    token = _LOOKING.set(True)
    try:
        yield
    finally:
        _LOOKING.reset(token)


def is_looking_only() -> bool:
    """Return whether the numbers that are read now decide nothing."""
    return _LOOKING.get()


class Watcher(Protocol):
    """Notes what a backend computes while ``with watcher.watch():`` lasts."""

    def watch(self) -> AbstractContextManager[None]:
        """Note what is computed while it lasts."""

    def note_call(
        self, f: Callable[..., Any], args: Sequence[Any], named: Mapping[str, Any], y: Any
    ) -> None:
        """Note that a function was called, and its result."""

    def note_read(self, x: Any) -> None:
        """Note that numbers are looked at."""

    def add_input(self, x: Array) -> Array:
        """Return an array that is another one each time the program runs."""

    def depends(self, x: Array) -> bool:
        """Return whether an array depends on the inputs."""

    def finish(self, outputs: Sequence[Array]) -> Callable[[Sequence[Array]], list[Array]] | None:
        """Return the program, from inputs to outputs, or None if numbers decided what ran."""


WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


# -- what is noted


class Step(NamedTuple):
    """One call: the function, the places of its arguments, and that of its result."""

    function: Callable[..., Any]
    arguments: tuple[int, ...]
    result: int


class Tape:
    """Calls on objects that are known by their places."""

    def __init__(self) -> None:
        self.places: list[Any] = []  # constants, and None for what is computed
        self.inputs: list[int] = []
        self.steps: list[Step] = []
        self._known: dict[Any, int] = {}

    def add_place(self, constant: Any = None) -> int:
        """Return a new place."""
        self.places.append(constant)
        return len(self.places) - 1

    def add_input(self) -> int:
        """Return the place of a further input."""
        self.inputs.append(self.add_place())
        return self.inputs[-1]

    def add_constant(self, x: Any) -> int:
        """Return the place of what is the same each time."""
        key = _tell_constant(x)
        if key not in self._known:
            self._known[key] = self.add_place(x)
        return self._known[key]

    def add_step(
        self, f: Callable[..., Any], arguments: Sequence[int], named: dict[str, int]
    ) -> int:
        """Return the place of what a function gives; the same call twice is one."""
        names, count = tuple(named), len(arguments)
        places = (*arguments, *named.values())
        key = (f, names, places)
        if key not in self._known:
            self._known[key] = self.add_place()
            called = partial(_call_named, f, names, count) if names else f
            self.steps.append(Step(called, places, self._known[key]))
        return self._known[key]

    def cut(self, outputs: Sequence[int]) -> Steps:
        """Return the steps that the outputs need."""
        needed, kept = set(outputs), list[Step]()
        for step in reversed(self.steps):
            if step.result in needed:
                needed.update(step.arguments)
                kept.append(step)
        kept.reverse()
        places = [x if i in needed else None for i, x in enumerate(self.places)]
        return Steps(places, tuple(self.inputs), kept, tuple(outputs))


def _call_named(f: Callable[..., Any], names: tuple[str, ...], count: int, *given: Any) -> Any:
    """Call a function whose last arguments have names."""
    return f(*given[:count], **dict(zip(names, given[count:], strict=True)))


def _tell_constant(x: Any) -> Any:
    """Return what tells a constant from others; a place holds it, so its id is its own."""
    if isinstance(x, tuple):
        return (type(x), *map(_tell_constant, x))
    plain = x is None or isinstance(x, int | float | str | slice)
    return (type(x), repr(x)) if plain else (type(x), id(x))


class Steps:
    """Steps that run one after the other; what no later step needs is let go of."""

    def __init__(
        self,
        places: list[Any],
        inputs: tuple[int, ...],
        steps: Sequence[Step],
        outputs: tuple[int, ...],
    ) -> None:
        self.places, self.inputs, self.outputs = places, inputs, outputs
        last = {place: i for i, step in enumerate(steps) for place in step.arguments}
        computed = {*inputs, *(step.result for step in steps)} - set(outputs)
        ended: list[list[int]] = [[] for _ in steps]
        for place in computed & last.keys():
            ended[last[place]].append(place)
        self.steps = [
            (step.function, _make_getter(step.arguments), step.result, tuple(ends))
            for step, ends in zip(steps, ended, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.steps)

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the outputs."""
        places = self.places.copy()
        for place, given in zip(self.inputs, inputs, strict=True):
            places[place] = given
        for function, get, result, ends in self.steps:
            places[result] = function(*get(places))
            for place in ends:
                places[place] = None
        return [places[place] for place in self.outputs]


def _make_getter(arguments: tuple[int, ...]) -> Callable[[list[Any]], Any]:
    """Return a function from all places to those of the arguments."""
    if len(arguments) == 1:
        (one,) = arguments
        return lambda places: (places[one],)
    return itemgetter(*arguments)
