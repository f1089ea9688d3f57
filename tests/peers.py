"""torch networks in float64, exported to ONNX: the peers that the engine is compared with."""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from typing import Any

import numpy as np
import onnx
from graphs import loaded
from needed import needed

needed("torch")
torch: Any = importlib.import_module("torch")


def captum() -> Any:
    """captum with its rules."""
    needed("captum")
    for part in ("attr", "attr._utils.lrp_rules"):
        quiet(lambda part=part: importlib.import_module(f"captum.{part}"))
    return sys.modules["captum"]


def zennit() -> Any:
    """zennit's modules; a torchvision built for another torch gets two ops by hand."""
    needed("zennit")
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [m for m in sys.modules if m.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for op in ("nms", "qnms"):
            library.define(op + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        zennit.library = library  # type: ignore[attr-defined]  # an operator lives as long as this
    for part in ("rules", "composites"):
        importlib.import_module(f"zennit.{part}")
    return sys.modules["zennit"]


def quiet(call: Any) -> Any:
    """The result; warnings of peers are theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def randomised(net: Any, seed: int = 0) -> Any:
    """The network in float64, evaluating, its statistics and biases not at their defaults."""
    generator = torch.Generator().manual_seed(seed)
    net = net.double().eval()
    with torch.no_grad():
        for name, p in [*net.named_parameters(), *net.named_buffers()]:
            if not p.is_floating_point():
                continue
            noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            fan = max(1.0, float(np.prod(p.shape[1:]))) ** 0.5
            p.copy_(0.5 + noise.abs() if name.endswith("running_var") else noise / fan)
    return net


def exported(net: Any, x: Any, opset: int = 17) -> Any:
    """The network as dftlrp reads it."""
    file = io.BytesIO()
    quiet(
        lambda: torch.onnx.export(
            net,
            (x,),
            file,
            opset_version=opset,
            dynamo=False,
            do_constant_folding=False,
            input_names=["x"],
            output_names=["z"],
            dynamic_axes={"x": {0: "B"}},
        )
    )
    return loaded(onnx.load_from_string(file.getvalue()))


def random_input(*shape: int, seed: int = 0) -> Any:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))
