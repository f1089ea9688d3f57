"""The four functions: relevance from time to frequency or time-frequency, and back.

All are LRP-0 through one linear layer, in closed form; derivations in `dftlrp.spectral`.  Nothing
is divided by the signal if the multiplier m (R = x m) is given instead of the relevance, and the
sums agree: |sum R' + rest - sum R| <= 4 eps max(1, log2 N) ||x|| ||m|| (for the STFT times
max W / min W, which is 1 for a constant overlap, and with s = a only its square root counts).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.spectral import checks
from dftlrp.spectral.domains import Dft, Domain
from dftlrp.spectral.stft import Boundary, Layout, Stft
from dftlrp.spectral.windows import Window
from dftlrp.types import AnyArray, Complex, InputError, Real


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


class SignalRelevance(NamedTuple):
    """Relevance over time, of a model that reads a spectrum.

    Attributes
    ----------
    signal : real (..., N)
        The signal whose spectrum was given.
    relevance : real (..., N)
        R_n = x_n m_n.
    rest : real (...)
        Relevance on coefficients that are exactly zero, and of what no real signal has.
    multiplier : real (..., N)
        m = T^T g.
    """

    signal: Real
    relevance: Real
    rest: Real
    multiplier: Real


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
    x, given, name = _read(signal, relevance, multiplier)
    if not -x.ndim <= axis < x.ndim:
        raise InputError(f"axis {axis} does not exist in a signal of shape {x.shape}")
    x, given = _move(x, axis, -1), _move(given, axis, -1)
    y, R, rest, phase = _to_coefficients(Dft(x.shape[-1]), x, given, name)
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

    Returns
    -------
    StftRelevance
        ``spectrum``, ``relevance``, ``rest``, ``phase``, ``domain``; frequency before frames.

    Raises
    ------
    InputError
        As `dft_lrp` and `Stft`.
    """
    x, given, name = _read(signal, relevance, multiplier)
    domain = Stft(x.shape[-1], window, n_fft, hop, synthesis_window, layout, boundary)
    return StftRelevance(*_to_coefficients(domain, x, given, name), domain)


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
    y, given, name = _read_spectrum(spectrum, relevance, multiplier)
    if not -y.ndim <= axis < y.ndim:
        raise InputError(f"axis {axis} does not exist in a spectrum of shape {y.shape}")
    y, given = _move(y, axis, -1), _move(given, axis, -1)
    bins = y.shape[-1]
    n = max(1, 2 * (bins - 1)) if n is None else checks.whole(n, "n")
    if n // 2 + 1 != bins:
        raise InputError(
            f"n is {n}, but a spectrum of {bins} bins belongs to {max(1, 2 * bins - 2)} or "
            f"{2 * bins - 1} samples"
        )
    x, R, rest, m = _to_signal(Dft(n), y, given, name, axes=1)
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
    y, given, name = _read_spectrum(spectrum, relevance, multiplier)
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
    return SignalRelevance(*_to_signal(domain, y, given, name, axes=2))


def _move(array: AnyArray, source: int, target: int) -> AnyArray:
    return array if source == target else np.moveaxis(array, source, target)


def _longest(frames: int, n_fft: int, hop: int, boundary: Boundary) -> int:
    if boundary == "zeros":
        return max(1, (frames + 1) * hop - n_fft)
    odd = n_fft % 2 if boundary == "center" else n_fft
    return max(1, (frames - 1) * hop + odd)


def _read(
    signal: ArrayLike, relevance: ArrayLike | None, multiplier: ArrayLike | None
) -> tuple[Real, Real, str]:
    """Signal and what was given, checked and of one dtype, and the name of the latter."""
    checks.exactly_one(relevance, multiplier)
    name = "multiplier" if relevance is None else "relevance"
    x = checks.real(signal, "signal")
    given = checks.real(multiplier if relevance is None else relevance, name)  # type: ignore[arg-type]
    checks.same_shape(given, x, name, "signal")
    checks.finite(x, "signal")
    checks.finite(given, name)
    dtype = np.result_type(x, given)
    return x.astype(dtype, copy=False), given.astype(dtype, copy=False), name


def _read_spectrum(
    spectrum: ArrayLike, relevance: ArrayLike | None, multiplier: ArrayLike | None
) -> tuple[Complex, AnyArray, str]:
    """Alike for spectra; what was given stays real if it is."""
    checks.exactly_one(relevance, multiplier)
    name = "multiplier" if relevance is None else "relevance"
    y = checks.complexes(spectrum, "spectrum")
    raw = np.asarray(multiplier if relevance is None else relevance)
    given = checks.complexes(raw, name) if np.iscomplexobj(raw) else checks.real(raw, name)
    checks.same_shape(given, y, name, "spectrum")
    checks.finite(y, "spectrum")
    checks.finite(given, name)
    dtype: Any = np.result_type(y, given)
    real_dtype = np.empty(0, dtype).real.dtype
    as_dtype = dtype if np.iscomplexobj(given) else real_dtype
    return y.astype(dtype, copy=False), given.astype(as_dtype, copy=False), name


def _to_coefficients(
    domain: Domain, x: Real, given: Real, name: str
) -> tuple[AnyArray, Real, Real, Real]:
    """Time to coefficients: conj(y) S^T m; its real part is the relevance, its imaginary phase."""
    m, lost = (given, 0) if name == "multiplier" else _quotient(given, x, axes=1)
    y, products = domain.share(x, m)
    return y, products.real, domain.signal_rest(x, m) + lost, products.imag


def _to_signal(
    domain: Domain, y: Complex, given: AnyArray, name: str, axes: int
) -> tuple[Real, Real, Real, Real]:
    """Coefficients to time: m = T^T g."""
    g, lost = (given, 0) if name == "multiplier" else _coefficient_multiplier(given, y, axes)
    x, m = domain.synthesis(y), domain.analysis_adjoint(g)
    return x, x * m, domain.coefficient_rest(y, g) + lost, m


def _coefficient_multiplier(R: AnyArray, y: Complex, axes: int) -> tuple[Complex, Any]:
    """Find g with R = Re y g_re + Im y g_im; what sits on zeros is lost."""
    if np.iscomplexobj(R):
        g_re, lost_re = _quotient(R.real, y.real, axes)
        g_im, lost_im = _quotient(R.imag, y.imag, axes)
        return (g_re + 1j * g_im).astype(y.dtype, copy=False), lost_re + lost_im
    # Shared as re^2 : im^2, that is g = R y / |y|^2, without the square that would underflow.
    size = np.abs(y)
    per_size, lost = _quotient(R, size, axes)
    size[size == 0] = 1
    g = np.empty_like(y)
    # Part by part: numpy's complex division overflows where |y| is subnormal.
    g.real, g.imag = per_size * (y.real / size), per_size * (y.imag / size)
    return g, lost


def _quotient(R: Real, by: Real, axes: int) -> tuple[Real, Any]:
    """Return R / by, 0 where that is no usable number, and the sum of R there over the last `axes`.

    Usable is what leaves the sum of squares finite: round-off is proportional to it.
    """
    limit = np.sqrt(np.finfo(R.dtype).max / R.size)
    with np.errstate(all="ignore"):
        m = R / by
        # NaN fails both comparisons.  (A dot product would be threaded, and slow when busy.)
        if m.max() <= limit and m.min() >= -limit:
            return m, 0
        bad = ~(np.abs(m) <= limit)
    m[bad] = 0
    return m, np.where(bad, R, 0).sum(axis=tuple(range(-axes, 0)))
