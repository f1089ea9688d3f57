"""A forward pass in two parts gives what the whole one gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import conv_stack, loaded, normal, residual, signals, time_first, unet

from dftlrp import predict
from dftlrp.core.types import InputError
from dftlrp.engine.settings import Settings
from dftlrp.tracing.parts import compute_value, predict_scaled
from dftlrp.tracing.session import Session

GRAPHS = {"conv": conv_stack, "residual": residual, "unet": unet, "time first": time_first}
CASES = [  # where to cut: with a path that bypasses the value, and with time on the first axis
    ("conv", "r1", None), ("conv", "c2", "silence"), ("residual", "c2", None),
    ("residual", "r1", "array"), ("unet", "c2", "array"), ("time first", "h", "silence"),
]  # fmt: skip


def read(name: str) -> tuple[Any, np.ndarray]:
    proto = GRAPHS[name]()
    (x,) = signals(proto, 1).values()
    return loaded(proto), x


@pytest.mark.parametrize(("name", "value", "reference"), CASES)
def test_behind_a_value_it_goes_on_as_the_whole_pass_does(
    name: str, value: str, reference: Any
) -> None:
    model, x = read(name)
    given = {"silence": np.zeros(1), "array": normal(*x.shape, seed=7)}.get(reference)
    (signal,) = model.plan().signals
    settings = Settings(backend="onnx", reference=None if given is None else {signal: given})
    found = compute_value(model, x, settings, value)
    exact = compute_value(model, x, Settings(backend="numpy"), value)
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-6)
    axis = found.shape.index(1)
    shape = [1] * found.ndim
    shape[axis], shape[-1] = 5, found.shape[-1]
    mask = np.random.default_rng(1).integers(0, 2, shape).astype(float)
    some = np.split(mask, [3], axis)
    for part, each in zip(some, predict_scaled(model, x, settings, value, some, axis), strict=True):
        many = np.repeat(x, part.shape[axis], axis=0)
        whole = predict(model, many, scaled={value: part}, backend="numpy", reference=given)
        np.testing.assert_allclose(each.explained, whole.explained, rtol=1e-4, atol=1e-5)


def test_what_lies_before_the_value_is_computed_once(monkeypatch: Any) -> None:
    model, x = read("residual")
    masks, feeds, run = [np.ones((4, 1, 1))] * 3, list[dict[str, Any]](), Session.run

    def count(self: Session, feed: Any) -> Any:
        feeds.append(dict(feed))
        return run(self, feed)

    monkeypatch.setattr(Session, "run", count)
    predict_scaled(model, x, Settings(backend="onnx"), "c2", masks)
    assert [sorted(feed) for feed in feeds] == [["x"], *[["c2", "r1"]] * 3]
    assert len(feeds[0]["x"]) == 1


def test_what_is_not_on_the_way_is_refused() -> None:
    model, x = read("conv")
    with pytest.raises(InputError, match="no value 'nothing' is computed on the way to"):
        predict_scaled(model, x, Settings(backend="onnx"), "nothing", [np.ones((1, 1))])
    with pytest.raises(InputError, match="does not fit"):
        predict_scaled(model, x, Settings(backend="onnx"), "c1", [np.ones((2, 9, 1))])
