"""Tables of text: CSV, TSV and their like, a row a sample and a column a channel."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, NoReturn

import numpy as np

from dftlrp.attribution.formats.contents import (
    MOST_CHANNELS_READ,
    Channel,
    Contents,
    Source,
    agree_on_rate,
    check_rate,
    find_rate,
    list_names,
)
from dftlrp.attribution.formats.spool import Spool
from dftlrp.core.types import InputError, Real

MOST_LINE = 2**20  # bytes
MOST_BEFORE = 1000  # lines before the first row
ROWS, CHARACTERS = 2**14, 2**23  # parsed at once
CHANNEL, TIME, CLOCK, COUNT, TEXT = "channel", "time", "clock", "count", "text"
COUNTS = {"", "#", "index", "sample", "sample #", "samples", "frame", "n", "unnamed: 0"}
SCALES = {"ms": 1e-3, "msec": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0}
TIMES = re.compile(
    r"(?:elapsed |relative |rel)?(?:times?|timestamps?|date ?time|t|secs?|seconds|s)"
    r"(?:_?(?P<unit>ms|us|µs|ns|s|sec|seconds))?"
)
WITH_UNIT = re.compile(r"(?P<name>.*?)\s*[\[(](?P<unit>[^\])]*)[\])]")
STATED = re.compile(r"(?:rate|frequency|freq|fs|sr)\b[^0-9]{0,20}([0-9.]+)\s*(k?)", re.IGNORECASE)


@dataclass
class _Column:
    """A column: what it is, its name and unit, and of times the seconds in a unit of it."""

    name: str = ""
    unit: str = ""
    kind: str = CHANNEL
    scale: float = 1.0


@dataclass
class _Table:
    """How rows are written; ``first`` is the line of the first one.

    ``beside`` collects the one column, of times or counts, that says how the rows lie.
    """

    columns: list[_Column]
    separator: str | None
    first: int
    has_header: bool
    has_commas: bool = False
    rate: float | None = None
    beside: list[Real] = field(default_factory=list)

    def find(self, *kinds: str) -> list[int]:
        """Return the columns of these kinds."""
        return [i for i, column in enumerate(self.columns) if column.kind in kinds]

    @property
    def ruler(self) -> int | None:
        """The column that says how the rows lie."""
        own = [*self.find(TIME, CLOCK), *self.find(COUNT)]
        return next(iter(own), None if self.has_header else 0)


class _Line(NamedTuple):
    number: int
    text: str


@contextmanager
def open_table(source: Source) -> Iterator[Contents]:
    """Parse all rows once, and keep their numbers for reading again."""
    source.file.seek(0)
    spool = Spool(source.size)
    try:
        lines = _read_lines(source.file)
        table, first = _read_head(lines)
        for rows in _gather_rows(first, lines):
            spool.append(_parse_rows(rows, table).T)
        own = [table.columns[i] for i in table.find(CHANNEL)]
        rate = _find_rate_of_rows(table)
        channels = tuple(Channel(spool.frames, rate, c.name, c.unit) for c in own)
        left = [name for i in table.find(TEXT) if (name := table.columns[i].name)]
        notes = (f"left out, since they hold text: {list_names(left)}",) if left else ()
        yield Contents(channels, spool.read, notes=notes)
    finally:
        spool.close()


def _read_lines(file: BinaryIO) -> Iterator[_Line]:
    """Yield the lines that are not empty; refuse empty ones in between."""
    empty = 0
    for number, data in enumerate(iter(lambda: file.readline(MOST_LINE + 1), b""), 1):
        if len(data) > MOST_LINE:
            raise InputError(f"line {number} is longer than {MOST_LINE} bytes: is this a table?")
        try:
            text = data.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
        except UnicodeDecodeError:
            raise InputError(f"line {number} is not UTF-8 text") from None
        if not text.strip():
            empty = empty or number
            continue
        if empty > 1:
            raise InputError(f"line {empty} is empty: a gap? cut the file there")
        empty = 0
        yield _Line(number, text)


def _read_head(lines: Iterator[_Line]) -> tuple[_Table, _Line]:
    """Return what stands before the first row, and that row."""
    rate, header = None, list[str]()
    for line in lines:
        if line.text.lstrip().startswith(("#", "%")):
            found = STATED.search(line.text)
            rate = _scale_rate(*found.groups()) if found else rate
            continue
        if len(header) > MOST_BEFORE:
            break
        separator = _find_separator(line.text)
        cells = _split_cells(line.text, separator)
        if not any(map(_is_number, cells)) or (not header and _is_numbered(cells)):
            header.append(line.text)
            continue
        return _lay_out(header[-2:], cells, separator, rate, line.number), line
    raise InputError("holds no rows of numbers")


def _scale_rate(number: str, kilo: str) -> float | None:
    return check_rate(float(number) * (1000 if kilo else 1)) if _is_number(number) else None


def _find_separator(text: str) -> str | None:
    """Return what separates cells; None for blanks."""
    return next((s for s in "\t;," if s in text), None if " " in text.strip() else ",")


def _split_cells(text: str, separator: str | None) -> list[str]:
    cells = text.split() if separator is None else next(csv.reader([text], delimiter=separator))
    if len(cells) > MOST_CHANNELS_READ:
        raise InputError(f"{len(cells)} columns are too many: a row is a sample")
    return [cell.strip(" \t'\"") for cell in cells]


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _is_numbered(cells: Sequence[str]) -> bool:
    """Return whether this is a header that only counts the columns, as pandas writes it."""
    own = cells[1:] if cells[0] == "" else cells
    return len(own) > 1 and list(own) == [str(i) for i in range(len(own))]


def _lay_out(
    header: Sequence[str], cells: Sequence[str], separator: str | None, rate: float | None,
    line: int,
) -> _Table:  # fmt: skip
    """Return how a table is written, from its header of up to two lines and its first row."""
    rows = [_split_cells(text, _find_separator(text)) for text in header]
    rows = rows[1:] if len(rows) == 2 and len(rows[0]) != len(rows[1]) else rows  # a title
    names, units = [*rows, [""] * len(cells), [""] * len(cells)][:2]
    if not header:
        names = units
    if len(names) != len(cells):
        raise InputError(f"line {line}: {len(cells)} cells under {len(names)} names")
    columns = [
        _make_column(name, unit, cell, bool(header))
        for name, unit, cell in zip(names, units, cells, strict=False)
    ]
    commas = separator != "," and any("," in cell and _is_number(cell) for cell in cells)
    table = _Table(columns, separator, line, bool(header), commas, rate)
    if len(times := table.find(TIME, CLOCK)) > 1:
        raise InputError(f"has columns of time {list_names([columns[i].name for i in times])}")
    if not table.find(CHANNEL):
        raise InputError("holds no column of numbers beside the time")
    return table


def _make_column(name: str, unit: str, cell: str, has_header: bool) -> _Column:
    """Return what a column is, from its name, its unit and its first cell."""
    if found := WITH_UNIT.fullmatch(name):
        name, unit = found["name"], unit or found["unit"]
    unit, is_text = unit.strip("()[]"), bool(cell) and not _is_number(cell)
    if has_header and (time := TIMES.fullmatch(name.casefold())):
        scale = SCALES.get((time["unit"] or unit).casefold(), 1.0)
        return _Column(name, unit, CLOCK if is_text else TIME, scale)
    if has_header and name.casefold() in COUNTS and not is_text:
        return _Column(name, unit, COUNT)
    ends = has_header and not name and not cell  # all lines end in a separator
    return _Column(name, unit, TEXT if is_text or ends else CHANNEL)


def _gather_rows(first: _Line, lines: Iterator[_Line]) -> Iterator[list[_Line]]:
    """Yield rows that are parsed together."""
    rows, size = [first], len(first.text)
    for line in lines:
        if len(rows) >= ROWS or size >= CHARACTERS:
            yield rows
            rows, size = [], 0
        rows.append(line)
        size += len(line.text)
    yield rows


def _parse_rows(rows: Sequence[_Line], table: _Table) -> Real:
    """Return the channels (rows, channels); what lies beside them is kept."""
    ruler, channels = table.ruler, table.find(CHANNEL)
    numbers = [*channels, *([] if ruler is None or table.columns[ruler].kind == CLOCK else [ruler])]
    texts = [line.text for line in rows]
    if table.has_commas:
        texts = [text.replace(",", ".") for text in texts]
    try:
        cells: Real = np.loadtxt(
            texts, delimiter=table.separator, usecols=numbers, ndmin=2, comments=None,
            quotechar='"',
        )  # fmt: skip
    except ValueError:
        _blame_row(rows, table)
    if not np.isfinite(cells).all() or not _are_even(texts, table):
        _blame_row(rows, table)
    if ruler is not None:
        clock = len(numbers) == len(channels)
        table.beside.append(_parse_clocks(rows, table, ruler) if clock else cells[:, -1])
    return cells[:, : len(channels)]


def _are_even(texts: Sequence[str], table: _Table) -> bool:
    """Return whether all rows have as many cells, as far as their separators tell."""
    if table.separator is None:
        return all(len(text.split()) == len(table.columns) for text in texts)
    many = {text.count(table.separator) for text in texts if '"' not in text}
    return many <= {len(table.columns) - 1}


def _blame_row(rows: Sequence[_Line], table: _Table) -> NoReturn:
    """Say which row is not what the first one promised."""
    for line in rows:
        cells = _split_cells(line.text, table.separator)
        if len(cells) != len(table.columns):
            raise InputError(
                f"line {line.number} has {len(cells)} cells, line {table.first} "
                f"{len(table.columns)}"
            )
        for i in table.find(CHANNEL, TIME, COUNT):
            cell = cells[i]
            if not (_is_number(cell) and np.isfinite(float(cell.replace(",", ".")))):
                named = repr(table.columns[i].name) if table.has_header else i + 1
                said = f"holds {cell!r}" if cell else "is empty"
                raise InputError(
                    f"line {line.number}: column {named} {said}: a gap; fill it, or cut it there"
                )
    raise InputError(f"the rows from line {rows[0].number} on are no numbers")


def _parse_clocks(rows: Sequence[_Line], table: _Table, column: int) -> Real:
    """Return times that are written as on a clock, or as dates, in seconds."""
    texts = [_split_cells(line.text, table.separator)[column].strip("[]") for line in rows]
    try:
        if "-" in texts[0]:
            dates = np.array([t.removesuffix("Z") for t in texts], "datetime64[ns]")
            return np.asarray(dates.astype(np.int64), np.float64) / 1e9
        return np.array(
            [
                sum(float(part) * 60**i for i, part in enumerate(reversed(t.split(":"))))
                for t in texts
            ]
        )
    except ValueError:
        name = table.columns[column].name
        raise InputError(
            f"line {rows[0].number}: column {name!r} holds {texts[0]!r}, which is no time: "
            "write seconds"
        ) from None


def _find_rate_of_rows(table: _Table) -> float | None:
    """Return the rate that a comment states or the times have; refuse rows that lie unevenly."""
    if table.ruler is None:
        return table.rate
    along, ruler = np.concatenate(table.beside), table.columns[table.ruler]
    if ruler.kind in {TIME, CLOCK}:
        return agree_on_rate(table.rate, find_rate(along * ruler.scale, "line", table.first))
    steps = np.diff(along)
    even = steps.size and (steps == steps[0]).all() and steps[0] > 0
    if ruler.kind == COUNT and steps.size and not even:
        at = int(np.argmax(steps != 1))
        raise InputError(
            f"line {table.first + at + 1}: column {ruler.name!r} goes from {along[at]:g} to "
            f"{along[at + 1]:g}: a gap"
        )
    if not table.has_header and len(table.columns) > 1 and _rises_evenly(along):
        raise InputError(
            "its first column rises evenly and no header says what it is: write one, as "
            "time,NAME or sample,NAME"
        )
    return table.rate


def _rises_evenly(along: Real) -> bool:
    """Return whether these may be times or counts."""
    try:
        find_rate(along, "row")
    except InputError:
        return False
    return len(along) > 2
