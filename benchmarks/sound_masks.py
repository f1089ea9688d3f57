"""What models hear through masks of relevance, and in the rest: docs/explanation/sound.md.

    python benchmarks/sound_masks.py FOLDER [--model M ...] [--noise DB]

FOLDER holds recordings named ``digit_speaker_take.wav``, as the Free Spoken Digit Dataset has them;
60 of takes 0 to 4 are used, each digit of each speaker once.  All are explained by EpsilonGamma
against silence.  ``--noise`` adds white noise that many decibels below each recording.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dftlrp
from dftlrp.results.heard import hear_part
from dftlrp.results.masking import keep_relevant
from dftlrp.results.units import Units, make_units, rank_units
from dftlrp.spectral import Stft

Floats = NDArray[np.floating[Any]]
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
LABELS = [str(digit) for digit in range(10)]
RATE = 8000


def find_weakest(positive: Floats, share: float) -> float:
    """Return the weakest of the strongest cells that together hold a share of the sum."""
    strongest = np.sort(positive[positive > 0])[::-1]
    held = np.cumsum(strongest)
    return float(strongest[np.searchsorted(held, share * held[-1])])


def list_masks(R: Floats, power: Floats, units: Units) -> Iterator[tuple[str, Floats]]:
    """Yield masks by name, of the relevance and of the energy of cells."""
    positive = np.maximum(R, 0.0)
    for share in (0.8, 0.95, 0.99):
        weakest = find_weakest(positive, share)
        yield f"soft, {share:.0%} in full", np.minimum(1.0, positive / weakest)
        yield f"only cells that hold {share:.0%}", (positive >= weakest) * 1.0
    for percentile in (50, 75, 90, 99):
        q = np.percentile(positive[positive > 0], percentile)
        yield f"soft, percentile {percentile}", np.minimum(1.0, positive / q)
    yield "1 where R > 0", (R > 0) * 1.0
    pooled = units.pool(R)
    for share in (0.1, 0.2):
        best = rank_units(pooled) < round(share * units.count)
        yield f"top {share:.0%} of tiles", units.spread(best) * 1.0
    for share in (0.8, 0.95):
        best = pooled >= find_weakest(np.maximum(pooled, 0.0), share)
        yield f"tiles that hold {share:.0%}", units.spread(best) * 1.0
    q = np.percentile(power[power > 0], 75)
    yield "energy, percentile 75", np.minimum(1.0, power / q)
    yield "random", np.random.default_rng(0).random(R.shape)


def read_clip(path: Path, noise: float | None) -> Floats:
    """Return a recording, with noise if asked for."""
    import soundfile

    samples, _ = soundfile.read(path)
    if noise is None:
        return np.asarray(samples)
    size = samples.std() * 10 ** (-noise / 20)
    return np.asarray(samples + size * np.random.default_rng(0).standard_normal(len(samples)))


def measure_masks(model: Any, paths: list[Path], noise: float | None) -> dict[str, Floats]:
    """Return Fid-In, Fid-Out, FF and the energy kept, by mask."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for path in paths:
        clip = read_clip(path, noise)
        e = dftlrp.explain(
            model, clip, rate=RATE, labels=LABELS, composite="EpsilonGamma", reference="silence"
        )
        x = e.find_asked("time").samples
        pair = Stft(x.shape[-1], **e.stft)
        spectrum = pair.analysis(x)
        R = np.where(spectrum != 0, e.relevance["time-frequency"], 0.0)
        units = make_units("time-frequency", R.shape, e.rate)
        parts = {
            name: pair.synthesis(mask * spectrum)
            for name, mask in list_masks(R, np.abs(spectrum) ** 2, units)
        }
        for name, kept in {"used": keep_relevant(e, x), **parts}.items():
            h = hear_part(e, kept)
            row = (h.same_in, h.same_out, h.p - h.p_out, h.energy, h.p)
            found.setdefault(name, []).append(row)
    return {name: np.mean(rows, axis=0) for name, rows in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", nargs="+", default=["waveform", "mel"])
    parser.add_argument("--noise", type=float)
    args = parser.parse_args()
    paths = [
        args.folder / f"{digit}_{who}_{(digit + k) % 5}.wav"
        for k, who in enumerate(SPEAKERS)
        for digit in range(10)
    ]
    for name in args.model:
        model = dftlrp.load(name if name.endswith(".onnx") else dftlrp.embedded(name))
        found = measure_masks(model, paths, args.noise)
        print(f"\n{name}: mean probability {found['used'][4]:.2f}")
        print("| mask | Fid-In | Fid-Out | FF | energy kept |\n|---|---|---|---|---|")
        for mask, row in found.items():
            print(f"| {mask} | " + " | ".join(f"{v:.2f}" for v in row[:4]) + " |")


if __name__ == "__main__":
    main()
