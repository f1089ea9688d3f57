"""The four functions: relevance from time to frequency or time-frequency, and back.

All are LRP-0 through one linear layer, in closed form; derivations in `dftlrp.spectral`.  Nothing
is divided by the signal if the multiplier m (R = x m) is given instead of the relevance, and the
sums agree: |sum R' + rest - sum R| <= 4 eps max(1, log2 N) ||x|| ||m|| (for the STFT N is
the longer of signal and frame, and the bound is times max W / min W, which is 1 for a constant
overlap, and with s = a only its square root counts).
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, Complex, InputError, Real
from dftlrp.spectral import checks
from dftlrp.spectral.carry import (
    SignalRelevance,
    read_coefficients,
    read_signal,
    to_coefficients,
    to_signal,
)
from dftlrp.spectral.domains import Dft
from dftlrp.spectral.frames import Boundary
from dftlrp.spectral.stft import Layout, Stft
from dftlrp.spectral.stream import source, stft_to_files
from dftlrp.spectral.windows import Window


class DftRelevance(NamedTuple):
    """Relevance over frequency; K = N // 2 + 1 bins take the place of the N samples.

    Attributes
    ----------
    spectrum : complex (..., K)
        Orthonormal one-sided DFT of the signal, in the signal's unit.
    relevance : real (..., K)
        R'_k = w_k Re(Y_k conj(C_k)), in the unit of the given relevance.
    rest : real (...)
        What no bin can show: relevance on samples that are exactly zero.
    phase : real (..., K)
        Sensitivity to the bin's phase, per radian: -w_k Im(Y_k conj(C_k)).
    """

    spectrum: Complex
    relevance: Real
    rest: Real
    phase: Real


class StftRelevance(NamedTuple):
    """Relevance over time-frequency.

    Attributes
    ----------
    spectrum : complex (..., K, T)
        STFT of the signal, orthonormal per frame.
    relevance, phase : real (..., K, T)
        As in `DftRelevance`, for each frame.
    rest : real (...)
        Relevance on samples that are exactly zero or that no window covers.
    domain : Stft
        The pair of transforms used; `times` gives the frames' centres in samples.
    """

    spectrum: Complex
    relevance: Real
    rest: Real
    phase: Real
    domain: Stft


def dft_lrp(
    signal: ArrayLike,
    relevance: ArrayLike | None = None,
    *,
    multiplier: ArrayLike | None = None,
    axis: int = -1,
) -> DftRelevance:
    """Carry relevance from time to frequency: R'_k = w_k Re(Y_k conj(C_k)).

    Y = rfft(x), C = rfft(m), both orthonormal; w_k = 2 but for DC and (N even) Nyquist.  This is
    LRP-0 through the layer "inverse DFT" (arXiv 2303.06365), real and imaginary parts added.

    Parameters
    ----------
    signal : array of float (..., N, ...)
        What the model read.  float32 is computed in float32, all else in float64.
    relevance : array of float, same shape
        Relevance R of every sample.  The multiplier is then R / x (0 / 0 = 0), and relevance on
        samples that are zero, or so small that the quotient overflows, becomes the rest.
    multiplier : array of float, same shape
        Instead of `relevance`: m with R = x m.  Preferred; silence loses nothing then.
    axis : int
        Axis of time, and of frequency in the result.

    Returns
    -------
    DftRelevance
        ``spectrum``, ``relevance``, ``rest``, ``phase``.

    Raises
    ------
    InputError
        Both or neither of relevance and multiplier; shapes that differ; NaN, Inf or complex input.
    """
    x, given, name = read_signal(signal, relevance, multiplier)
    axis = checks.axis(axis, x, "signal")
    x, given = _move(x, axis, -1), _move(given, axis, -1)
    y, R, rest, phase = to_coefficients(Dft(x.shape[-1]), x, given, name)
    return DftRelevance(_move(y, -1, axis), _move(R, -1, axis), rest, _move(phase, -1, axis))


def stft_lrp(
    signal: ArrayLike,
    relevance: ArrayLike | None = None,
    *,
    multiplier: ArrayLike | None = None,
    window: Window = "hann",
    n_fft: int = 400,
    hop: int = 160,
    synthesis_window: Window | None = None,
    layout: Layout = "frames",
    boundary: Boundary = "zeros",
    out: str | os.PathLike[str] | None = None,
    block: int | None = None,
) -> StftRelevance:
    """Carry relevance from time to time-frequency: R'_tk = w_k Re(Y_tk conj(C_tk)).

    Y is the STFT of x and C_t = rfft(s m / W) on frame t; W = sum of a s over frames.  With
    layout ``"full"``, the paper's (arXiv 2303.06365), s = 1 and C = rfft(m / W) for all frames.

    Parameters
    ----------
    signal, relevance, multiplier
        As in `dft_lrp`; time on the last axis.
    window, n_fft, hop, synthesis_window, layout, boundary
        As in `Stft`.  The synthesis window decides how relevance is shared among frames that
        overlap; None means the analysis window.
    out : path, optional
        A folder.  Then the signal is read, and ``spectrum.npy``, ``relevance.npy`` and
        ``phase.npy`` are written there, block by block: hours fit in little memory if signal and
        relevance are memory maps, ``np.load(path, mmap_mode="r")``.  Bit-equal to the result in
        memory; nothing half-written is left behind.  Not for layout ``"full"``.
    block : int, optional
        With `out`: frames per block (rounded up to whole FFT calls); None: about 2^20 samples.

    Returns
    -------
    StftRelevance
        ``spectrum``, ``relevance``, ``rest``, ``phase``, ``domain``; frequency before frames.
        With `out`, spectrum, relevance and phase are read-only memory maps.

    Raises
    ------
    InputError
        As `dft_lrp` and `Stft`; `block` without `out`; a folder that cannot be written.
    """
    if out is not None:
        what = source(signal, relevance, multiplier)
        n = what.signal.shape[-1]
        domain = Stft(n, window, n_fft, hop, synthesis_window, layout, boundary)
        return StftRelevance(*stft_to_files(domain, what, out, block), domain)
    if block is not None:
        raise InputError("block is for streaming to files; pass out, a folder, too")
    x, given, name = read_signal(signal, relevance, multiplier)
    domain = Stft(x.shape[-1], window, n_fft, hop, synthesis_window, layout, boundary)
    return StftRelevance(*to_coefficients(domain, x, given, name), domain)


def inverse_dft_lrp(
    spectrum: ArrayLike,
    relevance: ArrayLike | None = None,
    *,
    multiplier: ArrayLike | None = None,
    n: int | None = None,
    axis: int = -1,
) -> SignalRelevance:
    """Carry relevance from frequency to time, for a model that reads a DFT: R_n = x_n irfft(g/w)_n.

    Parameters
    ----------
    spectrum : array of complex (..., K, ...)
        One-sided orthonormal DFT Y of the signal.
    relevance : array, same shape
        Complex: its real part is the relevance of Re Y, its imaginary part that of Im Y.
        Real: the relevance of the bin's magnitude or power, shared by Re and Im as re^2 : im^2.
    multiplier : array, same shape
        Instead of `relevance`: g = g_re + i g_im, with relevances Re Y g_re and Im Y g_im.
    n : int, optional
        Length of the signal; 2 (K - 1) unless given, and 2 K - 1 must be given.
    axis : int
        Axis of frequency, and of time in the result.

    Returns
    -------
    SignalRelevance
        ``signal``, ``relevance``, ``rest``, ``multiplier``.

    Raises
    ------
    InputError
        As `dft_lrp`; or `n` does not belong to K bins.
    """
    y, given, name = read_coefficients(spectrum, relevance, multiplier, "spectrum")
    axis = checks.axis(axis, y, "spectrum")
    y, given = _move(y, axis, -1), _move(given, axis, -1)
    bins = y.shape[-1]
    n = max(1, 2 * (bins - 1)) if n is None else checks.whole(n, "n")
    if n // 2 + 1 != bins:
        raise InputError(
            f"n is {n}, but a spectrum of {bins} bins belongs to {max(1, 2 * bins - 2)} or "
            f"{2 * bins - 1} samples"
        )
    x, R, rest, m = to_signal(Dft(n), y, given, name)
    return SignalRelevance(_move(x, -1, axis), _move(R, -1, axis), rest, _move(m, -1, axis))


def inverse_stft_lrp(
    spectrum: ArrayLike,
    relevance: ArrayLike | None = None,
    *,
    multiplier: ArrayLike | None = None,
    n: int | None = None,
    window: Window = "hann",
    n_fft: int = 400,
    hop: int = 160,
    synthesis_window: Window | None = None,
    boundary: Boundary = "zeros",
) -> SignalRelevance:
    """Carry relevance from time-frequency to time, for a model that reads an STFT.

    R_n = x_n m_n with m_n = sum over frames of a irfft(g_t / w) at n: no W, no synthesis window.
    (The synthesis window only serves to find the signal x behind the spectrum.)

    Parameters
    ----------
    spectrum : array of complex (..., K, T)
        STFT of the signal, orthonormal per frame, frequency before frames, K = n_fft // 2 + 1.
    relevance, multiplier : array, same shape
        As in `inverse_dft_lrp`.
    n : int, optional
        Length of the signal; by default the longest (``"center"``: the shortest, as librosa) with
        T frames.
    window, n_fft, hop, synthesis_window, boundary
        As in `Stft`.

    Returns
    -------
    SignalRelevance
        ``signal``, ``relevance``, ``rest``, ``multiplier``.

    Raises
    ------
    InputError
        As `inverse_dft_lrp` and `Stft`; or the spectrum has not the shape of such an STFT.
    """
    y, given, name = read_coefficients(spectrum, relevance, multiplier, "spectrum")
    if y.ndim < 2 or y.shape[-2] != checks.whole(n_fft, "n_fft") // 2 + 1:
        raise InputError(
            f"spectrum has shape {y.shape}, but n_fft = {n_fft} needs (..., {n_fft // 2 + 1}, T)"
        )
    if n is None:
        n = _longest(y.shape[-1], n_fft, checks.whole(hop, "hop"), boundary)
    domain = Stft(n, window, n_fft, hop, synthesis_window, boundary=boundary)
    if domain.frames != y.shape[-1]:
        raise InputError(
            f"spectrum has {y.shape[-1]} frames, but a signal of n = {n} samples has "
            f"{domain.frames}; pass the signal's own n, hop and boundary"
        )
    return SignalRelevance(*to_signal(domain, y, given, name))


def _move(array: AnyArray, source: int, target: int) -> AnyArray:
    return array if source == target else np.moveaxis(array, source, target)


def _longest(frames: int, n_fft: int, hop: int, boundary: Boundary) -> int:
    if boundary == "zeros":
        return max(1, (frames + 1) * hop - n_fft)
    odd = n_fft % 2 if boundary == "center" else n_fft
    return max(1, (frames - 1) * hop + odd)
