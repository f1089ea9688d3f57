"""What a module keeps from call to call: taken down, compared, and put back exactly as it was.

Modules keep more on themselves than parameters and buffers: hidden states, caches, counters,
weights that a call normalises in place.  An exporter calls the module as well, and may leave
tensors of its own there.  So all that the module's attributes lead to is taken down before the
first call and put back after the last, and so are the random generators.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

PLAIN = (
    type(None), bool, int, float, complex, str, bytes, type, ModuleType, FunctionType, MethodType,
    BuiltinFunctionType, np.dtype, np.generic,
)  # fmt: skip
REGISTERED = ("_parameters", "_buffers", "_modules")  # a module's entries, called like attributes
DEEPEST = 4  # steps from a module through objects that are none
DRAWN = "random numbers"


class Kind(NamedTuple):
    """How to take down what a thing of one kind holds, and how to put it back."""

    take: Callable[[Any], Any]
    put: Callable[[Any, Any], None]


class Held(NamedTuple):
    """A thing that can change, its path, and what it held."""

    path: str
    thing: Any
    kind: Kind
    content: Any


class ModuleState:
    """What a module and the random generators hold at one moment.

    Parameters
    ----------
    module : torch.nn.Module
        Taken down with all that its attributes lead to: modules, containers, tensors, arrays,
        generators and objects with attributes.
    """

    def __init__(self, module: Module) -> None:
        self._held = list(_find_held(module))

    def find_changes(self) -> list[str]:
        """Return the paths of attributes that are not what they were; `DRAWN` for generators."""
        changes = (path for held in self._held for path in _compare(held))
        return list(dict.fromkeys(changes))

    def restore(self) -> None:
        """Put everything back: each attribute is the very object that it was, with its numbers."""
        for path, thing, kind, content in self._held:
            if any(True for _ in _compare(Held(path, thing, kind, content), exactly=True)):
                kind.put(thing, content)


def _find_held(module: Module) -> Iterator[Held]:
    """Yield all that can change, once each, the module itself first."""
    import torch

    waiting = deque([("", module, 0), *((DRAWN, g, 0) for g in _find_generators())])
    seen = set[int]()
    while waiting:
        path, thing, depth = waiting.popleft()
        depth = 0 if isinstance(thing, torch.nn.Module) else depth + 1
        if id(thing) in seen or isinstance(thing, PLAIN) or depth > DEEPEST:
            continue
        seen.add(id(thing))
        if (kind := _kind_of(thing)) is not None:
            yield Held(path, thing, kind, kind.take(thing))
        waiting.extend((*entry, depth) for entry in _look_inside(path, thing))


def _find_generators() -> list[Any]:
    """Return the generators that functions of torch, Python and NumPy draw from."""
    import torch

    cuda = torch.cuda.default_generators  # none before CUDA is used
    python, numpy = random.random.__self__, np.random.random.__self__  # type: ignore[attr-defined]
    return [torch.default_generator, *cuda, python, numpy]


def _look_inside(path: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a thing leads to, by path."""
    import torch

    if isinstance(thing, dict):
        yield from ((_join(path, str(k)), v) for k, v in thing.items())
    elif isinstance(thing, list | tuple | set | frozenset | deque):
        yield from ((f"{path}[{i}]", v) for i, v in enumerate(thing))
    elif not isinstance(thing, torch.Tensor | np.ndarray) and hasattr(thing, "__dict__"):
        for name, value in vars(thing).items():
            registered = isinstance(thing, torch.nn.Module) and name in REGISTERED
            yield path if registered else _join(path, name), value


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# -- kinds of things


@cache
def _kinds() -> dict[type, Kind]:
    import torch

    attribute, states = Kind(lambda x: dict(vars(x)), _put_attributes), ("get_state", "set_state")
    return {
        torch.Tensor: Kind(lambda t: t.detach().clone(), _put_numbers),
        np.ndarray: Kind(np.copy, np.copyto),
        dict: Kind(dict, _put_items),
        list: Kind(list, _put_elements),
        deque: Kind(list, _put_elements),
        set: Kind(set, lambda s, content: (s.clear(), s.update(content))[0]),
        torch.Generator: _generator(*states),
        random.Random: _generator("getstate", "setstate"),
        np.random.RandomState: _generator(*states),
        np.random.Generator: Kind(lambda g: g.bit_generator.state, _put_bit_generator),
        object: attribute,
    }


def _kind_of(thing: Any) -> Kind | None:
    import torch

    if isinstance(thing, torch.Tensor) and (thing.layout != torch.strided or thing.is_meta):
        return None
    kind = next(kind for base, kind in _kinds().items() if isinstance(thing, base))
    return kind if kind is not _kinds()[object] or hasattr(thing, "__dict__") else None


def _generator(take: str, put: str) -> Kind:
    return Kind(lambda g: getattr(g, take)(), lambda g, state: getattr(g, put)(state))


def _put_bit_generator(generator: Any, state: Any) -> None:
    generator.bit_generator.state = state


def _put_numbers(t: Tensor, content: Tensor) -> None:
    import torch

    with torch.no_grad():
        if t.shape == content.shape:
            t.data.copy_(content)
        else:
            t.data = content.clone()


def _put_items(entries: dict[Any, Any], content: dict[Any, Any]) -> None:
    entries.clear()
    entries.update(content)


def _put_elements(elements: Any, content: list[Any]) -> None:
    elements.clear()
    elements.extend(content)


def _put_attributes(thing: Any, content: dict[str, Any]) -> None:
    _put_items(vars(thing), content)


# -- comparing


def _compare(held: Held, exactly: bool = False) -> Iterator[str]:
    """Yield the paths at which a thing holds something else than it did.

    Elements are compared by value; ``exactly``: they must be the very objects that they were.
    """
    before, now = held.content, held.kind.take(held.thing)
    same = _is if exactly else _same
    if isinstance(held.thing, dict) or held.kind is _kinds()[object]:
        for name in {**before, **now}:
            if not (name in before and name in now and same(before[name], now[name])):
                registered = held.kind is _kinds()[object] and name in REGISTERED
                yield held.path if registered else _join(held.path, str(name))
        if exactly and list(before) != list(now):
            yield held.path
    elif isinstance(before, list | set):
        if len(before) != len(now) or not all(map(same, before, now)):
            yield held.path
    elif not _equal(before, now):
        yield held.path


def _is(before: Any, now: Any) -> bool:
    return before is now


def _same(before: Any, now: Any) -> bool:
    """Whether an element is what it was; what can change within it is compared on its own."""
    return before is now or (type(before) is type(now) and _equal(before, now))


def _equal(before: Any, now: Any) -> bool:
    """Whether two things of one type are equal, NaNs included."""
    import torch

    if isinstance(before, torch.Tensor):
        return _equal_tensors(before, now)
    if isinstance(before, np.ndarray):
        alike = before.dtype == now.dtype and before.shape == now.shape
        return bool(alike and before.tobytes() == now.tobytes())
    if isinstance(before, tuple | list):
        return len(before) == len(now) and all(map(_same, before, now))
    if isinstance(before, dict):
        return before.keys() == now.keys() and all(_same(v, now[k]) for k, v in before.items())
    try:
        return bool(before == now)
    except Exception:  # a class of its own may refuse to be compared
        return False


def _equal_tensors(before: Tensor, now: Tensor) -> bool:
    import torch

    if (before.shape, before.dtype, before.device) != (now.shape, now.dtype, now.device):
        return False
    if before.is_meta or now.is_meta:
        return False
    return torch.equal(before, now) or bool(((before == now) | before.isnan()).all())
