"""Small Keras models with weights, statistics and biases that are not at their defaults."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from needed import needed

needed("tensorflow")
with warnings.catch_warnings():  # those of their imports are theirs
    warnings.simplefilter("ignore")
    tf: Any = importlib.import_module("tensorflow")
    keras: Any = importlib.import_module("keras")
L = keras.layers


def conv1d() -> Any:
    return keras.Sequential([
        L.Input((32, 2), name="audio"), L.Conv1D(4, 3, padding="same", name="c1"),
        L.BatchNormalization(name="norm"), L.ReLU(), L.MaxPooling1D(2),
        L.Conv1D(6, 3, strides=2, activation="relu", name="c2"), L.GlobalAveragePooling1D(),
        L.Dense(3, name="out"),
    ])  # fmt: skip


def conv2d() -> Any:
    return keras.Sequential([
        L.Input((16, 12, 2)), L.Conv2D(4, 3, activation="relu", name="c1"), L.AveragePooling2D(2),
        L.Conv2D(5, (3, 2), padding="same", activation="relu", name="c2"), L.MaxPooling2D(),
        L.Flatten(), L.Dense(3, activation="softmax", name="out"),
    ])  # fmt: skip


def separable() -> Any:
    return keras.Sequential([
        L.Input((16, 12, 2)), L.SeparableConv2D(4, 3, padding="same", name="c1"), L.ReLU(),
        L.DepthwiseConv2D(3, strides=2, name="c2"), L.GlobalMaxPooling2D(), L.Dense(3, name="out"),
    ])  # fmt: skip


def lstm() -> Any:
    return keras.Sequential([
        L.Input((10, 3)), L.LSTM(5, return_sequences=True, name="c1"), L.LSTM(4, name="c2"),
        L.Dense(3, name="out"),
    ])  # fmt: skip


def bidirectional() -> Any:
    return keras.Sequential([
        L.Input((5, 3)), L.Bidirectional(L.GRU(4, name="c1"), name="both"), L.Dense(3, name="out"),
    ])  # fmt: skip


def attention() -> Any:
    x = keras.Input((10, 6))
    h = L.Dense(8, name="c1")(x)
    a = L.MultiHeadAttention(2, 4, name="heads")(h, h)
    h = L.LayerNormalization(name="norm")(L.Add()([h, a]))
    return keras.Model(x, L.Dense(3, name="out")(L.GlobalAveragePooling1D()(h)))


MODELS: dict[str, Callable[[], Any]] = {
    f.__name__: f for f in (conv1d, conv2d, separable, lstm, bidirectional, attention)
}


@cache
def made(name: str) -> tuple[Any, Any]:
    """A model with random weights, and a batch for it."""
    model, rng = MODELS[name](), np.random.default_rng(0)
    for v in model.variables:
        fan = max(1.0, float(np.prod(v.shape[:-1]))) ** 0.5
        noise = rng.standard_normal(v.shape)
        v.assign(0.5 + np.abs(noise) if "variance" in v.path else noise / fan)
    return model, rng.standard_normal((2, *model.input_shape[1:])).astype(np.float32)
