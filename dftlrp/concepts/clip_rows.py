"""One row for each recording of a folder: what the model said, and what the explanation found.

A row is flat: text, numbers, yes or no, or nothing, of one type in each column, so that a table of
them fits a data frame or a Parquet file.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dftlrp.concepts.recordings import Item
from dftlrp.results.explanation import Explanation
from dftlrp.results.questions import TABLES, list_rows
from dftlrp.results.report.sentences import list_scores, list_warnings
from dftlrp.results.words import find_score

ClipRow = dict[str, Any]

COLUMNS: dict[str, str] = {  # by name, what each is; docs/guides/folders.md says it to users
    "file": "name of the recording: its path in the folder, the table, or the folder common to all",
    "clip": "folder with its explanation, below the folder of the results",
    "error": "why it could not be explained; all else but the next four is then missing",
    "label": "the class that the recording is said to be of",
    "label_index": "index of that class",
    "seconds": "duration of the recording",
    "rate": "its sampling rate, in hertz",
    "channels": "its channels",
    "sha256": "SHA-256 of the file",
    "prediction": "the class with the largest output",
    "prediction_index": "its index",
    "right": "whether that is the label",
    "confidence": "its share: the model's own output if that lies in [0, 1], otherwise softmax",
    "score": "its score: the output that is explained, before a final softmax or sigmoid",
    "margin": "by how much its score exceeds the next one; of a single output in [0, 1], |2 p - 1|",
    "wrong_by": "by how much its score exceeds that of the label; 0 where the prediction is right",
    "target": "the class that is explained",
    "target_score": "its score",
    "band_low": "lower end of the band of frequency with most relevance for the target, in hertz",
    "band_high": "upper end",
    "band_share": "its share of the sum of the relevance",
    "segment_start": "start of the segment of time with most relevance for the target, in seconds",
    "segment_stop": "end",
    "segment_share": "its share of the sum of the relevance",
    "gap": "largest error of the account of relevance, as a share",
    "warnings": "what to know before believing the explanation, separated by ' | '",
}
UNITS = {"bands": ("band_low", "band_high", "band_share"),
         "segments": ("segment_start", "segment_stop", "segment_share")}  # fmt: skip


def start_row(item: Item, folder: str) -> ClipRow:
    """Return the row of a recording of which only the header is known."""
    header = item.header
    return make_row(
        file=item.name, clip=folder, label=item.label or None,
        label_index=item.index if item.index >= 0 else None,
        seconds=header.frames / header.rate if header.rate else None,
        rate=header.rate, channels=header.channels, sha256=header.sha256,
    )  # fmt: skip


def make_row(**known: Any) -> ClipRow:
    """Return a row with all columns; numbers that are not finite are left out."""
    row = dict.fromkeys(COLUMNS) | {name: clean_value(value) for name, value in known.items()}
    assert len(row) == len(COLUMNS)
    return row


def clean_value(value: Any) -> Any:
    """Return a value as UTF-8 and JSON can hold it."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fill_row(row: Mapping[str, Any], e: Explanation) -> ClipRow:
    """Return the row of a recording with what its explanation says."""
    known = {
        **_describe_prediction(e, row["label_index"]),
        "target": e.label,
        "target_score": find_score(e),
        **_find_strongest(e),
        "gap": float(e.ledger.gap) if e.ledger.has_layers else None,
        "warnings": " | ".join(list_warnings(e)) or None,
    }
    return make_row(**{**row, **known})


def _describe_prediction(e: Explanation, label: int | None) -> dict[str, Any]:
    """Return the prediction beside the label."""
    names, values, shares, _ = list_scores(e)
    best = int(values.argmax())
    score, share = float(values[best]), None if shares is None else float(shares[best])
    found: dict[str, Any] = {
        "prediction": names[best],
        "prediction_index": best,
        "score": score,
        "confidence": share,
    }
    if len(values) == 1:
        return found | _judge_single(share, label)
    others = [float(v) for i, v in enumerate(values) if i != best]
    found["margin"] = score - max(others)
    if label is not None and label < len(values):
        found |= {"right": best == label, "wrong_by": score - float(values[label])}
    return found


def _judge_single(share: float | None, label: int | None) -> dict[str, Any]:
    """Return how sure and right a model with one output is; label 1 means that it should be on."""
    if share is None:
        return {}
    margin = abs(2 * share - 1)
    if label is None:
        return {"margin": margin}
    right = (share >= 0.5) == (label == 1)
    return {"margin": margin, "right": right, "wrong_by": 0.0 if right else margin}


def _find_strongest(e: Explanation) -> dict[str, float]:
    """Return band and segment with most relevance for the target, of all channels together."""
    found = dict[str, float]()
    for what, columns in UNITS.items():
        if TABLES[what].name in e.relevance:
            row = max(list_rows(e, what, None), key=lambda row: row.relevance)
            if row.relevance > 0:
                found |= zip(columns, (row.start, row.stop, row.share), strict=True)
    return found


def write_lines(rows: Sequence[ClipRow]) -> str:
    """Return rows as JSON, one a line."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def write_table(rows: Sequence[ClipRow]) -> str:
    """Return rows as CSV with a header; nothing where a value is missing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([json.dumps(v) if isinstance(v, bool) else v for v in row.values()])
    return text.getvalue()


def find_accuracy(rows: Sequence[ClipRow]) -> tuple[int, int]:
    """Return how many predictions are right, and how many recordings have a label."""
    judged = [row["right"] for row in rows if row["right"] is not None]
    return sum(judged), len(judged)


def rank_wrong(rows: Sequence[ClipRow]) -> list[int]:
    """Return the places of rows whose prediction is wrong, the most wrong first."""
    wrong = [k for k, row in enumerate(rows) if row["right"] is False]
    return sorted(wrong, key=lambda k: -rows[k]["wrong_by"])


def rank_uncertain(rows: Sequence[ClipRow]) -> list[int]:
    """Return the places of rows, the least certain first; of those whose margin is known."""
    known = [k for k, row in enumerate(rows) if row["margin"] is not None]
    return sorted(known, key=lambda k: rows[k]["margin"])
