"""Relevance carried between time and any domain; all spectral functions call these.

Each function is LRP-0 through one linear layer in closed form; `dftlrp.spectral` has the
derivation.  Nothing is divided by the signal if the multiplier m (R = x m) is given instead of the
relevance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.spectral.checks import (
    as_array,
    as_complex,
    as_real,
    check_finite,
    check_length,
    check_overflow,
    check_same_shape,
    check_shape,
)
from dftlrp.spectral.domain import Domain

# Lost relevance is summed in pieces of this many samples, so that a long signal that is read piece
# by piece gives the same sum bit for bit.
PIECE = 2**20


class DomainRelevance(NamedTuple):
    """Relevance over the coefficients of a domain, whose shape is `domain.shape`.

    Attributes
    ----------
    coefficients : real or complex (..., *shape)
        y = T x, in the signal's unit.
    relevance : real (..., *shape)
        R' = Re(conj(y) S^T m), in the unit of the given relevance.
    rest : real (...)
        Relevance that no coefficient can show: that of samples that are exactly zero, and of what
        a lossy domain leaves out.
    phase : real (..., *shape)
        Sensitivity to the phase of the coefficient, per radian; 0 if the coefficient is real.

    See Also
    --------
    relevance_in : Returns it.

    Examples
    --------
    >>> x = np.arange(4.0)
    >>> found = dftlrp.spectral.relevance_in(dftlrp.spectral.Dct(4), x, multiplier=np.ones(4))
    >>> found.coefficients.shape, found.phase
    ((4,), array([0., 0., 0., 0.]))
    """

    coefficients: AnyArray
    relevance: Real
    rest: Real
    phase: Real


class SignalRelevance(NamedTuple):
    """Relevance over time, for a model that reads coefficients.

    Attributes
    ----------
    signal : real (..., N)
        The signal whose coefficients were given.
    relevance : real (..., N)
        R_n = x_n m_n.
    rest : real (...)
        Relevance of coefficients that are exactly zero, and of the part that no signal has.
    multiplier : real (..., N)
        m = T^T g.

    See Also
    --------
    relevance_from : Returns it.

    Examples
    --------
    >>> y = np.arange(4.0)
    >>> found = dftlrp.spectral.relevance_from(dftlrp.spectral.Dct(4), y, y)
    >>> np.allclose(found.relevance, found.signal * found.multiplier)
    True
    """

    signal: Real
    relevance: Real
    rest: Real
    multiplier: Real


@dataclass(frozen=True)
class Given:
    """What the caller gave: a signal or coefficients, and their relevance or multiplier.

    Attributes
    ----------
    values : array
        The signal x, (..., N), or the coefficients y.
    amounts : array, same shape
        The relevance or the multiplier of the values.
    name : {"relevance", "multiplier"}
        What the amounts are.
    """

    values: AnyArray
    amounts: AnyArray
    name: str


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
        The representation to view the relevance in, made for signals of length N.
    signal, relevance, multiplier : array of float (..., N)
        As in `dftlrp.dft_lrp`, with time on the last axis.

    Returns
    -------
    DomainRelevance
        ``coefficients``, ``relevance``, ``rest``, ``phase``.  The relevance and the rest sum to the
        given relevance, up to round-off.

    Raises
    ------
    InputError
        As `dftlrp.dft_lrp`; or if the signal's length is not the domain's, or a result overflows.

    See Also
    --------
    relevance_from : Back.
    dftlrp.dft_lrp, dftlrp.stft_lrp : The same for these two.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=100)
    >>> found = dftlrp.spectral.relevance_in(dftlrp.spectral.Dct(100), x, x**2)
    >>> bool(np.isclose(found.relevance.sum() + found.rest, (x**2).sum()))
    True
    """
    _check_domain(domain)
    given = read_signal(signal, relevance, multiplier)
    check_length(given.values, -1, domain.n, "signal")
    return carry_to_coefficients(domain, given)


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
    relevance, multiplier : array, same shape
        As in `dftlrp.inverse_dft_lrp`; of real coefficients both are real, R' = y g.

    Returns
    -------
    SignalRelevance
        ``signal``, ``relevance``, ``rest``, ``multiplier``.  The relevance and the rest sum to the
        given relevance, up to round-off.

    Raises
    ------
    InputError
        As `relevance_in`, for coefficients in place of the signal.

    See Also
    --------
    relevance_in : From time to a domain.

    Examples
    --------
    >>> y = np.random.default_rng(0).normal(size=100)
    >>> found = dftlrp.spectral.relevance_from(dftlrp.spectral.Dct(100), y, y**2)
    >>> bool(np.isclose(found.relevance.sum() + found.rest, (y**2).sum()))
    True
    """
    _check_domain(domain)
    given = read_coefficients(
        coefficients, relevance, multiplier, "coefficients", domain.is_complex
    )
    check_shape(given.values, domain.shape, "coefficients")
    return carry_to_signal(domain, given)


def _check_domain(domain: Any) -> None:
    if not hasattr(domain, "synthesis_adjoint"):
        raise InputError(
            f"{type(domain).__name__} is no transform of a signal with an inverse (Mel only pools: "
            "Mel(...).pool(relevance) takes what stft_lrp or dft_lrp gives)"
        )


def choose_amounts(
    relevance: ArrayLike | None, multiplier: ArrayLike | None
) -> tuple[ArrayLike, str]:
    """Return the one of relevance and multiplier that is given, and its name.

    Raises
    ------
    InputError
        If both or neither are given.
    """
    if relevance is not None and multiplier is None:
        return relevance, "relevance"
    if multiplier is not None and relevance is None:
        return multiplier, "multiplier"
    how_many = "neither" if relevance is None else "both"
    raise InputError(f"pass exactly one of relevance and multiplier; got {how_many}")


def read_signal(
    signal: ArrayLike, relevance: ArrayLike | None, multiplier: ArrayLike | None
) -> Given:
    """Return a signal and its relevance or multiplier in one dtype; raise if they do not fit.

    A relevance is not searched for NaN and Inf here: `find_multiplier` notices them at no cost.
    """
    chosen, name = choose_amounts(relevance, multiplier)
    x, amounts = as_real(signal, "signal"), as_real(chosen, name)
    check_same_shape(amounts, x, name, "signal")
    check_finite(x, "signal")
    if name == "multiplier":
        check_finite(amounts, name)
    if x.dtype != amounts.dtype:
        x, amounts = x.astype(np.float64, copy=False), amounts.astype(np.float64, copy=False)
    return Given(x, amounts, name)


def read_coefficients(
    values: ArrayLike,
    relevance: ArrayLike | None,
    multiplier: ArrayLike | None,
    what: str,
    is_complex: bool = True,
) -> Given:
    """Return coefficients, named `what` in messages, and their relevance or multiplier.

    Both get one precision; the relevance or multiplier stays real if it is.
    """
    chosen, name = choose_amounts(relevance, multiplier)
    y = as_complex(values, what) if is_complex else as_real(values, what)
    raw = as_array(chosen, name)
    both_complex = is_complex and np.iscomplexobj(raw)
    amounts = as_complex(raw, name) if both_complex else as_real(raw, name)
    check_same_shape(amounts, y, name, what)
    check_finite(y, what)
    check_finite(amounts, name)
    dtype: Any = np.result_type(y, amounts)
    as_dtype = dtype if both_complex else np.empty(0, dtype).real.dtype
    return Given(y.astype(dtype, copy=False), amounts.astype(as_dtype, copy=False), name)


def carry_to_coefficients(domain: Domain, given: Given) -> DomainRelevance:
    """Return the relevance Re(conj(y) S^T m) of y = T x, and the phase, its imaginary part."""
    x, m, lost = given.values, given.amounts, 0
    if given.name == "relevance":
        m, lost = find_multiplier(m, x)
    with np.errstate(over="ignore", invalid="ignore"):
        y, products = domain.share(x, m)
        rest = domain.signal_rest(x, m) + lost
        check_overflow(products, rest, given.name)
    return DomainRelevance(y, products.real, rest, products.imag)


def carry_to_signal(domain: Domain, given: Given) -> SignalRelevance:
    """Return the signal x = S y and its relevance x m with m = T^T g."""
    y, g, lost = given.values, given.amounts, 0
    if given.name == "relevance":
        g, lost = _find_coefficient_multiplier(g, y, len(domain.shape))
    with np.errstate(over="ignore", invalid="ignore"):
        x, m = domain.synthesis(y), domain.analysis_adjoint(g)
        R, rest = x * m, domain.coefficient_rest(y, g) + lost
        check_overflow(R, rest, given.name)
    return SignalRelevance(x, R, rest, m)


def _find_coefficient_multiplier(R: AnyArray, y: AnyArray, axes: int) -> tuple[AnyArray, Any]:
    """Return g with R = Re y Re g + Im y Im g, and the relevance of zeros that is lost."""
    if not np.iscomplexobj(y):
        return find_multiplier(R, y, axes)
    if np.iscomplexobj(R):
        g_re, lost_re = find_multiplier(R.real, y.real, axes)
        g_im, lost_im = find_multiplier(R.imag, y.imag, axes)
        return (g_re + 1j * g_im).astype(y.dtype, copy=False), lost_re + lost_im
    # Real and imaginary part share as re^2 : im^2, that is g = R y / |y|^2; the square is never
    # formed because it would underflow.
    size = np.abs(y)
    per_size, lost = find_multiplier(R, size, axes)
    size[size == 0] = 1
    g = np.empty_like(y)
    # Each part on its own: NumPy's complex division overflows where |y| is subnormal.
    g.real, g.imag = per_size * (y.real / size), per_size * (y.imag / size)
    return g, lost


def find_multiplier(
    R: Real, values: Real, axes: int = 1, size: int | None = None
) -> tuple[Real, Any]:
    """Return m = R / values and the lost relevance, summed over the last `axes` axes.

    Relevance is lost, and m is 0, where the quotient is no usable number.  It is usable if the sum
    of its squares over `size` samples (default: all of R) is finite, since round-off is
    proportional to that sum.

    Raises
    ------
    InputError
        If R holds NaN or Inf.  They end up in the quotient, so that the search costs nothing.
    """
    limit = math.sqrt(_find_largest(R.dtype) / (size or R.size))
    with np.errstate(all="ignore"):
        m = R / values
        # NaN fails both comparisons.  (A dot product would use threads, and be slow when busy.)
        if m.max(initial=0) <= limit and m.min(initial=0) >= -limit:
            return m, 0
    check_finite(R, "relevance")
    bad = ~(np.abs(m) <= limit)
    m[bad] = 0
    lost = np.where(bad, R, 0)
    if axes > 1:
        return m, lost.sum(axis=tuple(range(-axes, 0)))
    return m, sum(lost[..., a:b].sum(axis=-1) for a, b in split_signal(R.shape[-1]))


@cache
def _find_largest(dtype: np.dtype[Any]) -> float:
    return float(np.finfo(dtype).max)


def split_signal(n: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each piece of a signal of length n."""
    return ((a, min(a + PIECE, n)) for a in range(0, n, PIECE))
