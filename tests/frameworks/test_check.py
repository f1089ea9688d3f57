"""An exported graph against its network: faults are found where they are, and no others."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from natives import CASES, made
from needed import needed
from peers import quiet, torch

import dftlrp
from dftlrp.cli import main

needed("dftlrp_torch")

nn = torch.nn


class Audio(nn.Module):  # type: ignore[misc]
    """Convolutions with BatchNorm and dropout, a dense head, a Softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(1, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(),
        )  # fmt: skip
        self.head = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return torch.softmax(self.head(self.features(x).mean(-1)), -1)


def audio() -> tuple[Any, Any]:
    torch.manual_seed(0)
    net = Audio().eval()
    for place in (1, 5):
        net.features[place].running_mean.normal_()
        net.features[place].running_var.uniform_(0.1, 0.5)
    return net, torch.randn(3, 1, 40)


def torchscript(net: Any, x: Any, file: Path) -> None:
    how = {"input_names": ["signal"], "dynamic_axes": {"signal": {0: "batch"}}, "dynamo": False}
    modes = torch.onnx.TrainingMode
    how["training"] = modes.PRESERVE if net.training else modes.EVAL
    quiet(lambda: torch.onnx.export(net, (x,), str(file), **how))


def dynamo(net: Any, x: Any, file: Path) -> None:
    needed("onnxscript")
    quiet(lambda: torch.onnx.export(net, (x,), str(file), dynamo=True, verbose=False))


def nameless(net: Any, x: Any, file: Path) -> None:
    """Values are called v0, v1, ..., nodes nothing."""
    torchscript(net, x, file)
    model = onnx.load(file)
    inner = [o for n in model.graph.node for o in n.output]
    ends = {v.name for v in model.graph.output}
    names = {name: f"v{i}" for i, name in enumerate(inner) if name not in ends}
    for node in model.graph.node:
        node.name = ""
        node.input[:] = [names.get(v, v) for v in node.input]
        node.output[:] = [names.get(v, v) for v in node.output]
    onnx.save(model, file)


WRITERS = {
    "torchscript": torchscript,
    "nameless": nameless,
    "dynamo": pytest.param(dynamo, marks=pytest.mark.slow),
}


@pytest.fixture(params=WRITERS.values(), ids=WRITERS)
def write(request: Any) -> Callable[[Any, Any, Path], None]:
    return request.param  # type: ignore[no-any-return]


def another_epsilon(net: Any) -> None:
    net.features[5].eps = 1e-3


def another_padding(net: Any) -> None:
    net.features[4].padding = (0,)


def shifted_padding(net: Any) -> None:
    """As many zeros, but one too many in front and one too few behind."""
    conv = net.features[4]
    conv.forward = lambda x: nn.functional.conv1d(
        nn.functional.pad(x, (2, 0)), conv.weight, conv.bias
    )


# where it is found: a convolution with its BatchNorm merged into it is that BatchNorm's layer
FAULTS = {
    "an epsilon": (another_epsilon, {"features.5"}),
    "padding off by one": (another_padding, {"features.4"}),
    "padding shifted by one": (shifted_padding, {"features.5"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_export_is_found_in_its_layer(
    fault: str, write: Any, tmp_path: Path
) -> None:
    net, x = audio()
    wrong = copy.deepcopy(net)
    plant, layers = FAULTS[fault]
    plant(wrong)
    write(wrong, x, tmp_path / "wrong.onnx")
    found = dftlrp.check(tmp_path / "wrong.onnx", net, x, backends=[])
    assert not found.ok
    assert found.first is not None
    # dynamo writes no scopes: then the order tells the place, and BatchNorm is merged
    near = layers if write is torchscript else {"features.4", "features.5", "features.6"}
    assert found.first.layer in near
    assert found.first.layer in found.verdict
    before = [f for f in found.findings if f.check == "activations" and f.ok]
    assert {"features.2", "features.3"} <= {f.layer for f in before}
    (gradient,) = [f for f in found.findings if f.check == "gradient"]
    assert not gradient.ok


class Branched(nn.Module):  # type: ignore[misc]
    """Two branches, the second of which also reads what the first one gives."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.early, self.late = nn.Linear(6, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.beside, self.aside, self.both = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        x = torch.tanh(self.trunk(x))
        first = torch.tanh(self.late(torch.tanh(self.early(x))))
        second = torch.tanh(self.aside(torch.tanh(self.beside(x))))
        return self.head(torch.cat([first, self.both(first + second)], -1))


def reversed_branches(net: Any, x: Any, file: Path) -> None:
    """The second branch stands before the first one in the file, and nothing has a name."""
    nameless(net, x, file)
    model = onnx.load(file)
    waiting, given = list(model.graph.node)[::-1], {v.name for v in model.graph.input}
    given |= {w.name for w in model.graph.initializer}
    ordered: list[Any] = []
    while waiting:
        node = next(n for n in waiting if set(n.input) <= given)
        waiting.remove(node)
        ordered.append(node)
        given |= set(node.output)
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    onnx.save(model, file)


@pytest.mark.parametrize("layer", ["early", "late", "beside", "aside", "both"])
@pytest.mark.parametrize("writer", [torchscript, nameless, reversed_branches])
def test_a_fault_in_one_branch_is_not_blamed_on_another(
    writer: Any, layer: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net, x = Branched().eval(), torch.randn(3, 6)
    wrong = copy.deepcopy(net)
    with torch.no_grad():
        wrong.get_submodule(layer).bias[0] += 0.01
    writer(wrong, x, tmp_path / "wrong.onnx")
    found = dftlrp.check(tmp_path / "wrong.onnx", net, x, backends=[])
    assert found.first is not None
    assert found.first.layer == layer
    assert f"first layer {layer!r}" in found.verdict


def test_an_export_in_training_mode_is_found(write: Any, tmp_path: Path) -> None:
    net, x = audio()
    write(copy.deepcopy(net).train(), x, tmp_path / "wrong.onnx")
    found = dftlrp.check(tmp_path / "wrong.onnx", net, x, backends=[])
    assert not found.ok
    assert "export the model in eval mode" in str(found)


def test_a_network_left_in_training_mode_is_found(tmp_path: Path) -> None:
    net, x = audio()
    torchscript(net, x, tmp_path / "model.onnx")
    found = dftlrp.check(tmp_path / "model.onnx", copy.deepcopy(net).train(), x, backends=[])
    assert found.first is not None
    assert found.first.layer == "features.1"
    assert any("training mode" in note for note in found.notes)


def test_where_there_is_no_fault_none_is_found(write: Any, tmp_path: Path) -> None:
    net, x = audio()
    write(net, x, tmp_path / "model.onnx")
    found = dftlrp.check(tmp_path / "model.onnx", net, x, backends=[])
    assert found.ok, str(found)
    layers = {f.layer for f in found.findings if f.check == "activations"}
    assert {"features.1", "features.2", "features.3", "features.5", "head"} <= layers


@pytest.mark.parametrize("name", CASES)
def test_native_modules_agree_with_their_export(name: str) -> None:
    net, x = made(name)
    found = dftlrp.check(net, inputs=x, backends=[])
    assert found.ok, str(found)
    layers = {f.layer for f in found.findings if f.check == "activations"}
    silent = {p for p, part in net.named_modules() if isinstance(part, nn.MultiheadAttention)}
    leaves = {p for p, part in net.named_modules() if p and not list(part.children())}
    inside = {p for p in leaves if any(p.startswith(f"{s}.") for s in silent)}
    assert leaves - inside - layers <= {CASES[name].layer} & {"lstm", "gru"}
    assert {f.check for f in found.findings} == {"activations", "gradient", "ledger"}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_rule_and_preset_agrees_on_native_modules(name: str) -> None:
    net, x = made(name)
    found = dftlrp.check(net, inputs=x)
    assert found.ok, str(found)
    rules = {f.layer for f in found.findings if f.check == "rules"}
    assert rules >= {"EpsilonPlus", "AttnLRP", "Gradient", "zplus", "alpha_beta(2, 1)", "wsquare"}
    backends = {f.against for f in found.findings if f.check == "rules"}
    assert backends == {"onnx float32", "torch float64", "torch float32"}


def test_a_wrong_rule_of_a_backend_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from dftlrp.core.backend import get_backend

    net, x = made("AudioNet")
    framework = get_backend("torch").framework
    monkeypatch.setitem(framework.functions, "neg", lambda t: torch.clamp(t, max=0) * 0.999)
    found = dftlrp.check(net, inputs=x, backends=["torch"])
    off = {f.layer for f in found.findings if f.check == "rules" and not f.ok}
    assert "EpsilonAlpha2Beta1" in off
    assert "Epsilon" not in off


def test_an_embedded_model_agrees_with_onnxruntime_and_with_torch() -> None:
    model = dftlrp.embedded("spectrum")
    for against in ("onnx", "torch"):
        found = dftlrp.check(model, against, backends=[])
        assert found.ok, str(found)
        kinds = {f.check for f in found.findings}
        assert kinds == {"activations", "ledger"} | ({"gradient"} if against == "torch" else set())


BUILD = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)).eval(), torch.randn(2, 6)

def nothing():
    return None

def broken():
    return 1 / 0
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.py").write_text(BUILD)
    space: dict[str, Any] = {}
    exec(BUILD, space)
    net, x = space["build"]()
    torchscript(net, x, tmp_path / "model.onnx")
    return tmp_path


def test_the_command_compares_with_a_function_in_a_file(files: Path, capsys: Any) -> None:
    command = ["check", "model.onnx", "--against", "network.py:build"]
    assert main(command) == 0
    assert "agrees with the torch module Sequential" in capsys.readouterr().out
    assert main([*command, "--json", "--html", "found.html"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["command"], told["files"]) == ("check", ["found.html"])
    assert told["ok"]
    assert told["first"] is None
    assert {f["layer"] for f in told["findings"]} >= {"0", "1", "2", "EpsilonPlus", "zplus"}
    page = (files / "found.html").read_text()
    assert page.count("<tr") == len(told["findings"]) + 1
    assert 'class="over"' not in page


def test_the_command_fails_where_a_weight_was_changed(files: Path, capsys: Any) -> None:
    model = onnx.load("model.onnx")
    weight = model.graph.initializer[-2]
    changed = onnx.numpy_helper.to_array(weight).copy()
    changed.flat[0] += 0.01
    weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
    onnx.save(model, "model.onnx")
    assert main(["check", "model.onnx", "--against", "network.py:build", "--html", "a.html"]) == 1
    assert "differs from the torch module Sequential: first layer '2'" in capsys.readouterr().out
    assert 'class="over"' in (files / "a.html").read_text()


REFUSED = {
    "an unknown framework": (["--against", "theano"], "give one of onnx, .*torch"),
    "no such file": (["--against", "none.py:build"], "no file none.py"),
    "no such function": (["--against", "network.py:other"], "has no function 'other'"),
    "a function that fails": (["--against", "network.py:broken"], "ZeroDivisionError"),
    "a function that gives nothing": (["--against", "network.py:nothing"], "must return"),
    "a folder to write to": (["--against", "network.py:build", "--html", "."], "cannot write '.'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_checked_is_refused(case: str, files: Path, capsys: Any) -> None:
    import re

    extra, told = REFUSED[case]
    assert main(["check", "model.onnx", *extra]) == 2
    error = capsys.readouterr().err
    assert re.search(told, error)
    assert error.count("\n") == 1


def test_an_open_shape_has_to_be_given(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU()).eval()
    how = {"input_names": ["x"], "dynamic_axes": {"x": {0: "b", 2: "n"}}, "dynamo": False}
    quiet(lambda: torch.onnx.export(net, (torch.randn(1, 1, 9),), tmp_path / "open.onnx", **how))
    with pytest.raises(dftlrp.InputError, match="open shape: give --shape x=1,2,3"):
        dftlrp.check(tmp_path / "open.onnx", backends=[])
    assert dftlrp.check(tmp_path / "open.onnx", shapes={"x": (2, 1, 9)}, backends=[]).ok


def test_deviation_is_relative_and_infinite_for_another_shape() -> None:
    from dftlrp.frameworks.checking.match import measure_deviation

    assert measure_deviation(np.array([1.0, 4.2]), np.array([1.0, 4.0])) == pytest.approx(0.05)
    assert measure_deviation(np.zeros(3), np.zeros(4)) == float("inf")
    assert measure_deviation(np.array([np.nan]), np.ones(1)) == float("inf")


def test_scopes_are_paths() -> None:
    from dftlrp.frameworks.checking.match import split_scope

    assert split_scope("/features/features.2/a/Conv_output_0") == [
        "features", "features.2", "features.2.a"
    ]  # fmt: skip
    assert split_scope("conv1") == []
