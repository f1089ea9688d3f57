"""The four functions for DFT and STFT: relevance from time to frequency, and back.

All are LRP-0 through one linear layer in closed form; `dftlrp.spectral` has the derivation.
Nothing is divided by the signal if the multiplier m (R = x m) is given instead of the relevance.
The sums agree up to round-off: |sum R' + rest - sum R| <= 4 eps max(1, log2 N) ||x|| ||m||.  For
the STFT, N is the longer of signal and frame, and the bound is multiplied by max W / min W, which
is 1 where the windows sum to a constant; with s = a the square root of that ratio is enough.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, Complex, InputError, Real
from dftlrp.spectral.carry import (
    Given,
    SignalRelevance,
    carry_to_coefficients,
    carry_to_signal,
    read_coefficients,
    read_signal,
)
from dftlrp.spectral.checks import as_axis, as_whole
from dftlrp.spectral.dft import Dft
from dftlrp.spectral.frames import Boundary
from dftlrp.spectral.stft import Layout, Stft
from dftlrp.spectral.stream import open_source, write_stft
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
        Relevance of samples that are exactly zero, which no bin can show.
    phase : real (..., K)
        Sensitivity to the phase of the bin, per radian: -w_k Im(Y_k conj(C_k)).

    See Also
    --------
    dftlrp.dft_lrp : Returns it.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=100)
    >>> found = dftlrp.dft_lrp(x, multiplier=np.ones(100))
    >>> found.spectrum.shape, found.relevance.shape, found.rest.shape
    ((51,), (51,), ())
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
        Relevance of samples that are exactly zero or that no window covers.
    domain : Stft
        The pair of transforms that was used; its `times` are the frames' centres in samples.

    See Also
    --------
    dftlrp.stft_lrp : Returns it.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=1000)
    >>> found = dftlrp.stft_lrp(x, multiplier=np.ones(1000), n_fft=64, hop=16)
    >>> found.relevance.shape == found.domain.shape
    True
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

    Y = rfft(x) and C = rfft(m), both orthonormal; w_k = 2 but for DC and (N even) Nyquist, where
    it is 1.  This is LRP-0 through the layer "inverse DFT" (arXiv 2303.06365) with the real and
    imaginary parts added.

    Parameters
    ----------
    signal : array of float (..., N, ...)
        What the model read.  float32 is computed in float32, everything else in float64.
    relevance : array of float, same shape
        Relevance R of every sample.  The multiplier is then R / x (0 / 0 = 0), and the relevance of
        samples that are zero, or so small that the quotient overflows, becomes the rest.
    multiplier : array of float, same shape
        Instead of `relevance`: m with R = x m.  It is to be preferred, since silence then loses no
        relevance.
    axis : int
        Axis of time, and of frequency in the result.

    Returns
    -------
    DftRelevance
        ``spectrum``, ``relevance``, ``rest``, ``phase``; relevance and rest sum to the given
        relevance.

    Raises
    ------
    InputError
        If both or neither of relevance and multiplier are given, shapes differ, or the input is
        complex or holds NaN or Inf.

    See Also
    --------
    stft_lrp : To time-frequency.
    inverse_dft_lrp : Back, for a model that reads a spectrum.
    dftlrp.spectral.relevance_in : To any domain.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(2, 100))
    >>> m = np.cos(np.arange(100))  # of a linear model, say
    >>> found = dftlrp.dft_lrp(x, multiplier=np.broadcast_to(m, x.shape))
    >>> found.relevance.shape
    (2, 51)
    >>> np.allclose(found.relevance.sum(axis=-1) + found.rest, (x * m).sum(axis=-1))
    True
    """
    given = read_signal(signal, relevance, multiplier)
    axis = as_axis(axis, given.values, "signal")
    given = _put_axis_last(given, axis)
    result = carry_to_coefficients(Dft(given.values.shape[-1]), given)
    return DftRelevance(*_put_axis_back(result, axis))


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
    layout ``"full"``, that of arXiv 2303.06365, s = 1 and C = rfft(m / W) for all frames.

    Parameters
    ----------
    signal, relevance, multiplier
        As in `dft_lrp`, with time on the last axis.
    window, n_fft, hop, synthesis_window, layout, boundary
        As in `dftlrp.spectral.Stft`.  The synthesis window decides how relevance is shared among
        frames that overlap; None means the analysis window.
    out : path, optional
        A folder.  The signal is then read block by block, and ``spectrum.npy``, ``relevance.npy``
        and ``phase.npy`` are written there.  If signal and relevance are memory maps
        (``np.load(path, mmap_mode="r")``), hours of signal need little memory.  The result equals
        that in memory bit for bit, and nothing half-written is left behind.  Layout ``"full"`` is
        not supported.
    block : int, optional
        With `out`: frames per block, rounded up to whole FFT calls.  The default is about 2^20
        samples.

    Returns
    -------
    StftRelevance
        ``spectrum``, ``relevance``, ``rest``, ``phase``, ``domain``; frequency before frames.
        With `out`, spectrum, relevance and phase are read-only memory maps.

    Raises
    ------
    InputError
        As `dft_lrp` and `dftlrp.spectral.Stft`; or if `block` is given without `out`, or the folder
        cannot be written.

    See Also
    --------
    dft_lrp : To frequency alone.
    inverse_stft_lrp : Back, for a model that reads an STFT.
    dftlrp.spectral.stft_for : Window, n_fft and hop for a sampling rate.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=8000)
    >>> m = np.cos(np.arange(8000))  # of a linear model, say
    >>> found = dftlrp.stft_lrp(x, multiplier=m, n_fft=256, hop=64)
    >>> found.relevance.shape
    (129, 128)
    >>> bool(np.isclose(found.relevance.sum() + found.rest, (x * m).sum()))
    True
    """

    def make_domain(n: int) -> Stft:
        return Stft(n, window, n_fft, hop, synthesis_window, layout, boundary)

    if out is not None:
        source = open_source(signal, relevance, multiplier)
        domain = make_domain(source.signal.shape[-1])
        return StftRelevance(*write_stft(domain, source, out, block), domain)
    if block is not None:
        raise InputError("block is for streaming to files; pass out, a folder, too")
    given = read_signal(signal, relevance, multiplier)
    domain = make_domain(given.values.shape[-1])
    return StftRelevance(*carry_to_coefficients(domain, given), domain)


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
        If complex, its real part is the relevance of Re Y and its imaginary part that of Im Y.
        If real, it is the relevance of the bin's magnitude or power, which Re Y and Im Y share as
        re^2 : im^2.
    multiplier : array, same shape
        Instead of `relevance`: g = g_re + i g_im, with relevances Re Y g_re and Im Y g_im.
    n : int, optional
        Length of the signal.  The default is 2 (K - 1); a length of 2 K - 1 must be given.
    axis : int
        Axis of frequency, and of time in the result.

    Returns
    -------
    SignalRelevance
        ``signal``, ``relevance``, ``rest``, ``multiplier``; relevance and rest sum to the given
        relevance.

    Raises
    ------
    InputError
        As `dft_lrp`; or if `n` does not belong to K bins.

    See Also
    --------
    dft_lrp : From time to frequency.

    Examples
    --------
    >>> Y = np.fft.rfft(np.random.default_rng(0).normal(size=100), norm="ortho")
    >>> R = np.abs(Y) ** 2  # of a model that adds up the power
    >>> found = dftlrp.inverse_dft_lrp(Y, R)
    >>> found.signal.shape
    (100,)
    >>> bool(np.isclose(found.relevance.sum() + found.rest, R.sum()))
    True
    """
    given = read_coefficients(spectrum, relevance, multiplier, "spectrum")
    axis = as_axis(axis, given.values, "spectrum")
    given = _put_axis_last(given, axis)
    bins = given.values.shape[-1]
    n = max(1, 2 * (bins - 1)) if n is None else as_whole(n, "n")
    if n // 2 + 1 != bins:
        raise InputError(
            f"n is {n}, but a spectrum of {bins} bins belongs to {max(1, 2 * bins - 2)} or "
            f"{2 * bins - 1} samples"
        )
    return SignalRelevance(*_put_axis_back(carry_to_signal(Dft(n), given), axis))


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

    R_n = x_n m_n with m_n = sum over frames of a irfft(g_t / w) at n.  Neither W nor the synthesis
    window enters m; the synthesis window serves only to find the signal x of the spectrum.

    Parameters
    ----------
    spectrum : array of complex (..., K, T)
        STFT of the signal, orthonormal per frame, frequency before frames, K = n_fft // 2 + 1.
    relevance, multiplier : array, same shape
        As in `inverse_dft_lrp`.
    n : int, optional
        Length of the signal.  The default is the largest with T frames (with boundary ``"center"``
        the smallest, as in librosa).
    window, n_fft, hop, synthesis_window, boundary
        As in `dftlrp.spectral.Stft`.

    Returns
    -------
    SignalRelevance
        ``signal``, ``relevance``, ``rest``, ``multiplier``; relevance and rest sum to the given
        relevance.

    Raises
    ------
    InputError
        As `inverse_dft_lrp` and `dftlrp.spectral.Stft`; or if the spectrum has not the shape of
        such an STFT.

    See Also
    --------
    stft_lrp : From time to time-frequency.

    Examples
    --------
    >>> pair = dftlrp.spectral.Stft(8000, n_fft=256, hop=64)
    >>> Y = pair.analysis(np.random.default_rng(0).normal(size=8000))
    >>> R = np.abs(Y) ** 2  # of a model that adds up the power
    >>> found = dftlrp.inverse_stft_lrp(Y, R, n=8000, n_fft=256, hop=64)
    >>> bool(np.isclose(found.relevance.sum() + found.rest, R.sum()))
    True
    """
    given = read_coefficients(spectrum, relevance, multiplier, "spectrum")
    shape = given.values.shape
    if len(shape) < 2 or shape[-2] != as_whole(n_fft, "n_fft") // 2 + 1:
        raise InputError(
            f"spectrum has shape {shape}, but n_fft = {n_fft} needs (..., {n_fft // 2 + 1}, T)"
        )
    if n is None:
        n = _choose_length(shape[-1], n_fft, as_whole(hop, "hop"), boundary)
    domain = Stft(n, window, n_fft, hop, synthesis_window, boundary=boundary)
    if domain.frames != shape[-1]:
        raise InputError(
            f"spectrum has {shape[-1]} frames, but a signal of n = {n} samples has "
            f"{domain.frames}; pass the signal's own n, hop and boundary"
        )
    return carry_to_signal(domain, given)


def _put_axis_last(given: Given, axis: int) -> Given:
    return Given(_move(given.values, axis, -1), _move(given.amounts, axis, -1), given.name)


def _put_axis_back(
    result: tuple[AnyArray, Real, Real, Real], axis: int
) -> tuple[AnyArray, Real, Real, Real]:
    """Return the result with its last axis at `axis`; the rest has no such axis."""
    values, relevance, rest, other = result
    return _move(values, -1, axis), _move(relevance, -1, axis), rest, _move(other, -1, axis)


def _move(array: AnyArray, source: int, target: int) -> AnyArray:
    return array if source == target else np.moveaxis(array, source, target)


def _choose_length(frames: int, n_fft: int, hop: int, boundary: Boundary) -> int:
    if boundary == "zeros":
        return max(1, (frames + 1) * hop - n_fft)
    odd = n_fft % 2 if boundary == "center" else n_fft
    return max(1, (frames - 1) * hop + odd)
