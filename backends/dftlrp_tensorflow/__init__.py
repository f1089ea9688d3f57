"""dftlrp on TensorFlow: the backend ``"tensorflow"``, Keras models, relevance with a gradient."""

from .backend import BACKEND, TensorFlowBackend, relevance
from .loading import load

__all__ = ["BACKEND", "TensorFlowBackend", "load", "relevance"]
