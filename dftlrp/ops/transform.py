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
from dftlrp.ops.common import lay_along, make_axis_key
from dftlrp.ops.fourier import Pair, apply_dft
from dftlrp.ops.registry import At, register_affine
from dftlrp.spectral.frames import Analysis

SOURCE = "DFT-LRP, Vielhaben et al. 2023"


def _split_complex(y: Array) -> Array:
    """Return complex numbers (...) as reals (..., 2)."""
    return np.stack([y.real, y.imag], axis=-1)


def _join_complex(y: Array) -> Array:
    """Return reals (..., 2) as complex numbers (...)."""
    return y[..., 0] + 1j * y[..., 1]


def _read_signal(x: Array) -> Array:
    """Return a signal (..., 1) or (..., 2), real and imaginary part, as numbers (...)."""
    return x[..., 0] if x.shape[-1] == 1 else _join_complex(x)


def _write_signal(v: Array, like: Array) -> Array:
    """Return numbers (...) in the shape of ``like``; a real signal has no imaginary part."""
    return v.real[..., None] if like.shape[-1] == 1 else _split_complex(v)


def _fit_length(v: Array, n: int, axis: int) -> Array:
    """Return v cut or padded with zeros at the end of an axis, which is its own transpose."""
    v = v[make_axis_key(axis, slice(n))]
    return np.pad(v, [(0, n - v.shape[axis] if i == axis else 0) for i in range(v.ndim)])


class Fourier(NamedTuple):
    """``V = F v`` along an axis, v cut or padded to n samples, as real maps of (re, im)."""

    n: int
    axis: int
    inverse: bool
    onesided: bool

    @property
    def half(self) -> int:
        """The number of coefficients that half a spectrum has."""
        return self.n // 2 + 1

    @property
    def kept(self) -> int:
        """The number of coefficients, or samples, that a DFT node makes."""
        return self.half if self.onesided and not self.inverse else self.n

    @property
    def completes(self) -> bool:
        """Whether a real signal is made of half a spectrum."""
        return self.inverse and self.onesided

    def weigh_half(self) -> AnyArray:
        """Return the weights of half a spectrum: 1 at DC and (even n) Nyquist, else 2."""
        weight = np.full(self.half, 2.0)
        weight[[0, -1] if self.n % 2 == 0 else [0]] = 1
        return weight

    def apply(self, v: Array) -> Array:
        """Return the coefficients of v."""
        from scipy import fft

        f = fft.ifft if self.inverse else fft.fft
        return _fit_length(
            f(_fit_length(v, self.n, self.axis), axis=self.axis), self.kept, self.axis
        )

    def apply_adjoint(self, r: Array, size: int) -> Array:
        """Return the conjugate transpose of r, with that many samples."""
        from scipy import fft

        r = _fit_length(r, self.n, self.axis)
        if self.inverse:
            v = fft.fft(r, axis=self.axis) / self.n
        else:
            v = self.n * fft.ifft(r, axis=self.axis)
        return _fit_length(v, size, self.axis)


# -- STFT


def _frame_any(at: At, hop: int, taps: Array) -> Affine:
    """Return frames times window, then DFT, of real or complex signals, one-sided or not."""
    x, n = at.x, len(taps)
    starts = np.arange(0, x.shape[1] - n + 1, hop)
    at.grant([*x.shape[:1], len(starts), 2 * n])
    index = starts[:, None] + np.arange(n)
    f = Fourier(n, 2, inverse=False, onesided=bool(at.get_attr("onesided", 1)))

    def transpose(r: Array) -> Array:
        v = f.apply_adjoint(_join_complex(r), n) * taps
        out = np.zeros(x.shape[:2], v.dtype)
        for start, frame in zip(starts, v.swapaxes(0, 1), strict=True):
            out[:, start : start + n] += frame
        return _write_signal(out, x)

    return Affine(
        lambda _, xs: _split_complex(f.apply(_read_signal(xs[0])[:, index] * taps)),
        lambda _, r: (transpose(r),),
    )


def _frame_real(at: At, hop: int, taps: Array) -> Affine:
    """Return the usual form of `_frame_any`, in blocks that stay in the cache."""
    domain = Analysis(at.x.shape[1], taps, len(taps), hop)
    scale = math.sqrt(len(taps))  # ONNX's transform is not orthonormal

    def transpose(r: Array) -> Array:
        return scale * domain.analysis_adjoint(_join_complex(r).swapaxes(-1, -2))[..., None]

    return Affine(
        lambda _, xs: scale * _split_complex(domain.analysis(xs[0][..., 0]).swapaxes(-1, -2)),
        lambda _, r: (transpose(r),),
    )


def _frame_by_products(at: At, hop: int, taps: Array) -> Affine:
    """Return the same as a convolution with windowed waves, for arrays that no FFT takes.

    Real and imaginary part are its channels.
    """
    bk, n, (batch, length, parts) = at.bk, len(taps), at.x.shape
    kept = n // 2 + 1 if at.get_attr("onesided", 1) else n
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


@register_affine("STFT", weighted=False)
def stft(at: At) -> Affine:
    """Frames times window, then DFT: (batch, n, 1 or 2) to (batch, T, K, 2)."""
    hop, window, length = (at.get_arg(i) for i in (1, 2, 3))
    n_fft = len(window) if length is None else int(np.ravel(length)[0])
    at.grant([n_fft])
    taps = np.ones(n_fft, at.x.dtype) if window is None else window
    step = int(np.ravel(hop)[0])
    if step < 1 or not 1 <= n_fft <= at.x.shape[1]:
        raise ValueError(f"frames of {n_fft} samples, every {step}, of {at.x.shape[1]} samples")
    at.grant([at.x.shape[0], (at.x.shape[1] - n_fft) // step + 1, 2 * n_fft])
    if not at.bk.numbers:
        return _frame_by_products(at, step, taps)
    usual = at.x.shape[-1] == 1 and at.get_attr("onesided", 1)
    return (_frame_real if usual else _frame_any)(at, step, taps)


# -- DFT


def _read_fourier(at: At) -> Fourier:
    """Return the geometry of a DFT node."""
    axis = at.read_axes(at.get_setting(2, "axis", 1 if at.node.opset < 20 else -2))[0]
    onesided, inverse = bool(at.get_attr("onesided", 0)), bool(at.get_attr("inverse", 0))
    size = at.x.shape[axis]
    samples = 2 * (size - 1) if onesided and inverse else size
    n = int(np.ravel(at.get_setting(1, "dft_length", samples))[0])
    at.grant([at.x.size // max(size, 1), 2 * n])
    return Fourier(n, axis, inverse, onesided)


@register_affine("DFT", weighted=False)
def dft(at: At) -> Affine:
    """The DFT along one axis: (..., n, ..., 1 or 2) to (..., K, ..., 2)."""
    f = _read_fourier(at)
    if not at.bk.numbers:
        return _transform_by_matrices(at, f)
    if f.completes:
        return _complete_half(at, f)
    size = at.x.shape[f.axis]
    return Affine(
        lambda _, xs: _split_complex(f.apply(_read_signal(xs[0]))),
        lambda _, r: (_write_signal(f.apply_adjoint(_join_complex(r), size), at.x),),
    )


def _complete_half(at: At, f: Fourier) -> Affine:
    """Return the map from half a spectrum to a real signal: (..., K, ..., 2) to (..., n, ..., 1).

    The transpose is the one-sided DFT times w / n, w = 1 at DC and (even n) Nyquist, else 2.
    """
    from scipy import fft

    weight = lay_along(f.weigh_half(), f.axis, at.x.ndim - 1) / f.n
    size = at.x.shape[f.axis]

    def transpose(r: Array) -> Array:
        v = weight * fft.rfft(r[..., 0], axis=f.axis)
        return _write_signal(_fit_length(v, size, f.axis), at.x)

    return Affine(
        lambda _, xs: fft.irfft(_read_signal(xs[0]), f.n, axis=f.axis)[..., None],
        lambda _, r: (transpose(r),),
    )


def _transform_by_matrices(at: At, f: Fourier) -> Affine:
    """Return the same by matrix products, for arrays that no FFT takes."""
    bk, x, n, size = at.bk, at.x, f.n, at.x.shape[f.axis]
    sign = 1 if f.inverse else -1
    weight = np.full(n, 1.0 / n if f.inverse else 1.0)
    used = min(size, f.half if f.completes else n)  # coefficients of x that count
    if f.completes:
        weight = np.pad(f.weigh_half(), (0, n - f.half)) / n
    order = (*(i for i in range(x.ndim - 1) if i != f.axis), f.axis)
    back = tuple(int(i) for i in np.argsort(order))

    def take(v: Array, samples: int) -> Pair:
        """Return the parts with the axis last, cut or padded to n."""
        keys = (make_axis_key(v.ndim - 1, slice(p, p + 1)) for p in range(v.shape[-1]))
        parts = (bk.reshape(bk.slice(v, key), v.shape[:-1]) for key in keys)
        return Pair(*(_fit_last(bk, bk.transpose(p, order), samples, n) for p in parts))

    def give(y: Pair, samples: int, length: int, parts: int) -> Array:
        """Return the parts next to each other again, cut to samples, padded to a length."""
        fitted = [bk.transpose(_fit_last(bk, p, samples, length), back) for p in y[:parts]]
        return bk.concat(tuple(bk.reshape(p, (*p.shape, 1)) for p in fitted), x.ndim - 1)

    def linear(v: Array) -> Array:
        scaled = take(v, used).map(lambda p: p * weight)
        return give(apply_dft(bk, scaled, sign), f.kept, f.kept, 1 if f.completes else 2)

    def transpose(r: Array) -> Array:
        scaled = apply_dft(bk, take(r, f.kept), -sign).map(lambda p: p * weight)
        return give(scaled, used, size, x.shape[-1])

    return Affine(lambda _, xs: linear(xs[0]), lambda _, r: (transpose(r),))


def _fit_last(bk: Backend, v: Array, samples: int, length: int) -> Array:
    """Return the first samples of the last axis, with zeros behind them up to a length."""
    v = bk.slice(v, make_axis_key(v.ndim - 1, slice(0, samples)))
    return bk.pad(v, (*((0, 0),) * (v.ndim - 1), (0, length - samples)))
