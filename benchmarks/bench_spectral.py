"""Speed and memory of the spectral functions, against the paper's matrices and the bare FFT.

One command, both sides in one process, medians over several interleaved runs:

    python benchmarks/bench_spectral.py [--json PATH] [--dense 16000] [--quick]

The dense side is written here from the formulas of arXiv 2303.06365: LRP-0 with the N x (N + 2)
matrix of the one-sided inverse DFT, built once (its own column) and then applied.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft

from dftlrp.spectral import dft_lrp, stft_lrp

Run = Callable[[], Any]
Row = dict[str, Any]
# A whole run must fit: 16 rows of 2^22 samples and their spectra need 4 GB.
BATCH_LIMIT = 2**26
STREAM = """
import sys, time
from pathlib import Path
import numpy as np
from dftlrp.spectral import stft_lrp
x, R = (np.load(f"{sys.argv[1]}/{name}.npy", mmap_mode="r") for name in ("x", "R"))
start = time.perf_counter()
stft_lrp(x, R, out=f"{sys.argv[1]}/out")
seconds = time.perf_counter() - start
status = Path("/proc/self/status").read_text() if Path("/proc").exists() else ""
peak = [int(line.split()[1]) / 1e3 for line in status.splitlines() if line.startswith("VmHWM")]
print(seconds, *(peak or ["nan"]))
"""


def describe_machine() -> dict[str, str]:
    """Return the processor, the number of cores, the load and the versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": str(os.cpu_count()),
        "load": " ".join(f"{v:.1f}" for v in os.getloadavg()),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def measure_medians(runs: dict[str, Run], repeats: int) -> dict[str, float]:
    """Return the median seconds of each, run in turn so that a busy moment hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def measure_peak(run: Run) -> float:
    """Return the largest traced memory during one run, in megabytes."""
    tracemalloc.start()
    run()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1e6


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def build_inverse_dft(n: int) -> np.ndarray:
    """Return the matrix A of the one-sided inverse DFT, x = A [Re Y, Im Y], (n, 2 (n // 2 + 1))."""
    bins = np.arange(n // 2 + 1)
    phase = np.outer(np.arange(n), bins) % n * (2 * np.pi / n)
    w = np.where((bins == 0) | (2 * bins == n), 1, 2) / np.sqrt(n)
    return np.hstack([np.cos(phase) * w, -np.sin(phase) * w])


def apply_dense_lrp(A: np.ndarray, x: np.ndarray, R: np.ndarray) -> np.ndarray:
    """Return R_k = Re y_k sum_n A_nk R_n / x_n + the same for Im y_k: LRP-0 with the matrix."""
    y = fft.rfft(x, norm="ortho")
    back = (R / x) @ A
    re, im = np.split(back, 2, axis=-1)
    return np.asarray(y.real * re + y.imag * im)


def measure_dense(n: int, repeats: int) -> Row:
    start = time.perf_counter()
    A = build_inverse_dft(n)
    build = time.perf_counter() - start
    x, R = draw(2, n)
    runs: dict[str, Run] = {
        "dense": lambda: apply_dense_lrp(A, x, R),
        "dft_lrp": lambda: dft_lrp(x, R),
    }
    error = np.abs(apply_dense_lrp(A, x, R) - dft_lrp(x, R).relevance).max()
    size = np.abs(apply_dense_lrp(A, x, R)).max()
    seconds = measure_medians(runs, repeats)
    return {
        "n": n,
        "build ms": build * 1e3,
        "dense ms": seconds["dense"] * 1e3,
        "dft_lrp ms": seconds["dft_lrp"] * 1e3,
        "times faster": seconds["dense"] / seconds["dft_lrp"],
        "with build": (build + seconds["dense"]) / seconds["dft_lrp"],
        "dense MB": A.nbytes / 1e6,
        "dft_lrp MB": measure_peak(lambda: dft_lrp(x, R)),
        "difference": error / size,
    }


def measure_fft(batch: int, n: int, repeats: int) -> Row:
    x, m = draw(2, batch, n)
    R = x * m
    seconds = measure_medians(
        {
            "limit": lambda: fft.rfft(x) * fft.rfft(m),
            "relevance": lambda: dft_lrp(x, R),
            "multiplier": lambda: dft_lrp(x, multiplier=m),
        },
        repeats,
    )
    return {
        "batch": batch,
        "n": n,
        "2 rfft + product ms": seconds["limit"] * 1e3,
        "relevance ms": seconds["relevance"] * 1e3,
        "ratio": seconds["relevance"] / seconds["limit"],
        "multiplier ratio": seconds["multiplier"] / seconds["limit"],
        "ns / (N log2 N)": seconds["relevance"] * 1e9 / (batch * n * np.log2(n)),
    }


def measure_stft(seconds_long: int, repeats: int, **options: Any) -> Row:
    n_fft, hop = 400, 160
    x, m = draw(2, seconds_long * 16000)
    R = x * m

    def frames(z: np.ndarray) -> np.ndarray:
        return sliding_window_view(z, n_fft)[::hop]

    seconds = measure_medians(
        {
            "limit": lambda: (fft.rfft(frames(x)), fft.rfft(frames(m))),
            "relevance": lambda: stft_lrp(x, R, n_fft=n_fft, hop=hop, **options),
            "multiplier": lambda: stft_lrp(x, multiplier=m, n_fft=n_fft, hop=hop, **options),
        },
        repeats,
    )
    result = stft_lrp(x, R, n_fft=n_fft, hop=hop, **options)
    return {
        "seconds": seconds_long,
        "boundary": str(options.get("boundary", "zeros")),
        "2 framed rfft ms": seconds["limit"] * 1e3,
        "relevance ms": seconds["relevance"] * 1e3,
        "ratio": seconds["relevance"] / seconds["limit"],
        "multiplier ratio": seconds["multiplier"] / seconds["limit"],
        "peak MB": measure_peak(lambda: stft_lrp(x, R, n_fft=n_fft, hop=hop, **options)),
        "result MB": (result.spectrum.nbytes * 2) / 1e6,
    }


def measure_stream(minutes: int) -> Row:
    """Time `stft_lrp(..., out=...)` from and to files, 16 kHz, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("x", "R"):
            array = np.lib.format.open_memmap(
                Path(folder) / f"{name}.npy", "w+", shape=(minutes * 960000,)
            )
            for start in range(0, len(array), 960000):
                array[start : start + 960000] = draw(960000)
            del array
        run = subprocess.run(
            [sys.executable, "-c", STREAM, folder], capture_output=True, text=True, check=True
        )
        size = sum(path.stat().st_size for path in (Path(folder) / "out").iterdir())
    seconds, most = map(float, run.stdout.split())
    return {
        "minutes": minutes,
        "seconds": seconds,
        "peak MB (whole process)": most,
        "result MB": size / 1e6,
    }


def measure_full(n: int, repeats: int) -> Row:
    """Time the paper's layout; its matrices would need 4 N^2 T bytes per layer, in float16."""
    x, R = draw(2, n)
    options: Row = {"n_fft": 455, "hop": 35, "layout": "full"}
    frames = stft_lrp(x, R, **options).spectrum.shape[-1]
    seconds = measure_medians({"full": lambda: stft_lrp(x, R, **options)}, repeats)
    return {
        "n": n,
        "frames": frames,
        "ms": seconds["full"] * 1e3,
        "peak MB": measure_peak(lambda: stft_lrp(x, R, **options)),
        "matrix GB (float16)": 4 * n * n * frames / 1e9,
    }


def print_table(title: str, rows: list[Row]) -> None:
    print(f"\n{title}")
    heads = list(rows[0])
    cells = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    widths = [max(len(h), *(len(c[i]) for c in cells)) for i, h in enumerate(heads)]
    for line in [heads, *cells]:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))


def choose_repeats(samples: int, quick: bool) -> int:
    most = 2**20 if quick else 2**23
    return max(3, min(501, most // samples))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all numbers to this file too")
    parser.add_argument("--dense", type=int, help="one more dense size; 16000 needs 4 GB and 10 s")
    parser.add_argument("--quick", action="store_true", help="small sizes and few repeats")
    args = parser.parse_args()
    powers = range(10, 17 if args.quick else 23, 2)
    primes = [1021, 16381] if args.quick else [1021, 16381, 262139, 1048573]
    dense = [256, 1024, 2560] if args.quick else [256, 1024, 2560, 4096]
    batches = [(16, 16000)] + [(b, 2**p) for b in (16, 1) for p in powers if b << p <= BATCH_LIMIT]
    batches += [(1, n) for n in primes]
    report: dict[str, Any] = {
        "machine": describe_machine(),
        "dense": [measure_dense(n, 9) for n in [*dense, *([args.dense] if args.dense else [])]],
        "fft": [measure_fft(b, n, choose_repeats(b * n, args.quick)) for b, n in batches],
        "stft": [
            measure_stft(10 if args.quick else 60, 15, boundary=boundary)
            for boundary in ("zeros", "center", None)
        ],
        "stream": [measure_stream(m) for m in ((1,) if args.quick else (10, 60))],
        "full": [measure_full(n, 3) for n in (2560, 8000)],
    }
    print("  ".join(f"{k}: {v}" for k, v in report["machine"].items()))
    print_table("DFT-LRP against the paper's matrices (one signal, float64)", report["dense"])
    print_table("DFT-LRP against two bare FFTs and a product (growth, and primes)", report["fft"])
    print_table("STFT-LRP, window 400, hop 160, 16 kHz, against two framed FFTs", report["stft"])
    print_table("STFT-LRP from and to files, window 400, hop 160, 16 kHz", report["stream"])
    print_table("STFT-LRP in the paper's layout, window 455, hop 35", report["full"])
    if args.json:
        args.json.write_text(json.dumps(report, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
