"""Windows, their overlapping sums, and the hops with which a pair of them can reconstruct."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.spectral.checks import check_rate

# Samples where the summed windows reach less than this part of their maximum are not divided by:
# an unpadded Blackman window would inflate them 1e13-fold.
THRESHOLD = 1e-4

Window = str | tuple[Any, ...] | ArrayLike


def stft_for(rate: float) -> dict[str, Any]:
    """Return the window, ``n_fft`` and ``hop`` that suit a signal of this sampling rate.

    Parameters
    ----------
    rate : float
        Sampling rate, in hertz.

    Returns
    -------
    dict
        Keyword arguments of `Stft` and `dftlrp.stft_lrp`: a Hann window of about 32 ms (4 to 7
        times a power of two, at least 64 samples: 256 at 8 kHz, 512 at 16 kHz) and a quarter of it
        as hop, so that the squared windows sum to a constant.

    Raises
    ------
    InputError
        If the rate is not a positive number.

    See Also
    --------
    dftlrp.stft_lrp, Stft : Take it.

    Examples
    --------
    >>> dftlrp.spectral.stft_for(16000)
    {'window': 'hann', 'n_fft': 512, 'hop': 128}
    """
    check_rate(rate)
    samples = max(64.0, 0.032 * rate)
    unit = 2 ** (int(np.floor(np.log2(samples))) - 2)
    n_fft = unit * round(samples / unit)
    return {"window": "hann", "n_fft": n_fft, "hop": n_fft // 4}


def make_window(window: Window, n_fft: int, name: str) -> tuple[Real, int]:
    """Return the samples of a window, (n_fft,) float64, and its length before padding.

    Parameters
    ----------
    window : str, tuple or array
        A name (or name and parameters) for `scipy.signal.get_window`, made periodic and `n_fft`
        long; or at most `n_fft` real samples, which are zero-padded on both sides.
    n_fft : int
        Length of the result, in samples.
    name : str
        The argument's name, for messages.

    Raises
    ------
    InputError
        If the name is unknown, or the samples are not real, finite and one-dimensional, are all
        zero or more than `n_fft`.
    """
    if isinstance(window, str) or (isinstance(window, tuple) and str in map(type, window)):
        return _make_named_window(window, n_fft, name), n_fft
    samples = np.asarray(window)
    _check_window(samples, n_fft, name)
    left = (n_fft - len(samples)) // 2
    right = n_fft - len(samples) - left
    return np.pad(samples.astype(np.float64), (left, right)), len(samples)


def fold(window: Real, hop: int) -> Real:
    """Return one period, (hop,), of the sum of all shifts of `window` by multiples of `hop`."""
    pad = -len(window) % hop
    return np.asarray(np.pad(window, (0, pad)).reshape(-1, hop).sum(axis=0))


def can_reconstruct(window: Real, hop: int) -> bool:
    """Return whether the sum of all shifts of `window` is nowhere (almost) zero."""
    W = np.abs(fold(window, hop))
    return bool(W.min() > THRESHOLD * W.max())


def overlap_add(frames: Real, hop: int) -> Real:
    """Return the sum of frames (..., T, L), frame t moved by t hop: (..., (T - 1) hop + L).

    Each frame is cut into pieces of one hop, and piece j of all frames is added at once.
    """
    *batch, count, size = frames.shape
    pieces = -(-size // hop)
    total = np.zeros((*batch, count + pieces - 1, hop), frames.dtype)
    for j in range(pieces):
        piece = frames[..., j * hop : (j + 1) * hop]
        total[..., j : j + count, : piece.shape[-1]] += piece
    return total.reshape(*batch, -1)[..., : (count - 1) * hop + size]


def find_nearest_hop(hop: int, most: int, works: Callable[[int], bool]) -> int | None:
    """Return the hop from 1 to `most` that works and is nearest to `hop`, or None.

    The 1000 nearest hops are tried, smaller ones first, and then a hop of one sample.
    """
    hops = sorted(range(1, most + 1), key=lambda h: (abs(h - hop), h))
    return next((h for h in [*hops[:1000], 1] if works(h)), None)


def _make_named_window(window: Any, n_fft: int, name: str) -> Real:
    if window == "hann":
        # Written out because the import of scipy.signal takes 0.7 s.
        return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft) if n_fft > 1 else np.ones(1)
    from scipy.signal import get_window

    try:
        with np.errstate(all="ignore"):
            samples = np.asarray(get_window(window, n_fft), np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{name} {window!r} is not one that scipy.signal.get_window knows: {error}"
        ) from error
    _check_window(samples, n_fft, name)
    return samples


def _check_window(samples: AnyArray, n_fft: int, name: str) -> None:
    if samples.ndim != 1 or samples.dtype.kind not in "iuf":
        raise InputError(
            f"{name} has shape {samples.shape} and dtype {samples.dtype}, but must be a name or "
            "real samples on one axis"
        )
    if len(samples) > n_fft:
        raise InputError(f"{name} has {len(samples)} samples, but n_fft is {n_fft}; raise n_fft")
    if not np.isfinite(samples).all():
        raise InputError(f"{name} is not finite at index {int(np.argmin(np.isfinite(samples)))}")
    if not samples.any():
        raise InputError(f"{name} is all zero; it would show nothing of the signal")
