"""What convolutions cost: onnxruntime's against oneDNN's through torch, conv by conv.

    python benchmarks/roofline.py [--net AudioNet] [--batch 16] [--repeat 7] [--json FILE]

An explanation convolves three times where the model does once, so that convolutions bound it.  Each
layer of a network of `tests/nets.py` is run forward and back (the convolution with the flipped
kernel, or the transposed one, as the traced graph has it) by both libraries, one thread, and beside
them by the matrix product that a convolution over columns is; what a square product reaches is the
roof.  Then the explanation itself, by the ops of its graph (onnxruntime's profiler).

Milliseconds of the processor, which other work on the machine changes less, medians of interleaved
calls; the profiler's are of the clock.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from bench_onnx import Question, describe_machine, format_line, write_inputs
from nets import NETS, seeded
from onnx import TensorProto, helper, numpy_helper
from peers import torch

import dftlrp
from dftlrp.tracing.export import export

SQUARE = 1024
Run = Callable[[], Any]
HEAD = (
    "convolution", "GFLOP", "onnxruntime (ms)", "oneDNN (ms)", "matrix product (ms)",
    "onnxruntime (GFLOP/s)", "oneDNN (GFLOP/s)",
)  # fmt: skip


class Layer(NamedTuple):
    """A convolution of the network, and the shapes of what it reads and gives."""

    name: str
    conv: Any
    x: tuple[int, ...]
    y: tuple[int, ...]

    @property
    def flops(self) -> float:
        """Operations of the convolution, and as many of its adjoint."""
        return 2.0 * np.prod(self.y) * np.prod(self.conv.weight.shape[1:])


def list_layers(net: str, batch: int) -> Iterator[Layer]:
    """Yield the convolutions of a network."""
    made, found = seeded(net), list[Layer]()

    def note(name: str) -> Callable[..., None]:
        return lambda m, x, y: found.append(Layer(name, m, tuple(x[0].shape), tuple(y.shape)))

    for name, module in made.named_modules():
        if isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d):
            module.register_forward_hook(note(name))
    with torch.no_grad():
        made(torch.zeros(batch, *NETS[net].shape))
    yield from found


def load_node(op: str, x: tuple[int, ...], w: Any, **attributes: Any) -> Run:
    """Return a function that runs one node with weights in onnxruntime."""
    info = helper.make_tensor_value_info
    node = helper.make_node(op, ["w", "x"] if op == "MatMul" else ["x", "w"], ["y"], **attributes)
    graph = helper.make_graph(
        [node], "one", [info("x", TensorProto.FLOAT, x)], [info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    given = {"x": np.random.default_rng(0).standard_normal(x).astype(np.float32)}
    return lambda: session.run(None, given)


def prepare_forward(layer: Layer) -> dict[str, Run]:
    """Return the ways to compute a layer."""
    w, conv = layer.conv.weight.detach(), layer.conv
    pads = list(conv.padding)
    taps = (len(w), w[0].numel())
    x = torch.randn(layer.x)
    rank = len(pads)
    apply = torch.nn.functional.conv1d if rank == 1 else torch.nn.functional.conv2d
    columns = (layer.y[0], taps[1], int(np.prod(layer.y[2:])))
    return {
        "onnxruntime": load_node("Conv", layer.x, w.numpy(), strides=conv.stride, pads=2 * pads),
        "oneDNN": lambda: apply(x, w, stride=conv.stride, padding=conv.padding),
        "product": load_node("MatMul", columns, w.reshape(taps).numpy()),
    }


def prepare_back(layer: Layer) -> dict[str, Run]:
    """Return the ways to send something back through a layer."""
    w, conv, rank = layer.conv.weight.detach(), layer.conv, layer.conv.weight.ndim - 2
    pads, strides = list(conv.padding), list(conv.stride)
    turned = w.transpose(0, 1).flip(tuple(range(2, 2 + rank))).contiguous()
    r = torch.randn(layer.y)
    if set(strides) == {1} and w.shape[1] > 1:
        ends = [k - 1 - p for k, p in zip(w.shape[2:], pads, strict=True)]
        apply = torch.nn.functional.conv1d if rank == 1 else torch.nn.functional.conv2d
        ours = load_node("Conv", layer.y, turned.numpy(), pads=2 * ends)
        theirs: Run = lambda: apply(r, turned, padding=ends)  # noqa: E731
    else:
        axes = zip(layer.x[2:], layer.y[2:], strides, w.shape[2:], pads, strict=True)
        more = [n + 2 * p - s * (m - 1) - k for n, m, s, k, p in axes]
        apply = getattr(torch.nn.functional, f"conv_transpose{rank}d")
        ours = load_node(
            "ConvTranspose", layer.y, w.numpy(), strides=strides, pads=2 * pads,
            output_padding=more,
        )  # fmt: skip
        theirs = lambda: apply(r, w, stride=strides, padding=pads, output_padding=more)  # noqa: E731
    taps = (w.shape[1], len(w) * int(np.prod(w.shape[2:])))
    columns = (layer.x[0], taps[1], int(np.prod(layer.y[2:])))
    product = load_node("MatMul", columns, turned.reshape(taps).numpy())
    return {"onnxruntime": ours, "oneDNN": theirs, "product": product}


def measure_medians(runs: dict[str, Run], repeat: int) -> dict[str, float]:
    """Return the median milliseconds of the processor, interleaved; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(repeat + 1):
        for name, run in runs.items():
            start = time.process_time()
            with torch.no_grad():
                run()
            if round_:
                times[name].append(1e3 * (time.process_time() - start))
    return {name: float(np.median(t)) for name, t in times.items()}


def measure_roof(repeat: int) -> float:
    """Return the GFLOP/s of a square matrix product in onnxruntime."""
    w = np.random.default_rng(0).standard_normal((SQUARE, SQUARE)).astype(np.float32)
    run = load_node("MatMul", (SQUARE, SQUARE), w)
    return 2 * SQUARE**3 / 1e6 / measure_medians({"square": run}, repeat)["square"]


def profile_ops(net: str, batch: int, repeat: int) -> dict[str, float]:
    """Return the milliseconds of each op of an explanation under EpsilonPlus."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(Question(net, batch, ""), folder)
        file = folder / "explained.onnx"
        export(dftlrp.load(folder / "model.onnx"), file, composite="EpsilonPlus", batch=batch,
               reference="none")  # fmt: skip
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.enable_profiling = 1, True
        settings.profile_file_prefix = str(folder / "profile")
        session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
        given = {"x": np.load(folder / "x.npy"), "target": np.full(batch, -1)}
        for _ in range(repeat):
            session.run(None, given)
        events = json.loads(Path(session.end_profiling()).read_text())
    total: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            total[event["args"]["op_name"]] += event["dur"] / 1e3 / repeat
    return dict(total.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="AudioNet", choices=[n for n in NETS if n[0] in "AVR"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    roof = measure_roof(args.repeat)
    print(f"{describe_machine()}; a square matrix product reaches {roof:.0f} GFLOP/s of one core\n")
    print(f"{format_line(HEAD)}\n|{'---|' * len(HEAD)}")
    rows = []
    for layer in list_layers(args.net, args.batch):
        for way, prepare in (("forward", prepare_forward), ("back", prepare_back)):
            ms = measure_medians(prepare(layer), args.repeat)
            name = f"{layer.name} {tuple(layer.conv.weight.shape)}, {way}"
            rows.append({"layer": name, "GFLOP": layer.flops / 1e9, "ms": ms})
            rates = [f"{layer.flops / 1e6 / ms[side]:.0f}" for side in ("onnxruntime", "oneDNN")]
            times = [f"{ms[side]:.3g}" for side in ("onnxruntime", "oneDNN", "product")]
            print(format_line([name, f"{layer.flops / 1e9:.2f}", *times, *rates]), flush=True)
    ops = profile_ops(args.net, args.batch, args.repeat)
    whole = sum(ops.values())
    print("\nops of the explanation:", ", ".join(f"{o} {t / whole:.1%}" for o, t in ops.items()))
    if args.json:
        found = {"machine": describe_machine(), "roof": roof, "rows": rows, "ops": ops}
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
