"""The torch backend: differentiable relevance, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from graphs import NETWORKS, loaded, signals
from peers import exported, needed, random_input, randomised, torch

import dftlrp
from dftlrp import attribute
from dftlrp.core.backend import get_backend

needed("dftlrp_torch")
import dftlrp_torch  # noqa: E402

nn = torch.nn
SMOOTH = ("Epsilon", "EpsilonPlus", "EpsilonAlpha2Beta1", "EpsilonGammaBox", "AttnLRP", "Gradient")


def smooth_net() -> Any:
    return randomised(
        nn.Sequential(
            nn.Conv1d(2, 3, 3, padding=1), nn.Tanh(), nn.AvgPool1d(2),
            nn.Conv1d(3, 4, 3, stride=2), nn.Softplus(), nn.Flatten(), nn.Linear(8, 3),
        )
    )  # fmt: skip


def parameters(net: Any) -> dict[str, Any]:
    return {k: p.detach().clone().requires_grad_() for k, p in net.named_parameters()}


@pytest.mark.parametrize("preset", SMOOTH)
def test_relevance_is_differentiable_in_input_and_weights(preset: str) -> None:
    net, x = smooth_net(), random_input(2, 2, 12).requires_grad_()
    model, own = exported(net, x.detach()), parameters(net)

    def f(signal: Any, *weights: Any) -> Any:
        given = dict(zip(own, weights, strict=True))
        return dftlrp_torch.relevance(model, signal, 1, preset, parameters=given)

    assert torch.autograd.gradcheck(f, (x, *own.values()), fast_mode=True)


@pytest.mark.parametrize("network", NETWORKS)
def test_relevance_of_tensors_is_that_of_attribute(network: str) -> None:
    proto = NETWORKS[network]()
    model, given = loaded(proto), signals(proto)
    tensors = {k: torch.from_numpy(x).requires_grad_() for k, x in given.items()}
    ours = dftlrp_torch.relevance(model, tensors, "argmax", "EpsilonPlus")
    want = attribute(model, given, composite="EpsilonPlus", backend="numpy").relevance
    for key, R in ours.items():
        assert R.requires_grad
        np.testing.assert_allclose(R.detach().numpy(), want[key], rtol=1e-9, atol=1e-12)


def test_relevance_outside_a_region_can_be_trained_away() -> None:
    net, x = smooth_net(), random_input(4, 2, 12)
    model, own = exported(net, x), parameters(net)
    optimiser, losses = torch.optim.Adam(own.values(), lr=0.02), []
    for _ in range(8):
        R = dftlrp_torch.relevance(model, x, 1, "Epsilon", parameters=own)
        loss = R[..., 6:].abs().sum() / R.abs().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_a_bias_behind_a_matrix_product_keeps_its_gradient() -> None:
    net = randomised(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(8, 2)))
    x = random_input(2, 2, 3)
    own = parameters(net)
    model = exported(net, x)
    own = {k: p for k, p in own.items() if k in model.graph.constants}
    assert "0.bias" in own
    dftlrp_torch.relevance(model, x, 1, "Epsilon", parameters=own).pow(2).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in own.values())


def test_numbers_of_a_signal_do_not_leave_torch_silently() -> None:
    bk = get_backend("torch")
    x = bk.signal(np.ones(3))
    with pytest.raises(TypeError, match="would leave torch"):
        np.asarray(x)
    with pytest.raises(TypeError, match="no function for 'sort' of a signal"):
        np.sort(x)
    assert np.sort(bk.asarray(np.ones(3))).tolist() == [1, 1, 1]
    assert isinstance(np.sqrt(x).tensor, torch.Tensor)


def test_errors_say_what_to_do() -> None:
    net = smooth_net()
    x = random_input(1, 2, 12)
    model = exported(net, x)
    with pytest.raises(dftlrp.InputError, match=r"no float16 on a CPU: use dtype='float32'"):
        attribute(model, x.numpy(), backend="torch", dtype="float16")
    with pytest.raises(dftlrp.InputError, match="no device 'nowhere'"):
        attribute(model, x.numpy(), backend="torch:nowhere")
    with pytest.raises(dftlrp.InputError, match=r"parameter '9.weight': the file has 0.weight"):
        dftlrp_torch.relevance(model, x, parameters={"9.weight": x})
    with pytest.raises(dftlrp.InputError, match=r"parameter .0\.bias. has shape"):
        dftlrp_torch.relevance(model, x, parameters={"0.bias": x})
    with pytest.raises(dftlrp.InputError, match="several kinds: cpu float32, cpu float64"):
        dftlrp_torch.relevance(model, x, parameters={"0.bias": torch.zeros(3)})
    with pytest.raises(dftlrp.InputError, match="type int64: floats are needed"):
        dftlrp_torch.relevance(model, x.long())


def test_a_clip_to_bounds_of_the_signal_is_torchs_too() -> None:
    bk = get_backend("torch")
    low, high = (bk.signal(np.array(b)) for b in (-1.0, 1.0))
    a = np.array([-3.0, 0.5, 3.0])
    assert bk.read(np.clip(bk.signal(a), low, high)).tolist() == [-1, 0.5, 1]
    assert not bk.nonneg(np.clip(bk.signal(abs(a)), low, low))


def printed(script: str) -> str:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_without_torch_the_error_names_the_extra() -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from dftlrp.core.backend import get_backend\n"
        "try: get_backend('torch').signal([1.0])\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "backend 'torch' needs torch: pip install 'dftlrp[torch]'"


def test_the_backend_is_found_without_importing_torch() -> None:
    script = (
        "import sys; from dftlrp.core.backend import get_backend\n"
        "get_backend('torch'), get_backend('torch:cuda'); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
