"""Tables: a bundled set, a CSV file or a DataFrame, as named columns and a target.

Nothing here looks at the split: a Table is what the bytes say, before anything is learned from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hypergrad.errors import DataError, UnknownNameError, nearest
from hypergrad.tasks import csvfile

__all__ = ["BUNDLED", "Table", "quoted", "read_table"]

BUNDLED = ("breast_cancer", "diabetes", "digits", "wine")
_SHOWN = 20  # names listed in a message before it is cut short


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of named columns, one of which is the target.

    Attributes:
        name: the bundled name, the path as it was given, or ``"the DataFrame"``.
        frame: (n rows) columns with unique, non-empty names; the target is among them.
        target: name of the target column.
        places: (n,) where each row stands: its line in the file, or its number from 1.
        place: what `places` counts: ``"line"`` or ``"row"``.
        digest: sha256 of the bytes of the data and of the name of the target.
        notes: sentences on what was changed while reading.
    """

    name: str
    frame: pd.DataFrame
    target: str
    places: np.ndarray
    place: str
    digest: str
    notes: tuple[str, ...] = ()

    def where(self, row: int) -> str:
        """``"line 7 of people.csv"``: where the row of that position stands."""
        return f"{self.place} {self.places[row]} of {self.name}"


def quoted(names: Sequence[object]) -> str:
    """``'a', 'b', 'c'``: the names as a list in a sentence, cut short after 20."""
    shown = ", ".join(repr(str(name)) for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def read_table(data: str | Path | pd.DataFrame, target: str | None = None) -> Table:
    """The table that `data` names.

    Args:
        data: a name in `BUNDLED`, the path of a delimited text file, or a DataFrame. A bundled name wins over
            a file of the same name, which is reached as ``./digits``.
        target: the column to predict; needed for a file and a DataFrame, refused for a bundled set.

    Raises:
        DataError: the file cannot be read, or the target is not one of its columns.
        UnknownNameError: `data` is neither a bundled set nor a file.
    """
    if isinstance(data, pd.DataFrame):
        return _from_frame(data, target)
    if not isinstance(data, str | Path):
        raise DataError(
            f"the data are a {type(data).__name__}, expected a bundled name, the path of a CSV file or a DataFrame"
        )
    if str(data) in BUNDLED:
        return _bundled(str(data), target)
    return _from_file(str(data), target)


def _bundled(name: str, target: str | None) -> Table:
    from sklearn import datasets

    bunch: Any = getattr(datasets, f"load_{name}")(as_frame=True)
    frame: pd.DataFrame = bunch.frame.copy()
    (column,) = set(frame.columns) - set(bunch.feature_names)
    if target is not None and target != column:
        raise DataError(
            f"{name!r} is a bundled data set whose target is known, got the target {target!r}; leave it out"
        )
    names = getattr(bunch, "target_names", None)
    digest = _digest(column, name.encode(), frame.to_numpy(np.float64).tobytes())
    if names is not None and not np.issubdtype(np.asarray(names).dtype, np.number):
        frame[column] = pd.Series(np.asarray(names)[frame[column]], index=frame.index, dtype=object)
    return Table(name, frame, column, np.arange(1, len(frame) + 1), "row", digest)


def _from_frame(data: pd.DataFrame, target: str | None) -> Table:
    name = "the DataFrame"
    header, notes = _unique([str(column) for column in data.columns], name)
    column = _target(target if target is None else str(target), header, data.columns, name)
    if not len(data):
        raise DataError(f"{name} has columns but no rows; give it the rows to learn from")
    frame = data.copy()
    frame.columns = pd.Index(header)
    frame = frame.reset_index(drop=True)
    try:
        rows = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    except TypeError:
        nested = _unhashable(frame)
        raise DataError(
            f"column {nested!r} of {name} holds lists or other objects; replace it with numbers, strings or dates"
        ) from None
    digest = _digest(column, repr(header).encode(), rows.tobytes())
    return Table(name, frame, column, np.arange(1, len(frame) + 1), "row", digest, tuple(notes))


def _unhashable(frame: pd.DataFrame) -> str:
    """The first column that holds an unhashable value."""
    for column in frame.columns:
        try:
            pd.util.hash_pandas_object(frame[column], index=False)
        except TypeError:
            return str(column)
    return str(frame.columns[0])


def _from_file(name: str, target: str | None) -> Table:
    path = Path(name)
    if not name.strip() or not path.exists():
        raise _missing(name, path)
    if path.is_dir():
        raise DataError(f"{name!r} is a directory, expected a CSV file; name a file in it")
    parsed = csvfile.parse(path, name)
    header, notes = _unique(list(parsed.header), name)
    column = _target(target, header, parsed.header, name)
    frame = csvfile.frame(parsed, header, name)
    empty = [
        new
        for old, new in zip(parsed.header, header, strict=True)
        if not old and new != column and frame[new].isna().all()
    ]
    if empty:
        frame = frame.drop(columns=empty)
        notes.append(f"dropped {len(empty)} nameless column(s) without a value")
    index = [
        new
        for old, new in zip(parsed.header, header, strict=True)
        if not old and new in frame and new != column and _counts(frame[new])
    ]
    if index:
        frame = frame.drop(columns=index)
        notes.append("dropped the nameless column that only numbers the rows")
    digest = _digest(column, parsed.raw)
    lines = np.asarray(parsed.lines)
    return Table(name, frame, column, lines, "line", digest, (*parsed.notes, *notes))


def _missing(name: str, path: Path) -> DataError | UnknownNameError:
    """The error for a name that is neither bundled nor an existing file."""
    if not name.strip():
        return DataError(
            f"the name of the data is empty; give the path of a CSV file or one of {', '.join(BUNDLED)}"
        )
    if path.suffix or path.name != name:
        folder = path.parent
        close = nearest(path.name, [p.name for p in folder.iterdir()]) if folder.is_dir() else None
        hint = f"did you mean {str(folder / close)!r}?" if close else "check the path"
        return DataError(f"there is no file {name!r}; {hint}")
    close = nearest(name, [*BUNDLED, *(p.name for p in Path(".").iterdir() if p.is_file())])
    hint = f"did you mean {close!r}?" if close else f"give a path, or one of {', '.join(BUNDLED)}"
    return UnknownNameError(f"{name!r} is neither a bundled data set nor a file; {hint}")


def _counts(column: pd.Series) -> bool:
    """Whether the column is a, a + 1, a + 2, ...: the row numbers that a DataFrame's index leaves in a CSV."""
    values = column.to_numpy()
    return bool(values.dtype.kind in "iu" and len(values) > 1 and (np.diff(values) == 1).all())


def _unique(header: list[str], name: str) -> tuple[list[str], list[str]]:
    """The header with a name for every column, none twice; and a note on every change."""
    stripped = [column.strip() for column in header]
    taken = {column for column in stripped if column}
    kept: set[str] = set()
    unique, renamed = [], []
    for number, column in enumerate(stripped, start=1):
        new = column
        if not column or column in kept:
            new = _fresh(column or f"column {number}", taken)
            renamed.append(new)
        kept.add(column)
        taken.add(new)
        unique.append(new)
    notes = [f"renamed {len(renamed)} nameless or repeated column(s) of {name}: {quoted(renamed)}"]
    return unique, notes if renamed else []


def _fresh(base: str, taken: set[str]) -> str:
    """`base`, or ``"base (2)"``, ``"base (3)"``, ...: the first that is not taken."""
    return next(name for k in count(1) if (name := base if k == 1 else f"{base} ({k})") not in taken)


def _target(target: str | None, header: list[str], original: Sequence[Any], name: str) -> str:
    """The column of `header` that `target` names."""
    if target is None:
        raise DataError(f"no target was named for {name}; choose one of its columns: {quoted(header)}")
    stripped = str(target).strip()
    repeats = sum(str(column).strip() == stripped for column in original)
    if repeats > 1 and stripped:
        raise DataError(
            f"the target {stripped!r} is the name of {repeats} columns of {name}; rename all but one"
        )
    if stripped not in header:
        close = nearest(stripped, header)
        hint = f"did you mean {close!r}?" if close else f"its columns are {quoted(header)}"
        raise DataError(f"no column {stripped!r} in {name}; {hint}")
    if len(header) < 2:
        raise DataError(f"{name} has no column but the target {stripped!r}; add columns to predict it from")
    return stripped


def _digest(target: str, *parts: bytes) -> str:
    found = hashlib.sha256()
    for part in (*parts, target.encode()):
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()
