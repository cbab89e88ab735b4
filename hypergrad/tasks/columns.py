"""What a column holds: numbers, categories or dates; and the target as labels or numbers.

A column's kind is read from the whole table, as its type in a database would be; nothing numerical is learned here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd
from pandas.api import types

from hypergrad.errors import DataError, unknown_name
from hypergrad.tasks.table import Table

__all__ = ["KINDS", "Target", "feature_column", "target_column"]

KINDS = ("classification", "regression")
_MOSTLY = 0.9  # share of numbers above which the other values of a column are taken for gaps
_LABELS = 20  # an integer target with more values is a quantity
_LARGEST = 1e150  # its square is still finite
_ISO = r"\d{4}-\d{2}-\d{2}(?:[T ].*)?"
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True, eq=False)
class Target:
    """The target of the rows that have one.

    Attributes:
        kind: ``"classification"`` or ``"regression"``.
        rows: (n,) positions in the table of the rows whose target is known.
        values: (n,) int labels, positions in `classes`; or (n,) float64.
        classes: name of each label, sorted; None for regression.
        notes: sentences on what was changed.
    """

    kind: str
    rows: np.ndarray
    values: np.ndarray
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]


def _clean(column: pd.Series) -> pd.Series:
    """Text without surrounding blanks, and without text that is only blanks; other columns as they are."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if types.is_string_dtype(column.dtype) or column.dtype == object:
        column = column.astype(object)
        text = column.map(lambda value: isinstance(value, str)).to_numpy(bool)
        column[text] = column[text].map(str.strip)
        column[text & (column == "").to_numpy(bool)] = np.nan
    return column


def _numbers(column: pd.Series) -> pd.Series | None:
    """The column as float64 with nan for gaps, where it is numeric, boolean or text that mostly spells numbers."""
    if types.is_bool_dtype(column.dtype) and not column.isna().any():
        return column.astype(np.float64)
    if types.is_bool_dtype(column.dtype):
        return None
    if types.is_numeric_dtype(column.dtype):
        if types.is_complex_dtype(column.dtype):
            return None
        return pd.Series(column.to_numpy(np.float64, na_value=np.nan), index=column.index)
    known = column.dropna()
    plain = known.map(
        lambda value: isinstance(value, str | Real | Decimal) and not isinstance(value, bool | np.bool_)
    )
    if column.dtype != object or not plain.all():
        return None
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    return numbers if len(known) and numbers.notna().sum() >= _MOSTLY * len(known) else None


def _dates(column: pd.Series) -> pd.Series | None:
    """Days since 1970-01-01 with nan for gaps, where the column holds dates, or text that is all ISO 8601 dates."""
    if types.is_timedelta64_dtype(column.dtype):
        return column / _DAY
    if types.is_datetime64_any_dtype(column.dtype) or isinstance(column.dtype, pd.PeriodDtype):
        moments = column.dt.to_timestamp() if isinstance(column.dtype, pd.PeriodDtype) else column
        moments = pd.to_datetime(moments, utc=True)
    else:
        known = column.dropna()
        if not len(known) or not known.map(str).str.fullmatch(_ISO).all():
            return None
        moments = pd.to_datetime(
            column.map(str, na_action="ignore"), format="ISO8601", errors="coerce", utc=True
        )
        if moments.isna().sum() > column.isna().sum():
            return None
    return (moments - pd.Timestamp(0, tz="UTC")) / _DAY


def _check_size(numbers: np.ndarray, what: str, table: Table, rows: np.ndarray | None = None) -> None:
    """Raises for the first number that is infinite, or too large to be squared."""
    for wrong in np.flatnonzero(np.abs(numbers) > _LARGEST)[:1]:
        where = table.where(wrong if rows is None else rows[wrong])
        if np.isinf(numbers[wrong]):
            raise DataError(f"{what} is infinite in {where}; correct the value, or leave it empty")
        raise DataError(f"{what} is {numbers[wrong]:g} in {where}, too large to be standardised; rescale it")


def feature_column(table: Table, name: str) -> tuple[str, pd.Series, list[str]]:
    """(``"number"`` or ``"category"``, the column, notes) of one column of features.

    Numbers come as float64 with nan for gaps, booleans without gaps as 0 and 1, dates as days since
    1970-01-01; categories as text with nan for gaps. Where at least nine values in ten are numbers, the
    others are taken for gaps, with a note.

    Raises:
        DataError: the column has no values, or an infinite or huge one, or complex numbers.
    """
    column = _clean(table.frame[name])
    if column.isna().all():
        raise DataError(f"column {name!r} of {table.name} holds no values; remove the column")
    if types.is_complex_dtype(column.dtype):
        raise DataError(
            f"column {name!r} of {table.name} holds complex numbers; split it into two real columns"
        )
    numbers = _numbers(column)
    if numbers is not None:
        _check_size(numbers.to_numpy(), f"column {name!r}", table)
        odd = column[numbers.isna() & column.notna()]
        note = f"column {name!r}: {len(odd)} value(s) that are no numbers, such as {str(next(iter(odd), ''))!r}, "
        return "number", numbers, [note + "are treated as missing"] if len(odd) else []
    days = _dates(column)
    if days is not None:
        return "number", days, [f"column {name!r} holds dates, used as days since 1970-01-01"]
    return "category", column.map(str, na_action="ignore").astype(object), []


def target_column(table: Table, kind: str | None = None) -> Target:
    """The target of a table, and whether it asks for classification or regression.

    Classification, where the target is text or boolean, or holds integers of at most
    ``max(2, min(20, sqrt(n)))`` different values in n rows; else regression. `kind` overrides this.

    Raises:
        DataError: no target is known, all are equal, one is infinite or huge, or they do not fit `kind`.
        UnknownNameError: no such `kind`.
    """
    if kind is not None and kind not in KINDS:
        raise unknown_name("kind of task", kind, KINDS)
    name = table.target
    column = _clean(table.frame[name])
    known = column.notna().to_numpy()
    if not known.any():
        raise DataError(f"the target {name!r} holds no values in {table.name}; choose another column")
    notes = []
    if not known.all():
        notes.append(f"left out {(~known).sum()} of {len(known)} rows, whose target {name!r} is missing")
    rows = np.flatnonzero(known)
    column = column[known]
    numbers = _numeric_target(table, column, rows, kind)
    if numbers is not None:
        distinct = np.unique(numbers)
    else:
        distinct = np.array(sorted(column.map(str).unique()), dtype=object)
    if len(distinct) < 2:
        raise DataError(
            f"the target {name!r} has the same value {_label(distinct[0])!r} in every row of {table.name}; "
            "choose a column that varies"
        )
    if kind is None:
        kind = "classification" if numbers is None or _labels(numbers, distinct) else "regression"
    if kind == "regression":
        if numbers is None:
            raise DataError(
                f"the target {name!r} of {table.name} holds text such as {distinct[0]!r}, regression needs numbers; "
                "choose another target, or classification"
            )
        return Target(kind, rows, numbers, None, tuple(notes))
    source = numbers if numbers is not None else column.map(str).to_numpy(object)
    labels = np.searchsorted(distinct, source)
    return Target(kind, rows, labels.astype(np.int64), tuple(map(_label, distinct)), tuple(notes))


def _numeric_target(table: Table, column: pd.Series, rows: np.ndarray, kind: str | None) -> np.ndarray | None:
    """The target as float64 where it is numeric; None where it is text."""
    name = table.target
    if types.is_complex_dtype(column.dtype):
        raise DataError(f"the target {name!r} of {table.name} holds complex numbers; choose a real column")
    if types.is_bool_dtype(column.dtype) and kind != "regression":
        return None
    numbers = _numbers(column)
    if numbers is not None:
        odd = np.flatnonzero(numbers.isna())
        if len(odd):
            raise DataError(
                f"the target {name!r} is {str(column.iloc[odd[0]])!r} in {table.where(rows[odd[0]])}, "
                "among numbers; correct the value, or leave it empty"
            )
        _check_size(numbers.to_numpy(), f"the target {name!r}", table, rows)
        return numbers.to_numpy()
    if _dates(column) is not None:
        raise DataError(
            f"the target {name!r} of {table.name} holds dates; turn them into numbers or classes, "
            "or choose another column"
        )
    return None


def _labels(numbers: np.ndarray, distinct: np.ndarray) -> bool:
    """Whether numbers are few enough integers to be classes."""
    whole = bool((distinct == np.round(distinct)).all())
    return whole and len(distinct) <= max(2, min(_LABELS, math.isqrt(len(numbers))))


def _label(value: object) -> str:
    """The name of a class: an integer without its decimal point."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
