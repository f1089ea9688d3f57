"""dftlrp on JAX: the backend ``"jax"``, and relevance that JAX differentiates."""

from .backend import BACKEND, JaxBackend, relevance

__all__ = ["BACKEND", "JaxBackend", "relevance"]
