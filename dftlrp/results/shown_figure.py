"""A figure that a notebook shows as it is, without a magic line and without pyplot."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

DPI = 110


class ShownFigure(Figure):
    """A figure of matplotlib that is its own picture in a notebook."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()
