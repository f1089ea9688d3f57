"""Watch what is called on a framework's tensors, see `dftlrp.core.programs`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dftlrp.core.maps import Array
from dftlrp.core.programs import WATCHER, Tape, is_looking_only
from dftlrp.frameworks.tensors import Framework, Tensor, TensorArray, translate_error

Program = Callable[[Sequence[Array]], list[Array]]


class TensorWatcher:
    """Notes the calls on tensors that depend on the inputs; all others give constants."""

    def __init__(self, framework: Framework) -> None:
        self.framework, self.tape = framework, Tape()
        self.decided = False
        self._places: dict[int, int] = {}  # of tensors that depend on the inputs, by their ids
        self._alive: dict[int, Any] = {}

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Note what is computed while it lasts."""
        token = WATCHER.set(self)
        try:
            with self.framework.make_lasting():  # constants are used again
                yield
        finally:
            WATCHER.reset(token)

    def add_input(self, x: Array) -> TensorArray:
        """Return the array as one that is another one each time the program runs."""
        tensor = self._get_tensor(x)
        self._set_place(tensor, self.tape.add_input())
        return self.framework.wrap(tensor)

    def depends(self, x: Array) -> bool:
        """Return whether an array depends on the inputs."""
        return isinstance(x, TensorArray) and id(x.tensor) in self._places

    def finish(self, outputs: Sequence[Array]) -> Program | None:
        """Return the program, from inputs to outputs, or None if numbers decided what ran."""
        if self.decided:
            return None
        wrap, get, errors = self.framework.wrap, self._get_tensor, self.framework.errors
        steps = self.tape.cut([self._places[id(x.tensor)] for x in outputs])

        def play(inputs: Sequence[Array]) -> list[Array]:
            try:
                return [wrap(y) for y in steps.run([get(x) for x in inputs])]
            except errors as error:
                raise translate_error(error, "a prepared call") from error

        return play

    # -- what the framework tells

    def note_read(self, tensor: Tensor) -> None:
        """Note that numbers are looked at."""
        if id(tensor) in self._places and not is_looking_only():
            self.decided = True

    def note_call(
        self, f: Callable[..., Any], args: Sequence[Any], named: Mapping[str, Any], y: Tensor
    ) -> None:
        """Note a call and its result."""
        if id(y) in self._places or not any(map(self._moves, (*args, *named.values()))):
            return  # what was given comes back, or a constant is made
        places = {name: self._find_place(x) for name, x in named.items()}
        self._set_place(y, self.tape.add_step(f, [*map(self._find_place, args)], places))

    def _moves(self, x: Any) -> bool:
        """Return whether an argument depends on the inputs."""
        return any(map(self._moves, x)) if type(x) is tuple else id(x) in self._places

    def _find_place(self, x: Any) -> int:
        if not self._moves(x):
            return self.tape.add_constant(x)
        if type(x) is tuple:
            return self.tape.add_step(_pack, [*map(self._find_place, x)], {})
        return self._places[id(x)]

    def _set_place(self, tensor: Tensor, place: int) -> None:
        name = id(tensor)

        def forget(_: Any) -> None:
            self._places.pop(name, None)
            self._alive.pop(name, None)

        self._places[name] = place
        try:
            self._alive[name] = weakref.ref(tensor, forget)
        except TypeError:  # an object that has none is kept, so that its id stays its own
            self._alive[name] = tensor

    def _get_tensor(self, x: Array) -> Tensor:
        return x.tensor if isinstance(x, TensorArray) else self.framework.make_tensor(x, None)


def _pack(*parts: Any) -> tuple[Any, ...]:
    return parts
