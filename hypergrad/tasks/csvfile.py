"""Delimited text files: encoding, separator, header and shape are checked before pandas reads the values."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from hypergrad.errors import DataError

__all__ = ["Parsed", "frame", "parse"]

SEPARATORS = (";", "\t", "|", ",")  # in this order where two fit equally well: text holds commas most often
MISSING = ("?", "-", "--", ".", "nil", "NIL")  # beside those pandas knows: NA, nan, null, None, ...
_SNIFFED = 200  # rows looked at for the separator
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f]")
_MAGIC = {
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\x1f\x8b": "a gzip archive",
    b"PAR1": "a Parquet file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"SQLite format 3": "a SQLite database",
    b"%PDF": "a PDF document",
}


@dataclass(frozen=True)
class Parsed:
    """A file whose rows all have the width of its header.

    Attributes:
        raw: the bytes of the file.
        text: the same, decoded.
        separator: between fields.
        header: names as they stand in the file, without surrounding blanks.
        lines: line on which each row ends, from 1.
        comma: whether a comma separates decimals, as in ``1,5``.
        notes: sentences on what was assumed.
    """

    raw: bytes
    text: str
    separator: str
    header: tuple[str, ...]
    lines: tuple[int, ...]
    comma: bool
    notes: tuple[str, ...]


def parse(path: Path, name: str) -> Parsed:
    """The shape of the file at `path`, which messages call `name`.

    UTF-8 with or without byte-order mark, UTF-16 with one, else Latin-1, with a note; separated by
    semicolons, tabs, bars or commas; quoted as RFC 4180 says; blank lines are passed over.

    Raises:
        DataError: unreadable, binary, empty, without rows, or a row whose width is not the header's.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or error}") from None
    text, notes = _decode(raw, name)
    if not text.strip():
        raise DataError(f"{name} is empty; expected a line of column names and then a line a row")
    try:
        separator = _separator(text)
        header, lines, comma = _scan(text, separator, name)
    except csv.Error as error:
        raise DataError(f"{name} is not a well-formed CSV file: {error}") from None
    if comma:
        notes.append("commas between digits are read as decimal points")
    return Parsed(raw, text, separator, header, lines, comma, tuple(notes))


def frame(parsed: Parsed, header: Sequence[str], name: str) -> pd.DataFrame:
    """The values of a parsed file in columns named by `header`, which has no name twice."""
    try:
        found = pd.read_csv(
            io.StringIO(parsed.text),
            sep=parsed.separator,
            header=0,
            names=list(header),
            index_col=False,
            skipinitialspace=True,
            decimal="," if parsed.comma else ".",
            na_values=list(MISSING),
            low_memory=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OverflowError) as error:
        raise DataError(f"{name} is not a well-formed CSV file: {error}") from None
    if len(found) != len(parsed.lines):
        raise DataError(
            f"{name} can be read as {len(parsed.lines)} or as {len(found)} rows; check its quotation marks"
        )
    return found


def _decode(raw: bytes, name: str) -> tuple[str, list[str]]:
    kind = next((kind for magic, kind in _MAGIC.items() if raw.startswith(magic)), None)
    if kind is not None:
        raise DataError(f"{name} is {kind}, expected text; export the table as CSV")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return raw.decode("utf-16"), []
        except UnicodeDecodeError:
            raise DataError(f"{name} is binary, expected text; export the table as CSV") from None
    if _CONTROL.search(raw):
        raise DataError(f"{name} is binary, expected text; export the table as CSV")
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return raw.decode("latin-1"), [f"line {line} is not UTF-8, so the file was read as Latin-1"]


def _rows(text: str, separator: str) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)


def _blank(row: Sequence[str]) -> bool:
    return not row or (len(row) == 1 and not row[0].strip())


def _separator(text: str) -> str:
    """The separator that cuts most of the first rows into as many fields as the header, and into most fields."""
    best, score = ",", (0.0, 1)
    for separator in SEPARATORS:
        widths = [len(row) for row in islice(_rows(text, separator), _SNIFFED) if not _blank(row)]
        share = sum(width == widths[0] for width in widths) / len(widths)
        if widths[0] > 1 and (round(share, 1), widths[0]) > score:
            best, score = separator, (round(share, 1), widths[0])
    return best


def _scan(text: str, separator: str, name: str) -> tuple[tuple[str, ...], tuple[int, ...], bool]:
    """Header, line of each row, and whether decimals are written with a comma."""
    reader = _rows(text, separator)
    header: tuple[str, ...] = ()
    lines: list[int] = []
    point, comma = re.compile(r"[-+]?\d+\.\d+"), re.compile(r"[-+]?\d+,\d+")
    points = commas = 0
    for row in reader:
        if _blank(row):
            continue
        if not header:
            header = tuple(field.strip() for field in row)
            continue
        if len(row) != len(header):
            raise DataError(
                f"line {reader.line_num} of {name} has {len(row)} fields, its header has {len(header)}; "
                f"make every line as wide, and quote a field that holds {_spoken(separator)}"
            )
        lines.append(reader.line_num)
        if separator == ";":
            points += sum(point.fullmatch(field) is not None for field in row)
            commas += sum(comma.fullmatch(field) is not None for field in row)
    if not lines:
        raise DataError(f"{name} has a header but no rows; add the rows to learn from")
    return header, tuple(lines), commas > 0 and points == 0


def _spoken(separator: str) -> str:
    return {";": "a semicolon", "\t": "a tab", "|": "a bar", ",": "a comma"}[separator]
