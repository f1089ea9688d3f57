"""The backend that computes on torch tensors; torch is imported when it is first used."""

from __future__ import annotations

from functools import cached_property

from dftlrp.core.types import InputError
from dftlrp.frameworks.tensor_backend import TensorBackend
from dftlrp.frameworks.tensors import Framework


class TorchBackend(TensorBackend):
    """Primitives on torch tensors of one device, in the dtype that they have."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.name = "torch" if device == "cpu" else f"torch:{device}"

    def with_options(self, options: str) -> TorchBackend:
        """On that device, as torch calls it: ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
        return TorchBackend(options)

    @cached_property
    def framework(self) -> Framework:
        """torch.

        Raises
        ------
        InputError
            torch is not installed, or there is no such device.
        """
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise InputError("backend 'torch' needs torch: pip install 'dftlrp[torch]'") from error
        from .functions import framework

        return framework(self.device)


BACKEND = TorchBackend()
