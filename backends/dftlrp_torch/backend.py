"""The backend that computes on torch tensors, and relevance that torch differentiates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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

    def tell_rounding(self, dtype: np.dtype[Any]) -> str:
        """Return what autocast and the switches for float32 allow on the device."""
        from .precision import tell_rounding

        return tell_rounding(self.device, dtype)


def _describe(t: Tensor) -> tuple[str, str]:
    return str(t.device), str(t.dtype).removeprefix("torch.")


BACKEND = TorchBackend()
relevance = make_relevance(TorchBackend, _describe, example=EXAMPLE)
__test__ = {"relevance": relevance}  # whose example doctest runs
