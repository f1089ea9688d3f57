"""Small data sets: a folder of tones for `models.listener`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from models import listener, saved

HERTZ = {"low": 300.0, "middle": 1000.0, "high": 2500.0}


def tone(hertz: float, take: int, samples: int = 400, rate: int = 8000) -> np.ndarray:
    """A tone in noise."""
    noise = np.random.default_rng([int(hertz), take]).standard_normal(samples)
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate + take) + 0.02 * noise


def folder(place: Path, takes: int = 3, samples: int = 400) -> Path:
    """``low/0.wav`` and so on, and ``m.onnx`` beside the folder."""
    saved(listener(), place, "m.onnx")
    for label, hertz in HERTZ.items():
        (place / "data" / label).mkdir(parents=True)
        for take in range(takes):
            soundfile.write(place / f"data/{label}/{take}.wav", tone(hertz, take, samples), 8000)
    return place / "data"
