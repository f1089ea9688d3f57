"""What an installed dftlrp must do, whatever lies around it: ``python smoke.py``, in seconds.

It uses the installed package alone, works in an empty folder, and needs nothing of the repository.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import dftlrp

FILES = {
    "report.html", "explanation.npz", "bands.csv", "segments.csv", "original.wav", "heatmap.wav",
    "rectified.wav", "negative.wav", "resynthesis.wav", "complement.wav",
}  # fmt: skip
PROGRESS = re.compile(r"dftlrp: .*: \d+ s")  # told of what takes more than ten seconds
ALONE = """
import sys
sys.modules["dftlrp"] = sys.modules["onnx"] = None  # an import of either fails
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
signal, target = session.get_inputs()
x = np.load(sys.argv[2]).astype(np.float32)
outputs = [output.name for output in session.get_outputs()]
found = session.run(None, {signal.name: x.reshape(1, 1, -1), target.name: np.array([-1])})
np.savez(sys.argv[3], **dict(zip(outputs, found)))
"""


def call(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command, which writes into a pipe as Windows has them."""
    command = Path(sysconfig.get_path("scripts")) / ("dftlrp.exe" if os.name == "nt" else "dftlrp")
    env = os.environ | {"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}
    return subprocess.run(
        [command, *words], capture_output=True, encoding="cp1252", env=env, check=False
    )


def ask(*words: str) -> Any:
    """Run a command that must succeed; return what it says in JSON."""
    done = call(*words, "--json")
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


def check_info() -> None:
    """Version and installation: what is needed is there and works."""
    assert call("--version").stdout.split() == ["dftlrp", version("dftlrp")]
    said = ask("info")
    assert all(said["packages"].values()), said["packages"]
    for name, answer in {**said["backends"], **{k: said[k] for k in ("sound", "font")}}.items():
        needs = f"pip install 'dftlrp[{name}]'"  # of a framework that is not here
        assert answer["ok"] or needs in answer["text"], (name, answer)
    assert said["backends"]["numpy"]["ok"]
    assert said["backends"]["onnx"]["ok"]


def check_explanation() -> None:
    """The embedded model explains the embedded clip: all files, accounts that close, the score."""
    plain = call("explain", "--out", "plain")
    assert plain.returncode == 0, plain.stderr
    assert "seven" in plain.stdout
    said = ask("explain", "--out", "out")
    (one,) = said["explanations"]
    assert one["prediction"]["label"] == one["label"] == "seven", one["prediction"]
    assert one["account"]["closed"], one["account"]
    assert {Path(file).name for file in said["files"]} == FILES
    for name in FILES:
        assert (Path("out") / name).stat().st_size > 100, name
    total = dftlrp.Explanation.load("out").relevance["time"].sum()
    total += sum(one["account"][k] for k in ("bias", "stabiliser", "stopped"))
    assert abs(total - one["explained"]) < 1e-3 * abs(one["explained"]), (total, one["explained"])


def check_export() -> None:
    """An exported file gives the same relevance by onnxruntime alone."""
    ask("export", "waveform", "-o", "explained.onnx")
    kept = dftlrp.Explanation.load("out")
    want = kept.relevance["time"]
    np.save("x.npy", kept.signal["time"])
    subprocess.run([sys.executable, "-c", ALONE, "explained.onnx", "x.npy", "y.npz"], check=True)
    with np.load("y.npz") as found:
        error = np.abs(found["relevance"].reshape(want.shape) - want).max() / np.abs(want).max()
    assert error < 1e-4, error


def check_refusal() -> None:
    """What cannot be done is refused in a line, and leaves nothing behind."""
    before = set(os.listdir())
    done = call("explain", "missing.onnx", "out/original.wav", "--out", "none")
    assert done.returncode == 2, done.returncode
    told = [line for line in done.stderr.splitlines() if not PROGRESS.fullmatch(line)]
    assert told == ["dftlrp: missing.onnx: no such file"], done.stderr
    assert set(os.listdir()) == before


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        place = Path(dftlrp.__file__).resolve()
        assert place.is_relative_to(Path(sys.prefix).resolve()), f"not the installed one: {place}"
        for check in (check_info, check_explanation, check_export, check_refusal):
            check()
            print(f"passed: {check.__name__}", flush=True)
        os.chdir(place.anchor)  # a folder that is in use cannot be removed everywhere


if __name__ == "__main__":
    main()
