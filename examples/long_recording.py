"""Find where in a long recording a class is heard, with little memory.

    python examples/long_recording.py RECORDING --target seven --out OUT

The embedded digit classifier reads one second.  It is applied to the recording second by second;
the waveform and the multiplier of the target's score are written to memory maps, and the relevance
over time and frequency to files in OUT, block by block (``stft_lrp(..., out=OUT)``).  So hours of
recording need no more memory than a minute.  The seconds that support the target most are printed
with the frequency that contributes most to each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

import dftlrp
from dftlrp import spectral

BATCH = 16  # seconds at a time
SHOWN = 5


def read_seconds(path: Path, rate: int) -> Iterator[np.ndarray]:
    """Yield batches of mono seconds, (B, 1, rate); the last second is padded with zeros."""
    with soundfile.SoundFile(path) as file:
        if file.samplerate != rate:
            raise SystemExit(f"{path}: {file.samplerate} Hz, but the model reads {rate} Hz")
        for block in file.blocks(BATCH * rate, dtype="float32", always_2d=True):
            mono = block.mean(axis=1)
            yield np.pad(mono, (0, -len(mono) % rate)).reshape(-1, 1, rate)


def explain(
    model: dftlrp.Model, path: Path, target: int, out: Path
) -> tuple[spectral.StftRelevance, np.ndarray]:
    """Return the relevance over time and frequency, in files of `out`, and the score per second."""
    rate = int(model.rate)
    seconds = -(-soundfile.info(path).frames // rate)
    out.mkdir(parents=True, exist_ok=True)
    maps = [
        np.lib.format.open_memmap(out / f"{name}.npy", "w+", np.float32, (seconds * rate,))
        for name in ("waveform", "multiplier")
    ]
    scores, start = [], 0
    for batch in read_seconds(path, rate):
        found = dftlrp.attribute(model, batch, target=target, ledger=False)
        for array, part in zip(maps, (batch, found.multiplier), strict=True):
            array[start : start + part.size] = part.ravel()
        scores.append(found.explained[:, target])
        start += batch.size
    waveform, multiplier = maps
    result = spectral.stft_lrp(waveform, multiplier=multiplier, **spectral.stft_for(rate), out=out)
    return result, np.concatenate(scores)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--target", default="seven")
    parser.add_argument("--out", type=Path, default=Path("long-recording"))
    args = parser.parse_args()
    model = dftlrp.load(dftlrp.embedded("waveform"))
    if args.target not in model.labels:
        parser.error(f"--target: choose one of {', '.join(model.labels)}")
    result, scores = explain(model, args.recording, model.labels.index(args.target), args.out)
    hertz = np.fft.rfftfreq(result.domain.n_fft, 1 / model.rate)
    for second in np.argsort(-scores, kind="stable")[:SHOWN]:
        inside = result.domain.times // model.rate == second
        strongest = hertz[result.relevance[:, inside].sum(axis=1).argmax()]
        print(f"second {second:5}: score {scores[second]:6.2f}, mostly around {strongest:.0f} Hz")
    print(f"relevance {result.relevance.shape} in {args.out / 'relevance.npy'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
