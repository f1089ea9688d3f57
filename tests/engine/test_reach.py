"""The receptive field is what a change of the signal really reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import Nodes, loaded, normal

import dftlrp
from dftlrp.engine.forward import run_forward
from dftlrp.engine.settings import Settings

N = 64


def chain(*steps: tuple[str, dict[str, Any]]) -> tuple[Any, list[str]]:
    n, value, names, channels = Nodes(), "x", [], 1
    for i, (op, how) in enumerate(steps):
        out = f"v{i}"
        if op in {"Conv", "ConvTranspose"}:
            shape = (2, channels, 3) if op == "Conv" else (channels, 2, 3)
            n.add(op, f"{value} w{i}", out, **how)
            n.weights[f"w{i}"] = np.abs(normal(*shape, seed=i)) + 0.1
            channels = 2
        else:
            n.add(op, value, out, **how)
        names.append(out)
        value = out
    n.add("Identity", value, "y")
    return n, names


CHAINS = {
    "convolutions": [("Conv", {"pads": [1, 1]}), ("Conv", {"strides": [2]}), ("Conv", {})],
    "dilated": [("Conv", {"dilations": [3]}), ("Conv", {"dilations": [2], "strides": [3]})],
    "pools": [
        ("Conv", {}),
        ("AveragePool", {"kernel_shape": [4], "strides": [4]}),
        ("Transpose", {"perm": [0, 2, 1]}),
        ("Transpose", {"perm": [0, 2, 1]}),
        ("Conv", {}),
    ],
    "up again": [("Conv", {"strides": [2]}), ("ConvTranspose", {"strides": [2]}), ("Conv", {})],
}


@pytest.mark.parametrize("name", CHAINS)
def test_an_element_in_the_middle_sees_as_many_samples_as_stated(name):
    n, names = chain(*CHAINS[name])
    model = loaded(n.model({"x": [1, 1, N]}, {"y": None}))
    found = dftlrp.inspect(model, composite="Epsilon")
    stated = {layer.name: layer.receptive_field for layer in found.layers}

    def values(x: Any) -> Any:
        return run_forward(model, x, Settings(composite="Epsilon")).values

    x = np.abs(normal(1, 1, N))
    base = values(x)
    reached: dict[str, list[int]] = {v: [] for v in names}
    for i in range(N):
        bump = x.copy()
        bump[0, 0, i] += 1
        there = values(bump)
        for v in names:
            y = np.abs(there[v] - base[v])
            y = y[0, 0] if y.shape[1] <= 2 else y[0, :, 0]  # channels first, or last
            reached[v] += [i] if y[len(y) // 2] > 1e-9 else []
    for v in names:
        slack = 2 if name == "up again" else 0  # behind a ConvTranspose elements differ
        extent = reached[v][-1] - reached[v][0] + 1
        assert extent <= stated[v] <= extent + slack
