"""The layers of a Keras model by their paths: what each gives, and the scope that it computes in.

A path is the names of layers from the model downwards, by slashes: ``both/forward_gru``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import tensorflow as tf
from keras import tree

Keras = Any
Tensors = dict[str, Any]
Wrap = Callable[[str, Callable[..., Any]], Callable[..., Any]]  # path and call


def find_paths(layer: Keras, above: str = "") -> dict[Keras, str]:
    """Return the path of each layer within the model."""
    found = dict[Any, str]()
    for part in layer._flatten_layers(include_self=False, recursive=False):
        found |= {part: above + part.name, **find_paths(part, f"{above}{part.name}/")}
    return found


@contextmanager
def _wrapped(model: Keras, wrap: Wrap) -> Iterator[None]:
    """While it lasts each layer's ``call`` is another one."""
    with ExitStack() as after:
        for layer, path in find_paths(model).items():
            after.callback(_set_call, layer, vars(layer).get("call"))
            _set_call(layer, wrap(path, layer.call))
        yield


def _set_call(layer: Keras, call: Callable[..., Any] | None) -> None:
    """Give a layer a ``call`` of its own, or that of its class again."""
    if call is None:
        object.__delattr__(layer, "call")
    else:
        object.__setattr__(layer, "call", call)  # without Keras' own bookkeeping


@contextmanager
def recorded(model: Keras) -> Iterator[Tensors]:
    """While it lasts each layer leaves the first tensor that it gives, under its path."""
    parts: Tensors = {}

    def wrap(path: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def leaving(*args: Any, **kwargs: Any) -> Any:
            y = call(*args, **kwargs)
            parts.update((path, t) for t in tree.flatten(y)[:1] if tf.is_tensor(t))
            return y

        return leaving

    with _wrapped(model, wrap):
        yield parts


@contextmanager
def scoped(model: Keras) -> Iterator[None]:
    """While it lasts each layer computes in the scope that is its path.

    The body of a loop is a graph of its own, where names start anew; but in ONNX a name may not be
    that of a value outside.  So each body has a scope of its own within the layer's.
    """
    bodies = dict[Any, int]()

    def wrap(path: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def within(*args: Any, **kwargs: Any) -> Any:
            graph = tf.compat.v1.get_default_graph()
            place = bodies.setdefault(graph, len(bodies))
            scope = f"{path}/body_{place}/" if _is_body(graph) else f"{path}/"
            with tf.name_scope(scope):  # as it is: with a slash it is not made unique
                return call(*args, **kwargs)

        return within

    with _wrapped(model, wrap):
        yield


def _is_body(graph: Any) -> bool:
    """Whether a graph lies within another one."""
    return getattr(getattr(graph, "outer_graph", None), "outer_graph", None) is not None


@contextmanager
def blamed(model: Keras) -> Iterator[list[str]]:
    """While it lasts the paths of layers whose call fails are noted, the innermost one first."""
    failed: list[str] = []

    def wrap(path: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def noted(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except Exception:
                failed.append(path)
                raise

        return noted

    with _wrapped(model, wrap):
        yield failed
