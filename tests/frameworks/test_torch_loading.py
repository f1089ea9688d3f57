"""Torch modules as models: what they say, what their layers are called, what is refused."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from natives import CASES, made
from needed import needed
from peers import torch

import dftlrp

needed("dftlrp_torch")
import dftlrp_torch  # noqa: E402

nn = torch.nn


@pytest.mark.parametrize("name", CASES)
def test_a_module_explains_as_its_export_does_and_nothing_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    net, x = made(name)
    want = net(x).detach().numpy()
    ours = dftlrp.attribute(net, x, target=1, composite="EpsilonPlus", backend="numpy")
    np.testing.assert_allclose(ours.output, want, rtol=1e-5, atol=1e-6)
    model = dftlrp_torch.load(net, x[:1])
    again = dftlrp.attribute(model, x, target=1, composite="EpsilonPlus", backend="numpy")
    np.testing.assert_allclose(again.relevance, ours.relevance, rtol=1e-9, atol=1e-12)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", CASES)
def test_layers_are_called_by_the_modules_paths(name: str) -> None:
    net, x = made(name)
    layer = CASES[name].layer
    model = dftlrp_torch.load(net, x)
    table = model.table("Epsilon", {layer: "epsilon(0.5)"})
    (row,) = [la for la in table.layers if la.rule_name == "epsilon(epsilon=0.5)"]
    assert layer in {row.key, row.alias, *row.names}
    a = dftlrp.attribute(model, x, composite="Epsilon", keep=[layer], backend="numpy")
    assert a.kept[layer][0].size


def test_what_a_layer_keeps_is_what_its_module_gave() -> None:
    net, x = made("ResNet 1-D")
    given: dict[str, Any] = {}
    for path in ("body.0", "body.2.bn1", "body.3", "head"):
        part = net.get_submodule(path)
        part.register_forward_hook(lambda _, __, y, path=path: given.update({path: y.clone()}))
    net(x)
    a = dftlrp.attribute(net, x, composite="EpsilonPlusFlat", keep=["body.0", "body.3", "head"])
    for path, (value, _) in a.kept.items():
        if path in given:
            want = given[path].detach().numpy()
            np.testing.assert_allclose(value, want, rtol=1e-4, atol=1e-5)
    assert {"body.0", "body.3", "head"} <= a.kept.keys()


def test_weights_keep_the_modules_names_and_are_those_of_now() -> None:
    net, x = made("AudioNet")
    model = dftlrp_torch.load(net, x)
    for name, weight in net.named_parameters():
        np.testing.assert_array_equal(model.graph.constants[name], weight.detach().numpy())
    with torch.no_grad():
        net.head[3].bias.add_(1)
    changed = dftlrp.predict(net, x).output - dftlrp.predict(model, x).output
    np.testing.assert_allclose(changed, 1, atol=1e-5)


def test_loading_leaves_the_module_as_it_was() -> None:
    net, x = made("GRU")
    before = {k: v.clone() for k, v in net.state_dict().items()}
    dftlrp_torch.load(net, x)
    assert not net.training
    assert all(not part._forward_hooks for part in net.modules())
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_explain_gives_the_module_the_recording_it_is_to_read() -> None:
    net, x = made("U-Net")
    signal = x[0, 0].numpy()
    e = dftlrp.explain(net, signal, rate=8000, target=2, domains=["time"])
    model = dftlrp_torch.load(net, x)
    want = dftlrp.explain(model, signal, rate=8000, target=2, domains=["time"])
    np.testing.assert_allclose(e.relevance["time"], want.relevance["time"], rtol=1e-6, atol=1e-9)
    assert e.relevance["time"].shape == (32,)


def test_several_inputs_and_outputs_have_the_modules_names() -> None:
    class Two(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(4, 3), nn.Linear(5, 3)

        def forward(self, low: Any, high: Any) -> Any:
            h = self.left(low)
            return {"logits": h + self.right(high), "more": (h,)}

    net = Two().eval()
    given = {"low": torch.randn(2, 4), "high": torch.randn(2, 5)}
    model = dftlrp.load(net, example=given)
    assert list(model.graph.inputs) == ["low", "high"]
    assert list(model.graph.outputs) == ["logits", "more.0"]
    again = dftlrp_torch.load(net, tuple(given.values()))
    assert list(again.graph.inputs) == ["low", "high"]


class Lambda(nn.Module):  # type: ignore[misc]
    def __init__(self, f: Any) -> None:
        super().__init__()
        self.f, self.dense = f, nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return self.f(self.dense(x))


def test_control_flow_on_shapes_is_no_control_flow_on_numbers() -> None:
    net = Lambda(lambda x: x * 2 if x.shape[-1] > 3 else x).eval()
    assert dftlrp.load(net, example=torch.randn(2, 4)).graph.outputs


REFUSED = {
    "control flow on numbers": (lambda x: x * 2 if x.sum() > 0 else x, "depends on numbers"),
    "a length by numbers": (lambda x: x[:, : int(x.argmax()) + 1], "depends on numbers"),
    "an op that is not written": (
        torch.linalg.svdvals,
        "cannot be exported: .*svdvals.*svd.*Advice",
    ),
    "a wrong shape": (lambda x: x.reshape(7, 1), r"does not run on x \(2, 4\): .*invalid"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_refused_in_one_line(name: str) -> None:
    f, told = REFUSED[name]
    with pytest.raises(dftlrp.DftlrpError, match=told) as error:
        dftlrp.load(Lambda(f).eval(), example=torch.randn(2, 4))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("Lambda")


def test_a_module_in_training_mode_is_refused_with_its_part() -> None:
    net, x = made("VGG-like")
    net.body[1].train()
    with pytest.raises(dftlrp.InputError, match=r"'body.1' is in training mode: call module.eval"):
        dftlrp.attribute(net, x)
    with pytest.raises(dftlrp.InputError, match=r"Headed is in training mode"):
        dftlrp.attribute(net.train(), x)


def test_a_module_alone_does_not_say_what_it_reads() -> None:
    with pytest.raises(dftlrp.InputError, match=r"give an example.*dftlrp.load\(module, example=x"):
        dftlrp.load(nn.Linear(2, 2).eval())


def test_float16_on_a_cpu_is_refused() -> None:
    net, x = made("MLP")
    with pytest.raises(dftlrp.InputError, match="no float16 on a CPU: use dtype='float32'"):
        dftlrp.attribute(net, x, backend="torch", dtype="float16")


@pytest.mark.parametrize("thing", [None, 3, object()])
def test_what_is_no_model_is_refused_and_told_what_is(thing: Any) -> None:
    with pytest.raises(dftlrp.InputError, match=r"is no model: give an ONNX file, or .* torch"):
        dftlrp.load(thing)


def printed(script: str) -> str:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_core_and_its_loaders_do_not_import_torch() -> None:
    script = (
        "import sys, dftlrp, dftlrp_torch\n"
        "try: dftlrp.load(3)\n"
        "except dftlrp.InputError: print('torch' in sys.modules)"
    )
    assert printed(script) == "False"


def test_without_torch_a_check_names_the_extra() -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import dftlrp\n"
        "try: dftlrp.check(dftlrp.embedded('spectrum'), 'torch')\n"
        "except dftlrp.InputError as error: print(error)"
    )
    assert printed(script) == "backend 'torch' needs torch: pip install 'dftlrp[torch]'"
