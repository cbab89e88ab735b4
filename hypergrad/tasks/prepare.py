"""From columns to a matrix: gaps filled, numbers standardised, categories one-hot; all fitted on training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hypergrad.errors import DataError
from hypergrad.tasks.columns import feature_column
from hypergrad.tasks.table import Table, quoted

__all__ = ["CUT", "MAX_CATEGORIES", "Preparation", "columns_of", "prepare"]

MAX_CATEGORIES = 20  # one-hot columns of one source column; rarer categories share the last
CUT = 5.0  # standard deviations
_RARE = 2  # a category in fewer training rows shares the column "other"
_NAMES = 10  # training rows from which a column of all different texts is taken for names


@dataclass(frozen=True, eq=False)
class Preparation:
    """The transformation from source columns to prepared features, as learned from training rows.

    Attributes:
        transformer: scikit-learn ColumnTransformer, fitted on the training rows.
        columns: source columns it reads, in its order; column j is called ``str(j)`` inside it.
        features: (p,) name of each prepared feature: ``"age"``, ``"age is missing"``, ``"colour = red"``.
        groups: source columns that have at least one prepared feature, each once.
        group_of: (p,) position in `groups` of each prepared feature.
        notes: sentences on what was dropped.
    """

    transformer: Any
    columns: tuple[str, ...]
    features: tuple[str, ...]
    groups: tuple[str, ...]
    group_of: np.ndarray
    notes: tuple[str, ...]

    def __call__(self, frame: pd.DataFrame) -> np.ndarray:
        """(n, p) float64 features of the rows of `frame`, whose columns are as `columns_of` made them."""
        chosen = frame[list(self.columns)]
        chosen.columns = [str(j) for j in range(len(self.columns))]
        return np.ascontiguousarray(self.transformer.transform(chosen), dtype=np.float64)


def columns_of(table: Table, rows: np.ndarray) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """The columns of features of the given rows, the kind of each, and notes."""
    found: dict[str, pd.Series] = {}
    kinds: dict[str, str] = {}
    notes: list[str] = []
    for name in table.frame.columns:
        if name != table.target:
            kinds[name], found[name], said = feature_column(table, name)
            notes += said
    return pd.DataFrame(found).iloc[rows].reset_index(drop=True), kinds, notes


def prepare(frame: pd.DataFrame, kinds: dict[str, str], train: np.ndarray, name: str) -> Preparation:
    """The transformation learned from the rows `train` of `frame`.

    Numbers: gaps become the median, with a column that says where; then mean 0 and variance 1, cut at ±`CUT`,
    so that a stray value, or a column that is almost constant, does not decide the loss. Categories:
    gaps become the category ``missing``, at most `MAX_CATEGORIES` one-hot columns, a category unseen or in
    a single row counts as ``other``. Columns without a value, of one value, or of all different texts
    (names, identifiers) among the training rows are left out, with a note.

    Raises:
        DataError: no column is left.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    seen = frame.iloc[train]
    kept, notes = _kept(seen, kinds)
    if not kept:
        raise DataError(
            f"{name} has no column to learn from: {'; '.join(notes)}; add columns that vary with the target"
        )
    positions = {
        kind: [str(j) for j, column in enumerate(kept) if kinds[column] == kind]
        for kind in ("number", "category")
    }
    number = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True),
        StandardScaler(),
        FunctionTransformer(np.clip, kw_args={"a_min": -CUT, "a_max": CUT}, feature_names_out="one-to-one"),
    )
    category = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(
            max_categories=MAX_CATEGORIES,
            min_frequency=_RARE,
            handle_unknown="infrequent_if_exist",
            sparse_output=False,
        ),
    )
    transformer = ColumnTransformer(
        [("number", number, positions["number"]), ("category", category, positions["category"])],
        verbose_feature_names_out=False,
    )
    chosen = seen[kept]
    chosen.columns = [str(j) for j in range(len(kept))]
    transformer.fit(chosen)
    source, features = _named(transformer.get_feature_names_out(), kept)
    used = sorted(set(source))
    group_of = np.searchsorted(used, source)
    groups = tuple(kept[j] for j in used)
    return Preparation(transformer, tuple(kept), features, groups, group_of, tuple(notes))


def _kept(seen: pd.DataFrame, kinds: dict[str, str]) -> tuple[list[str], list[str]]:
    """The columns worth using, and notes on the others."""
    kept: list[str] = []
    dropped: dict[str, list[str]] = {}
    for name in seen.columns:
        column = seen[name]
        values = column.dropna()
        distinct = values.nunique()
        if not distinct:
            dropped.setdefault("empty in the training rows", []).append(name)
        elif distinct == 1 and len(values) == len(column):
            dropped.setdefault("constant in the training rows", []).append(name)
        elif kinds[name] == "category" and distinct == len(values) and len(values) > _NAMES:
            dropped.setdefault("texts that are all different", []).append(name)
        elif kinds[name] == "category" and _rare(column):
            dropped.setdefault("texts that hardly repeat", []).append(name)
        else:
            kept.append(name)
    notes = [
        f"dropped {len(names)} column{'s' * (len(names) > 1)}, {why}: {quoted(names)}"
        for why, names in dropped.items()
    ]
    return kept, notes


def _rare(column: pd.Series) -> bool:
    """Whether every training row would fall into one category, or the category of rare ones."""
    counts = column.fillna("missing").value_counts()
    return int((counts >= _RARE).sum()) + int((counts < _RARE).any()) < 2


def _named(names: Sequence[str], kept: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """Source position and readable name of each output of the ColumnTransformer."""
    source: list[int] = []
    features: list[str] = []
    for name in names:
        bare = name.removeprefix("missingindicator_")
        head, _, category = bare.partition("_")
        column = kept[int(head)]
        source.append(int(head))
        if bare != name:
            features.append(f"{column} is missing")
        elif category:
            features.append(f"{column} = {'other' if category == 'infrequent_sklearn' else category}")
        else:
            features.append(column)
    return source, tuple(features)
