"""Laws of the spectral inspection layers.

The dense versions below are the specification: they build the matrix of the layer from the
formulas of arXiv 2303.06365 and apply LRP-0 to it, R_j = y_j sum_n A_nj R_n / (A y)_n.
"""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import fft, signal

from dftlrp.core.types import InputError
from dftlrp.spectral import (
    Analysis,
    Dft,
    Stft,
    dft_lrp,
    inner,
    inverse_dft_lrp,
    inverse_stft_lrp,
    stft_for,
    stft_lrp,
)

LENGTHS = [1, 2, 3, 4, 5, 8, 9, 16, 31, 97, 100, 128, 251]
WINDOWS = ["hann", "hamming", "boxcar", "cosine", ("kaiser", 6.0)]
BOUNDARIES = ["zeros", "center", None]
LAYOUTS = ["frames", "full"]
EPS = np.finfo(float).eps


# ------------------------------------------------------------------ the executable specification


def lrp0(A, y, R):
    """LRP-0 through x = A y: relevance R of x to relevance of y."""
    return y * (A.T @ (R / (A @ y)))


def cos_sin(size, places, bins):
    """cos and sin of 2 pi k n / size, (places, bins); the phase is reduced first."""
    phase = 2 * np.pi * (np.outer(places, np.arange(bins)) % size) / size
    return np.cos(phase), np.sin(phase)


def inverse_dft_matrix(size, places, bins):
    """x_n = size^(-1/2) sum_k w_k (cos Re y_k - sin Im y_k): columns Re y, then Im y."""
    cos, sin = cos_sin(size, places, bins)
    mirrored = [k != 0 and 2 * k != size for k in range(bins)]
    w = np.where(mirrored, 2, 1)
    return np.hstack([cos * w, -sin * w]) / np.sqrt(size)


def forward_dft_matrix(size, places, bins):
    """Rows Re y, then Im y, of y_k = size^(-1/2) sum_n x_n exp(-2 pi i k n / size)."""
    cos, sin = cos_sin(size, places, bins)
    return np.hstack([cos, -sin]).T / np.sqrt(size)


def parts(y):
    return np.concatenate([y.real, y.imag])


def both(R):
    """Relevance of Re and Im, added."""
    re, im = np.split(R, 2)
    return re + im


def dense_dft_lrp(x, R):
    K = len(x) // 2 + 1
    n = np.arange(len(x))
    y = forward_dft_matrix(len(x), n, K) @ x
    return both(lrp0(inverse_dft_matrix(len(x), n, K), y, R))


def frame_starts(stft):
    return (stft.times - stft.n_fft / 2).astype(int)


def dense_stft_lrp(x, R, stft):
    """Columns ordered by frame, then part, then bin.  Rows of uncovered samples are left out."""
    a, s, N = stft.analysis_window, stft.synthesis_window_array, len(x)
    full = stft.layout == "full"
    size = N if full else stft.n_fft
    K = size // 2 + 1
    W, columns, y = np.zeros(N), [], []
    for start in frame_starts(stft):
        inside = np.arange(max(start, 0), min(start + stft.n_fft, N))
        W[inside] += (a * s)[inside - start]
        frame = inside if full else inside - start
        y.append(forward_dft_matrix(size, frame, K) @ (a[inside - start] * x[inside]))
        A = np.zeros((N, 2 * K))
        if full:
            A[:] = inverse_dft_matrix(size, np.arange(N), K)
        else:
            A[inside] = s[inside - start, None] * inverse_dft_matrix(size, frame, K)
        columns.append(A)
    covered = np.abs(W) > 1e-4 * np.abs(W).max()
    A = np.hstack(columns)[covered] / W[covered, None]
    np.testing.assert_allclose(A @ np.concatenate(y), x[covered], atol=1e-9)
    out = lrp0(A, np.concatenate(y), R[covered])
    return np.stack([both(r) for r in out.reshape(len(y), -1)], axis=-1), R[~covered].sum()


def dense_inverse_stft_lrp(x, R_re, R_im, stft):
    """LRP-0 through the layer "STFT": R_n = x_n sum over t, k of T_tkn R_tk / y_tk."""
    a, L, K, out = stft.analysis_window, stft.n_fft, stft.n_fft // 2 + 1, np.zeros(len(x))
    for t, start in enumerate(frame_starts(stft)):
        inside = np.arange(max(start, 0), min(start + L, len(x)))
        T = forward_dft_matrix(L, inside - start, K) * a[inside - start]
        y = T @ x[inside]
        R = np.concatenate([R_re[:, t], R_im[:, t]])
        quotient = np.divide(R, y, out=np.zeros_like(y), where=R != 0)
        out[inside] += x[inside] * (T.T @ quotient)
    return out


# -------------------------------------------------------------------------------------- helpers


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def close(actual, expected, rtol=1e-12):
    scale = max(np.max(np.abs(expected), initial=0.0), np.finfo(float).tiny)
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=rtol)


def complex_draw(shape, seed=0):
    return draw(shape, seed) + 1j * draw(shape, seed + 1)


def constant(lost, x, m, n):
    """Measured constant of the law |gap| <= constant eps max(1, log2 n) ||x|| ||m||."""
    size = np.linalg.norm(x) * np.linalg.norm(m)
    return float(np.abs(lost) / (EPS * max(1, math.log2(n)) * size)) if size > 0 else 0.0


def gap(result, R):
    total = result.relevance.sum(axis=tuple(range(R.ndim - 1, result.relevance.ndim)))
    return np.max(np.abs(total + result.rest - R.sum(axis=-1)))


def short_time(draw_from):
    """Any Stft that can reconstruct, small enough to be quick."""
    n_fft = draw_from(st.integers(1, 40))
    name = draw_from(st.sampled_from(WINDOWS))
    hop = draw_from(st.integers(1, max(1, n_fft // 2)))
    boundary = draw_from(st.sampled_from(BOUNDARIES))
    layout = draw_from(st.sampled_from(LAYOUTS))
    n = draw_from(st.integers(n_fft if boundary is None else 1, 120))
    other = st.sampled_from([None, "boxcar", "hamming"])
    synthesis = draw_from(other) if layout == "frames" else None
    try:
        return Stft(n, name, n_fft, hop, synthesis, layout, boundary)
    except InputError:  # such as a Hann window of two samples, which is zero on one of them
        assume(False)


@st.composite
def stfts(draw_from):
    return short_time(draw_from)


domains = st.one_of(stfts(), st.builds(Dft, st.integers(1, 300), st.booleans()))
batches = hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)
seeds = st.integers(0, 2**32 - 1)
# Ordinary numbers, zeros, and a range wide enough to be unkind without over- or underflow.
values = st.one_of(
    st.floats(-1e3, 1e3).map(lambda v: v if abs(v) > 1e-30 else 0.0), st.floats(1e-20, 1e-10)
)
signals = st.integers(1, 70).flatmap(lambda n: hnp.arrays(float, (2, n), elements=values))


def coefficient_shape(domain, batch=()):
    return domain.analysis(np.zeros((*batch, domain.n))).shape


def axes_of(domain):
    return 2 if isinstance(domain, Stft) else 1


# ------------------------------------------------------------------------ equal to the dense LRP-0


@pytest.mark.parametrize("n", LENGTHS)
def test_dft_lrp_is_dense_lrp0_through_the_inverse_dft(n):
    x, m = draw((2, n), n)
    result = dft_lrp(x, x * m)
    close(result.relevance, dense_dft_lrp(x, x * m))
    close(dft_lrp(x, multiplier=m).relevance, result.relevance)
    close(result.spectrum, fft.rfft(x, norm="ortho"))
    assert result.rest == 0


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("n", "n_fft", "hop"), [(60, 16, 4), (61, 16, 5), (47, 15, 5), (31, 31, 7)]
)
def test_stft_lrp_is_dense_lrp0_through_the_inverse_stft(n, n_fft, hop, window, layout, boundary):
    x, m = draw((2, n), n)
    result = stft_lrp(
        x, x * m, window=window, n_fft=n_fft, hop=hop, layout=layout, boundary=boundary
    )
    relevance, rest = dense_stft_lrp(x, x * m, result.domain)
    close(result.relevance, relevance)
    close(result.rest, rest)


@pytest.mark.parametrize("synthesis", ["boxcar", "hamming", np.arange(1.0, 9.0)])
def test_any_synthesis_window_is_dense_lrp0(synthesis):
    x, m = draw((2, 50))
    result = stft_lrp(x, x * m, window="hann", n_fft=16, hop=4, synthesis_window=synthesis)
    close(result.relevance, dense_stft_lrp(x, x * m, result.domain)[0])
    wola = stft_lrp(x, x * m, window="hann", n_fft=16, hop=4)
    assert np.abs(result.relevance - wola.relevance).max() > 1e-3  # both exact, yet different


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("reads", ["re and im", "magnitude", "multiplier"])
def test_inverse_dft_lrp_is_dense_lrp0_through_the_dft(n, reads):
    x, K = draw(n, n), n // 2 + 1
    y, g, R = fft.rfft(x, norm="ortho"), complex_draw(K, 1), draw(K, 2)
    T = forward_dft_matrix(n, np.arange(n), K)
    if reads == "magnitude":
        share = y.real**2 / np.abs(y) ** 2
        result, R_parts = inverse_dft_lrp(y, R, n=n), np.concatenate([R * share, R * (1 - share)])
    else:
        R_re, R_im = y.real * g.real, y.imag * g.imag
        given = {"multiplier": g} if reads == "multiplier" else {"relevance": R_re + 1j * R_im}
        result, R_parts = inverse_dft_lrp(y, n=n, **given), np.concatenate([R_re, R_im])
    quotient = np.divide(R_parts, parts(y), out=np.zeros(2 * K), where=R_parts != 0)
    close(result.relevance, x * (T.T @ quotient))
    close(result.signal, x)
    close(result.relevance, result.signal * result.multiplier)


@pytest.mark.parametrize("boundary", ["zeros", "center"])
@pytest.mark.parametrize(("n", "n_fft", "hop"), [(60, 16, 4), (61, 15, 5), (8, 16, 4)])
def test_inverse_stft_lrp_is_dense_lrp0_through_the_stft(n, n_fft, hop, boundary):
    x = draw(n, n)
    stft = Stft(n, "hann", n_fft, hop, boundary=boundary)
    y = stft.analysis(x)
    where = {"n": n, "n_fft": n_fft, "hop": hop, "boundary": boundary}
    g = complex_draw(y.shape, 5)
    R_re, R_im = y.real * g.real, y.imag * g.imag
    dense = dense_inverse_stft_lrp(x, R_re, R_im, stft)
    close(inverse_stft_lrp(y, multiplier=g, **where).relevance, dense)
    close(inverse_stft_lrp(y, R_re + 1j * R_im, **where).relevance, dense)
    R = draw(y.shape, 7)
    size = np.where(y == 0, 1, np.abs(y) ** 2)  # a frame may see one sample, with weight zero
    result = inverse_stft_lrp(y, R, **where)
    dense = dense_inverse_stft_lrp(x, R * y.real**2 / size, R * y.imag**2 / size, stft)
    close(result.relevance, dense, 1e-11)
    close(result.signal, x)


@pytest.mark.parametrize("shape", ["rectangle", "halfsine"])
@pytest.mark.parametrize("divisor", [1, 2])
def test_layout_full_is_the_papers_short_time_dft(shape, divisor):
    """R_mk = Re(y_mk) sum_n cos(..) R_n / (x_n W_n) and so on, hop = width / divisor."""
    N, H = 64, 16
    window = {
        "rectangle": np.full(H, divisor**-0.5),
        "halfsine": np.sin(np.pi * (np.arange(H) + 0.5) / H),
    }[shape]
    x, m = draw((2, N))
    hop = H // divisor
    result = stft_lrp(x, x * m, window=window, n_fft=H, hop=hop, layout="full", boundary=None)
    starts = range(0, N - H + 1, hop)
    windows = np.zeros((len(starts), N))
    for row, start in zip(windows, starts, strict=True):
        row[start : start + H] = window
    W, k = windows.sum(axis=0), np.arange(N // 2 + 1)
    cos, sin = cos_sin(N, np.arange(N), len(k))
    f = np.where((k == 0) | (2 * k == N), 1, 2) / np.sqrt(N)
    for t, row in enumerate(windows):
        z = fft.rfft(row * x) / np.sqrt(N)
        paper = f * (z.real * (m / W @ cos) - z.imag * (m / W @ sin))
        close(result.relevance[:, t], paper)
        close(result.spectrum[:, t], z)


def test_phase_is_the_derivative_by_the_bins_phase():
    x, m = draw((2, 32))
    result, step = dft_lrp(x, multiplier=m), 1e-6
    for k in range(1, 16):
        turned = result.spectrum.copy()
        turned[k] *= np.exp(1j * step)
        change = m @ (Dft(32).synthesis(turned) - x)
        assert change / step == pytest.approx(result.phase[k], rel=1e-4, abs=1e-5)


# ------------------------------------------------------------------------------- laws of domains


@settings(max_examples=150, deadline=None)
@given(domains, batches, seeds)
def test_adjoints_pass_the_dot_test(domain, batch, seed):
    seed %= 2**30
    x, m = draw((2, *batch, domain.n), seed)
    shape = coefficient_shape(domain, batch)
    y, axes = complex_draw(shape, seed), axes_of(domain)
    size = np.linalg.norm(x) * np.linalg.norm(y)
    forward = inner(domain.analysis(x), y, axes) - inner(x, domain.analysis_adjoint(y))
    assert np.abs(forward).max() <= 1e-13 * size * 10
    backward = inner(domain.synthesis(y), m) - inner(y, domain.synthesis_adjoint(m), axes)
    inverse = getattr(domain, "_inverse_overlap", np.ones(1)).max()  # S divides by W
    assert np.abs(backward).max() <= 1e-13 * np.linalg.norm(y) * np.linalg.norm(m) * max(1, inverse)


@settings(max_examples=150, deadline=None)
@given(domains, batches, seeds)
def test_synthesis_inverts_analysis_where_windows_lie(domain, batch, seed):
    x = draw((*batch, domain.n), seed)
    covered = np.ones(domain.n, bool)
    if isinstance(domain, Stft):
        W = np.abs(domain.overlap)
        covered = 1e-4 * W.max() < W
        if domain.boundary == "zeros":
            assert covered.all()
    back = domain.synthesis(domain.analysis(x))
    assert back.dtype == float
    assert back.shape == x.shape
    np.testing.assert_allclose(back, x * covered, atol=1e-10 * np.abs(x).max())


@settings(max_examples=100, deadline=None)
@given(domains, batches, seeds)
def test_a_domains_rest_is_what_the_pair_drops(domain, batch, seed):
    seed %= 2**30
    x, m = draw((2, *batch, domain.n), seed)
    y, g = (complex_draw(coefficient_shape(domain, batch), seed + i) for i in (2, 4))
    axes = axes_of(domain)
    dropped = inner(x - domain.synthesis(domain.analysis(x)), m)
    np.testing.assert_allclose(domain.signal_rest(x, m), dropped, atol=1e-9)
    foreign = inner(y - domain.analysis(domain.synthesis(y)), g, axes)
    np.testing.assert_allclose(domain.coefficient_rest(y, g), foreign, rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), seeds)
def test_two_sided_and_one_sided_dft_share_alike(n, seed):
    x, m = draw((2, n), seed)
    y, c = Dft(n, onesided=False).analysis(x), Dft(n, onesided=False).synthesis_adjoint(m)
    R = (y * np.conj(c)).real
    folded = R[: n // 2 + 1].copy()
    folded[1 : (n + 1) // 2] += R[n // 2 + 1 :][::-1]
    close(dft_lrp(x, multiplier=m).relevance, folded)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), seeds)
def test_the_multiplier_survives_the_round_trip_through_frequency(n, seed):
    x, m = draw((2, n), seed)
    dft = Dft(n)
    back = inverse_dft_lrp(dft.analysis(x), multiplier=dft.synthesis_adjoint(m), n=n)
    close(back.multiplier, m)
    close(back.relevance, x * m)


@settings(max_examples=80, deadline=None)
@given(stfts(), seeds)
def test_the_multiplier_survives_the_round_trip_through_time_frequency(stft, seed):
    assume(stft.layout == "frames")
    x, m = draw((2, stft.n), seed)
    back = stft.analysis_adjoint(stft.synthesis_adjoint(m))  # T^T S^T = (S T)^T
    covered = stft._inverse_overlap != 0
    np.testing.assert_allclose(back, m * covered, atol=1e-10)
    if covered.all():
        again = inverse_stft_lrp(
            stft.analysis(x),
            multiplier=stft.synthesis_adjoint(m),
            n=stft.n,
            window=stft.window,
            n_fft=stft.n_fft,
            hop=stft.hop,
            synthesis_window=stft.synthesis_window,
            boundary=stft.boundary,
        )
        np.testing.assert_allclose(again.relevance, x * m, atol=1e-9)


# --------------------------------------------------------------------------------- conservation


@settings(max_examples=400, deadline=None)
@given(signals)
@example(np.zeros((2, 5)))
@example(np.array([[1e-11, 1.0], [1.0, 1e3]]))
def test_dft_lrp_conserves_to_4_eps_log_n(pair):
    x, m = pair
    R = x * m
    assert constant(gap(dft_lrp(x, multiplier=m), R), x, m, len(x)) <= 4
    usable = np.divide(R, x, out=np.zeros_like(x), where=x != 0)
    assert constant(gap(dft_lrp(x, R), R), x, usable, len(x)) <= 4


@settings(max_examples=300, deadline=None)
@given(stfts(), seeds)
def test_stft_lrp_conserves_to_4_eps_log_n(stft, seed):
    x, m = draw((2, stft.n), seed)
    x[draw(stft.n, seed + 1) > 0.7] = 0
    # S divides by W: where windows cover unevenly, round-off grows with the unevenness.
    W = np.abs(stft.overlap)
    W = W[1e-4 * W.max() < W]
    wola = stft.layout == "frames" and stft.synthesis_window is None
    worst = (W.max() / W.min()) ** (0.5 if wola else 1)
    result = stft_lrp(
        x,
        multiplier=m,
        window=stft.window,
        n_fft=stft.n_fft,
        hop=stft.hop,
        synthesis_window=stft.synthesis_window,
        layout=stft.layout,
        boundary=stft.boundary,
    )
    longest = max(2, stft.n, stft.n_fft)  # of the transforms, and of the signal
    assert constant(gap(result, x * m), x, m, longest) <= 4 * worst


@pytest.mark.parametrize("n", [2**14, 16000, 16001, 65537])
def test_long_signals_conserve_in_every_domain(n):
    x, m = draw((2, n), n)
    assert constant(gap(dft_lrp(x, multiplier=m), x * m), x, m, n) <= 4
    for boundary in BOUNDARIES:
        result = stft_lrp(x, multiplier=m, boundary=boundary)
        assert constant(gap(result, x * m), x, m, n) <= 4


@settings(max_examples=150, deadline=None)
@given(signals, st.booleans())
def test_inverse_dft_lrp_conserves(pair, odd):
    y = pair[0] + 1j * pair[1][::-1]
    n = 2 * len(y) - 1 if odd or len(y) == 1 else 2 * len(y) - 2
    g = complex_draw(len(y))
    R = y.real * g.real + y.imag * g.imag
    result = inverse_dft_lrp(y, multiplier=g, n=n)
    assert constant(gap(result, R), y, g, n) <= 4
    shared = inverse_dft_lrp(y, np.abs(y), n=n)  # g = y / |y|
    assert constant(gap(shared, np.abs(y)), y, np.ones(len(y)), n) <= 4


@settings(max_examples=100, deadline=None)
@given(stfts(), seeds)
def test_inverse_stft_lrp_conserves_even_for_spectra_of_no_signal(stft, seed):
    assume(stft.layout == "frames" and stft.synthesis_window is None)
    seed %= 2**30
    shape = coefficient_shape(stft)
    y, R = complex_draw(shape, seed), complex_draw(shape, seed + 2)
    where = {
        "n": stft.n,
        "window": stft.window,
        "n_fft": stft.n_fft,
        "hop": stft.hop,
        "boundary": stft.boundary,
    }
    y[draw(shape, seed + 5) > 1] = 0
    for relevance, total in ((R, (R.real + R.imag).sum()), (R.real, R.real.sum())):
        result = inverse_stft_lrp(y, relevance, **where)
        scale = np.linalg.norm(y) * np.linalg.norm(result.multiplier) + np.abs(R).sum()
        assert abs(result.relevance.sum() + result.rest - total) <= 1e-9 * scale


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_relevance_on_zeros_and_silence_becomes_rest(layout, boundary):
    x, R = draw((2, 3, 64))
    x[0, 20:40] = 0
    x[1] = 0
    for result in (
        dft_lrp(x, R),
        stft_lrp(x, R, n_fft=16, hop=4, layout=layout, boundary=boundary),
    ):
        assert np.isfinite(result.relevance).all()
        assert np.isfinite(result.phase).all()
        axes = tuple(range(1, result.relevance.ndim))
        np.testing.assert_allclose(result.relevance.sum(axes) + result.rest, R.sum(-1), atol=1e-11)
        assert not result.relevance[1].any()
        assert result.rest[1] == pytest.approx(R[1].sum())
        assert result.rest.shape == (3,)


def test_silence_loses_nothing_with_a_multiplier():
    x, m = np.zeros(64), draw(64)
    for result in (dft_lrp(x, multiplier=m), stft_lrp(x, multiplier=m, n_fft=16, hop=4)):
        assert not result.relevance.any()
        assert result.rest == 0


@pytest.mark.parametrize("tiny", [5e-324, 1e-310, 1e-300])
def test_a_quotient_that_overflows_becomes_rest(tiny):
    x, R = np.array([tiny, 1.0, -2.0]), np.array([3.0, 1.0, 1.0])
    result = dft_lrp(x, R)
    assert result.rest == 3
    assert result.relevance.sum() == pytest.approx(2)
    assert inverse_dft_lrp(np.array([tiny, 1.0 + 0j]), np.array([3.0, 1.0])).rest == 3


def test_relevance_of_silent_bins_becomes_rest():
    y = np.array([0, 1 + 1j, 0, 2])
    result = inverse_dft_lrp(y, np.arange(1.0, 5))
    assert result.rest == 1 + 3
    assert result.relevance.sum() == pytest.approx(2 + 4)
    result = inverse_dft_lrp(y, np.arange(1.0, 5) * (1 + 1j))
    assert result.rest == 1 + 1 + 3 + 3 + 4
    assert result.relevance.sum() == pytest.approx(2 + 2 + 4)


# --------------------------------------------------------- layouts, axes, dtypes, other libraries


@pytest.mark.parametrize(("n_fft", "hop"), [(64, 16), (50, 20), (33, 8)])
def test_spectrum_agrees_with_scipys_short_time_fft(n_fft, hop):
    x = draw(500)
    window = signal.get_window("hann", n_fft)
    oracle = signal.ShortTimeFFT(window, hop, fs=1, mfft=n_fft, phase_shift=None)
    stft = Stft(500, "hann", n_fft, hop, boundary="center")
    expected = oracle.stft(x, p0=0, p1=stft.frames)
    close(stft.analysis(x) * np.sqrt(n_fft), expected)
    np.testing.assert_allclose(stft.times - n_fft / 2, oracle.t(500, 0, stft.frames) - n_fft // 2)


def test_unpadded_frames_agree_with_scipys_stft():
    x = draw(512)
    _, _, expected = signal.stft(x, nperseg=64, noverlap=48, boundary=None, padded=False)
    actual = Stft(512, "hann", 64, 16, boundary=None).analysis(x)
    close(actual * np.sqrt(64) / signal.get_window("hann", 64).sum(), expected)


@pytest.mark.parametrize("name", ["hann", "hamming", ("kaiser", 8.6)])
@pytest.mark.parametrize("n_fft", [1, 2, 3, 400, 401])
def test_windows_by_name_are_scipys_periodic_ones(name, n_fft):
    window = Stft(500, name, n_fft, 1).analysis_window
    np.testing.assert_allclose(window, signal.get_window(name, n_fft), atol=1e-15)


@pytest.mark.parametrize("size", [10, 11, 15, 16])
def test_short_windows_are_padded_on_both_sides_as_librosa_does(size):
    samples = np.arange(1.0, size + 1)
    window = Stft(64, samples, 16, 4).analysis_window
    left = (16 - size) // 2  # librosa.util.pad_center
    assert window.tolist() == [0] * left + samples.tolist() + [0] * (16 - size - left)


def test_centred_frames_are_librosas():
    x, n_fft, hop = draw(100), 16, 4
    padded = np.pad(x, n_fft // 2)
    window = signal.get_window("hann", n_fft)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    stft = Stft(100, "hann", n_fft, hop, boundary="center")
    close(stft.analysis(x), fft.rfft(frames * window, norm="ortho").T)
    assert stft.times.tolist() == list(range(0, 101, hop))


@settings(max_examples=80, deadline=None)
@given(stfts(), batches, seeds)
def test_batches_are_explained_element_by_element(stft, batch, seed):
    x, m = draw((2, *batch, stft.n), seed)
    options = {
        k: getattr(stft, k)
        for k in ("window", "n_fft", "hop", "synthesis_window", "layout", "boundary")
    }
    together = stft_lrp(x, multiplier=m, **options)
    assert together.spectrum.shape == (*batch, stft.bins, stft.frames)
    assert together.rest.shape == batch
    for index in np.ndindex(*batch):
        alone = stft_lrp(x[index], multiplier=m[index], **options)
        np.testing.assert_allclose(together.relevance[index], alone.relevance, atol=1e-12)
        np.testing.assert_allclose(together.rest[index], alone.rest, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_the_axis_of_time_may_be_any(axis):
    x, R = draw((2, 4, 5, 6))
    moved = dft_lrp(np.moveaxis(x, axis, -1), np.moveaxis(R, axis, -1))
    result = dft_lrp(x, R, axis=axis)
    for name in ("spectrum", "relevance", "phase"):
        expected = np.moveaxis(getattr(moved, name), -1, axis)
        np.testing.assert_array_equal(getattr(result, name), expected)
    np.testing.assert_array_equal(result.rest, moved.rest)
    back = inverse_dft_lrp(result.spectrum, result.relevance, n=x.shape[axis], axis=axis)
    close(back.signal, x)


def test_arguments_are_left_as_they_were():
    x, m = draw((2, 64))
    before = x.copy(), m.copy()
    dft_lrp(x, multiplier=m)
    stft_lrp(x, multiplier=m, n_fft=16, hop=4)
    stft_lrp(x, x * m, n_fft=16, hop=4, layout="full")
    y = fft.rfft(x)
    kept = y.copy()
    inverse_dft_lrp(y, np.abs(y))
    np.testing.assert_array_equal((x, m), before)
    np.testing.assert_array_equal(y, kept)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_single_precision_stays_single(layout):
    x, m = draw((2, 300)).astype(np.float32)
    narrow = (dft_lrp(x, x * m), stft_lrp(x, x * m, n_fft=64, hop=16, layout=layout))
    wide = [x.astype(float), (x * m).astype(float)]
    wider = (dft_lrp(*wide), stft_lrp(*wide, n_fft=64, hop=16, layout=layout))
    for low, high in zip(narrow, wider, strict=True):
        assert low.spectrum.dtype == np.complex64
        assert low.relevance.dtype == low.rest.dtype == low.phase.dtype == np.float32
        np.testing.assert_allclose(low.relevance, high.relevance, atol=2e-5)
    back = inverse_dft_lrp(narrow[0].spectrum, narrow[0].relevance)
    assert back.signal.dtype == back.relevance.dtype == back.rest.dtype == np.float32
    domain = narrow[1].domain
    assert domain.synthesis(domain.analysis(x)).dtype == np.float32


def test_integers_and_lists_are_computed_in_double_precision():
    result = dft_lrp([1, 2, 3, 4], [1, 0, 0, 1])
    assert result.relevance.dtype == float
    assert result.relevance.sum() == pytest.approx(2)
    mixed = dft_lrp(np.ones(4, np.float32), np.ones(4))
    assert mixed.relevance.dtype == float


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("n_fft", "hop"), [(16, 4), (15, 4), (16, 5)])
def test_the_length_of_a_signal_follows_from_its_frames(n_fft, hop, boundary):
    for n in range(16, 60):
        stft = Stft(n, "hamming", n_fft, hop, boundary=boundary)
        y = stft.analysis(draw(n))
        where = {"window": "hamming", "n_fft": n_fft, "hop": hop, "boundary": boundary}
        found = len(inverse_stft_lrp(y, np.abs(y), **where).signal)
        assert abs(found - n) < hop
        assert len(inverse_stft_lrp(y, np.abs(y), n=n, **where).signal) == n


def test_a_masked_spectrum_gives_a_real_sound_of_the_same_length():
    x = draw(1000)
    stft = Stft(1000, **stft_for(8000))
    y = stft.analysis(x)
    sound = stft.synthesis((np.abs(y) > 1) * y)
    assert sound.shape == x.shape
    assert sound.dtype == float
    close(stft.synthesis(y), x)


@pytest.mark.parametrize("rate", [1, 100, 4000, 8000, 11025, 16000, 22050, 24000, 44100, 48000])
def test_display_settings_reconstruct_evenly_at_every_rate(rate):
    settings_ = stft_for(rate)
    n_fft, hop = settings_["n_fft"], settings_["hop"]
    assert n_fft % 4 == 0
    assert hop == n_fft // 4
    assert rate < 500 or n_fft / rate == pytest.approx(0.032, rel=0.12)
    W = Stft(5 * n_fft, **settings_).overlap
    np.testing.assert_allclose(W, W[0])
    assert {8000: 256, 16000: 512}.get(rate, n_fft) == n_fft


# ------------------------------------------------------------------------------------- bad input

GOOD = np.ones(1000)
SPECTRUM = np.ones((201, 8), complex)


def broken(value, index=(2, 7)):
    x = np.ones((3, 1000))
    x[index] = value
    return x


BAD = {
    "neither": (lambda: dft_lrp(GOOD), "exactly one"),
    "both": (lambda: dft_lrp(GOOD, GOOD, multiplier=GOOD), "exactly one"),
    "shapes": (lambda: dft_lrp(GOOD, GOOD[1:]), r"\(999,\).*\(1000,\)"),
    "complex signal": (lambda: dft_lrp(GOOD + 0j, GOOD), "signal is complex"),
    "complex relevance": (lambda: stft_lrp(GOOD, GOOD + 0j), "relevance is complex"),
    "text": (lambda: dft_lrp(["a"], ["b"]), "must be numbers"),
    "scalar": (lambda: dft_lrp(1.0, 1.0), "at least one sample"),
    "empty": (lambda: dft_lrp([], []), "at least one sample"),
    "nan": (lambda: dft_lrp(broken(np.nan), broken(1)), r"signal is nan at index \(2, 7\)"),
    "inf": (lambda: stft_lrp(broken(1), broken(-np.inf)), r"relevance is -inf at index \(2, 7\)"),
    "nan multiplier": (
        lambda: dft_lrp(GOOD, multiplier=broken(np.nan)[2]),
        "multiplier is nan at index 7",
    ),
    "nan spectrum": (lambda: inverse_dft_lrp(broken(np.nan), broken(1)), "spectrum is"),
    "ragged": (lambda: dft_lrp([[1, 2], [3]], GOOD), "signal is a ragged list"),
    "ragged multiplier": (lambda: dft_lrp(GOOD, multiplier=[[1, 2], [3]]), "multiplier is a ragg"),
    "ragged spectrum": (lambda: inverse_dft_lrp(GOOD, [[1, 2], [3]]), "relevance is a ragged list"),
    "no axis": (lambda: dft_lrp(GOOD, GOOD, axis=None), "axis is None"),
    "axes": (lambda: dft_lrp(GOOD, GOOD, axis=(0,)), "axis is \\(0,\\), but must be a whole"),
    "inverse axes": (lambda: inverse_dft_lrp(GOOD, GOOD, axis=0.5), "axis is 0.5"),
    "rate of text": (lambda: stft_for("a"), "rate is 'a'"),
    "window of nan": (lambda: stft_lrp(GOOD, GOOD, window=("gaussian", 0.0)), "not finite"),
    "axis": (lambda: dft_lrp(GOOD, GOOD, axis=1), "axis 1 does not exist"),
    "inverse axis": (lambda: inverse_dft_lrp(GOOD, GOOD, axis=-2), "axis -2 does not exist"),
    "hop": (lambda: stft_lrp(GOOD, GOOD, hop=401), "more than the window's 400"),
    "hop of short window": (lambda: stft_lrp(GOOD, GOOD, window=np.ones(80)), "window's 80"),
    "hop 0": (lambda: stft_lrp(GOOD, GOOD, hop=0), "hop is 0"),
    "fraction": (lambda: stft_lrp(GOOD, GOOD, hop=0.5), "whole number"),
    "silent window": (lambda: stft_lrp(GOOD, GOOD, window=np.zeros(400)), "all zero"),
    "empty window": (lambda: stft_lrp(GOOD, GOOD, window=()), "all zero"),
    "long window": (lambda: stft_lrp(GOOD, GOOD, window=np.ones(401)), "raise n_fft"),
    "nan window": (lambda: stft_lrp(GOOD, GOOD, window=[1, np.nan] * 200), "index 1"),
    "2-D window": (lambda: stft_lrp(GOOD, GOOD, window=np.ones((4, 4))), "one axis"),
    "unknown window": (lambda: stft_lrp(GOOD, GOOD, window="hand"), "'hand'"),
    "layout": (lambda: stft_lrp(GOOD, GOOD, layout="half"), "layout is 'half'"),
    "boundary": (lambda: stft_lrp(GOOD, GOOD, boundary="odd"), "boundary is 'odd'"),
    "full with s": (
        lambda: stft_lrp(GOOD, GOOD, layout="full", synthesis_window="hann"),
        "no synthesis window",
    ),
    "short signal": (lambda: stft_lrp(GOOD[:9], GOOD[:9], boundary=None), "boundary='zeros'"),
    "gaps": (lambda: stft_lrp(GOOD, GOOD, hop=400), "nearest hop that works is 378"),
    "gaps unpadded": (lambda: stft_lrp(GOOD, GOOD, hop=399, boundary=None), "nearest hop"),
    "gaps centred": (lambda: stft_lrp(GOOD, GOOD, hop=399, boundary="center"), "at sample"),
    "opposed windows": (
        lambda: stft_lrp(
            GOOD, GOOD, window=np.ones(3), synthesis_window=[1, 0, -1], n_fft=3, hop=1
        ),
        "no hop works",
    ),
    "n of bins": (lambda: inverse_dft_lrp(GOOD, GOOD, n=1000), "belongs to 1998 or 1999"),
    "bins": (lambda: inverse_stft_lrp(SPECTRUM[1:], SPECTRUM[1:]), r"\(\.\.\., 201, T\)"),
    "frames": (lambda: inverse_stft_lrp(SPECTRUM, SPECTRUM, n=99), "8 frames"),
    "1-D spectrum": (lambda: inverse_stft_lrp(GOOD, GOOD), "needs"),
    "length": (lambda: Dft(8).analysis(np.ones(9)), "length 8"),
    "coefficients": (lambda: Stft(1000).synthesis(np.ones((201, 3))), "length"),
    "n": (lambda: Dft(0), "at least 1"),
    "bool": (lambda: Dft(True), "whole number"),
    "rate": (lambda: stft_for(-1), "rate is -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case):
    call, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(
    window=st.sampled_from(["hann", "blackman", "boxcar", "cosine", "bartlett", "flattop"]),
    n_fft=st.integers(2, 40),
    excess=st.integers(-20, 10),
    boundary=st.sampled_from(["zeros", "center", None]),
    n=st.integers(40, 300),
)
def test_the_hop_that_is_advised_works(window, n_fft, excess, boundary, n):
    hop = max(1, n_fft + excess)
    try:
        Stft(n, window, n_fft, hop, boundary=boundary)
    except InputError as error:
        advised = int(str(error).rsplit(" ", 1)[1])
        assert advised != hop
        Stft(n, window, n_fft, advised, boundary=boundary)


@pytest.mark.parametrize("hop", [1, 5, 16, 20, 50, 300])
def test_an_analysis_needs_no_inverse_but_has_its_adjoint(hop):
    """<T x, y> = <x, T^T y> for hops with which no inverse exists; each frame is windowed rfft."""
    T = Analysis(203, "hann", 16, hop)
    x, y = draw((2, 203)), draw((2, *T.shape)) + 1j * draw((2, *T.shape), 1)
    np.testing.assert_allclose(inner(T.analysis(x), y, 2), inner(x, T.analysis_adjoint(y)))
    frames = np.lib.stride_tricks.sliding_window_view(x, 16, -1)[:, ::hop] * signal.windows.hann(
        16, sym=False
    )
    want = fft.rfft(frames, norm="ortho").swapaxes(-1, -2)
    np.testing.assert_allclose(T.analysis(x), want, atol=1e-14)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_overflows_is_refused_in_one_line(tmp_path, dtype, streamed):
    huge, one = np.full(400, np.finfo(dtype).max / 2, dtype), np.ones(400, dtype)
    root = np.full(400, np.sqrt(np.finfo(dtype).max), dtype)
    out = {"out": tmp_path / "out"} if streamed else {}
    for x, m in ((huge, one), (one, huge), (root, root)):
        with pytest.raises(InputError, match=f"overflows {np.dtype(dtype)}.*scale it down"):
            stft_lrp(x, multiplier=m, n_fft=64, hop=16, **out)
        assert not (tmp_path / "out").exists()
        with pytest.raises(InputError, match="overflows"):
            dft_lrp(x, multiplier=m)
    with pytest.raises(InputError, match="overflows"):
        inverse_dft_lrp(root, multiplier=root)


def test_large_finite_relevance_is_kept_though_its_sum_overflows():
    x, m = np.zeros((2, 400))
    x[0], m[0] = 1e154, 9e153
    R = dft_lrp(np.stack([x] * 40), multiplier=np.stack([m] * 40)).relevance
    assert np.isfinite(R).all()
    np.testing.assert_allclose(R.sum(axis=-1), 9e307)


def test_uncovered_edges_are_rest_and_never_divided_by():
    """An unpadded Blackman window of 2048 at hop 512 reaches W = 1e-34."""
    x, m = draw((2, 8192))
    result = stft_lrp(x, multiplier=m, window="blackman", n_fft=2048, hop=512, boundary=None)
    assert np.abs(result.relevance).sum() < 10 * np.abs(x * m).sum()
    W = result.domain.overlap
    uncovered = 1e-4 * W.max() >= W
    assert uncovered[0]
    assert result.rest == pytest.approx((x * m)[uncovered].sum())
    assert gap(result, x * m) < 1e-10


def test_import_is_cheap():
    code = "import sys, dftlrp.spectral; print([m for m in sys.modules if m.startswith('scipy')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
