"""The cross-validated error of lasso and elastic net as a function of their penalties, with its derivatives.

F(alpha, l1_ratio) = mean over folds of the mean squared error on the fold's validation rows, of the exact minimiser
on its training rows, as scikit-learn's LassoCV and ElasticNetCV judge their grids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hypergrad.errors import DataError
from hypergrad.tasks.elastic_net import Fit, Fold

__all__ = ["ElasticNetCriterion", "Evaluation"]

_NEAR = 64  # evaluations that later ones may start from


@dataclass(frozen=True)
class Evaluation:
    """The criterion at one point.

    Attributes:
        alpha, l1_ratio: scikit-learn's penalties.
        value: F.
        standard_error: of F over folds, their deviation / √K.
        by_alpha, by_l1_ratio: derivatives of F, natural units.
        active: weights that are not zero, in the mean over folds.
        violation: of the optimality conditions, over alpha · l1_ratio; the largest over folds.
        fits: of each fold.
    """

    alpha: float
    l1_ratio: float
    value: float
    standard_error: float
    by_alpha: float
    by_l1_ratio: float
    active: float
    violation: float
    fits: tuple[Fit, ...] = field(repr=False)

    @property
    def slope(self) -> float:
        """dF / d log alpha."""
        return self.alpha * self.by_alpha


class ElasticNetCriterion:
    """``criterion(hparams) -> (F, gradient)``, an objective that `hypergrad.Study` takes as it is.

    hparams hold ``alpha`` > 0 and, unless 1 is meant, ``l1_ratio`` in (0, 1]. On each fold w minimises
    ½/n |y − X w − b|² + alpha l1_ratio |w|₁ + ½ alpha (1 − l1_ratio) |w|², exactly, and is differentiated on its
    support (Bertrand et al. 2020); where the support changes, F has a kink and the derivative is that of one side.
    Each evaluation starts from the nearest earlier one; that changes its time, and its numbers by rounding alone.

    Attributes:
        alpha_whole: the smallest alpha at which every weight of a lasso on all rows is zero.
        evaluations: how many there were.

    Args:
        x: (N, p), finite. Columns are taken as they are: scale them first where their units differ.
        y: (N,), finite.
        cv: number of folds (in order, without shuffling, as scikit-learn takes an int), a scikit-learn splitter, or
            pairs of index arrays (train, valid).
        intercept: whether the model has one, without a penalty.

    Raises:
        DataError: data that are no numbers, of other shapes, or constant in y.
    """

    def __init__(self, x: Any, y: Any, cv: Any = 5, intercept: bool = True) -> None:
        self.x, self.y = _numbers(x, 2, "x"), _numbers(y, 1, "y")
        if len(self.x) != len(self.y):
            raise DataError(f"x has {len(self.x)} rows and y has {len(self.y)}; give as many")
        self.intercept = intercept
        self.folds = [Fold(self.x, self.y, a, b, intercept) for a, b in _splits(cv, self.x, self.y)]
        centred = self.y - self.y.mean() if intercept else self.y
        shift = self.x.mean(axis=0) if intercept else np.zeros(self.x.shape[1])
        moments = centred @ self.x - centred.sum() * shift
        self.alpha_whole = float(np.max(np.abs(moments))) / len(self.y)
        self._first = tuple(fold.start() for fold in self.folds)
        self._seen: list[Evaluation] = []
        self.evaluations = 0
        if not self.alpha_max() > 0.0:
            raise DataError("no feature is correlated with y on the training rows; every weight is zero")

    def alpha_max(self, l1_ratio: float = 1.0) -> float:
        """The smallest alpha at which every weight of every fold is zero."""
        return max(fit.a1 for fit in self._first) / l1_ratio

    def __call__(self, hparams: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
        unknown = set(hparams) - {"alpha", "l1_ratio"}
        if unknown or "alpha" not in hparams:
            raise DataError(
                f"hparams hold alpha and l1_ratio, got {', '.join(map(repr, hparams)) or 'nothing'}"
            )
        found = self.evaluate(float(hparams["alpha"]), float(hparams.get("l1_ratio", 1.0)))
        gradient = {"alpha": found.by_alpha, "l1_ratio": found.by_l1_ratio}
        return found.value, {key: gradient[key] for key in hparams}

    def evaluate(self, alpha: float, l1_ratio: float = 1.0) -> Evaluation:
        """F and its derivatives at one point.

        Raises:
            DataError: a penalty outside its domain.
        """
        if not (np.isfinite(alpha) and alpha > 0.0):
            raise DataError(f"alpha must be a positive number, got {alpha!r}")
        if not 0.0 < l1_ratio <= 1.0:
            raise DataError(f"l1_ratio must lie in (0, 1], got {l1_ratio!r}; for l2 alone use hg.tasks.Ridge")
        a1, a2 = alpha * l1_ratio, alpha * (1.0 - l1_ratio)
        near = self._nearest(alpha, l1_ratio)
        fits = tuple(fold.solve(a1, a2, fit) for fold, fit in zip(self.folds, near, strict=True))
        pairs = [fold.error(fit) for fold, fit in zip(self.folds, fits, strict=True)]
        errors, slopes = np.array([e for e, _ in pairs]), np.mean([s for _, s in pairs], axis=0)
        deviation = float(errors.std(ddof=1)) if len(errors) > 1 else float("nan")
        found = Evaluation(
            alpha,
            l1_ratio,
            float(errors.mean()),
            deviation / len(errors) ** 0.5,
            float(l1_ratio * slopes[0] + (1.0 - l1_ratio) * slopes[1]),
            float(alpha * (slopes[0] - slopes[1])),
            float(np.mean([len(fit.support) for fit in fits])),
            max(fit.violation for fit in fits),
            fits,
        )
        self._seen = [*self._seen, found][-_NEAR:]
        self.evaluations += 1
        return found

    def _nearest(self, alpha: float, l1_ratio: float) -> tuple[Fit, ...]:
        """Fits of the evaluation nearest in log a1 and in l1_ratio, or those without weights."""

        def distance(seen: Evaluation) -> float:
            far = abs(np.log(seen.alpha * seen.l1_ratio / (alpha * l1_ratio)))
            return float(far + 2.0 * abs(seen.l1_ratio - l1_ratio))

        best = min(self._seen, key=distance, default=None)
        begin = abs(np.log(self.alpha_max(l1_ratio) / alpha))
        return self._first if best is None or begin < distance(best) else best.fits


def _numbers(values: Any, ndim: int, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim != ndim or not array.size:
        raise DataError(
            f"{name} must be a {ndim}-d array of numbers, got {array.dtype} of shape {array.shape}; "
            "a sparse matrix must be made dense first"
        )
    array = np.ascontiguousarray(array, float)
    if not np.isfinite(array).all():
        raise DataError(f"{name} holds numbers that are not finite; impute or drop them first")
    return array


def _splits(cv: Any, x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import check_cv

    try:
        pairs = [(np.asarray(a), np.asarray(b)) for a, b in check_cv(cv).split(x, y)]
    except (TypeError, ValueError) as error:
        raise DataError(f"cv={cv!r} does not split the {len(x)} rows: {error}") from error
    if not pairs or any(len(a) < 2 or not len(b) for a, b in pairs):
        raise DataError(
            f"cv={cv!r} leaves a fold with fewer than two training rows, or without validation rows"
        )
    return pairs
