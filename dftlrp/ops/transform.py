"""In-graph transforms: STFT and DFT are `Affine`, exact and without weights.

A rule that needs weights cannot stand here; with epsilon = 0 this is DFT-LRP
(arXiv 2303.06365) in the direction from the coefficients to the signal.  A complex number is a
pair of reals on the last axis, and the transpose is that of the real map.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dftlrp.core.backend import Backend, Window
from dftlrp.core.maps import Affine, Array
from dftlrp.core.types import AnyArray
from dftlrp.ops.fourier import Pair, transform
from dftlrp.ops.registry import At, affine
from dftlrp.spectral.frames import Analysis


def _split(Y: Array) -> Array:
    """Complex (...) to real (..., 2)."""
    return np.stack([Y.real, Y.imag], axis=-1)


def _joined(y: Array) -> Array:
    """Real (..., 2) to complex (...)."""
    return y[..., 0] + 1j * y[..., 1]


def _complex(x: Array) -> Array:
    """A signal (..., 1) or (..., 2), real and imaginary part, as numbers (...)."""
    return x[..., 0] if x.shape[-1] == 1 else _joined(x)


def _parts(v: Array, like: Array) -> Array:
    """Numbers (...) as a signal in the shape of ``like``: a real one has no imaginary part."""
    return v.real[..., None] if like.shape[-1] == 1 else _split(v)


def _fitted(v: Array, n: int, axis: int) -> Array:
    """Cut or padded with zeros at the end of an axis: its own transpose."""
    v = v[(slice(None),) * axis + (slice(n),)]
    return np.pad(v, [(0, n - v.shape[axis] if i == axis else 0) for i in range(v.ndim)])


class Fourier(NamedTuple):
    """``V = F v`` along an axis, v cut or padded to n samples, as real maps of (re, im)."""

    n: int
    axis: int
    inverse: bool
    onesided: bool

    @property
    def kept(self) -> int:
        """How many coefficients stay."""
        return self.n // 2 + 1 if self.onesided else self.n

    def forward(self, v: Array) -> Array:
        """Coefficients of v."""
        from scipy import fft

        f = fft.ifft if self.inverse else fft.fft
        return _fitted(f(_fitted(v, self.n, self.axis), axis=self.axis), self.kept, self.axis)

    def backward(self, r: Array, size: int) -> Array:
        """The conjugate transpose, to that many samples."""
        from scipy import fft

        r = _fitted(r, self.n, self.axis)
        v = (
            fft.fft(r, axis=self.axis) / self.n
            if self.inverse
            else self.n * fft.ifft(r, axis=self.axis)
        )
        return _fitted(v, size, self.axis)


def _framed(at: At, hop: int, taps: Array) -> Affine:
    """Frames times window, then DFT, of real or complex signals, one-sided or not."""
    x, n = at.x, len(taps)
    starts = np.arange(0, x.shape[1] - n + 1, hop)
    at.grant([*x.shape[:1], len(starts), 2 * n])
    index = starts[:, None] + np.arange(n)
    f = Fourier(n, 2, inverse=False, onesided=bool(at.attr("onesided", 1)))

    def transpose(r: Array) -> Array:
        v = f.backward(_joined(r), n) * taps
        out = np.zeros(x.shape[:2], v.dtype)
        for start, frame in zip(starts, v.swapaxes(0, 1), strict=True):
            out[:, start : start + n] += frame
        return _parts(out, x)

    return Affine(
        lambda _, xs: _split(f.forward(_complex(xs[0])[:, index] * taps)),
        lambda _, r: (transpose(r),),
    )


def _real_framed(at: At, hop: int, taps: Array) -> Affine:
    """The usual form, in blocks that stay in the cache."""
    domain = Analysis(at.x.shape[1], taps, len(taps), hop)
    scale = math.sqrt(len(taps))  # ONNX's transform is not orthonormal
    return Affine(
        lambda _, xs: scale * _split(domain.analysis(xs[0][..., 0]).swapaxes(-1, -2)),
        lambda _, r: (scale * domain.analysis_adjoint(_joined(r).swapaxes(-1, -2))[..., None],),
    )


def _by_products(at: At, hop: int, taps: Array) -> Affine:
    """The same as a convolution with windowed waves, where no FFT takes the arrays.

    Real and imaginary part are its channels.
    """
    bk, n, (batch, length, parts) = at.bk, len(taps), at.x.shape
    kept = n // 2 + 1 if at.attr("onesided", 1) else n
    waves = np.exp(-2j * np.pi * np.outer(np.arange(kept), np.arange(n)) / n) * np.asarray(taps)
    each = [np.stack([v.real, v.imag], 1) for v in (waves, 1j * waves)[:parts]]
    w = np.stack(each, 2).reshape(-1, parts, n)
    g = Window((n,), (hop,), (1,), ((0, 0),))
    frames = (length - n) // hop + 1

    def linear(v: Array) -> Array:
        y = bk.transpose(bk.conv(bk.transpose(v, (0, 2, 1)), w, g), (0, 2, 1))
        return bk.reshape(y, (batch, frames, kept, 2))

    def transpose(r: Array) -> Array:
        rows = bk.transpose(bk.reshape(r, (batch, frames, len(w))), (0, 2, 1))
        return bk.transpose(bk.conv_T(rows, w, g, (length,)), (0, 2, 1))

    return Affine(lambda _, xs: linear(xs[0]), lambda _, r: (transpose(r),))


@affine("STFT", weighted=False)
def stft(at: At) -> Affine:
    """Frames times window, then DFT: (batch, n, 1 or 2) to (batch, T, K, 2)."""
    hop, window, length = (at.arg(i) for i in (1, 2, 3))
    n_fft = len(window) if length is None else int(np.ravel(length)[0])
    at.grant([n_fft])
    taps = np.ones(n_fft, at.x.dtype) if window is None else window
    step = int(np.ravel(hop)[0])
    if step < 1 or not 1 <= n_fft <= at.x.shape[1]:
        raise ValueError(f"frames of {n_fft} samples, every {step}, of {at.x.shape[1]} samples")
    at.grant([at.x.shape[0], (at.x.shape[1] - n_fft) // step + 1, 2 * n_fft])
    if not at.bk.numbers:
        return _by_products(at, step, taps)
    usual = at.x.shape[-1] == 1 and at.attr("onesided", 1)
    return (_real_framed if usual else _framed)(at, step, taps)


def _fourier(at: At) -> Fourier:
    """Geometry of a DFT node; a one-sided inverse makes a real signal of half a spectrum."""
    axis = at.setting(2, "axis", 1 if at.node.opset < 20 else -2)
    axis = at.axes(axis)[0]
    onesided, inverse = bool(at.attr("onesided", 0)), bool(at.attr("inverse", 0))
    size = at.x.shape[axis]
    samples = 2 * (size - 1) if onesided and inverse else size
    n = int(np.ravel(at.setting(1, "dft_length", samples))[0])
    at.grant([at.x.size // max(size, 1), 2 * n])
    return Fourier(n, axis, inverse, onesided)


@affine("DFT", weighted=False)
def dft(at: At) -> Affine:
    """DFT along one axis: (..., n, ..., 1 or 2) to (..., K, ..., 2)."""
    f = _fourier(at)
    if not at.bk.numbers:
        return _by_matrices(at, f)
    if f.inverse and f.onesided:
        return _real_inverse(at, f.n, f.axis)
    size = at.x.shape[f.axis]
    return Affine(
        lambda _, xs: _split(f.forward(_complex(xs[0]))),
        lambda _, r: (_parts(f.backward(_joined(r), size), at.x),),
    )


def _real_inverse(at: At, n: int, axis: int) -> Affine:
    """Half a spectrum to a real signal: (..., K, ..., 2) to (..., n, ..., 1).

    The transpose is the one-sided DFT times w / n, w = 1 at DC and (even n) Nyquist, else 2.
    """
    from scipy import fft

    weight = np.full(n // 2 + 1, 2.0)
    weight[[0, -1] if n % 2 == 0 else [0]] = 1
    weight = weight.reshape([-1 if i == axis else 1 for i in range(at.x.ndim - 1)]) / n
    size = at.x.shape[axis]
    return Affine(
        lambda _, xs: fft.irfft(_complex(xs[0]), n, axis=axis)[..., None],
        lambda _, r: (_parts(_fitted(weight * fft.rfft(r[..., 0], axis=axis), size, axis), at.x),),
    )


def _by_matrices(at: At, f: Fourier) -> Affine:
    """The same by matrix products, where no FFT takes the arrays."""
    bk, x, n, axis = at.bk, at.x, f.n, f.axis
    size, real = x.shape[axis], x.shape[-1] == 1
    kept = n if f.inverse and f.onesided else f.kept
    weight = np.full(n, 1.0 / n if f.inverse else 1.0)
    if f.inverse and f.onesided:  # half a spectrum stands for all of it
        size, weight = min(size, n // 2 + 1), _halved(n) / n
    sign = 1 if f.inverse else -1
    order = (*(i for i in range(x.ndim - 1) if i != axis), axis)
    back = tuple(int(i) for i in np.argsort(order))

    def taken(v: Array, samples: int) -> Pair:
        """Parts with the axis last, cut or padded to n."""
        parts = (
            bk.transpose(bk.reshape(bk.slice(v, _last(v, p)), v.shape[:-1]), order)
            for p in range(v.shape[-1])
        )
        return Pair(*(_fit(bk, p, samples, n) for p in parts))

    def given(y: Pair, samples: int, full: int, parts: int) -> Array:
        """Parts next to each other again, cut to samples, padded to full."""
        fitted = [bk.transpose(_fit(bk, p, samples, full), back) for p in y[:parts]]
        return bk.concat(tuple(bk.reshape(p, (*p.shape, 1)) for p in fitted), x.ndim - 1)

    def scaled(y: Pair) -> Pair:
        return Pair(*(None if p is None else p * weight for p in y))

    out = 1 if f.inverse and f.onesided else 2
    return Affine(
        lambda _, xs: given(transform(bk, scaled(taken(xs[0], size)), sign), kept, kept, out),
        lambda _, r: (
            given(
                scaled(transform(bk, taken(r, kept), -sign)),
                min(size, n),
                x.shape[axis],
                1 if real else 2,
            ),
        ),
    )


def _halved(n: int) -> AnyArray:
    """Weights of a one-sided spectrum: 1 at DC and (even n) Nyquist, else 2; 0 beyond."""
    weight = np.zeros(n)
    weight[: n // 2 + 1] = 2
    weight[[0, n // 2] if n % 2 == 0 else [0]] = 1
    return weight


def _last(v: Array, part: int) -> tuple[slice, ...]:
    return (*(slice(None),) * (v.ndim - 1), slice(part, part + 1))


def _fit(bk: Backend, v: Array, samples: int, n: int) -> Array:
    """The first samples of the last axis (n at most), with zeros behind them up to n."""
    lead, kept = v.ndim - 1, min(samples, n, v.shape[-1])
    v = bk.slice(v, (*(slice(None),) * lead, slice(0, kept)))
    return bk.pad(v, (*((0, 0),) * lead, (0, n - kept)))
