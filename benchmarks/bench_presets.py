"""Which preset explains the embedded waveform model best?  Feature flipping in time-frequency.

    python benchmarks/bench_presets.py RECORDINGS [--clips 60] [--json FILE]

For every preset and clip, the cells of the STFT are zeroed in the order of their relevance, most
relevant first (MIF) and least relevant first (LIF), inverted, and shown to the model again.
SRG is the area between the two curves of the explained score, as a share of the first score
(Bluecher et al., TMLR 2024): the larger, the better the order.  ``amplitude`` orders by magnitude
alone and ``random`` by nothing.  ``reached`` is the share of the seed that reached the recording
(the rest went to biases); ``excess`` is sum |R| / |sum R| in time-frequency: parts that cancel.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

import dftlrp
from dftlrp.attribution.recording import read_recording
from dftlrp.engine.composites import PRESETS
from dftlrp.spectral import Stft

STEPS = np.linspace(0, 1, 11)
Forward = Callable[[np.ndarray], np.ndarray]


def make_forward() -> Forward:
    session = onnxruntime.InferenceSession(str(dftlrp.embedded("waveform")))
    name = session.get_inputs()[0].name

    def run(x: np.ndarray) -> np.ndarray:
        return session.run(None, {name: x[:, None, :].astype(np.float32)})[0]

    return run


def measure_contrast(z: np.ndarray, target: int) -> np.ndarray:
    return z[:, target] - np.delete(z, target, axis=1).mean(axis=1)


def trace_curve(
    run: Forward, stft: Stft, Y: np.ndarray, order: np.ndarray, target: int
) -> np.ndarray:
    """Return the score, relative to the first, while the first cells of the order are zeroed."""
    ranks = np.empty(order.size)
    ranks[order] = np.arange(order.size)
    masks = ranks.reshape(Y.shape) >= STEPS[:, None, None] * order.size
    scores = measure_contrast(run(stft.synthesis(masks * Y)), target)
    return scores / scores[0]


def measure_srg(
    run: Forward, stft: Stft, Y: np.ndarray, relevance: np.ndarray, target: int
) -> float:
    order = np.argsort(-relevance.ravel(), kind="stable")
    mif, lif = (trace_curve(run, stft, Y, o, target) for o in (order, order[::-1]))
    return float(np.trapezoid(lif - mif, STEPS))


def score_presets(run: Forward, model: dftlrp.Model, path: Path, rng: np.random.Generator) -> dict:
    x = read_recording(path, rate=8000.0, length=8000).samples
    rows: dict[str, tuple[float, float, float]] = {}
    for preset in PRESETS:
        e = dftlrp.explain(model, x, rate=8000.0, composite=preset)
        stft = Stft(len(x), **e.stft)
        Y, R = e.signal["time-frequency"], e.relevance["time-frequency"]
        total = R.sum() + e.rest["time-frequency"]
        seed = e.ledger.rows[0].relevance.sum()
        score = measure_srg(run, stft, Y, R, int(e.target))
        rows[preset] = (score, total / seed, np.abs(R).sum() / abs(total))
    for name, order in {"amplitude": np.abs(Y), "random": rng.random(Y.shape)}.items():
        rows[name] = (measure_srg(run, stft, Y, order, int(e.target)), np.nan, np.nan)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    held_out = sorted(p for p in args.recordings.glob("*.wav") if int(p.stem.split("_")[2]) < 5)
    rng = np.random.default_rng(0)
    chosen = [held_out[i] for i in rng.permutation(len(held_out))[: args.clips]]
    run, model = make_forward(), dftlrp.load(dftlrp.embedded("waveform"))
    found = [score_presets(run, model, path, rng) for path in chosen]
    print(f"{len(chosen)} clips; {platform.machine()}, Python {platform.python_version()}")
    print(f"| {'order by':22} | SRG (mean, standard error) | reached (median) | excess (median) |")
    print("|---|---|---|---|")
    table = {}
    for name in found[0]:
        scores, reached, excess = np.array([rows[name] for rows in found]).T
        error = scores.std(ddof=1) / len(scores) ** 0.5
        table[name] = [scores.mean(), error, np.median(reached), np.median(excess)]
        mean, error, share, parts = table[name]
        print(f"| {name:22} | {mean:.3f} +- {error:.3f} | {share:.2f} | {parts:.1f} |")
    if args.json:
        args.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
