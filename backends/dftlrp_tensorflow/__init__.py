"""dftlrp on TensorFlow's tensors: the backend ``"tensorflow"``, and Keras models."""

from .backend import BACKEND, TensorFlowBackend

__all__ = ["BACKEND", "TensorFlowBackend"]
