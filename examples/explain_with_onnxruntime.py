"""Explain a recording with NumPy and onnxruntime alone, by a file that dftlrp exported.

    dftlrp export waveform -o explained.onnx --domains time,frequency
    python examples/explain_with_onnxruntime.py explained.onnx dftlrp/assets/clip.wav

prints the class, and the stretches of time and the bands of frequency that support it most (+) or
oppose it most (-).  The metadata of the file describe its inputs and outputs.
"""

from __future__ import annotations

import argparse
import json
import sys
import wave

import numpy as np
import onnxruntime

WIDTH = {"s": 0.02, "Hz": 100.0}  # of a stretch, of a band
SHOWN = 5


def read_wav(path: str, rate: float, length: int) -> np.ndarray:
    """Return mono samples (length,), full scale 1, padded with zeros or cut at the end."""
    with wave.open(path) as sound:
        if (sound.getframerate(), sound.getsampwidth()) != (rate, 2):
            raise SystemExit(f"{path}: 16 bits at {rate:g} Hz are needed, convert it first")
        samples = np.frombuffer(sound.readframes(length), "<i2").reshape(-1, sound.getnchannels())
    return np.pad(samples.mean(axis=1) / 32768, (0, length - len(samples))).astype(np.float32)


def find_strongest(relevance: np.ndarray, axis: dict) -> list[str]:
    """Return lines with the most relevant stretches or bands and their share of all relevance."""
    width = max(round(WIDTH[axis["unit"]] / axis["step"]), 1)
    sums = np.add.reduceat(relevance, np.arange(0, len(relevance), width))
    lines = []
    for k in np.argsort(-np.abs(sums), kind="stable")[:SHOWN]:
        low, high = (axis["start"] + i * width * axis["step"] for i in (k, k + 1))
        share = 100 * sums[k] / np.abs(sums).sum()
        lines.append(f"  {low:8.2f} to {high:8.2f} {axis['unit']:2} {share:+6.1f} %")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("explained", metavar="EXPLAINED.onnx")
    parser.add_argument("clip", metavar="CLIP.wav")
    parser.add_argument("--target", type=int, default=-1, help="a class's index; -1: the largest")
    args = parser.parse_args()

    session = onnxruntime.InferenceSession(args.explained, providers=["CPUExecutionProvider"])
    told = json.loads(session.get_modelmeta().custom_metadata_map["dftlrp"])
    signal, target = session.get_inputs()
    shape = [n if isinstance(n, int) else 1 for n in signal.shape]  # the batch may be open
    x = read_wav(args.clip, told["rate"], shape[-1]).reshape(shape)
    outputs = [output.name for output in session.get_outputs()]
    feed = {signal.name: x, target.name: np.array([args.target])}
    found = dict(zip(outputs, session.run(None, feed), strict=True))

    scores = found["explained"].ravel()
    which = int(scores.argmax()) if args.target < 0 else args.target
    names = told["labels"] or [f"class {i}" for i in range(len(scores))]
    print(f"{names[which]} (score {scores[which]:.3f}), by {told['composite']}")
    for name in ("relevance", "relevance_frequency"):
        if name in found:
            axis = told["outputs"][name]["axes"][-1]
            print(f"{axis['name']}:")
            print("\n".join(find_strongest(found[name].ravel(), axis)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
