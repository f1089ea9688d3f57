"""The backend that computes on TensorFlow's tensors; it is imported when it is first used."""

from __future__ import annotations

from functools import cached_property

from dftlrp.core.types import InputError
from dftlrp.frameworks.tensor_backend import TensorBackend
from dftlrp.frameworks.tensors import Framework


class TensorFlowBackend(TensorBackend):
    """Primitives on TensorFlow's tensors of one device, in the dtype that they have."""

    def __init__(self, device: str = "CPU:0") -> None:
        self.device = device
        self.name = "tensorflow" if device == "CPU:0" else f"tensorflow:{device}"

    def with_options(self, options: str) -> TensorFlowBackend:
        """On that device, as TensorFlow calls it: ``/CPU:0``, ``GPU:1``."""
        return TensorFlowBackend(options.removeprefix("/").removeprefix("device:").upper())

    @cached_property
    def framework(self) -> Framework:
        """TensorFlow.

        Raises
        ------
        InputError
            TensorFlow is not installed, or there is no such device.
        """
        try:
            import tensorflow  # noqa: F401
        except ImportError as error:
            raise InputError(
                "backend 'tensorflow' needs TensorFlow: pip install 'dftlrp[tensorflow]'"
            ) from error
        from .functions import framework

        return framework(self.device)


BACKEND = TensorFlowBackend()
