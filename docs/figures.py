"""Figures in tutorials, as a notebook shows them."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

import dftlrp


def show_last_value(block: Any, told: dict[str, Any], gallery: dict[str, Any]) -> str:
    """Return the text that shows a figure, where one is the last value of a block.

    The first explanation that is shown gives the tutorial its small picture in the gallery, if no
    figure stands before it.
    """
    last, before = told["example_globals"].get("___"), told.get("shown")  # sphinx-gallery's name
    if last is before or not isinstance(last, Figure | dftlrp.Explanation):
        return ""
    if before is not None and not isinstance(last, Figure):
        return ""
    told["shown"] = last
    path = next(told["image_path_iterator"])
    figure = last if isinstance(last, Figure) else last.plot()
    figure.savefig(path, dpi=150)
    return str(figure_rst([path], gallery["src_dir"])) if figure is last else ""
