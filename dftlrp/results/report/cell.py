"""An explanation in a notebook: the page's pictures and player in a frame, and ten lines below.

The frame is sandboxed: its script knows nothing of the notebook, and the notebook's nothing of it.
It asks for no file and no address, so that it also plays in a viewer of saved notebooks; where
scripts do not run, it shows still pictures and plain players.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from dftlrp.core.types import DftlrpError
from dftlrp.results.brief import describe_briefly
from dftlrp.results.data import ExplanationData
from dftlrp.results.report import CELL, render

REST, TALL = 560, {"time": 190, "frequency": 130}  # pixels: of text and controls, of domains
PLANE, TALLEST = 265, 1700  # of any other domain; of the frame, which its corner makes larger


def render_cell(explanations: Sequence[ExplanationData]) -> str:
    """Return explanations of one recording as HTML for the cell of a notebook, below 1 MB.

    What cannot be drawn is said instead.
    """
    lines = "\n\n".join(map(describe_briefly, explanations))
    try:
        page = render(explanations, size=CELL)
    except DftlrpError as error:
        return f"<p>No picture: {html.escape(str(error))}</p>{_fold_lines(lines)}"
    return frame_page(page, lines, _find_height(explanations))


def frame_page(page: str, lines: str, height: int = 1000) -> str:
    """Return a self-contained page as HTML for a cell: in a frame, and what it is in lines below.

    The first line is the title; `height` is in pixels.
    """
    title = html.escape(lines.partition("\n")[0])
    style = f"width:100%;height:{height}px;border:0;resize:vertical"
    frame = f'<iframe sandbox="allow-scripts" title="{title}" style="{style}"'
    return f'{frame} srcdoc="{html.escape(page)}"></iframe>{_fold_lines(lines)}'


def _fold_lines(lines: str) -> str:
    told = html.escape(lines)
    title = told.partition("\n")[0]
    return f"<details><summary>In words: {title}</summary><pre>{told}</pre></details>"


def _find_height(explanations: Sequence[ExplanationData]) -> int:
    tall = [TALL.get(domain, PLANE) for domain in explanations[0].domains]
    return min(REST + sum(tall) * len(explanations), TALLEST)
