"""How a module is called: its arguments, its outputs, and what each of its parts gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dftlrp.core.types import AnyArray, InputError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

T = TypeVar("T")
Tensors = dict[str, "Tensor"]


def arguments(module: Module, example: Any) -> Tensors:
    """Return the inputs by the arguments of ``forward``, on the parameters' device, in their dtype.

    Parameters
    ----------
    example : tensor or array, or tuple or dict (by argument of ``forward``) of these
    """
    if not isinstance(example, Mapping):
        given = example if isinstance(example, tuple | list) else (example,)
        example = dict(zip(inspect.signature(module.forward).parameters, given, strict=False))
    return {name: _like(module, x) for name, x in example.items()}


def _like(module: Module, x: Any) -> Tensor:
    import torch

    weights = (p for p in module.parameters() if p.is_floating_point())
    own = next(weights, torch.zeros(()))
    t = x.detach() if isinstance(x, torch.Tensor) else torch.tensor(np.asarray(x))
    return t.to(own.device, own.dtype if t.is_floating_point() else t.dtype)


def run(module: Module, inputs: Tensors) -> tuple[Tensors, Tensors]:
    """Outputs by name, and the first output of each part by its path; a second call is ``path:1``.

    Raises
    ------
    InputError
        It does not run on these inputs.
    """
    import torch

    with torch.no_grad(), tapped(module) as taken:
        _run_clearly(module, inputs, lambda: module(**inputs))
    return taken


def _run_clearly(module: Module, inputs: Tensors, call: Callable[[], T]) -> T:
    """Return what a call gives; what the module refuses becomes one line of our own."""
    try:
        return call()
    except Exception as error:
        shapes = ", ".join(f"{k} {tuple(t.shape)}" for k, t in inputs.items())
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(f"{type(module).__name__} does not run on {shapes}: {line}") from error


@contextmanager
def tapped(module: Module, parts: bool = True) -> Iterator[tuple[Tensors, Tensors]]:
    """While it lasts a call of the module gives its outputs, and its parts', one after the other.

    They are copies: what works in place behind a part does not change what it has handed out.
    """
    taken: tuple[Tensors, Tensors] = ({}, {})
    outputs, within = taken

    def tap(path: str) -> Callable[..., None]:
        def hook(_: Module, __: Any, output: Any) -> None:
            for tensor in list(_flat(output).values())[:1]:
                count = sum(name.partition(":")[0] == path for name in within)
                within[f"{path}:{count}" if count else path] = tensor.clone()

        return hook

    def end(_: Module, __: Any, output: Any) -> tuple[Tensor, ...]:
        outputs.update(_flat(output))
        return (*outputs.values(), *within.values())

    named = module.named_modules() if parts else ()
    hooks = [part.register_forward_hook(tap(path)) for path, part in named if path]
    hooks.append(module.register_forward_hook(end))
    try:
        yield taken
    finally:
        for handle in hooks:
            handle.remove()


def _flat(output: Any, name: str = "output") -> Tensors:
    """Return the tensors within tuples, lists and dicts, by name."""
    import torch

    if isinstance(output, Mapping):
        items = [(str(k), v) for k, v in output.items()]
    elif isinstance(output, tuple | list):
        items = [(f"{name}.{i}", v) for i, v in enumerate(output)]
    else:
        return {name: output} if isinstance(output, torch.Tensor) else {}
    return {k: t for key, v in items for k, t in _flat(v, key).items()}


def as_arrays(tensors: Tensors) -> dict[str, AnyArray]:
    """Return tensors as NumPy's arrays; a complex one as pairs of numbers on a further axis."""
    return {name: _as_array(t) for name, t in tensors.items()}


def _as_array(t: Tensor) -> AnyArray:
    import torch

    t = torch.view_as_real(t.resolve_conj()) if t.is_complex() else t
    t = t.float() if t.dtype == torch.bfloat16 else t
    array: AnyArray = t.detach().cpu().numpy()
    return array


# -- other inputs, to compare two computations on


def change_values(inputs: Tensors) -> Tensors:
    """Return other inputs of the same shapes: numbers shuffled and scaled, token ids shuffled.

    So they stay in the range that the module is made for.  What is the same everywhere gets noise;
    booleans stay as they are, for a mask may have to leave something.
    """
    import torch

    random = torch.Generator().manual_seed(0)
    return {name: _change(t, random) for name, t in inputs.items()}


def _change(t: Tensor, random: Any) -> Tensor:
    import torch

    if not t.ndim or t.dtype == torch.bool or t.is_complex():
        return t
    order = torch.randperm(t.numel(), generator=random).to(t.device)
    shuffled = t.flatten()[order].reshape(t.shape)
    if not t.is_floating_point():
        return shuffled
    factor = 0.5 + torch.rand(t.shape, generator=random).to(t)
    constant = not t.numel() or bool((t == t.flatten()[0]).all())
    noise = torch.randn(t.shape, generator=random).to(t) if constant else 0.0
    return shuffled * factor + noise


def change_batch(inputs: Tensors) -> Tensors:
    """Return the inputs with one sample more, where the first axis is the batch."""
    batch = count_samples(inputs)
    return {
        k: t[[*range(batch), 0]] if t.ndim and len(t) == batch else t for k, t in inputs.items()
    }


def count_samples(inputs: Tensors) -> int:
    """Return the length of the first axis of the first input that has one."""
    return next((len(t) for t in inputs.values() if t.ndim), 0)
