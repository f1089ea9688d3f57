"""The page of several explanations: a row for each recording, to sort, to filter and to follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dftlrp.concepts.clip_rows import ClipRow, find_accuracy, rank_uncertain, rank_wrong
from dftlrp.results.report import bundle_script, fill_page

if TYPE_CHECKING:
    from dftlrp.concepts.explanations import Explanations

PICTURE_BYTES = 12_000_000  # of the page; recordings behind that have no picture in it
FEW = 10  # of the presets
SCRIPT = ("clips/index",)


def render_index(
    found: Explanations, rows: Sequence[ClipRow], pictures: Mapping[str, str], model: str
) -> str:
    """Return the page, self-contained but for its links to the explanations.

    Parameters
    ----------
    rows : list of dict
        All, those with an error among them.
    pictures : dict of str to str
        An SVG by the name of each recording.
    model : str
        File name of the model.
    """
    good = found.rows
    right, judged = find_accuracy(good)
    drawn = _choose_pictures([row["file"] for row in good], pictures)
    ranks = {"wrong": rank_wrong(good)[:FEW], "uncertain": rank_uncertain(good)[:FEW]}
    return fill_page(
        "clips.html.j2",
        model=model,
        total=len(rows),
        good=len(good),
        right=right,
        judged=judged,
        few=FEW,
        wrong=len(good) and judged - right,
        sure=bool(ranks["uncertain"]),
        rows=[
            _describe_clip(row, drawn.get(row["file"], ""), {
                name: order.index(k) for name, order in ranks.items() if k in order
            })
            for k, row in enumerate(good)
        ],
        predictions=sorted({row["prediction"] for row in good}),
        labelled=any(row["label"] for row in good),
        unpictured=len(good) - len(drawn),
        skipped=found.skipped,
        notes=found.notes,
        script=bundle_script(SCRIPT),
    )  # fmt: skip


def _choose_pictures(names: Sequence[str], pictures: Mapping[str, str]) -> dict[str, str]:
    """Return the first pictures, as many as a page has room for."""
    drawn, size = dict[str, str](), 0
    for name in names:
        size += len(pictures[name])
        if size > PICTURE_BYTES:
            break
        drawn[name] = pictures[name]
    return drawn


def _describe_clip(row: ClipRow, picture: str, ranks: Mapping[str, int]) -> dict[str, Any]:
    """Return a row as the template shows it."""
    return {
        **row,
        "link": quote(f"{row['clip']}/report.html"),
        "picture": picture,
        "ranks": ranks,
        "band": _tell_span(row["band_low"], row["band_high"], "Hz"),
        "segment": _tell_span(row["segment_start"], row["segment_stop"], "s"),
    }


def _tell_span(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return "–"
    ends = [f"{v:.0f}" if unit == "Hz" and v >= 10 else f"{v:.3g}" for v in (low, high)]
    return f"{ends[0]} to {ends[1]}\N{NO-BREAK SPACE}{unit}"
