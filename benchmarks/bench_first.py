"""Start and first call: import, tracing, first and later call, each in a new process.

    python benchmarks/bench_first.py [MODEL.onnx ...] [--repeat 3] [--beside CHECKOUT] [--json FILE]

Medians of seconds of the processor (all threads), on the embedded models, a chain of 1,000 nodes,
and the models given: without a folder of graphs, with an empty one (which the call fills) and with
a full one (DFTLRP_CACHE).  ``--beside`` alternates with another checkout, run by the same Python:
the factors are worth more than the seconds.  All run from compiled bytecode, as what pip installs
does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

HERE = Path(__file__).resolve().parents[1]
PARTS = ("import", "load", "trace", "prepare", "first", "later")
WIDTH, BLOCKS = 16, 249  # of four nodes each
CHILD = """
import json, sys, time
t = [time.process_time()]
def lap():
    t.append(time.process_time())
    return t[-1] - t[-2]
import dftlrp
dftlrp.explain, dftlrp.attribute
found = {"import": lap()}
import numpy as np
from dftlrp.tracing import finder
inner = {"_trace": 0.0, "_load": 0.0}
def timed(name):
    inside = getattr(finder.Prepared, name)
    def call(*args, **kwargs):
        begin = time.process_time()
        try:
            return inside(*args, **kwargs)
        finally:
            inner[name] += time.process_time() - begin
    setattr(finder.Prepared, name, call)
for name in inner:
    timed(name)
lap()
model = dftlrp.load(sys.argv[1])
found["load"] = lap()
rng, arrays = np.random.default_rng(0), {}
for name in model.graph.signals:
    dims = model.graph.inputs[name].dims
    size = [1 if i == 0 and n is None else n or 8000 for i, n in enumerate(dims)]
    arrays[name] = rng.normal(size=size).astype(np.float32)
lap()
dftlrp.attribute(model, arrays, backend="onnx")
found |= {"first": lap(), "trace": inner["_trace"], "prepare": inner["_load"]}
dftlrp.attribute(model, arrays, backend="onnx")
print(json.dumps(found | {"later": lap()}))
"""


def make_chain(path: Path) -> Path:
    """Write a network of 1,000 nodes: 249 residual blocks of Conv, Relu, Mul and Add."""
    rng, nodes, weights = np.random.default_rng(0), list[Any](), list[Any]()

    def weight(name: str, *shape: int, scale: float = 0.1) -> str:
        array = (scale * rng.normal(size=shape)).astype(np.float32)
        weights.append(numpy_helper.from_array(array, name))
        return name

    def add(op: str, inputs: str, output: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(op, inputs.split(), [output], **attributes))

    first, scale = weight("w", WIDTH, 1, 9), (2 / (3 * WIDTH)) ** 0.5
    add("Conv", f"x {first}", "d", strides=[4], pads=[4, 4])
    for i in range(BLOCKS):
        before = f"d{i - 1}" if i else "d"
        w, b = weight(f"w{i}", WIDTH, WIDTH, 3, scale=scale), weight(f"b{i}", WIDTH)
        add("Conv", f"{before} {w} {b}", f"c{i}", pads=[1, 1])
        add("Relu", f"c{i}", f"r{i}")
        add("Mul", f"r{i} {weight(f's{i}', 1)}", f"m{i}")
        add("Add", f"{before} m{i}", f"d{i}")
    add("GlobalAveragePool", f"d{BLOCKS - 1}", "g")
    add("Flatten", "g", "f")
    add("Gemm", f"f {weight('v', WIDTH, 10)}", "y")
    heads = (("x", ["n", 1, 1000]), ("y", ["n", 10]))
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n, dims in heads)
    model = helper.make_model(
        helper.make_graph(nodes, "chain", [x], [y], weights),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    model.ir_version = 9
    save(model, path)
    return path


def run_once(checkout: Path, model: str, folder: Path | None, bytecode: str) -> dict[str, float]:
    """Return the seconds of each of `PARTS` in a new process."""
    env = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "DFTLRP_CACHE")
    }
    env |= {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONPATH": str(checkout)}
    env |= {"DFTLRP_CACHE": str(folder)} if folder else {}
    command = [sys.executable, "-c", CHILD, model]
    said = subprocess.run(
        command, env=env, cwd=checkout, check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(said.stdout)
    return found


def measure(model: str, sides: dict[str, Path], repeat: int, scratch: Path) -> dict[str, Any]:
    """Return medians by side and kind of folder, the sides taking turns."""
    runs: dict[str, list[dict[str, float]]] = {}
    for _ in range(repeat):
        for side, checkout in sides.items():
            folder = scratch / "graphs"
            shutil.rmtree(folder, ignore_errors=True)
            kinds = {"none": None} | ({"empty": folder, "full": folder} if side == "here" else {})
            for kind, given in kinds.items():
                found = run_once(checkout, model, given, str(scratch / side))
                if given:
                    found["megabytes"] = sum(p.stat().st_size for p in folder.iterdir()) / 1e6
                runs.setdefault(f"{side}, {kind}", []).append(found)
    return {
        key: {part: median(one[part] for one in several) for part in several[0]}
        for key, several in runs.items()
    }


def print_table(model: str, rows: dict[str, Any]) -> None:
    """Print the medians of a model."""
    print(f"\n{model}\n{'side, folder':16}" + "".join(f"{part:>9}" for part in PARTS))
    for key, row in rows.items():
        size = f"  {row['megabytes']:.1f} MB" if "megabytes" in row else ""
        print(f"{key:16}" + "".join(f"{row[part]:9.3f}" for part in PARTS) + size)
    if "beside, none" in rows:
        pairs = ((rows["here, none"][part], rows["beside, none"][part]) for part in PARTS)
        factors = [
            f"{ours / theirs:9.2f}" if theirs > 1e-4 else f"{'':9}" for ours, theirs in pairs
        ]
        print(f"{'here / beside':16}" + "".join(factors), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="more models (ONNX files)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="an older version")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the medians here")
    args = parser.parse_args()
    sides = {"here": HERE} | ({"beside": args.beside.resolve()} if args.beside else {})
    found = dict[str, Any]()
    with tempfile.TemporaryDirectory() as given:
        scratch = Path(given)
        for side, checkout in sides.items():
            run_once(checkout, "waveform", None, str(scratch / side))  # compiles
        chain = make_chain(scratch / "chain of 1,000 nodes.onnx")
        paths = ["waveform", "mel", str(chain), *(str(Path(m).resolve()) for m in args.models)]
        for path in paths:
            found[Path(path).stem] = measure(path, sides, args.repeat, scratch)
            print_table(Path(path).stem, found[Path(path).stem])
    if args.json:
        about = {"python": platform.python_version(), "machine": platform.machine()}
        args.json.write_text(json.dumps({"about": about, "seconds": found}, indent=1))


if __name__ == "__main__":
    main()
