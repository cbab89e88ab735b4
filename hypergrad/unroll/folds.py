"""K-fold cross-validation: which rows train and which are held out, and the problem of each fold.

F(h) = 1/K Σ_k E(s_T^k(h), h; held out rows of fold k), where s^k is trained on the other rows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.errors import ProblemError
from hypergrad.unroll.batches import Batches, row_count

__all__ = ["fold_problems", "fold_rows"]


def fold_problems(problem: Any, folds: Any, fold_seed: int | None, batch_size: Any) -> tuple[Any, ...]:
    """One problem a fold: `problem` with the fold's rows as its train and the held out rows as its valid.

    Raises:
        ProblemError: as `fold_rows`; a batch larger than a fold's training rows.
    """
    count = row_count(problem.train)
    if count is None:
        raise ProblemError("folds divide the rows of train, but there are no training data")
    found = []
    for number, (train, valid) in enumerate(fold_rows(folds, fold_seed, count, problem.train)):
        if batch_size is not None and batch_size > len(train):
            raise ProblemError(
                f"batch_size {batch_size} is more than the {len(train)} training rows of fold {number}"
            )
        one = copy.copy(problem)
        one.train = tree.map(lambda leaf, rows=train: leaf[rows], problem.train)
        one.valid = tree.map(lambda leaf, rows=valid: leaf[rows], problem.train)
        one.batches = Batches(len(train), problem.steps, batch_size)
        one.rows, one.whole = train, problem.train
        one.compiled, one.rehearsed, one.folds = {}, set(), ()
        found.append(one)
    for one in found:
        one.kin = tuple(found)
    return tuple(found)


def fold_rows(
    folds: Any, fold_seed: int | None, count: int, data: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(training rows, held out rows) of each fold.

    Args:
        folds: K, for K parts whose sizes differ by at most one; an object with a method ``split(X, y)``, as
            scikit-learn's splitters have; or pairs (training rows, held out rows), as indices or masks.
        fold_seed: of the shuffle before the rows are divided into K parts: the same parts as scikit-learn's
            ``KFold(K, shuffle=True, random_state=fold_seed)``; None: no shuffle.
        count: number of rows.
        data: the tree that they are rows of; its key ``"y"`` goes to ``split``.

    Raises:
        ProblemError: less than two folds or more than rows, rows that do not exist, an empty part, a row that both
            trains and is held out.
    """
    if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
        return _parts(int(folds), fold_seed, count)
    if hasattr(folds, "split") and not isinstance(folds, str | type):
        labels = data.get("y") if isinstance(data, dict) else None
        pairs = folds.split(np.arange(count)[:, None], labels)
    elif isinstance(folds, Iterable) and not isinstance(folds, str | bytes | dict):
        pairs = folds
    else:
        raise ProblemError(
            "folds must be an int K, a splitter such as scikit-learn's KFold(5), or pairs (training rows, "
            f"held out rows), got {folds!r}"
        )
    found = []
    for number, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list | np.ndarray) or len(pair) != 2:
            raise ProblemError(f"folds[{number}] must be a pair (training rows, held out rows), got {pair!r}")
        train, valid = (
            _rows(rows, f"the {name} rows of folds[{number}]", count)
            for rows, name in zip(pair, ("training", "held out"), strict=True)
        )
        both = np.intersect1d(train, valid)
        if both.size:
            raise ProblemError(f"folds[{number}] both trains on row {both[0]} and holds it out")
        found.append((train, valid))
    if len(found) < 2:
        raise ProblemError(f"folds must be 2 or more, got {len(found)}; for one split give train and valid")
    return found


def _parts(folds: int, fold_seed: int | None, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    if not 2 <= folds <= count:
        raise ProblemError(f"folds must be 2 to {count}, the number of training rows, got {folds}")
    order = np.arange(count)
    if fold_seed is not None:
        if isinstance(fold_seed, bool) or not isinstance(fold_seed, int | np.integer) or fold_seed < 0:
            raise ProblemError(f"fold_seed must be an int, 0 or more, or None, got {fold_seed!r}")
        np.random.RandomState(fold_seed).shuffle(order)  # a stream that NumPy keeps as it is
    found = []
    for part in np.array_split(order, folds):  # the first parts are the longer ones
        held = np.zeros(count, bool)
        held[part] = True
        found.append((np.flatnonzero(~held), np.flatnonzero(held)))
    return found


def _rows(rows: Any, what: str, count: int) -> np.ndarray:
    found = np.asarray(rows)
    if found.dtype.kind == "b" and found.shape == (count,):
        found = np.flatnonzero(found)
    if found.ndim != 1 or not found.size or found.dtype.kind not in "iu":
        raise ProblemError(
            f"{what} must be row indices, one or more, got {found.dtype} of shape {found.shape}"
        )
    if found.min() < 0 or found.max() >= count:
        raise ProblemError(f"{what} are {found.min()} to {found.max()}, but train has rows 0 to {count - 1}")
    return found.astype(np.intp)
