"""Execution providers: names, what is missing, what is left to the CPU, memory that runs out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from graphs import NETWORKS, loaded, signals

import dftlrp
from dftlrp.core.types import InputError
from dftlrp.tracing import finder
from dftlrp.tracing.providers import check_device, choose_provider, tell_left_nodes

INSTALLED = ["CUDAExecutionProvider", "DmlExecutionProvider", "CPUExecutionProvider"]
IDLE = "AzureExecutionProvider"  # has no kernels: all nodes are left to the CPU
needs_idle = pytest.mark.skipif(
    IDLE not in onnxruntime.get_available_providers(), reason=f"this onnxruntime has no {IDLE}"
)


def ask(backend: str) -> Any:
    proto = NETWORKS["conv_stack"]()
    return dftlrp.attribute(loaded(proto), signals(proto), composite="EpsilonPlus", backend=backend)


@pytest.mark.parametrize(
    ("asked", "found"),
    [("cuda", 0), ("CUDA", 0), ("CUDAExecutionProvider", 0), ("directml", 1), ("Dml", 1), ("", 2),
     ("cpu", 2)],
)  # fmt: skip
def test_short_names_and_those_of_onnxruntime(asked: str, found: int) -> None:
    assert choose_provider(asked, INSTALLED) == INSTALLED[found]


def test_a_provider_that_is_missing_is_answered_with_those_that_are_there() -> None:
    with pytest.raises(InputError, match=r"onnxruntime-openvino.*installed are cuda, dml, cpu$"):
        choose_provider("openvino", INSTALLED)
    with pytest.raises(InputError, match=r"'cuad' is not there: did you mean 'cuda'"):
        choose_provider("cuad", INSTALLED)
    with pytest.raises(InputError, match=r"'nowhere' is not there: installed are .*cpu"):
        ask("onnx:nowhere:1")


def test_a_provider_without_a_device_is_no_cpu() -> None:
    left_out = SimpleNamespace(get_providers=lambda: INSTALLED[2:])
    check_device(left_out, INSTALLED[2])
    with pytest.raises(InputError, match="'cuda' finds no device"):
        check_device(left_out, INSTALLED[0])


@needs_idle
@pytest.mark.parametrize("isolate", ["0", "1"])
def test_nodes_that_are_left_to_the_cpu_are_listed(monkeypatch: Any, isolate: str) -> None:
    monkeypatch.setenv("DFTLRP_ISOLATE", isolate)
    idle, usual = ask("onnx:azure:1"), ask("onnx:cpu:1")
    (note,) = (text for text in idle.notes if "provider" in text)
    assert note.startswith("execution provider 'azure' leaves ")
    assert not any("provider" in text for text in usual.notes)
    assert "c1 (Conv)" in note
    assert note.endswith("more")
    assert (idle.relevance["x"] == usual.relevance["x"]).all()


def test_an_onnxruntime_that_does_not_say_what_is_left_is_told() -> None:
    (note,) = tell_left_nodes(SimpleNamespace(), INSTALLED[0])
    assert note == "this onnxruntime does not say which nodes 'cuda' leaves to the CPU"


@pytest.mark.parametrize(
    ("batch", "says"), [(6, "a batch of 6: try a batch of 3$"), (1, "one sample")]
)
def test_memory_that_runs_out_says_the_batch_to_try(
    monkeypatch: Any, batch: int, says: str
) -> None:
    proto, load = NETWORKS["conv_stack"](), finder.load_runtime

    def load_small(*args: Any, **kwargs: Any) -> Any:
        runtime = load(*args, **kwargs)

        def run(*_: Any) -> Any:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 66 MB")

        outside = {k: getattr(runtime, k) for k in ("get_inputs", "get_outputs", "get_providers")}
        return SimpleNamespace(run=run, **outside)

    monkeypatch.setattr(finder, "load_runtime", load_small)
    x = np.zeros((batch, 2, 40), np.float32)
    with pytest.raises(InputError, match=says):
        dftlrp.attribute(loaded(proto), x, composite="EpsilonPlus", backend="onnx")
