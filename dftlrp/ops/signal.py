"""What front ends are made of: windows and mel filters, from settings; they carry no relevance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dftlrp.core.types import AnyArray
from dftlrp.ops.registry import At, register_stop


def _cast_output(at: At, y: AnyArray) -> AnyArray:
    """Return y in the dtype asked for; floats stay in the one that is computed in."""
    import onnx

    dtype = onnx.helper.tensor_dtype_to_np_dtype(at.get_attr("output_datatype", 1))
    return y.astype(dtype) if dtype.kind in "iu" else y


def _make_window(a: float, b: float) -> Callable[[At], AnyArray]:
    """Return the evaluation of a window ``a - b cos p + (1 - a - b) cos 2p``.

    p goes from 0 to 2 pi, whose end is left out if the window is periodic.
    """

    def evaluate(at: At) -> AnyArray:
        (size,) = at.grant([int(np.ravel(at.x)[0])])
        steps = size if at.get_attr("periodic", 1) else max(size - 1, 1)
        p = 2 * np.pi * np.arange(size) / steps
        return _cast_output(at, a - b * np.cos(p) + (1 - a - b) * np.cos(2 * p))

    return evaluate


def _find_mel_edges(bands: int, length: int, rate: int, low: float, high: float) -> AnyArray:
    """Return the bins of the spectrum where the triangles begin, peak and end.

    The step is ONNX's own: the mel range over bands + 2, so the last band ends below ``high``.
    """
    first, last = (2595 * np.log10(1 + f / 700) for f in (low, high))
    mel = first + np.arange(bands + 2) * (last - first) / (bands + 2)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    edges: AnyArray = np.floor((length + 1) * hertz / rate)
    return edges


def _evaluate_mel_weights(at: At) -> AnyArray:
    """Return triangles (bins, bands) with peak 1."""
    bands, length, rate, low, high = (np.ravel(a)[0].item() for a in at.args)
    edges = _find_mel_edges(bands, length, rate, low, high)
    bins = np.arange(at.grant([length // 2 + 1, bands])[0])[:, None]
    begin, peak, end = edges[:-2], edges[1:-1], edges[2:]
    rise = np.where(peak > begin, (bins - begin) / np.maximum(peak - begin, 1), bins == peak)
    fall = np.where(end > peak, (end - bins) / np.maximum(end - peak, 1), 0)
    inside = (bins >= begin) & (bins < np.maximum(end, peak + 1))
    return _cast_output(at, np.where(inside, np.where(bins <= peak, rise, fall), 0.0))


register_stop("HannWindow", evaluate=_make_window(0.5, 0.5))
register_stop("HammingWindow", evaluate=_make_window(25 / 46, 21 / 46))
register_stop("BlackmanWindow", evaluate=_make_window(0.42, 0.5))
register_stop("MelWeightMatrix", evaluate=_evaluate_mel_weights)
