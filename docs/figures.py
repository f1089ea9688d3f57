"""Figures in tutorials: one that is the last value of a block is shown, as in a notebook."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def show_last_value(block: Any, told: dict[str, Any], gallery: dict[str, Any]) -> str:
    """Return the text that shows the figure, or nothing if the last value is none."""
    last = told["example_globals"].get("___")  # sphinx-gallery's name for it
    if not isinstance(last, Figure) or last is told.get("shown"):
        return ""
    told["shown"] = last
    path = next(told["image_path_iterator"])
    last.savefig(path, dpi=150)
    return str(figure_rst([path], gallery["src_dir"]))
