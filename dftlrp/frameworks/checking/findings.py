"""The findings of a check, as a table, as JSON and as an HTML page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from dftlrp.core.text import make_printable

KINDS = {
    "activations": "a layer of the native network, compared with the graph in float64",
    "gradient": "gradient x input, compared with the framework's autodiff",
    "rules": "a preset, or a rule in all layers: a backend compared with the float64 reference",
    "ledger": "relevance that is not accounted for",
}
HEAD = ("check", "layer", "compared with", "by", "deviation", "allowed", "")
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem }}
table {{ border-collapse: collapse }} td, th {{ padding: .2rem .8rem; text-align: left }}
tr.over {{ background: #fdd; color: #600 }} th {{ border-bottom: 1px solid }}
</style><h1>{title}</h1>{lines}<table><tr>{head}</tr>{rows}</table></html>
"""


@dataclass(frozen=True)
class Finding:
    """One comparison.

    Attributes
    ----------
    check : str
        One of `KINDS`.
    layer : str
        Name of the layer in the native network, or of the preset or rule.
    against : str
        Name of the value in the graph, or of the backend.
    by : str
        How the value was found: by its name, scope, numbers, or order.
    deviation, allowed : float
        Largest difference relative to the largest number (activations), relative L1 difference
        (relevance), or gap (ledger).  Infinite if shapes differ.
    """

    check: str
    layer: str
    against: str
    by: str
    deviation: float
    allowed: float

    @property
    def ok(self) -> bool:
        """Whether the deviation is at most the allowed one; False for NaN."""
        return self.deviation <= self.allowed


@dataclass(frozen=True)
class Check:
    """The result of `dftlrp.check`; print it to see a table.

    Attributes
    ----------
    model, native : str
        Names of what was checked, and of what it was compared with.
    findings : tuple of Finding
        Activations from input to output, then the other checks.
    notes : tuple of str
        What could not be compared, and why.

    See Also
    --------
    check : Makes one.

    Examples
    --------
    >>> import onnx
    >>> text = '<ir_version: 8, opset_import: ["": 17]> tiny (float[1, 4] x) => (float[1, 4] y) '
    >>> text += '{y = Relu(x)}'
    >>> onnx.save(onnx.parser.parse_model(text), "tiny.onnx")
    >>> found = dftlrp.check("tiny.onnx")
    >>> found.ok, found.first
    (True, None)
    >>> found.verdict[:21]
    'tiny.onnx agrees with'
    >>> sorted(found.to_dict())
    ['findings', 'first', 'model', 'native', 'notes', 'ok', 'verdict']
    >>> found.html()[:15]
    '<!doctype html>'
    """

    model: str
    native: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether all findings are within their limits."""
        return all(f.ok for f in self.findings)

    @property
    def first(self) -> Finding | None:
        """The first finding beyond its limit; among activations, the layer exported wrongly."""
        return next((f for f in self.findings if not f.ok), None)

    @property
    def verdict(self) -> str:
        """The result in one line."""
        if (first := self.first) is None:
            return f"{self.model} agrees with {self.native} in {len(self.findings)} comparisons"
        what = "layer" if first.check == "activations" else first.check
        off = f"is off by {first.deviation:.1e}"
        if math.isinf(first.deviation):
            off = "cannot run" if first.by == "refused" else "has another shape"
        return f"{self.model} differs from {self.native}: first {what} {first.layer!r} {off}"

    def __repr__(self) -> str:
        return f"Check: {make_printable(self.verdict)}; print it for all of them"

    def __str__(self) -> str:
        cells = (map(make_printable, _format_cells(finding)) for finding in self.findings)
        rows = [HEAD, *map(tuple, cells)]
        wide = [max(len(row[c]) for row in rows) for c in range(len(HEAD))]
        table = ("  ".join(t.ljust(w) for t, w in zip(r, wide, strict=True)).rstrip() for r in rows)
        lines = [*(f"note: {note}" for note in self.notes), self.verdict]
        return "\n".join([*table, *map(make_printable, lines)])

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that JSON can hold; infinite deviations are None.

        Returns
        -------
        dict
            What ``dftlrp check --json`` prints.
        """
        rows = [asdict(f) | {"ok": f.ok} for f in self.findings]
        for row in rows:
            row["deviation"] = row["deviation"] if math.isfinite(row["deviation"]) else None
        return {
            "model": self.model, "native": self.native, "ok": self.ok, "verdict": self.verdict,
            "first": self.first and self.first.layer, "findings": rows, "notes": list(self.notes),
        }  # fmt: skip

    def html(self) -> str:
        """Return a self-contained HTML page.

        Returns
        -------
        str
            The verdict, the notes and a row for each finding.
        """
        lines = "".join(f"<p>{escape(line)}</p>" for line in (self.verdict, *self.notes))
        return PAGE.format(
            title=escape(f"{self.model} against {self.native}"), lines=lines,
            head="".join(f"<th>{name}</th>" for name in HEAD), rows="".join(self._write_rows()),
        )  # fmt: skip

    def _write_rows(self) -> Iterator[str]:
        for f in self.findings:
            cells = "".join(f"<td>{escape(text)}</td>" for text in _format_cells(f))
            yield f'<tr class="{"ok" if f.ok else "over"}" title="{KINDS[f.check]}">{cells}</tr>\n'


def _format_cells(f: Finding) -> tuple[str, ...]:
    off = f"{f.deviation:.1e}" if math.isfinite(f.deviation) else "-"
    return (f.check, f.layer, f.against, f.by, off, f"{f.allowed:.0e}", "" if f.ok else "OVER")
