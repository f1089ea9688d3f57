"""What front ends are made of: windows and mel filters, from settings; they carry no relevance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dftlrp.core.types import AnyArray
from dftlrp.ops.registry import At, stop


def _typed(at: At, y: AnyArray) -> AnyArray:
    """In the dtype asked for; floats in the one that is computed in."""
    import onnx

    dtype = onnx.helper.tensor_dtype_to_np_dtype(at.attr("output_datatype", 1))
    return y.astype(dtype) if dtype.kind in "iu" else y


def _window(a: float, b: float) -> Callable[[At], AnyArray]:
    """``a - b cos p + (1 - a - b) cos 2p``, p from 0 to 2 pi, its end left out if periodic."""

    def evaluate(at: At) -> AnyArray:
        (size,) = at.grant([int(np.ravel(at.x)[0])])
        steps = size if at.attr("periodic", 1) else max(size - 1, 1)
        p = 2 * np.pi * np.arange(size) / steps
        return _typed(at, a - b * np.cos(p) + (1 - a - b) * np.cos(2 * p))

    return evaluate


def _mel_edges(bands: int, length: int, rate: int, low: float, high: float) -> AnyArray:
    """Bins of the spectrum where the triangles begin, peak and end.

    The step is ONNX's own: the mel range over bands + 2, so the last band ends below ``high``.
    """
    first, last = (2595 * np.log10(1 + f / 700) for f in (low, high))
    mel = first + np.arange(bands + 2) * (last - first) / (bands + 2)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    edges: AnyArray = np.floor((length + 1) * hertz / rate)
    return edges


def _mel_weights(at: At) -> AnyArray:
    """Triangles (bins, bands) with peak 1."""
    bands, length, rate, low, high = (np.ravel(a)[0].item() for a in at.args)
    edges = _mel_edges(bands, length, rate, low, high)
    bins = np.arange(at.grant([length // 2 + 1, bands])[0])[:, None]
    begin, peak, end = edges[:-2], edges[1:-1], edges[2:]
    rise = np.where(peak > begin, (bins - begin) / np.maximum(peak - begin, 1), bins == peak)
    fall = np.where(end > peak, (end - bins) / np.maximum(end - peak, 1), 0)
    inside = (bins >= begin) & (bins < np.maximum(end, peak + 1))
    return _typed(at, np.where(inside, np.where(bins <= peak, rise, fall), 0.0))


stop("HannWindow", evaluate=_window(0.5, 0.5))
stop("HammingWindow", evaluate=_window(25 / 46, 21 / 46))
stop("BlackmanWindow", evaluate=_window(0.42, 0.5))
stop("MelWeightMatrix", evaluate=_mel_weights)
