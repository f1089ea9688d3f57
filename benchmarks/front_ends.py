"""Wrong front ends, and what `dftlrp.check_frontend` says: a table of docs/guides/frontend.md.

The features are librosa's, of five seconds of speech; each row declares one setting, or two,
otherwise than librosa was called.

    python benchmarks/front_ends.py CLIP
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

import librosa
import numpy as np

from dftlrp.attribution.frontend_check import check_features
from dftlrp.attribution.recording import fit, read_recording
from dftlrp.graph.frontend import FrontEnd

RATE, SECONDS = 16000, 5
DECLARED = FrontEnd(RATE, n_fft=512, win_length=400, hop=160, n_mels=64, log="db", floor=1e-8)
CASES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "rate": {"resampled": 22050},
    "rate of the filters": {"sr": 22050},
    "hop": {"hop_length": 128},
    "mel scale": {"htk": True},
    "norm": {"norm": None},
    "log kind": {"log": np.log},
    "floor": {"floor": 1e-5},
    "missing mean and std": {"mean": -30.0, "std": 15.0},
    "amplitude": {"scale": 32768},
    "window": {"window": "hamming"},
    "centre": {"center": False},
    "layout": {"transposed": True},
    "hop, log kind": {"hop_length": 128, "log": np.log},
    "mel scale, norm": {"htk": True, "norm": None},
    "amplitude, log kind": {"scale": 32768, "log": np.log},
    "floor, mean and std": {"floor": 1e-5, "mean": -30.0, "std": 15.0},
    "hop, mean and std": {"hop_length": 200, "mean": -30.0, "std": 15.0},
    "window, mel scale": {"window": "hamming", "htk": True},
    "rate of the filters, hop": {"sr": 22050, "hop_length": 128},
}


def compute(x: Any, **how: Any) -> Any:
    """Return the features of samples as librosa makes them."""
    log = how.pop("log", lambda v: 10 * np.log10(v))
    floor, scale = how.pop("floor", 1e-8), how.pop("scale", 1)
    mean, std, turned = how.pop("mean", 0.0), how.pop("std", 1.0), how.pop("transposed", False)
    if rate := how.pop("resampled", None):
        x = librosa.resample(x, orig_sr=RATE, target_sr=rate, res_type="polyphase")
        how["sr"] = rate
    known = {"sr": RATE, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 64}
    mel = librosa.feature.melspectrogram(
        y=np.float32(scale * x), **{**known, "pad_mode": "constant", **how}
    )
    found = (log(np.maximum(mel, floor)) - mean) / std
    return np.float32(found.T if turned else found)


def main() -> None:
    recording = fit(read_recording(sys.argv[1]), RATE)
    recording = replace(recording, samples=recording.samples[: SECONDS * RATE])
    print("| wrong | what is said | seconds |\n|---|---|---|")
    for name, how in CASES.items():
        features = compute(recording.samples, **how)
        start = time.process_time()
        said = str(check_features(DECLARED, recording, features)).replace("\n", "; ")
        print(f"| {name} | {said} | {time.process_time() - start:.1f} |", flush=True)


if __name__ == "__main__":
    main()
