"""A torch module is explained as the function that it is, or refused; and left as it was."""

from __future__ import annotations

import logging
import warnings
from collections import deque
from typing import Any

import numpy as np
import pytest
from needed import needed
from peers import quiet, torch

import dftlrp

needed("dftlrp_torch")
from dftlrp_torch import exporters, loading  # noqa: E402
from dftlrp_torch.module_state import DRAWN, ModuleState  # noqa: E402

nn, F = torch.nn, torch.nn.functional
WINDOW = torch.hann_window(8)
X = torch.linspace(-1, 1, 48).reshape(2, 8, 3).sin()


class Within(nn.Module):  # type: ignore[misc]
    """A function, or a module, before a dense layer."""

    def __init__(self, f: Any, width: int) -> None:
        super().__init__()
        self.f, self.last = f, nn.Linear(width, 3)

    def forward(self, x: Any) -> Any:
        return self.last(self.f(x).flatten(1))


def net(f: Any, x: Any = X) -> Any:
    torch.manual_seed(0)
    return Within(f, f(x).flatten(1).shape[1]).eval()


def refused(module: Any, x: Any = X) -> str:
    with pytest.raises(dftlrp.DftlrpError) as error:
        dftlrp.load(module, example=x)
    assert "\n" not in str(error.value)
    return str(error.value)


def check_against_autograd(module: Any, x: Any) -> dftlrp.Model:
    model = dftlrp.load(module, example=x)
    ours = dftlrp.attribute(model, x.numpy(), target=1, composite="Gradient", backend="numpy")
    wide = x.double().requires_grad_()
    z = module.double()(wide)
    want = (torch.autograd.grad(z[:, 1].sum(), wide)[0] * wide).detach().numpy()
    np.testing.assert_allclose(ours.output, z.detach().numpy(), atol=1e-6 * abs(z).max().item())
    np.testing.assert_allclose(ours.relevance, want, atol=1e-6 * np.abs(want).max())
    return model


SPELLED = {
    "an axis counted from the end": lambda x: x.unfold(-2, 4, 2),
    "median": lambda x: x.median(-2).values,
    "median of all": lambda x: x[:, :, 0].median(-1, keepdim=True)[0] * x.median(1)[0],
    "kthvalue": lambda x: x.kthvalue(2, 1, keepdim=True).values,
    "adaptive maximum": lambda x: F.adaptive_max_pool1d(x.mT, 5),
    "adaptive maximum of a plane": lambda x: F.adaptive_max_pool2d(x, (3, None)),
    "a divisor of its own": lambda x: F.avg_pool2d(x, 2, 1, divisor_override=5),
    "distances": lambda x: torch.cdist(x, x[:, :2] + 1),
    "a distance": lambda x: F.pairwise_distance(x, x.flip(1) + 1),
    "hypotenuse": lambda x: torch.hypot(x, x.flip(1)),
    "products so far": lambda x: x.cumprod(1),
    "a product": lambda x: x.prod(-1, keepdim=True) + torch.prod(x, 1)[:, None],
    "maxima so far": lambda x: x.cummax(1).values * torch.cummin(x, -1)[0],
    "a rest": lambda x: x.fmod(0.3) * torch.remainder(x, 0.4) + torch.fmod(x, x.flip(1) + 3),
    "a rest by an operator": lambda x: x % 0.3,
    "side by side": lambda x: torch.hstack([x, 2 * x]),
}


@pytest.mark.parametrize("name", SPELLED)
def test_what_no_exporter_writes_is_spelled(name: str) -> None:
    check_against_autograd(net(SPELLED[name]), X)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("both", [False, True])
def test_a_projected_lstm_is_right(both: bool) -> None:
    class Projected(nn.LSTM):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return super().forward(x)[0]

    torch.manual_seed(0)
    check_against_autograd(
        net(Projected(3, 5, 2, proj_size=2, bidirectional=both, batch_first=True)), X
    )


WRITTEN_BY_DYNAMO = {
    "STFT": lambda x: torch.stft(
        x.flatten(1), 8, 4, window=WINDOW.to(x), return_complex=True
    ).abs(),
    "FFT": lambda x: torch.fft.rfft(x, dim=-2).abs(),
    "RMSNorm": lambda x: F.rms_norm(x, (3,)),
    "differences": lambda x: x.diff(dim=-2),
    "renorm": lambda x: x.renorm(2, -1, 0.5),
    "adaptive mean": lambda x: F.adaptive_avg_pool1d(x.mT, 5),
    "a batch size as an int": lambda x: x.reshape(int(x.shape[0]), -1) * 2,
}


@pytest.mark.parametrize("name", WRITTEN_BY_DYNAMO)
def test_what_torchscript_cannot_write_is_written_by_dynamo(name: str) -> None:
    needed("onnxscript")
    module = net(lambda x: WRITTEN_BY_DYNAMO[name](x + 2))
    model = check_against_autograd(module, X)
    assert next(iter(model.graph.inputs.values())).dims == (None, 8, 3)
    assert any("last" in layer.names for layer in model.table().layers)


def test_a_module_that_works_on_one_batch_size_has_that() -> None:
    module = net(lambda x: x.reshape(2, 24) + 1)
    model = dftlrp.load(module, example=X)
    assert next(iter(model.graph.inputs.values())).dims == (2, 8, 3)


def test_a_graph_that_is_another_function_is_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = exporters.export_by_torchscript

    def wrong(task: Any) -> Any:
        proto, names = whole(task)
        bias = next(w for w in proto.graph.initializer if w.name == "last.bias")
        bias.raw_data = (np.frombuffer(bias.raw_data, np.float32) + np.float32(0.01)).tobytes()
        return proto, names

    monkeypatch.setitem(exporters.EXPORTERS, "TorchScript", wrong)
    monkeypatch.setitem(exporters.EXPORTERS, "dynamo", wrong)
    told = refused(net(lambda x: x + 1))
    assert told.startswith("Within cannot be exported: TorchScript: ")
    assert "dynamo: " in told
    assert "at the example its graph is off by " in told
    assert "at 'last'" in told
    assert "Advice: " in told


def test_only_another_input_tells_that_a_graph_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    class Frozen(nn.Module):  # type: ignore[misc]
        """It looks at its numbers where no watch sees it."""

        def forward(self, x: Any) -> Any:
            return x * float(x.detach()[0, 0, 0].numpy())

    monkeypatch.setattr(loading, "_refuse_decisions", lambda *_: None)
    monkeypatch.delitem(exporters.EXPORTERS, "dynamo")  # it follows the number
    assert "at other numbers" in refused(Frozen().eval())


def test_what_torch_exports_is_right_in_float64_and_float16() -> None:
    for dtype in (torch.float64, torch.float16):
        module = net(torch.tanh).to(dtype)
        model = dftlrp.load(module, example=X)
        np.testing.assert_allclose(
            dftlrp.predict(model, X.numpy()).output,
            module(X.to(dtype)).detach().double(),
            atol=1e-2 if dtype == torch.float16 else 1e-6,
        )


def test_complex_outputs_and_scripts_are_refused_by_name() -> None:
    class Spectrum(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return torch.fft.rfft(x)

    assert "Spectrum: its output 'output' is complex" in refused(Spectrum().eval())
    scripted = quiet(lambda: torch.jit.script(nn.Sequential(nn.Linear(3, 2)).eval()))
    assert refused(scripted).startswith("Sequential is a module of torch.jit: give the module")


# -- modules that change themselves


class Tally:
    def __init__(self) -> None:
        self.count = 0


class Keeping(nn.Module):  # type: ignore[misc]
    """It keeps all sorts of things; its output depends on one, or on none."""

    def __init__(self, depends: str = "") -> None:
        super().__init__()
        self.depends = depends
        self.last, self.cell = nn.Linear(3, 2), nn.Linear(3, 3)
        self.hidden: Any = None
        self.recent: deque[Any] = deque(maxlen=2)
        self.tally, self.array, self.seen = Tally(), np.zeros(3), {"by name": []}
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: Any) -> Any:
        y = self.cell(x)
        if self.depends == "hidden":
            y = y if self.hidden is None else y + self.hidden
        if self.depends == "mean":
            y = y - self.mean
        if self.depends == "cell.weight":
            self.cell.weight.data.mul_(0.5)
        if self.depends == "tally.count":
            y = y * (1 + self.tally.count)
        if self.depends == "recent":
            y = y + len(self.recent)
        self.hidden = y
        self.mean.mul_(0.9).add_(0.1 * y.mean((0, 1)))
        self.tally.count += 1
        self.array += 1
        self.recent.append(y)
        self.seen["by name"].append(1)
        self.late = y.shape
        return self.last(y)


def snapshot(module: Any) -> Any:
    """What a module holds, by hand."""
    kept = {k: v for k, v in vars(module).items() if not k.startswith("_")}
    numbers = {k: v.clone() for k, v in module.state_dict().items()}
    places = {k: id(v) for k, v in [*module.named_parameters(), *module.named_buffers()]}
    extra = (list(module.recent), module.tally.count, module.array.tolist(), str(module.seen))
    return list(kept), [id(v) for v in kept.values()], numbers, places, extra


@pytest.mark.parametrize("depends", ["", "hidden", "mean", "cell.weight", "tally.count", "recent"])
def test_a_module_that_changes_itself_is_left_as_it_was(depends: str) -> None:
    module = Keeping(depends).eval()
    before, drawn = snapshot(module), torch.get_rng_state()
    if depends:
        told = refused(module)
        assert told.startswith("Keeping keeps ")
        assert repr(depends) in told
    else:
        model = dftlrp.load(module, example=X)
        want = module(X).detach().numpy()
        np.testing.assert_allclose(dftlrp.predict(model, X.numpy()).output, want, atol=1e-5)
        ModuleState(module)
        module = Keeping().eval()
        before = snapshot(module)
        dftlrp.load(module, example=X)
    after = snapshot(module)
    assert before[:2] == after[:2]
    assert before[3:] == after[3:]
    assert all(torch.equal(v, after[2][k]) for k, v in before[2].items())
    assert not any(part._forward_hooks for part in module.modules())
    assert torch.equal(drawn, torch.get_rng_state()) or not depends


def test_what_an_exporter_leaves_on_a_module_is_taken_away() -> None:
    needed("onnxscript")

    class Recalling(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.last, self.power = nn.Linear(2, 2), None

        def forward(self, x: Any) -> Any:
            self.power = torch.fft.rfft(x).abs()
            return self.last(self.power)

    module = Recalling().eval()
    dftlrp.load(module, example=X)
    assert module.power is None


NOISY = {
    "dropout that stays on": lambda x: F.dropout(x, 0.5),
    "noise": lambda x: x + torch.randn_like(x),
    "NumPy's noise": lambda x: x * float(np.random.rand()),  # noqa: NPY002
    "a little noise": lambda x: x + 1e-6 * torch.rand_like(x),
}


@pytest.mark.parametrize("name", NOISY)
def test_random_numbers_are_refused_with_the_part_that_draws_them(name: str) -> None:
    class Noise(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return NOISY[name](x)

    module = nn.Sequential(nn.Linear(3, 3), Noise(), nn.Linear(3, 2)).eval()
    assert refused(module).startswith("Sequential draws random numbers in its part '1': switch")


def test_a_module_that_remembers_outside_of_itself_is_refused() -> None:
    calls: list[int] = []
    told = refused(net(lambda x: (calls.append(1), x * len(calls))[1]))
    assert told.startswith("Within gives something else at each call")


def test_a_state_finds_what_changed_and_puts_it_back() -> None:
    module = Keeping().eval()
    state = ModuleState(module)
    assert state.find_changes() == []
    torch.rand(1)
    module(X)
    found = state.find_changes()
    assert set(found) >= {"hidden", "mean", "tally.count", "array", "recent", "late", DRAWN}
    assert "seen.by name" in found
    state.restore()
    assert state.find_changes() == []


# -- a quiet terminal


def test_nothing_that_exporters_say_reaches_the_terminal(capfd: Any) -> None:
    needed("onnxscript")
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            check_against_autograd(net(WRITTEN_BY_DYNAMO["STFT"]), X)
            refused(net(torch.linalg.svdvals))
    finally:
        logging.getLogger().removeHandler(handler)
    assert capfd.readouterr() == ("", "")
    assert [str(w.message) for w in said] == []
