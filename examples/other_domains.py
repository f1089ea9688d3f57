"""One explanation viewed in five further domains.

    python examples/other_domains.py [CLIP.wav]

explains what the embedded digit classifier hears in a recording, and carries the relevance into

* octaves, by orthogonal wavelets (`Wavelet`);
* the discrete cosine transform (`Dct`);
* half the sampling rate (`Resample`): the rest is what a decision from the lower half band misses;
* mel bands (`Mel`), pooled from the short-time Fourier transform;
* the modified discrete cosine transform of MP3 and AAC (`Custom`), as an example of a transform
  that dftlrp does not know.  It is given as two functions and is tested when the domain is made.

In each domain the relevance and the rest sum to the relevance of the waveform.
"""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

import numpy as np

import dftlrp
from dftlrp import spectral
from dftlrp.attribution.recording import read_recording

SHOWN = 4  # bands of each domain
BAND = 500.0  # hertz
FRAME = 256  # coefficients of a frame of the modified cosine transform


class View(NamedTuple):
    """Relevance of the bands of one domain.

    ``bands`` maps a band's name to its relevance; ``half`` is the number of coefficients that hold
    half of the absolute relevance, of ``count``.
    """

    bands: dict[str, float]
    rest: float
    half: int
    count: int


def summarise(relevance: np.ndarray, rest: float, bands: dict[str, float]) -> View:
    sizes = np.sort(np.abs(relevance), axis=None)[::-1]
    half = int(np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)) + 1
    return View(bands, float(rest), half, relevance.size)


def sum_bands(relevance: np.ndarray, hertz: np.ndarray) -> dict[str, float]:
    """Sum relevance over equal bands; ``hertz`` are the frequencies along the first axis."""
    place = (hertz // BAND).astype(int)
    per_row = relevance.reshape(len(hertz), -1).sum(axis=1)
    sums = np.bincount(place, per_row)
    return {f"{k * BAND:.0f} to {(k + 1) * BAND:.0f} Hz": float(s) for k, s in enumerate(sums)}


def view_octaves(x: np.ndarray, m: np.ndarray, rate: float) -> View:
    domain = spectral.Wavelet(len(x), "db8")
    found = spectral.relevance_in(domain, x, multiplier=m)
    edges = [0.0, *(rate / 2**j for j in range(domain.levels + 1, 0, -1))]
    bands = {
        f"{low:.0f} to {high:.0f} Hz": float(found.relevance[place].sum())
        for low, high, place in zip(edges, edges[1:], domain.bands.values(), strict=False)
    }
    return summarise(found.relevance, found.rest, bands)


def view_cosines(x: np.ndarray, m: np.ndarray, rate: float) -> View:
    found = spectral.relevance_in(spectral.Dct(len(x)), x, multiplier=m)
    hertz = np.arange(len(x)) * rate / (2 * len(x))
    return summarise(found.relevance, found.rest, sum_bands(found.relevance, hertz))


def view_half_rate(x: np.ndarray, m: np.ndarray, rate: float) -> View:
    found = spectral.relevance_in(spectral.Resample(len(x), 1, 2), x, multiplier=m)
    lower = {f"0 to {rate / 4:.0f} Hz": float(found.relevance.sum())}
    return summarise(found.relevance, found.rest, lower)


def view_mel(x: np.ndarray, m: np.ndarray, rate: float) -> View:
    stft = spectral.stft_for(rate)
    cells = spectral.stft_lrp(x, multiplier=m, **stft)
    mel = spectral.Mel(rate, 24, stft["n_fft"])
    pooled = mel.pool(cells.relevance)
    rows = zip(mel.centres, pooled.relevance.sum(axis=1), strict=True)
    bands = {f"around {hertz:.0f} Hz": float(amount) for hertz, amount in rows}
    return summarise(pooled.relevance, pooled.rest + cells.rest, bands)


def make_mdct(n: int, bins: int) -> spectral.Custom:
    """Return the modified discrete cosine transform of signals of n samples.

    Frames of 2 `bins` samples overlap by half.  With the sine window the transform is orthogonal
    (Princen and Bradley, 1986), so that it is its own pair of adjoints.
    """
    count = -(-n // bins) + 1
    time, k = np.arange(2 * bins)[:, None] + 0.5, np.arange(bins) + 0.5
    basis = np.cos(np.pi / bins * (time + bins / 2) * k) * np.sqrt(2 / bins)
    basis *= np.sin(np.pi / (2 * bins) * time)

    def analyse(x: np.ndarray) -> np.ndarray:
        padded = np.pad(x, (bins, count * bins - n))
        frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * bins)[::bins]
        return (frames @ basis).T

    def synthesise(y: np.ndarray) -> np.ndarray:
        first, second = (y.T @ basis.T).reshape(count, 2, bins).swapaxes(0, 1)
        padded = np.zeros((count + 1, bins))
        padded[:-1] += first
        padded[1:] += second
        return padded.ravel()[bins : bins + n]

    return spectral.Custom(analyse, synthesise, analyse, n, synthesise)


def view_codec(x: np.ndarray, m: np.ndarray, rate: float) -> View:
    found = spectral.relevance_in(make_mdct(len(x), FRAME), x, multiplier=m)
    hertz = (np.arange(FRAME) + 0.5) * rate / (2 * FRAME)
    return summarise(found.relevance, found.rest, sum_bands(found.relevance, hertz))


VIEWS = {
    "wavelet octaves": view_octaves,
    "cosine transform": view_cosines,
    "half the sampling rate": view_half_rate,
    "mel bands": view_mel,
    "codec coefficients": view_codec,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", nargs="?", default=dftlrp.embedded("clip"))
    args = parser.parse_args()
    model = dftlrp.load(dftlrp.embedded("waveform"))
    x = read_recording(args.clip, rate=model.rate, length=8000).samples
    found = dftlrp.attribute(model, x[None, None, :], dtype="float64")
    m = found.multiplier[0, 0]
    print(f"{model.labels[int(found.explained.argmax())]!r}, relevance {x @ m:.4f}")
    for title, view in VIEWS.items():
        bands, rest, half, count = view(x, m, model.rate)
        total = sum(bands.values())
        print(f"\n{title}: {total:.4f}, rest {rest:.4f}; half of |R| in {half} of {count} values")
        for name in sorted(bands, key=lambda name: -abs(bands[name]))[:SHOWN]:
            print(f"  {name:18} {100 * bands[name] / (total + rest):+7.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
