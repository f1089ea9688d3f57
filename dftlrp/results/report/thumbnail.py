"""A small picture of one explanation among many, from the same numbers as its large ones."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from dftlrp.core.types import AnyArray, Real
from dftlrp.results.points import limit_colours
from dftlrp.results.report.shown import Shown
from dftlrp.results.report.still import AUDIO_HZ, draw_still, paint_cells, write_png
from dftlrp.spectral.mel import hertz_to_mel

SMALL = (32, 96)  # pixels at most, of a plane


def draw_thumbnail(shown: Shown) -> str:
    """Return one domain, all channels together, as a small SVG without axes."""
    if len(shown.edges) == 1:
        return draw_still(shown, 0, 0, False)
    upwards = shown.labels[0][1] == "Hz"
    places = [
        _bend_axis(edges, unit) for edges, (_, unit) in zip(shown.edges, shown.labels, strict=True)
    ]
    blocks = [_find_blocks(at, most) for at, most in zip(places, SMALL, strict=True)]
    relevance = _add_blocks(np.sum(shown.relevance[0], axis=0), blocks)
    areas = _add_blocks(np.ones_like(shown.signal[0]), blocks)
    level = _add_blocks(np.mean(shown.signal, axis=0), blocks) / areas
    flip = slice(None, None, -1 if upwards else 1)
    image = paint_cells(level[flip], relevance[flip] / limit_colours([relevance]))
    uri = "data:image/png;base64," + base64.b64encode(write_png(image)).decode()
    height, width = image.shape[:2]
    size = f'width="{width}" height="{height}" preserveAspectRatio="none"'
    return (
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<image href="{uri}" {size}/></svg>'
    )


def _bend_axis(edges: Real, unit: str) -> Real:
    """Return edges from 0 on; of frequencies as they are heard, on the mel scale."""
    low = np.maximum(edges, 0.0)
    return hertz_to_mel(low) if unit == "Hz" and float(edges[-1]) >= AUDIO_HZ / 2 else low


def _find_blocks(at: Real, most: int) -> tuple[AnyArray, AnyArray]:
    """Return the first cell of each pixel, and the one behind its last; none is empty."""
    count = len(at) - 1
    ends = np.linspace(float(at[0]), float(at[-1]), min(count, most) + 1)
    cells = np.clip(np.searchsorted(at, ends, side="right") - 1, 0, count - 1)
    cells[-1] = count
    return cells[:-1], np.maximum(cells[1:], cells[:-1] + 1)


def _add_blocks(values: Real, blocks: Sequence[tuple[AnyArray, AnyArray]]) -> Real:
    """Return the sum of each block of cells, one axis after the other."""
    for axis, (first, behind) in enumerate(blocks):
        sums = np.insert(np.cumsum(values, axis=axis), 0, 0.0, axis=axis)
        values = np.take(sums, behind, axis=axis) - np.take(sums, first, axis=axis)
    return values
