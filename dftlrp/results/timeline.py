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

    See Also
    --------
    explain_recording : Makes one.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(scale=0.01, size=8000 * 3)
    >>> found = dftlrp.explain_recording("waveform", noise, rate=8000, top=1)
    >>> len(found.windows()), len(found.explained())
    (5, 1)
    >>> found.relevance(np.array([0.0, 1.0, 2.0, 3.0])).shape
    (3,)
    >>> found.write_csv().splitlines()[0][:23]
    'start,stop,label,score,'
    >>> paths = found.save("along")
    >>> sorted(path.name for path in paths)[:2]
    ['1-bands.csv', '1-complement.wav']
    """

    def write_csv(self) -> str:
        """Return all windows as a table: start, stop, label, score, and each class's output.

        Returns
        -------
        str
            Comma-separated values, a line for each window, in the order of time.

        See Also
        --------
        dftlrp.results.timeline_data.TimelineData.windows : The same as tuples.
        """
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

        Parameters
        ----------
        folder : path
            As of `dftlrp.Explanation.save`.
        figure : {"png", "svg"}, optional
            Also draw a figure of each explained window.

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
