"""Recurrent layers: the first call and later ones by the number of frames.

    python benchmarks/bench_recurrent.py [--frames 25 50 100 200] [--repeat 7] [--json FILE]

An LSTM of 128 units on frames of 40 features (that of `tests/nets.py`) and an enhancer of two GRUs
of 400 units between dense layers.  For each number of frames it gives the first call of the default
backend, which traces, and of NumPy; and medians of interleaved later calls beside onnxruntime's
forward pass alone and torch's gradient of the same cells written out step by step.  Times are in
milliseconds of the processor, one thread each, which other work on the machine changes little; the
first calls in seconds, each of a model that was loaded anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from nets import Recurrent
from peers import quiet, torch

import dftlrp
from dftlrp.tracing.session import load_runtime

Run = Callable[[], Any]
ASKED = {"composite": "EpsilonPlus", "reference": "none", "target": 0}
HEAD = (
    "network", "frames", "batch", "first call (s)", "NumPy's first (s)", "forward", "traced graph",
    "NumPy", "torch's gradient", "times the forward pass", "torch / traced", "L1 to NumPy",
)  # fmt: skip


class Enhancer(torch.nn.Module):  # type: ignore[misc]
    """Two GRUs over frames between dense layers; the mask of the last frame."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = torch.nn.Linear(161, 400), torch.nn.Linear(400, 161)
        self.cells = torch.nn.GRU(400, 400, 2, batch_first=True)

    def forward(self, x: Any) -> Any:
        """Return the mask of the last frame."""
        return self.after(self.cells(torch.relu(self.before(x)))[0].relu()[:, -1])


NETS: dict[str, tuple[Callable[[], Any], int]] = {
    "LSTM": (lambda: Recurrent(40, 128), 40),
    "two GRUs": (Enhancer, 161),
}


def write_out(cell: Any, x: Any) -> Any:
    """Return what torch's LSTM or GRU gives for a batch, from plain operations step by step."""
    for layer in range(cell.num_layers):
        W, U, b, c = (getattr(cell, f"{n}_l{layer}") for n in
                      ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))  # fmt: skip
        h = state = torch.zeros(len(x), cell.hidden_size)
        given, shown = x @ W.T + b, []
        for t in range(x.shape[1]):
            if isinstance(cell, torch.nn.LSTM):
                i, f, g, o = (given[:, t] + h @ U.T + c).chunk(4, 1)
                state = f.sigmoid() * state + i.sigmoid() * g.tanh()
                h = o.sigmoid() * state.tanh()
            else:
                (r, z, n), (s, y, m) = given[:, t].chunk(3, 1), (h @ U.T + c).chunk(3, 1)
                z = (z + y).sigmoid()
                h = (1 - z) * (n + (r + s).sigmoid() * m).tanh() + z * h
            shown.append(h)
        x = torch.stack(shown, 1)
    return x


class WrittenOut(torch.nn.Module):  # type: ignore[misc]
    """In the place of an LSTM or GRU: the same, written out."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Any) -> Any:
        """Return what the cell does, and no last state."""
        return write_out(self.cell, x), None


def prepare_gradient(net: Any, x: Any) -> Run:
    """Return a function that gives the gradient of the first logit, by torch."""
    name = next(n for n, part in net.named_children() if isinstance(part, torch.nn.RNNBase))
    cell = getattr(net, name)
    whole = net(torch.from_numpy(x)).detach()
    setattr(net, name, WrittenOut(cell))
    apart = (net(torch.from_numpy(x)) - whole).abs().max()
    assert apart < 1e-4, f"the cells written out give another output: {apart}"

    def run() -> Any:
        signal = torch.from_numpy(x).requires_grad_()
        return torch.autograd.grad(net(signal)[:, 0].sum(), signal)[0]

    return run


def time_once(run: Run) -> tuple[Any, float]:
    """Return what a function gives, and its seconds of the processor."""
    start = time.process_time()
    return run(), time.process_time() - start


def measure(name: str, frames: int, batch: int, repeat: int, folder: Path) -> dict[str, Any]:
    """Return one line of the table."""
    make, features = NETS[name]
    torch.manual_seed(0)
    net = make().eval()
    x = np.random.default_rng(0).standard_normal((batch, frames, features)).astype(np.float32)
    path = folder / "model.onnx"
    axes = {"x": {0: "batch", 1: "frames"}}
    given = (torch.from_numpy(x),)
    quiet(lambda: torch.onnx.export(net, given, path, input_names=["x"], dynamic_axes=axes,
                                    dynamo=False))  # fmt: skip
    session = load_runtime(path.read_bytes(), ":1")
    first, answers, sides = {}, {}, {"forward": lambda: session.run(None, {"x": x})}
    for side, backend in (("traced graph", "onnx::1"), ("NumPy", "numpy")):
        model = dftlrp.load(path)

        def explain(model: Any = model, backend: str = backend) -> Any:
            return dftlrp.attribute(model, x, backend=backend, ledger=False, **ASKED).relevance

        answers[side], first[side] = time_once(explain)
        sides[side] = explain
    sides["torch's gradient"] = prepare_gradient(net, x)
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeat):
        for side, run in sides.items():
            run()
            times[side].append(1000 * time_once(run)[1])
    found = {side: float(np.median(t)) for side, t in times.items()}
    R = answers["NumPy"]
    apart = float(np.abs(answers["traced graph"] - R).sum() / np.abs(R).sum())
    row = (
        name, frames, batch, first["traced graph"], first["NumPy"], found["forward"],
        found["traced graph"], found["NumPy"], found["torch's gradient"],
        found["traced graph"] / found["forward"],
        found["torch's gradient"] / found["traced graph"], apart,
    )  # fmt: skip
    return dict(zip(HEAD, row, strict=True))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[25, 50, 100, 200])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--only", default="", help="networks whose name holds this")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    with tempfile.TemporaryDirectory() as folder:
        for name in (n for n in NETS if given.only in n):
            for batch in given.batch:
                for frames in given.frames:
                    row = measure(name, frames, batch, given.repeat, Path(folder))
                    texts = (f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values())
                    print("| " + " | ".join(texts) + " |", flush=True)
                    rows.append(row)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
