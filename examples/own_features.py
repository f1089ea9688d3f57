"""Explain a model that reads a spectrum which your own code computes.

    python examples/own_features.py [CLIP.wav] [--model spectrum]

A model that reads a DFT or an STFT need not contain it, nor declare it as a front end.  Then its
input is explained first, and the relevance is carried from the coefficients to the waveform:

1. compute the features as for a prediction, here the real and the imaginary part of a transform T;
2. `attribute` returns the multiplier of each feature; real and imaginary part make a complex g;
3. `relevance_from` returns the relevance of the waveform x, R = x m with m = T^T g.

For a DFT and an STFT, `inverse_dft_lrp` and `inverse_stft_lrp` also do the last step.  The script
prints the segments of the recording that support the class most.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import dftlrp
from dftlrp import spectral
from dftlrp.attribution.recording import read_recording

LENGTH = 8000  # samples that the embedded models read
WIDTH = 400  # samples of a segment, 50 ms
SHOWN = 5
DOMAINS = {  # what the embedded models were trained on
    "spectrum": spectral.Dft(LENGTH),
    "stft": spectral.Stft(LENGTH, "hann", n_fft=256, hop=128, boundary="center"),
}


def explain(
    model: dftlrp.Model, domain: spectral.Domain, x: np.ndarray
) -> tuple[dftlrp.Attribution, spectral.SignalRelevance]:
    """Return the relevance of the features and that of the waveform x, (N,)."""
    coefficients = domain.analysis(x)
    features = np.stack([coefficients.real, coefficients.imag])[None]
    found = dftlrp.attribute(model, features, seed="contrast")
    re, im = found.multiplier[0]
    return found, spectral.relevance_from(domain, coefficients, multiplier=re + 1j * im)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", nargs="?", default=dftlrp.embedded("clip"))
    parser.add_argument("--model", choices=DOMAINS, default="stft")
    args = parser.parse_args()
    model = dftlrp.load(dftlrp.embedded(args.model))
    x = read_recording(args.clip, rate=model.rate, length=LENGTH).samples
    found, waveform = explain(model, DOMAINS[args.model], x)
    word = model.labels[int(found.explained.argmax())]
    of_features, of_waveform = found.relevance.sum(), waveform.relevance.sum()
    print(
        f"{word!r}: relevance of the features {of_features:.4f}, of the waveform {of_waveform:.4f}"
    )
    sums = waveform.relevance.reshape(-1, WIDTH).sum(axis=1)
    for k in np.argsort(-sums, kind="stable")[:SHOWN]:
        start, stop = k * WIDTH / model.rate, (k + 1) * WIDTH / model.rate
        print(f"  {start:.2f} to {stop:.2f} s {sums[k]:+8.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
