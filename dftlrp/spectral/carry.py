"""Relevance between time and any domain: the core that all spectral functions share.

All is LRP-0 through one linear layer, in closed form; derivations in `dftlrp.spectral`.  Nothing is
divided by the signal if the multiplier m (R = x m) is given instead of the relevance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.spectral import checks
from dftlrp.spectral.domains import Domain

# Lost relevance is summed in stretches of this many samples, so that reading a long signal
# stretch by stretch gives the same sum to the last bit.
STRETCH = 2**20


class DomainRelevance(NamedTuple):
    """Relevance over the coefficients of a domain, whose shape is `domain.shape`.

    Attributes
    ----------
    coefficients : real or complex (..., *shape)
        y = T x, in the signal's unit.
    relevance : real (..., *shape)
        R' = Re(conj(y) S^T m), in the unit of the given relevance.
    rest : real (...)
        What no coefficient can show: relevance on samples that are exactly zero, and of what a
        lossy domain leaves out.
    phase : real (..., *shape)
        Sensitivity to the coefficient's phase, per radian; 0 if it is real.
    """

    coefficients: AnyArray
    relevance: Real
    rest: Real
    phase: Real


class SignalRelevance(NamedTuple):
    """Relevance over time, of a model that reads coefficients.

    Attributes
    ----------
    signal : real (..., N)
        The signal whose coefficients were given.
    relevance : real (..., N)
        R_n = x_n m_n.
    rest : real (...)
        Relevance on coefficients that are exactly zero, and of what no signal has.
    multiplier : real (..., N)
        m = T^T g.
    """

    signal: Real
    relevance: Real
    rest: Real
    multiplier: Real


def relevance_in(
    domain: Domain,
    signal: ArrayLike,
    relevance: ArrayLike | None = None,
    *,
    multiplier: ArrayLike | None = None,
) -> DomainRelevance:
    """Carry relevance from time to any domain: R' = Re(conj(y) c), y = T x, c = S^T m.

    Parameters
    ----------
    domain : Domain
        The representation to see, made for signals of length N.
    signal : array of float (..., N)
        What the model read.  float32 is computed in float32, all else in float64.
    relevance : array of float (..., N)
        Relevance R of every sample.  The multiplier is then R / x (0 / 0 = 0), and relevance on
        samples that are zero, or so small that the quotient overflows, becomes the rest.
    multiplier : array of float (..., N)
        Instead of `relevance`: m with R = x m.  Preferred; silence loses nothing then.

    Returns
    -------
    DomainRelevance
        ``coefficients``, ``relevance``, ``rest``, ``phase``.  Sums agree to round-off:
        sum of relevance + rest = sum of R.

    Raises
    ------
    InputError
        Both or neither of relevance and multiplier; shapes that differ from each other or from
        the domain's; NaN, Inf or complex input; a result that overflows.
    """
    _is_domain(domain)
    x, given, name = read_signal(signal, relevance, multiplier)
    checks.length(x, -1, domain.n, "signal")
    return DomainRelevance(*to_coefficients(domain, x, given, name))


def relevance_from(
    domain: Domain,
    coefficients: ArrayLike,
    relevance: ArrayLike | None = None,
    *,
    multiplier: ArrayLike | None = None,
) -> SignalRelevance:
    """Carry relevance from any domain to time, for a model that reads it: R = x m, m = T^T g.

    Parameters
    ----------
    domain : Domain
        The representation that the model reads.
    coefficients : array of float or complex (..., *domain.shape)
        y; the signal is x = S y.
    relevance : array, same shape
        Relevance of the coefficients.  If these are complex, complex relevance holds that of Re y
        and of Im y, and real relevance is that of the magnitude or power, shared by Re and Im as
        re^2 : im^2.
    multiplier : array, same shape
        Instead of `relevance`: g with relevance y g (Re y Re g and Im y Im g).

    Returns
    -------
    SignalRelevance
        ``signal``, ``relevance``, ``rest``, ``multiplier``.

    Raises
    ------
    InputError
        As `relevance_in`.
    """
    _is_domain(domain)
    kind = domain.is_complex
    y, given, name = read_coefficients(coefficients, relevance, multiplier, "coefficients", kind)
    checks.shape(y, domain.shape, "coefficients")
    return SignalRelevance(*to_signal(domain, y, given, name))


def _is_domain(domain: Any) -> None:
    if not hasattr(domain, "synthesis_adjoint"):
        raise InputError(
            f"{type(domain).__name__} is no transform of a signal with an inverse (Mel only pools: "
            "Mel(...).pool(relevance) takes what stft_lrp or dft_lrp gives)"
        )


def read_signal(
    signal: ArrayLike, relevance: ArrayLike | None, multiplier: ArrayLike | None
) -> tuple[Real, Real, str]:
    """Signal and what was given, of one dtype, and the name of the latter; all checked.

    But a relevance is not yet known to be finite: `quotient` sees that for nothing.
    """
    checks.exactly_one(relevance, multiplier)
    name = "multiplier" if relevance is None else "relevance"
    x = checks.real(signal, "signal")
    given = checks.real(multiplier if relevance is None else relevance, name)  # type: ignore[arg-type]
    checks.same_shape(given, x, name, "signal")
    checks.finite(x, "signal")
    if relevance is None:
        checks.finite(given, name)
    if x.dtype != given.dtype:
        x, given = x.astype(np.float64, copy=False), given.astype(np.float64, copy=False)
    return x, given, name


def read_coefficients(
    values: ArrayLike,
    relevance: ArrayLike | None,
    multiplier: ArrayLike | None,
    what: str,
    is_complex: bool = True,
) -> tuple[AnyArray, AnyArray, str]:
    """Alike for coefficients, called `what`; what was given stays real if it is."""
    checks.exactly_one(relevance, multiplier)
    name = "multiplier" if relevance is None else "relevance"
    y = checks.complexes(values, what) if is_complex else checks.real(values, what)
    raw = checks.array(multiplier if relevance is None else relevance, name)  # type: ignore[arg-type]
    pair = is_complex and np.iscomplexobj(raw)
    given = checks.complexes(raw, name) if pair else checks.real(raw, name)
    checks.same_shape(given, y, name, what)
    checks.finite(y, what)
    checks.finite(given, name)
    dtype: Any = np.result_type(y, given)
    as_dtype = dtype if pair else np.empty(0, dtype).real.dtype
    return y.astype(dtype, copy=False), given.astype(as_dtype, copy=False), name


def to_coefficients(
    domain: Domain, x: Real, given: Real, name: str
) -> tuple[AnyArray, Real, Real, Real]:
    """Time to coefficients: conj(y) S^T m; its real part is the relevance, its imaginary phase."""
    m, lost = (given, 0) if name == "multiplier" else quotient(given, x)
    with np.errstate(over="ignore", invalid="ignore"):
        y, products = domain.share(x, m)
        rest = domain.signal_rest(x, m) + lost
        checks.products(products, rest, name)
    return y, products.real, rest, products.imag


def to_signal(
    domain: Domain, y: AnyArray, given: AnyArray, name: str
) -> tuple[Real, Real, Real, Real]:
    """Coefficients to time: m = T^T g."""
    axes = len(domain.shape)
    g, lost = (given, 0) if name == "multiplier" else _coefficient_multiplier(given, y, axes)
    with np.errstate(over="ignore", invalid="ignore"):
        x, m = domain.synthesis(y), domain.analysis_adjoint(g)
        R, rest = x * m, domain.coefficient_rest(y, g) + lost
        checks.products(R, rest, name)
    return x, R, rest, m


def _coefficient_multiplier(R: AnyArray, y: AnyArray, axes: int) -> tuple[AnyArray, Any]:
    """Find g with R = Re y g_re + Im y g_im; what sits on zeros is lost."""
    if not np.iscomplexobj(y):
        return quotient(R, y, axes)
    if np.iscomplexobj(R):
        g_re, lost_re = quotient(R.real, y.real, axes)
        g_im, lost_im = quotient(R.imag, y.imag, axes)
        return (g_re + 1j * g_im).astype(y.dtype, copy=False), lost_re + lost_im
    # Shared as re^2 : im^2, that is g = R y / |y|^2, without the square that would underflow.
    size = np.abs(y)
    per_size, lost = quotient(R, size, axes)
    size[size == 0] = 1
    g = np.empty_like(y)
    # Part by part: numpy's complex division overflows where |y| is subnormal.
    g.real, g.imag = per_size * (y.real / size), per_size * (y.imag / size)
    return g, lost


def quotient(R: Real, by: Real, axes: int = 1, size: int | None = None) -> tuple[Real, Any]:
    """Return R / by, 0 where that is no usable number, and the sum of R there over the last `axes`.

    Usable is what leaves the sum of squares over `size` samples (all, if only some of them are
    here) finite: round-off is proportional to it.

    Raises
    ------
    InputError
        NaN or Inf in the relevance R: they end up in the quotient, so looking for them is free.
    """
    limit = math.sqrt(_largest(R.dtype) / (size or R.size))
    with np.errstate(all="ignore"):
        m = R / by
        # NaN fails both comparisons.  (A dot product would be threaded, and slow when busy.)
        if m.max(initial=0) <= limit and m.min(initial=0) >= -limit:
            return m, 0
    checks.finite(R, "relevance")
    bad = ~(np.abs(m) <= limit)
    m[bad] = 0
    lost = np.where(bad, R, 0)
    if axes > 1:
        return m, lost.sum(axis=tuple(range(-axes, 0)))
    return m, sum(lost[..., a:b].sum(axis=-1) for a, b in stretches(R.shape[-1]))


@cache
def _largest(dtype: np.dtype[Any]) -> float:
    return float(np.finfo(dtype).max)


def stretches(n: int) -> Iterator[tuple[int, int]]:
    """Start and stop of each stretch of a signal of length n."""
    return ((a, min(a + STRETCH, n)) for a in range(0, n, STRETCH))
