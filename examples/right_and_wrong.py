"""A right and a wrong prediction, each explained for the predicted and for the true digit.

    python examples/right_and_wrong.py RECORDINGS --out OUT

RECORDINGS is a folder of wavs whose names start with the digit, as ``7_jackson_3.wav`` of the Free
Spoken Digit Dataset.  Of its official test split (takes 0 to 4, which the embedded model was not
trained on) the clearest mistake and the narrowest right decision are explained; OUT/right and
OUT/wrong then hold a report each, with both digits side by side in picture and sound.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

import dftlrp
from dftlrp.attribution.recording import read_recording


class Guess(NamedTuple):
    path: Path
    true: int
    first: int
    second: int
    margin: float  # score of the true digit minus the best other one


def read_digit(path: Path) -> int | None:
    digit, _, rest = path.stem.partition("_")
    take = rest.rpartition("_")[2]
    return int(digit) if digit.isdecimal() and take.isdecimal() and int(take) < 5 else None


def guess_digit(model: dftlrp.Model, path: Path, true: int) -> Guess:
    recording = read_recording(path, rate=8000.0, length=8000)
    waveform = recording.samples[None, None, :]
    scores = dftlrp.predict(model, waveform).output[0]
    second, first = (int(i) for i in np.argsort(scores)[-2:])
    return Guess(path, true, first, second, float(scores[true] - np.delete(scores, true).max()))


def explain_guess(model: dftlrp.Model, found: Guess, folder: Path) -> None:
    other = found.true if found.first != found.true else found.second
    pair = [dftlrp.explain(model, found.path, target=t) for t in (found.first, other)]
    said, versus = (one.label for one in pair)
    page = dftlrp.compare(*pair).save(folder)[0]
    print(f"{found.path.name}: heard {said!r}, side by side with {versus!r}: {page}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--out", type=Path, default=Path("right-and-wrong"))
    args = parser.parse_args()
    model = dftlrp.load(dftlrp.embedded("waveform"))
    known = [(p, read_digit(p)) for p in sorted(args.recordings.glob("*.wav"))]
    guesses = [guess_digit(model, path, true) for path, true in known if true is not None]
    if not guesses:
        print(f"{args.recordings}: no wavs named like 7_jackson_3.wav", file=sys.stderr)
        return 2
    right = [g for g in guesses if g.margin > 0]
    wrong = [g for g in guesses if g.margin <= 0]
    print(f"{len(right)} of {len(guesses)} right")
    for kind, found in {"right": right, "wrong": wrong}.items():
        if found:  # the narrowest right decision, the clearest mistake
            explain_guess(model, min(found, key=lambda g: g.margin), args.out / kind)
        else:
            print(f"no {kind} prediction here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
