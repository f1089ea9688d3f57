"""dftlrp on torch: the backend ``"torch"``, modules as models, relevance with a gradient."""

from .backend import BACKEND, TorchBackend, relevance
from .loading import load

__all__ = ["BACKEND", "TorchBackend", "load", "relevance"]
