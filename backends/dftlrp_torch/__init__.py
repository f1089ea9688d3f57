"""dftlrp on torch tensors: the backend ``"torch"``, and relevance that can be differentiated."""

from .backend import BACKEND, TorchBackend
from .graph import relevance

__all__ = ["BACKEND", "TorchBackend", "relevance"]
