"""Ten minutes through a model of one second: how much longer than the forward passes it takes.

    python benchmarks/bench_long.py [--minutes 10] [--folder FSDD]

A recording is made of digits, with pauses and faint noise between them: those of the Free Spoken
Digit Dataset where the folder is given, else the embedded one.  In one process and alternating,
three times: the batched forward pass over the windows, as onnxruntime alone takes it;
`dftlrp.explain_recording`; and that with its page.  Medians are printed, and how many of the ten
strongest windows hold the word.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile

import dftlrp

RATE, WORD, DIGIT = 8000, "seven", 7
BATCH = 32


def make_recording(minutes: float, folder: Path | None) -> tuple[np.ndarray, list[tuple]]:
    """Return samples, and start, stop and digit of each word."""
    files = sorted(folder.rglob("*.wav")) if folder else []
    words = [(int(m[1]), f) for f in files if (m := re.match(r"(\d)_", f.name))]
    words = words or [(DIGIT, Path(dftlrp.embedded("clip")))]
    rng, parts, said, at = np.random.default_rng(0), [], [], 0
    while at < minutes * 60 * RATE:
        digit, file = words[rng.integers(len(words))]
        x, rate = soundfile.read(file)
        assert rate == RATE
        pause = np.zeros(int(rng.uniform(0.2, 1.0) * RATE))
        start = at + len(pause)
        parts += [pause, x]
        said.append((start / RATE, (start + len(x)) / RATE, digit))
        at = start + len(x)
    x = np.concatenate(parts)
    return x + rng.normal(scale=1e-4, size=len(x)), said


def run_forward(session: onnxruntime.InferenceSession, x: np.ndarray, hop: int) -> None:
    """Run the model over all windows in batches."""
    starts = np.arange(0, len(x) - RATE + 1, hop)
    (name,) = (i.name for i in session.get_inputs())
    for first in range(0, len(starts), BATCH):
        batch = np.stack([x[s : s + RATE] for s in starts[first : first + BATCH]])
        session.run(None, {name: batch[:, None].astype(np.float32)})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    x, said = make_recording(args.minutes, args.folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(dftlrp.embedded("waveform"), options)
    model = dftlrp.load(dftlrp.embedded("waveform"))
    found = dftlrp.explain_recording(model, x, rate=RATE, target=WORD, top=10)  # traces
    times: dict[str, list[float]] = {"forward": [], "explained": [], "with its page": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            start = time.perf_counter()
            run_forward(session, x, RATE // 2)
            times["forward"].append(time.perf_counter() - start)
            start = time.perf_counter()
            found = dftlrp.explain_recording(model, x, rate=RATE, target=WORD, top=10)
            times["explained"].append(time.perf_counter() - start)
            found.save(Path(folder) / "out")
            times["with its page"].append(time.perf_counter() - start)
        size = (Path(folder) / "out/report.html").stat().st_size
    least = statistics.median(times["forward"])
    for what, taken in times.items():
        median = statistics.median(taken)
        print(f"{what:14} {median:6.2f} s  {median / least:5.1f} times the forward pass")
    print(f"page {size / 1e6:.1f} MB; {len(found.starts)} windows of {args.minutes:g} minutes")
    true = sum(
        any(d == DIGIT and min(b, e.start + 1) - max(a, e.start) > (b - a) / 2 for a, b, d in said)
        for e in found
    )
    print(f"{true} of the {len(found)} strongest windows hold {WORD!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
