"""The result of `dftlrp.explain_recording`: a long recording, to print and to store."""

from __future__ import annotations

import csv
import io
import os
from functools import partial
from pathlib import Path

from dftlrp.results.explanation import Explanation
from dftlrp.results.report.timeline_page import render_timeline
from dftlrp.results.saving import (
    Files,
    check_figure,
    list_files,
    list_sounds,
    write_figure,
    write_results,
    write_text,
)
from dftlrp.results.timeline_data import Heard, TimelineData

SHOWN = 12  # windows in a printed table


class Timeline(TimelineData[Explanation]):
    """What a model says along a recording; explanations of the windows where it says most.

    A sequence of `dftlrp.Explanation`, the strongest window first.  Times are those of the
    recording.  `dftlrp.results.timeline_data.TimelineData` describes every attribute.
    """

    def write_csv(self) -> str:
        """Return all windows as a table: start, stop, label, score, and each class's output."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        count = 0 if self.outputs is None else self.outputs.shape[1]
        names = self.labels if len(self.labels) == count else tuple(map(str, range(count)))
        writer.writerow((*Heard._fields, *names))
        for k, row in enumerate(self.windows()):
            writer.writerow((*row, *([] if self.outputs is None else map(float, self.outputs[k]))))
        return buffer.getvalue()

    def save(self, folder: str | os.PathLike[str], figure: str | None = None) -> list[Path]:
        """Write a page, the table of all windows, and the files of each explained one.

        ``report.html``, ``timeline.csv``; and of the strongest window ``1-explanation.npz``,
        ``1-resynthesis.wav`` and so on, as `Explanation.save` writes them; with
        ``figure="png"`` or ``"svg"`` also a figure of each.

        Returns
        -------
        list of Path
            The files, the report first.

        Raises
        ------
        InputError
            As of `Explanation.save`.
        """
        check_figure(figure)
        files: Files = {
            "report.html": partial(write_text, text=partial(render_timeline, self)),
            "timeline.csv": partial(write_text, text=self.write_csv),
        }
        sounds = list_sounds(self.explanations)
        for k, (one, kinds) in enumerate(zip(self, sounds, strict=True), 1):
            files |= list_files(one, kinds, f"{k}-")
            if figure:
                files[f"{k}-figure.{figure}"] = partial(write_figure, [one])
        return write_results(files, folder)

    def __str__(self) -> str:
        lines = [f"  {w.start:9.2f} s  {w.label}: {w.score:.4g}" for w in self.explained()[:SHOWN]]
        head = (
            f"{self.name}: {self.duration:.2f} s in {len(self.starts)} windows of "
            f"{self.seconds:g} s; the strongest:"
        )
        return "\n".join([head, *lines])

    def __repr__(self) -> str:
        return str(self)
