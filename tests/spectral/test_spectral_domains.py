"""Laws of every domain: cosine, wavelet, resampling, custom, and the pooling into mel bands.

The specification is the same as for the DFT: LRP-0 through the matrix of the synthesis,
R_j = y_j sum_n A_nj R_n / x_n.  Each matrix is built from the formula, or column by column.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft, signal
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from dftlrp.core.types import InputError
from dftlrp.spectral import (
    Custom,
    Dct,
    Dft,
    Mel,
    Resample,
    Stft,
    Wavelet,
    dft_lrp,
    inner,
    inverse_dft_lrp,
    inverse_stft_lrp,
    relevance_from,
    relevance_in,
    stft_lrp,
)
from dftlrp.spectral.mel import make_filterbank

LENGTHS = [1, 2, 3, 5, 8, 16, 31, 64, 97]
HAS_PYWT = find_spec("pywt") is not None
needs_pywt = pytest.mark.skipif(not HAS_PYWT, reason="PyWavelets is not installed")
WAVELETS = ["haar", "db4", "sym5", "coif2", "db20"]
RATES = [(1, 1), (1, 2), (2, 1), (2, 3), (3, 2), (160, 441), (6, 4)]


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def complex_draw(shape, seed=0):
    return draw(shape, seed) + 1j * draw(shape, seed + 1)


def close(actual, expected, rtol=1e-12):
    scale = max(np.max(np.abs(expected), initial=0.0), np.finfo(float).tiny)
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=rtol)


def random_pair(n, extra=0, seed=0):
    """T with a left inverse S that is not its transpose."""
    T = draw((n + extra, n), seed) + 2 * np.eye(n + extra, n)
    return T, np.linalg.pinv(T)


def custom_of(n, extra=0, seed=0):
    T, S = random_pair(n, extra, seed)
    return Custom(lambda x: T @ x, lambda y: S @ y, lambda m: S.T @ m, n, lambda g: T.T @ g)


def rfft_custom(n):
    """The one-sided DFT, written by a user who knows its adjoint."""
    w = np.where((np.arange(n // 2 + 1) == 0) | (2 * np.arange(n // 2 + 1) == n), 1, 2)
    return Custom(
        lambda x: fft.rfft(x, norm="ortho"),
        lambda y: fft.irfft(y, n, norm="ortho"),
        lambda m: w * fft.rfft(m, norm="ortho"),
        n,
        lambda g: fft.irfft(g / w, n, norm="ortho"),
    )


def plane_custom():
    """Coefficients on two axes."""
    return Custom(
        lambda x: fft.fft2(x.reshape(6, 4), norm="ortho"),
        lambda y: fft.ifft2(y, norm="ortho").real.ravel(),
        lambda m: fft.fft2(m.reshape(6, 4), norm="ortho"),
        24,
        lambda g: fft.ifft2(g, norm="ortho").real.ravel(),
    )


def wavelets(n):
    if not HAS_PYWT:
        return []
    return [*(Wavelet(n, w) for w in WAVELETS), Wavelet(n, "db2", level=(n - 1).bit_length())]


def lossless(n):
    return [
        Dct(n),
        *wavelets(n),
        custom_of(n),
        custom_of(n, extra=3),
        rfft_custom(n),
    ]


def every_domain(n):
    return [*lossless(n), *(Resample(n, *rate) for rate in RATES), Dft(n), Dft(n, onesided=False)]


def synthesis_matrix(domain):
    """Columns are the signals of unit coefficients; Re, then Im where these are complex."""
    units = np.eye(int(np.prod(domain.shape))).reshape(-1, *domain.shape)
    columns = [domain.synthesis(unit) for unit in units]
    if domain.is_complex:
        columns += [domain.synthesis(1j * unit) for unit in units]
    return np.stack(columns, axis=1)


def dense_relevance(domain, x, R):
    """LRP-0 through x = A y + (x - A y); the latter is a bias and takes the rest."""
    A, y = synthesis_matrix(domain), domain.analysis(x).ravel()
    parts = np.concatenate([y.real, y.imag]) if domain.is_complex else y
    shared = parts * (A.T @ (R / x))
    shared = sum(np.split(shared, 2)) if domain.is_complex else shared
    return shared.reshape(domain.shape), ((x - A @ parts) * R / x).sum()


def total(values, domain):
    return values.sum(axis=tuple(range(-len(domain.shape), 0)))


def identify(domain):
    return repr(domain) if not isinstance(domain, Custom) else f"Custom({domain.n})"


# ----------------------------------------------------------------------------------- the contract


@pytest.mark.parametrize("n", LENGTHS)
def test_adjoints_pass_the_dot_test(n):
    for domain in every_domain(n):
        x = draw(n)
        y = (complex_draw if domain.is_complex else draw)(domain.shape, 1)
        axes = len(domain.shape)
        left, right = inner(domain.analysis(x), y, axes), inner(x, domain.analysis_adjoint(y))
        assert left == pytest.approx(right, rel=1e-11, abs=1e-11), identify(domain)
        left, right = inner(domain.synthesis(y), x), inner(y, domain.synthesis_adjoint(x), axes)
        assert left == pytest.approx(right, rel=1e-11, abs=1e-11), identify(domain)


@pytest.mark.parametrize("n", LENGTHS)
def test_synthesis_undoes_analysis(n):
    x = draw((2, n))
    for domain in lossless(n):
        y = domain.analysis(x)
        assert y.shape == (2, *domain.shape)
        assert np.iscomplexobj(y) == domain.is_complex
        close(domain.synthesis(y), x, 1e-10)


@pytest.mark.parametrize("n", LENGTHS)
def test_relevance_is_dense_lrp0_through_the_synthesis_matrix(n):
    x, m = draw((2, n), n)
    for domain in every_domain(n):
        result = relevance_in(domain, x, x * m)
        relevance, rest = dense_relevance(domain, x, x * m)
        close(result.relevance, relevance)
        scale = np.linalg.norm(x) * np.linalg.norm(m)
        assert abs(result.rest - rest) <= 1e-12 * scale, identify(domain)
        close(relevance_in(domain, x, multiplier=m).relevance, relevance)
        np.testing.assert_array_equal(result.coefficients, domain.analysis(x))


@pytest.mark.parametrize("n", LENGTHS)
def test_relevance_from_is_dense_lrp0_through_the_analysis_matrix(n):
    for domain in every_domain(n):
        draw_y = complex_draw if domain.is_complex else draw
        y = domain.analysis(draw(n))
        g = draw_y(domain.shape, 2)
        columns = np.stack([domain.analysis(unit) for unit in np.eye(n)], axis=1)
        m = (columns.conj().T @ g).real
        result = relevance_from(domain, y, multiplier=g)
        close(result.multiplier, m)
        close(result.relevance, domain.synthesis(y) * m)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(0, 2**32 - 1), st.booleans())
def test_every_domain_conserves_including_the_rest(n, seed, silent):
    x, m = draw((2, n), seed)
    R = draw(n, seed + 1)
    if silent:
        x[draw(n, seed + 2) > 0] = 0
    for domain in every_domain(n):
        scale = np.linalg.norm(x) * np.linalg.norm(m)
        result = relevance_in(domain, x, multiplier=m)
        lost = total(result.relevance, domain) + result.rest - x @ m
        # Rounding in T and S themselves: pinv and polyphase filters have a condition number.
        assert abs(lost) <= 1e-10 * scale, identify(domain)
        result = relevance_in(domain, x, R)
        quotient = np.divide(R, x, out=np.zeros(n), where=x != 0)
        bound = 1e-10 * (np.linalg.norm(x) * np.linalg.norm(quotient) + np.abs(R).sum())
        assert abs(total(result.relevance, domain) + result.rest - R.sum()) <= bound
        y = domain.analysis(x)
        g = (complex_draw if domain.is_complex else draw)(domain.shape, seed % 1000)
        back = relevance_from(domain, y, multiplier=g)
        sizes = np.linalg.norm(y) * np.linalg.norm(g) + scale
        sizes += np.linalg.norm(back.signal) * np.linalg.norm(back.multiplier)
        gap = back.relevance.sum() + back.rest - inner(y, g, y.ndim)
        assert abs(gap) <= 1e-9 * sizes, identify(domain)


def test_relevance_of_silent_coefficients_becomes_rest():
    y, R = np.array([0, 1.0, 0, 2]), np.arange(1.0, 5)
    result = relevance_from(Dct(4), y, R)
    assert result.rest == pytest.approx(1 + 3)
    assert result.relevance.sum() == pytest.approx(2 + 4)


def test_the_direction_there_and_back_gives_the_multiplier_again():
    x, m = draw((2, 97))
    for domain in lossless(97):
        y, c = domain.analysis(x), domain.synthesis_adjoint(m)
        close(relevance_from(domain, y, multiplier=c).multiplier, m, 1e-9)


@pytest.mark.parametrize("batch", [(1,), (3,), (2, 3), (0 + 1, 2, 2)])
def test_batches_are_explained_element_by_element(batch):
    x, m = draw((2, *batch, 24))
    for domain in [*every_domain(24), plane_custom()]:
        together = relevance_in(domain, x, multiplier=m)
        assert together.relevance.shape == (*batch, *domain.shape)
        assert together.rest.shape == batch
        back = relevance_from(domain, together.coefficients, together.relevance)
        assert back.rest.shape == batch
        for index in np.ndindex(*batch):
            alone = relevance_in(domain, x[index], multiplier=m[index])
            close(together.relevance[index], alone.relevance)
            np.testing.assert_allclose(together.rest[index], alone.rest, atol=1e-12)
            again = relevance_from(domain, alone.coefficients, together.relevance[index])
            close(back.relevance[index], again.relevance, 1e-9)


def test_silence_is_finite_and_loses_nothing():
    x, R = np.zeros(31), draw(31)
    for domain in every_domain(31):
        result = relevance_in(domain, x, R)
        assert not result.relevance.any()
        assert result.rest == pytest.approx(R.sum())
        result = relevance_in(domain, x, multiplier=R)
        assert not result.relevance.any()
        assert result.rest == 0


def test_real_coefficients_have_no_phase():
    for domain in (Dct(8), *wavelets(8), Resample(8, 1, 2)):
        assert not relevance_in(domain, draw(8), draw(8)).phase.any()


@pytest.mark.parametrize("domain", [Dct(64), *wavelets(64), Resample(64, 1, 2)], ids=repr)
def test_single_precision_stays_single(domain):
    x, m = draw((2, 64)).astype(np.float32)
    result = relevance_in(domain, x, multiplier=m)
    assert result.relevance.dtype == result.rest.dtype == np.float32
    wide = relevance_in(domain, x.astype(float), multiplier=m.astype(float))
    np.testing.assert_allclose(result.relevance, wide.relevance, atol=2e-5)


def test_arguments_are_left_as_they_were():
    x, m = draw((2, 24))
    before = x.copy(), m.copy()
    for domain in every_domain(24):
        relevance_in(domain, x, multiplier=m)
        relevance_in(domain, x, x * m)
    np.testing.assert_array_equal((x, m), before)


# -------------------------------------------------------------------- one core for all functions


@pytest.mark.parametrize("given", ["relevance", "multiplier"])
def test_the_named_functions_are_the_generic_ones(given):
    x, m = draw((2, 3, 100))
    what = {given: x * m if given == "relevance" else m}
    for one, other in zip(dft_lrp(x, **what), relevance_in(Dft(100), x, **what), strict=True):
        np.testing.assert_array_equal(one, other)
    stft = Stft(100, "hann", 16, 4)
    named = stft_lrp(x, **what, window="hann", n_fft=16, hop=4)
    for one, other in zip(named[:4], relevance_in(stft, x, **what), strict=True):
        np.testing.assert_array_equal(one, other)
    y, g = stft.analysis(x), complex_draw((3, *stft.shape))
    what = {given: g}
    named = inverse_stft_lrp(y, **what, n=100, n_fft=16, hop=4)
    for one, other in zip(named, relevance_from(stft, y, **what), strict=True):
        np.testing.assert_array_equal(one, other)
    y, g = fft.rfft(x), complex_draw((3, 51))
    what = {given: g}
    for one, other in zip(
        inverse_dft_lrp(y, **what), relevance_from(Dft(100), y, **what), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_two_sided_dft_shares_each_bin_with_its_mirror_image():
    x, m = draw((2, 12))
    one = relevance_in(Dft(12), x, multiplier=m).relevance
    two = relevance_in(Dft(12, onesided=False), x, multiplier=m).relevance
    close(two[:7] + np.concatenate([[0], two[:6:-1], [0]]), one)


# ------------------------------------------------------------------------------ against the book


@pytest.mark.parametrize("n", LENGTHS)
def test_the_cosine_transform_is_its_formula(n):
    k, places = np.arange(n)[:, None], np.arange(n)
    T = np.cos(np.pi * k * (2 * places + 1) / (2 * n)) * np.where(k == 0, 1, 2**0.5) / n**0.5
    x = draw(n)
    close(Dct(n).analysis(x), T @ x)


@needs_pywt
@pytest.mark.parametrize("n", [64, 96, 128])
def test_wavelet_coefficients_are_pywavelets(n):
    import pywt

    x, domain = draw(n), Wavelet(n, "db2", 3)
    expected = pywt.wavedec(x, "db2", "periodization", 3)
    for band, values in zip(domain.bands.values(), expected, strict=True):
        close(domain.analysis(x)[band], values)
    assert list(domain.bands) == ["a3", "d3", "d2", "d1"]


@needs_pywt
@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("level", [None, 0, 1, 2, 3])
def test_wavelets_keep_the_norm_at_any_length(n, level):
    if level is not None and level > (n - 1).bit_length():
        return
    domain, x = Wavelet(n, "db4", level), draw(n)
    y = domain.analysis(x)
    assert np.linalg.norm(y) == pytest.approx(np.linalg.norm(x), rel=1e-12)
    assert n <= domain.bins < n + 2**domain.levels
    assert [*domain.bands.values()][-1].stop == domain.bins


@needs_pywt
def test_every_wavelet_that_is_advised_is_admitted():
    families = [("db", 1, 38), ("sym", 2, 20), ("coif", 1, 17)]
    for family, first, last in families:
        for order in range(first, last + 1):
            domain, x = Wavelet(100, f"{family}{order}", 2), draw(100)
            close(domain.synthesis(domain.analysis(x)), x, 1e-9)


@pytest.mark.parametrize(("up", "down"), RATES)
def test_resampling_is_scipys(up, down):
    x = draw(200)
    close(Resample(200, up, down).analysis(x), signal.resample_poly(x, up, down))


def test_the_band_above_half_the_new_rate_is_rest():
    n = np.arange(4000)
    low, high = np.cos(0.1 * np.pi * n), np.cos(0.8 * np.pi * n)
    half = Resample(4000, 1, 2)
    kept = relevance_in(half, low, multiplier=low)
    assert abs(kept.rest) < 0.01 * kept.relevance.sum()
    lost = relevance_in(half, high, multiplier=high)
    assert abs(lost.relevance.sum()) < 0.01 * lost.rest


# ---------------------------------------------------------------------------------------- custom


def test_a_custom_rfft_is_dft_lrp():
    for n in LENGTHS:
        x, m = draw((2, n))
        named, custom = dft_lrp(x, multiplier=m), relevance_in(rfft_custom(n), x, multiplier=m)
        close(custom.relevance, named.relevance)
        np.testing.assert_allclose(custom.phase, named.phase, atol=1e-12)


def test_a_pair_of_operators_is_a_domain():
    T, S = random_pair(12, 5)
    x, m = draw((2, 3, 12))
    expected = relevance_in(custom_of(12, 5), x, multiplier=m)
    for make in (np.asarray, aslinearoperator):
        domain = Custom.from_operators(make(T), make(S))
        close(relevance_in(domain, x, multiplier=m).relevance, expected.relevance)
        g = draw((3, 17))
        y = domain.analysis(x)
        back = relevance_from(domain, y, multiplier=g)
        close(back.multiplier, g @ T)


def test_the_laws_are_tested_with_the_precision_of_the_maps():
    A = draw((14, 9))
    P = np.linalg.pinv(A)
    for dtype in (np.float32, np.complex64):
        T, S = A.astype(dtype), P.astype(dtype)
        Custom.from_operators(T, S)
        Custom(lambda x, T=T: T @ x.astype(np.float32), lambda y, S=S: (S @ y).real,
               lambda m, S=S: S.T.conj() @ m.astype(np.float32), 9)  # fmt: skip
        with pytest.raises(InputError, match="is not x"):
            Custom.from_operators(T, S * np.float32(1.01))
    rough = A.astype(np.float32).astype(np.float64)
    with pytest.raises(InputError, match="is not x"):
        Custom.from_operators(rough, P)
    Custom.from_operators(rough.astype(np.float32), P)


def test_a_pair_of_complex_operators_is_a_domain():
    F = fft.fft(np.eye(15), norm="ortho", axis=0)
    domain = Custom.from_operators(F, F.conj().T)
    x, m = draw((2, 15))
    expected = relevance_in(Dft(15, onesided=False), x, multiplier=m)
    close(relevance_in(domain, x, multiplier=m).relevance, expected.relevance)
    g = complex_draw(15)
    back = relevance_from(domain, expected.coefficients, multiplier=g)
    close(back.multiplier, Dft(15, onesided=False).analysis_adjoint(g))


def test_an_operator_without_adjoint_serves_one_direction():
    T, S = random_pair(6)
    domain = Custom.from_operators(LinearOperator((6, 6), lambda x: T @ x, dtype=float), S)
    x, m = draw((2, 6))
    assert relevance_in(domain, x, multiplier=m).relevance.sum() == pytest.approx(x @ m)
    with pytest.raises(InputError, match="needs analysis_adjoint"):
        relevance_from(domain, domain.analysis(x), multiplier=m)


def test_the_adjoint_of_the_analysis_does_not_conserve():
    """Why the adjoint of the synthesis must be given: T is not S^T unless T is orthogonal."""
    T, S = random_pair(8)
    x, m = draw((2, 8))
    y = T @ x
    assert (y * (S.T @ m)).sum() == pytest.approx(x @ m)
    assert abs((y * (T @ m)).sum() - x @ m) > 1


def test_a_lossy_pair_is_admitted_on_request_and_shows_its_rest():
    keep = np.eye(5, 9)
    with pytest.raises(InputError, match=r"is not x: it differs by 0\.\d+ .*lossy=True"):
        Custom.from_operators(keep, keep.T)
    domain = Custom.from_operators(keep, keep.T, lossy=True)
    x, m = draw((2, 9))
    result = relevance_in(domain, x, multiplier=m)
    close(result.relevance, (x * m)[:5])
    assert result.rest == pytest.approx((x * m)[5:].sum())


# ------------------------------------------------------------------------------------------- mel


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize(("rate", "n_fft", "n_mels"), [(16000, 400, 40), (8000, 256, 3), (2, 2, 1)])
def test_mel_pooling_keeps_the_sum_and_the_signs(rate, n_fft, n_mels, scale):
    bands = Mel(rate, n_mels, n_fft, scale)
    R = draw((2, n_fft // 2 + 1, 7))
    pooled = bands.pool(R)
    assert pooled.relevance.shape == (2, n_mels, 7)
    assert pooled.rest.shape == (2,)
    np.testing.assert_allclose(
        pooled.relevance.sum((1, 2)) + pooled.rest, R.sum((1, 2)), rtol=1e-11
    )
    assert (bands.weights >= 0).all()
    np.testing.assert_allclose(bands.weights.sum(axis=0), 1)
    assert (bands.pool(np.abs(R)).relevance >= 0).all()
    filters = make_filterbank(rate, n_fft, n_mels, scale=scale, norm=None)
    total = filters.sum(axis=0)
    close(pooled.relevance, filters / np.where(total > 0, total, 1) @ R)


def test_a_tone_is_pooled_into_the_band_around_it():
    n_fft, rate = 512, 16000
    x = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    result = stft_lrp(x, multiplier=x, n_fft=n_fft, hop=128)
    bands = Mel(rate, 40, n_fft)
    pooled = bands.pool(result.relevance)
    strongest = pooled.relevance.sum(axis=-1).argmax()
    assert abs(bands.centres[strongest] - 1000) < 60
    assert (np.diff(bands.centres) > 0).all()
    spectrum = dft_lrp(x, multiplier=x)
    whole = Mel(rate, 40, rate).pool(spectrum.relevance, axis=-1)
    assert whole.relevance.shape == (40,)
    assert whole.relevance.argmax() == strongest
    assert whole.relevance.sum() + whole.rest == pytest.approx(x @ x)


# ------------------------------------------------------------------------------------- bad input

EYE = np.eye(4)
GOOD = np.ones(4)


def identity(v):
    return v


BAD = {
    "n": (lambda: Dct(0), "n is 0"),
    "up": (lambda: Resample(8, 0, 1), "up is 0"),
    "down": (lambda: Resample(8, 1, -2), "down is -2"),
    "length": (lambda: relevance_in(Dct(8), GOOD, GOOD), "length 8"),
    "coefficients": (lambda: relevance_from(Dct(8), GOOD, GOOD), r"must be \(\.\.\., 8\)"),
    "plane": (lambda: relevance_from(plane_custom(), GOOD, GOOD), r"\(\.\.\., 6, 4\)"),
    "complex to real": (lambda: relevance_from(Dct(4), GOOD + 0j, GOOD), "coefficients is complex"),
    "complex relevance": (lambda: relevance_from(Dct(4), GOOD, GOOD + 0j), "relevance is complex"),
    "nan": (lambda: relevance_in(Dct(4), [1, 2, np.nan, 4], GOOD), "signal is nan at index 2"),
    "nan relevance": (lambda: relevance_in(Dct(4), GOOD, [1, np.nan, 2, 3]), "index 1"),
    "inf relevance": (lambda: relevance_in(Dct(4), [0, 1, 2, 3], [np.inf, 1, 2, 3]), "index 0"),
    "inf of coefficients": (lambda: relevance_from(Dct(4), [1, np.inf, 2, 3], GOOD), "index 1"),
    "both": (lambda: relevance_in(Dct(4), GOOD, GOOD, multiplier=GOOD), "exactly one"),
    "neither": (lambda: relevance_from(Dct(4), GOOD), "exactly one"),
    "rate": (lambda: Mel(0), "rate is 0"),
    "rate of text": (lambda: Mel("a"), "rate is 'a'"),
    "no domain": (lambda: relevance_in(Mel(8000), GOOD, GOOD), r"Mel only pools: Mel\(...\).pool"),
    "no domain back": (lambda: relevance_from(None, GOOD, GOOD), "NoneType is no transform"),
    "no function": (lambda: Custom(identity, identity, None, 4), "synthesis_adjoint is None"),
    "tolerance": (
        lambda: Custom(identity, identity, identity, 4, tolerance="a"),
        "tolerance is 'a'",
    ),
    "wrong n": (
        lambda: Custom(lambda x: EYE @ x, identity, identity, 5),
        r"analysis fails on shape \(5,\) \(n = 5\)",
    ),
    "scale": (lambda: Mel(8000, scale="bark"), "bark"),
    "n_mels": (lambda: Mel(8000, 0), "n_mels is 0"),
    "mel bins": (lambda: Mel(8000).pool(np.ones((200, 5))), "length 201"),
    "mel axis": (lambda: Mel(8000).pool(np.ones((5, 201)), axis=1), "axis -2 or -1"),
    "mel nan": (lambda: Mel(8000).pool(np.full((201, 5), np.nan)), "relevance is nan"),
    "no inverse": (
        lambda: Custom(identity, lambda y: 2 * y, lambda m: 2 * m, 4),
        r"is not x: it differs by 1 of",
    ),
    "wrong adjoint": (
        lambda: Custom(identity, identity, lambda m: 1.5 * m, 4),
        "synthesis_adjoint is not the adjoint of synthesis.*off by",
    ),
    "wrong analysis adjoint": (
        lambda: Custom(identity, identity, identity, 4, lambda g: -g),
        "analysis_adjoint is not the adjoint of analysis",
    ),
    "nan of synthesis": (
        lambda: Custom(identity, lambda y: y * np.nan, identity, 4),
        "differs by nan",
    ),
    "shape of synthesis": (lambda: Custom(lambda x: x[1:], identity, identity, 4), r"shape \(3,\)"),
    "shape of adjoint": (
        lambda: Custom(identity, identity, lambda m: m[1:], 4),
        r"synthesis_adjoint returns shape \(3,\), but \(4,\)",
    ),
    "complex synthesis": (
        lambda: Custom(fft.fft, fft.ifft, fft.ifft, 4),
        "synthesis returns complex128, but real",
    ),
    "scalar analysis": (lambda: Custom(np.sum, identity, identity, 4), "at least one axis"),
    "operators' shapes": (lambda: Custom.from_operators(EYE[:3], EYE), "must be 4 x 3"),
    "no operators": (lambda: Custom.from_operators("T", EYE), "linear operators"),
    "operator without adjoint": (
        lambda: Custom.from_operators(EYE, LinearOperator((4, 4), identity, dtype=float)),
        "synthesis_adjoint is missing",
    ),
}


BAD_WAVELETS = {
    "n of wavelet": (lambda: Wavelet(2.5), "whole number"),
    "unknown wavelet": (lambda: Wavelet(8, "db99"), "'db99'"),
    "no name": (lambda: Wavelet(8, 3), "3"),
    "biorthogonal": (lambda: Wavelet(8, "bior2.2"), "not orthogonal.*use haar"),
    "nearly orthogonal": (lambda: Wavelet(8, "dmey"), "off by 0.002"),
    "level": (lambda: Wavelet(9, "haar", 5), "at most 4"),
    "negative level": (lambda: Wavelet(9, "haar", -1), "level is -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case):
    call, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@needs_pywt
@pytest.mark.parametrize("case", BAD_WAVELETS)
def test_a_bad_wavelet_is_one_clear_line(case):
    call, message = BAD_WAVELETS[case]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_without_pywavelets_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pywt", None)
    with pytest.raises(InputError, match=re.escape("pip install 'dftlrp[wavelets]'")):
        Wavelet(8)
