"""In-graph transforms: STFT and DFT of real signals are `Affine`, exact and without weights.

A rule that needs weights cannot stand here; with epsilon = 0 this is DFT-LRP
(arXiv 2303.06365) in the direction from the coefficients to the signal.
"""

from __future__ import annotations

import math

import numpy as np

from dftlrp.linear import Affine, Array
from dftlrp.ops.registry import At, affine
from dftlrp.spectral.domains import Dft
from dftlrp.spectral.frames import Analysis
from dftlrp.types import UnsupportedModelError


def _split(Y: Array) -> Array:
    """Complex (...) to real (..., 2)."""
    return np.stack([Y.real, Y.imag], axis=-1)


def _joined(y: Array) -> Array:
    """Real (..., 2) to complex (...)."""
    return y[..., 0] + 1j * y[..., 1]


def _real_input(at: At) -> None:
    if at.x.shape[-1] != 1:
        raise UnsupportedModelError(
            f"node {at.node.key!r} ({at.node.op}): its input is complex; only real signals go here"
        )


@affine("STFT", weighted=False)
def stft(at: At) -> Affine:
    """Frames times window, then DFT: (batch, n, 1) to (batch, T, K, 2)."""
    _real_input(at)
    if not at.attr("onesided", 1):
        raise UnsupportedModelError(f"node {at.node.key!r} (STFT): only onesided=1 is supported")
    hop, window, length = (at.arg(i) for i in (1, 2, 3))
    n_fft = int(length) if length is not None else len(window)
    taps = np.ones(n_fft) if window is None else window
    domain = Analysis(at.x.shape[1], taps, n_fft, int(hop))
    scale = math.sqrt(n_fft)  # ONNX's transform is not orthonormal
    return Affine(
        lambda _, xs: scale * _split(domain.analysis(xs[0][..., 0]).swapaxes(-1, -2)),
        lambda _, r: (scale * domain.analysis_adjoint(_joined(r).swapaxes(-1, -2))[..., None],),
    )


@affine("DFT", weighted=False)
def dft(at: At) -> Affine:
    """DFT of a real signal along one axis: (..., n, ..., 1) to (..., K, ..., 2)."""
    _real_input(at)
    if at.attr("inverse", 0):
        raise UnsupportedModelError(f"node {at.node.key!r} (DFT): the inverse is not supported")
    axis = int(at.setting(2, "axis", 1 if at.node.opset < 20 else -2)) % at.x.ndim
    length = at.arg(1)
    n = at.x.shape[axis]
    if length is not None and int(length) != n:
        raise UnsupportedModelError(
            f"node {at.node.key!r} (DFT): dft_length must be {n}, the signal's"
        )
    domain, scale = Dft(n, onesided=bool(at.attr("onesided", 0))), math.sqrt(n)

    def linear(x: Array) -> Array:
        return _split(
            scale * np.moveaxis(domain.analysis(np.moveaxis(x[..., 0], axis, -1)), -1, axis)
        )

    def back(r: Array) -> Array:
        g = np.moveaxis(_joined(r), axis, -1)
        return np.moveaxis(scale * domain.analysis_adjoint(g), -1, axis)[..., None]

    return Affine(lambda _, xs: linear(xs[0]), lambda _, r: (back(r),))
