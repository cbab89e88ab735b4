"""Data sets: a table prepared for learning, and split once into training, validation and test rows."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hypergrad.errors import DataError
from hypergrad.tasks.columns import Target, target_column
from hypergrad.tasks.prepare import Preparation, columns_of, prepare
from hypergrad.tasks.table import BUNDLED, Table, quoted, read_table

__all__ = ["BUNDLED", "Dataset", "load"]

VALID, TEST = 0.4, 0.2  # shares; validation is large, since tens of hyperparameters are fitted to it
MIN_ROWS = 20
MIN_CLASS = 5  # rows of a class: at least two for training and one each for validation and test


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared table, split into training, validation and test rows.

    Attributes:
        name: the bundled name, the path as it was given, or ``"the DataFrame"``.
        target: name of the target column.
        kind: ``"classification"`` or ``"regression"``.
        features: (p,) names of the prepared features.
        groups: names of the source columns that have a prepared feature.
        group_of: (p,) position in `groups` of each prepared feature; a category's one-hot columns share one.
        classes: (K,) names of the labels 0 .. K-1, sorted; None for regression.
        train: ``{"x": (n, p) float64, "y": (n,)}``; y int labels, or float64 standardised by the training rows.
        valid: likewise.
        test: likewise.
        rows: positions in the table of the rows of ``"train"``, ``"valid"`` and ``"test"``, in their order.
        target_scale: (mean, std) of the training targets in their own unit; (0, 1) for classification.
        digest: sha256 of the bytes of the data and of the name of the target.
        preparation: the fitted transformation from source columns to features.
        seed: of the split.
        notes: sentences on what was assumed, renamed, dropped or left out.
    """

    name: str
    target: str
    kind: str
    features: tuple[str, ...]
    groups: tuple[str, ...]
    group_of: np.ndarray
    classes: tuple[str, ...] | None
    train: dict[str, np.ndarray]
    valid: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    target_scale: tuple[float, float]
    digest: str
    preparation: Preparation
    seed: int
    notes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Number of classes; 1 for regression."""
        return 1 if self.classes is None else len(self.classes)


def load(
    data: str | Path | pd.DataFrame, target: str | None = None, *, seed: int = 0, kind: str | None = None
) -> Dataset:
    """Read a table, split it once, and prepare it with what its training rows say.

    The split is 40 % training, 40 % validation and 20 % test rows, drawn by `seed`; for classification,
    each class is split in these shares. The validation share is large because the many hyperparameters
    that hypergradients tune are fitted to it.

    Args:
        data: ``digits``, ``breast_cancer``, ``wine``, ``diabetes``, the path of a CSV file, or a DataFrame.
        target: the column to predict; needed unless the set is bundled.
        seed: of the split, >= 0.
        kind: ``"classification"`` or ``"regression"``; None: see `hypergrad.tasks.columns.target_column`.

    Raises:
        DataError: the table cannot be read or learned from.
        UnknownNameError: `data` is neither a bundled set nor a file; or an unknown `kind`.
    """
    seed = _seed(seed)
    table = read_table(data, target)
    wanted = target_column(table, kind)
    if len(wanted.rows) < MIN_ROWS:
        raise DataError(
            f"{table.name} has {len(wanted.rows)} rows with a target, expected at least {MIN_ROWS}: "
            "they are split into training, validation and test rows; add rows"
        )
    _check_classes(table, wanted)
    frame, kinds, typed = columns_of(table, wanted.rows)
    split = _split(wanted, seed)
    preparation = prepare(frame, kinds, split["train"], table.name)
    x = preparation(frame)
    y, scale = _scaled(table, wanted, split["train"])
    parts = {part: {"x": x[rows], "y": y[rows]} for part, rows in split.items()}
    return Dataset(
        name=table.name,
        target=table.target,
        kind=wanted.kind,
        features=preparation.features,
        groups=preparation.groups,
        group_of=preparation.group_of,
        classes=wanted.classes,
        **parts,
        rows={part: wanted.rows[rows] for part, rows in split.items()},
        target_scale=scale,
        digest=table.digest,
        preparation=preparation,
        seed=seed,
        notes=(*table.notes, *wanted.notes, *typed, *preparation.notes),
    )


def _seed(seed: Any) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise DataError(f"the seed of the split is {seed!r}, expected an integer from 0")
    return number


def _check_classes(table: Table, target: Target) -> None:
    """Raises unless every class has rows for all three parts."""
    if target.classes is None:
        return
    n, k = len(target.rows), len(target.classes)
    if k * MIN_CLASS > n:
        raise DataError(
            f"the target {table.target!r} has {k} different values in {n} rows of {table.name}, too many for "
            f"classes: each needs {MIN_CLASS} rows; choose another target"
        )
    counts = np.bincount(target.values, minlength=k)
    rare = [int(j) for j in np.argsort(counts, kind="stable") if counts[j] < MIN_CLASS]
    if rare:
        first, number = target.classes[rare[0]], int(counts[rare[0]])
        others = quoted([target.classes[j] for j in rare[1:]])
        raise DataError(
            f"the class {first!r} of the target {table.target!r} has {number} row{'s' if number > 1 else ''} in "
            f"{table.name}, expected at least {MIN_CLASS}, so that training, validation and test rows hold it; "
            f"merge or remove it{' and ' if others else ''}{others}"
        )


def _split(target: Target, seed: int) -> dict[str, np.ndarray]:
    """Positions of the training, validation and test rows, each in the order of the table."""
    rng = np.random.default_rng(seed)
    strata = target.values if target.kind == "classification" else np.zeros(len(target.values), int)
    parts: dict[str, list[np.ndarray]] = {"train": [], "valid": [], "test": []}
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == stratum))
        test, valid = (max(1, round(share * len(rows))) for share in (TEST, VALID))
        parts["test"].append(rows[:test])
        parts["valid"].append(rows[test : test + valid])
        parts["train"].append(rows[test + valid :])
    return {part: np.sort(np.concatenate(rows)) for part, rows in parts.items()}


def _scaled(table: Table, target: Target, train: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Labels as they are; numbers standardised by the training rows, with their mean and deviation."""
    if target.kind == "classification":
        return target.values, (0.0, 1.0)
    seen = target.values[train]
    mean, std = float(seen.mean()), float(seen.std())
    if std == 0.0 or (seen == seen[0]).all():
        raise DataError(
            f"the target {table.target!r} has the same value in all training rows of {table.name}; "
            "choose a column that varies more"
        )
    return (target.values - mean) / std, (mean, std)
