"""Compare two results of a script of this folder: before and after, as a table in Markdown.

    python benchmarks/bench_onnx.py --json before.json
    python benchmarks/bench_onnx.py --json after.json
    python benchmarks/compare_results.py before.json after.json [--only TEXT] [--page FILE]

Any JSON of rows will do: what a row says in words and whole numbers (network, batch, preset) tells
it from the others, and its other numbers are compared.  Two runs on a machine that does something
else beside are far apart without a change; `--page` writes the table as HTML.
"""

from __future__ import annotations

import argparse
import html
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HEAD = ("what", "measured", "before", "after", "after / before")
STYLE = (
    "<style>body{font:16px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:right}"
    "td:nth-child(-n+2),th{text-align:left}tr:nth-child(even){background:#f3f3f3}</style>"
)


class Place(NamedTuple):
    """Where a number stands: the words of its row, and the names on the way to it."""

    row: str
    name: str


class Line(NamedTuple):
    """A number in both results."""

    place: Place
    before: float
    after: float

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table says of it."""
        ratio = f"{self.after / self.before:.2f}" if self.before else ""
        return (*self.place, f"{self.before:.3g}", f"{self.after:.3g}", ratio)


def list_numbers(found: Any, row: str = "", name: str = "") -> Iterator[tuple[Place, float]]:
    """Yield every measured number of a result with its place."""
    if isinstance(found, float):
        yield Place(row, name), found
    elif isinstance(found, list):
        for i, one in enumerate(found):
            inside = name if isinstance(one, dict) else f"{name} {i + 1}".strip()
            yield from list_numbers(one, row, inside)
    elif isinstance(found, dict):
        found = {k: v for k, v in found.items() if k != "machine"}
        words = [f"{v}" if isinstance(v, str) else f"{k} {v}" for k, v in found.items() if names(v)]
        row = ", ".join(filter(None, [row, *words]))
        for key, value in found.items():
            if isinstance(value, list) and isinstance(next(iter(value), None), dict):
                section = "" if key == "rows" else key
                yield from list_numbers(value, ", ".join(filter(None, [row, section])), name)
            elif not names(value):
                yield from list_numbers(value, row, f"{name} {key}".strip())


def names(value: Any) -> bool:
    """Whether a value tells a row from the others."""
    return isinstance(value, str | int) and value != ""


def read_numbers(path: Path) -> dict[Place, float]:
    """Return the numbers of a file by their places."""
    try:
        numbers = dict(list_numbers(json.loads(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise SystemExit(f"{path} is no JSON: {error}") from None
    if not numbers:
        raise SystemExit(f"{path} holds no measured numbers")
    return numbers


def format_markdown(lines: list[Line]) -> str:
    rows = [HEAD, ("---",) * len(HEAD), *(line.cells for line in lines)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def format_page(lines: list[Line], title: str) -> str:
    """Return the table as a page."""
    rows = [("th", HEAD), *(("td", line.cells) for line in lines)]
    written = (
        "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"
        for tag, cells in rows
    )  # fmt: skip
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"{STYLE}<h1>{html.escape(title)}</h1><table>{''.join(written)}</table></html>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--only", default="", help="rows and numbers whose name has this text")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the table as HTML, too")
    args = parser.parse_args()
    before, after = map(read_numbers, (args.before, args.after))
    both = [Line(p, before[p], after[p]) for p in before if p in after]
    lines = [line for line in both if args.only in ", ".join(line.place)]
    if not lines:
        raise SystemExit("the two files have no number in common" + f" ({args.only})" * bool(both))
    print(format_markdown(lines))
    for path, own, other in ((args.before, before, after), (args.after, after, before)):
        if alone := sorted({p.row or p.name for p in own if p not in other}):
            print(f"only in {path}: {'; '.join(alone)}", file=sys.stderr)
    if args.page:
        title = f"{args.before.name} and {args.after.name}"
        args.page.write_text(format_page(lines, title), encoding="utf-8")


if __name__ == "__main__":
    main()
