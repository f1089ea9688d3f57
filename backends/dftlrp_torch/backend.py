"""The backend that computes on torch tensors, and relevance that torch differentiates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dftlrp.core.types import InputError
from dftlrp.frameworks.differentiable import make_relevance
from dftlrp.frameworks.tensor_backend import TensorBackend
from dftlrp.frameworks.tensors import Framework

if TYPE_CHECKING:
    from torch import Tensor


EXAMPLE = """\
>>> import torch
>>> x = torch.randn(1, 1, 8000, requires_grad=True)
>>> R = dftlrp_torch.relevance(dftlrp.load("waveform"), x, target=7)
>>> R[..., :4000].sum().backward()  # a loss on relevance
>>> R.shape == x.grad.shape
True
"""


class TorchBackend(TensorBackend):
    """The backend on a device as torch calls it: ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""

    package, title, device = "torch", "torch", "cpu"

    def make_framework(self) -> Framework:
        """Return torch's functions; torch is imported only now."""
        from .functions import make_framework

        return make_framework(self.device)


def _describe(t: Tensor) -> tuple[str, str]:
    return str(t.device), str(t.dtype).removeprefix("torch.")


def _borrow(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of the same numbers and gradients that nobody else holds.

    What is found of a tensor is kept with it, and its owner may write other numbers into it without
    a word, as through the NumPy array that it was made of.
    """
    import torch

    for name, t in tensors.items():
        if not isinstance(t, torch.Tensor):
            raise InputError(f"{name!r} is of type {type(t).__name__}: give a torch tensor")
    return {name: t.view_as(t) for name, t in tensors.items()}


BACKEND = TorchBackend()
relevance = make_relevance(TorchBackend, _describe, _borrow, EXAMPLE)
__test__ = {"relevance": relevance}  # whose example doctest runs
