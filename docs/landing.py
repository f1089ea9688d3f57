"""What the landing page shows: the first command's explanation, to see and to hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dftlrp

PAGE = Path(__file__).parent / "generated" / "seven.html"


def write_player(app: Any) -> None:
    """Write the explanation of the embedded clip as a notebook shows it."""
    PAGE.parent.mkdir(exist_ok=True)
    shown = dftlrp.explain("waveform", dftlrp.embedded("clip"))._repr_html_()
    PAGE.write_text(shown, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Have it written before the pages are read."""
    app.connect("builder-inited", write_player)
    return {"parallel_read_safe": True}
