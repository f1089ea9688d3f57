"""The sides of `bench_onnx`: how each explains a network, and what memory that takes.

    python benchmarks/bench_sides.py SIDE FOLDER NETWORK RULES

runs one side in a process of its own and prints, as JSON, its resident memory before the network
is loaded (libraries imported), its peak, and the seconds of the first call.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).parents[1] / "tests"
THREADS = int(os.environ.get("BENCH_THREADS", "2"))
CALLS = 4  # of a process whose memory is measured
CAPTUM = {  # rules under captum's names: of convolutions but the first; of all other layers
    "captum.Epsilon": "captum.EpsilonRule",
    "captum.Alpha1_Beta0": "captum.Alpha1_Beta0_Rule(bias=0)",
}
ZENNIT = ("EpsilonPlus", "EpsilonAlpha2Beta1")
Run = Callable[[], Any]


def make_composite(rules: str) -> Any:
    """Return the composite of these rules in dftlrp: a preset, or captum's rules."""
    from dftlrp.core.rule_text import read_rule
    from dftlrp.engine.composites import Composite

    if rules not in CAPTUM:
        return rules
    plain, own = read_rule("captum.EpsilonRule"), read_rule(CAPTUM[rules])
    return Composite(rules, plain, {"Conv": own}, first=plain, fold=False)


def prepare_onnx(
    folder: Path, _: str, rules: str, reference: Any = "none", threads: int = THREADS
) -> Run:
    """Return a function that explains the largest logit with dftlrp."""
    import dftlrp

    model, x = dftlrp.load(folder / "model.onnx"), np.load(folder / "x.npy")
    asked = {"composite": make_composite(rules), "backend": f"onnx::{threads}", "ledger": False}
    return lambda: dftlrp.attribute(model, x, reference=reference, **asked).relevance


def prepare_forward(folder: Path, _: str, __: str) -> Run:
    """Return a function that runs onnxruntime's forward pass alone, the lower limit."""
    from dftlrp.tracing.session import load_runtime

    session = load_runtime((folder / "model.onnx").read_bytes(), f":{THREADS}")
    x = np.load(folder / "x.npy")
    return lambda: session.run(None, {"x": x})


def prepare_zennit(folder: Path, name: str, rules: str) -> Run:
    """Return a function that explains with zennit.

    Residual sums are made by its own module; without it their relevance would double.
    """
    from nets import seeded, with_adds
    from peers import quiet, torch
    from peers import zennit as load

    class Sum(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.sum = sys.modules["zennit.layer"].Sum()

        def forward(self, a: Any, b: Any) -> Any:
            return self.sum(torch.stack([a, b], -1))

    composite = getattr(load().composites, rules)()
    net, x = with_adds(seeded(name), Sum), torch.from_numpy(np.load(folder / "x.npy"))

    def run() -> Any:
        with composite.context(net) as changed:
            signal = x.clone().requires_grad_()
            z = changed(signal)
            seed = torch.zeros_like(z)
            seed[torch.arange(len(z)), z.argmax(1)] = z.max(1).values.detach()
            return torch.autograd.grad(z, signal, seed)[0].numpy()

    return lambda: quiet(run)


def prepare_captum(folder: Path, name: str, rules: str) -> Run:
    """Return a function that explains with captum.

    captum drops the rules after each call, so that they are set before each.
    """
    from nets import seeded, with_adds
    from peers import captum as load
    from peers import quiet, torch

    library, nn = load(), torch.nn
    made, adds = library.attr._utils.lrp_rules, library.attr._utils.custom_modules
    net = with_adds(seeded(name), adds.Addition_Module)
    x = torch.from_numpy(np.load(folder / "x.npy"))
    own = made.EpsilonRule
    if rules == "captum.Alpha1_Beta0":
        own = partial(made.Alpha1_Beta0_Rule, set_bias_to_zero=True)
    convs = [m for m in net.modules() if isinstance(m, nn.Conv1d | nn.Conv2d)]
    pools = [m for m in net.modules() if isinstance(m, nn.AdaptiveAvgPool1d)]
    target = net(x).argmax(1)

    def run() -> Any:
        for layer in (convs[0], *pools):
            layer.rule = made.EpsilonRule()
        for layer in convs[1:]:
            layer.rule = own()
        return library.attr.LRP(net).attribute(x.clone(), target=target).detach().numpy()

    return lambda: quiet(run)


SIDES = {
    "onnx": prepare_onnx, "forward": prepare_forward, "zennit": prepare_zennit,
    "captum": prepare_captum,
}  # fmt: skip


def read_memory(entry: str) -> int:
    """Return the kibibytes of this process: ``VmRSS`` now, ``VmHWM`` at most (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry))


def import_libraries(side: str) -> None:
    """Import the libraries of a side, so that only its work is measured."""
    if side == "onnx":
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401

        import dftlrp  # noqa: F401
    else:
        import peers

        peers.torch.set_num_threads(THREADS)
        getattr(peers, side)()


def main() -> None:
    side, folder, name, rules = sys.argv[1:]
    import_libraries(side)
    before = read_memory("VmRSS")
    run = SIDES[side](Path(folder), name, rules)
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    for _ in range(CALLS - 1):
        run()
    peak = read_memory("VmHWM")
    print(json.dumps({"before": before / 1024, "peak": peak / 1024, "first": first}))


def run_alone(side: str, folder: Path, name: str, rules: str) -> dict[str, float]:
    """Return what `main` prints in a process of its own."""
    command = [sys.executable, __file__, side, str(folder), name, rules]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


sys.path.insert(0, str(TESTS))

if __name__ == "__main__":
    main()
