"""The penalties of lasso and elastic net with the least cross-validated error, by its hypergradient.

Notation: F the criterion (`hypergrad.tasks.cross_validation`), u = log alpha, ρ = l1_ratio.

Lasso: a scan from alpha_max downwards takes F and dF/du at few points; then the cubic through the values and slopes of
each two neighbours predicts where between them F is least, the most promising prediction is tried, and so on until none
promises more than `tolerance` and the best point has close neighbours. Elastic net: the same along several ρ, and
L-BFGS-B (Byrd et al. 1995) in (u, ρ) from the best point of each that comes close to the best of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hypergrad.errors import DataError
from hypergrad.tasks.cross_validation import ElasticNetCriterion, Evaluation
from hypergrad.tasks.elastic_net import Fold

__all__ = ["PenaltySearch", "find_penalty"]

_RISE = 1.05  # a scan ends where F is above this many times its least, and still rises as alpha falls
_WIDTH = 0.05  # in log alpha; LassoCV's grid has 0.07
_RIVAL = 0.005  # relative, of F
_RAYS = (1.0, 0.9, 0.5, 0.1)
_LOWEST_RATIO = 0.01


@dataclass(frozen=True)
class PenaltySearch:
    """What a search found.

    Attributes:
        alpha, l1_ratio: scikit-learn's penalties.
        value: mean over folds of the mean squared error.
        standard_error: of `value`, over folds.
        coef: weights after a fit to all rows, (p,).
        intercept: of that fit.
        evaluations: every point that was tried, in order.
        edge: whether the best point lies at the lower end of the scanned alphas, where F may fall further.
    """

    alpha: float
    l1_ratio: float
    value: float
    standard_error: float
    coef: np.ndarray
    intercept: float
    evaluations: tuple[Evaluation, ...] = field(repr=False)
    edge: bool


def find_penalty(
    criterion: ElasticNetCriterion,
    l1_ratio: float | None = 1.0,
    eps: float = 1e-3,
    tolerance: float = 1e-4,
    max_evaluations: int = 200,
    thorough: bool = False,
) -> PenaltySearch:
    """The penalties with the least cross-validated error, found by its derivatives, and the model fitted with them.

    F is piecewise smooth and may have several minima. The scan looks at every quarter of a decade and passes over what
    is narrower; it ends early where F rises, unless `thorough`.

    Args:
        criterion: the data and folds.
        l1_ratio: in (0, 1]: fixed (1: lasso); None: searched as well, in [0.01, 1].
        eps: the smallest alpha over that at which all weights on all rows are zero, as scikit-learn's grids have it.
        tolerance: relative improvement of F that is not worth another evaluation.
        max_evaluations: of F.
        thorough: scan to the end whatever F does.

    Returns:
        A `PenaltySearch`.

    Raises:
        DataError: an argument outside its domain.

    Source: Bertrand et al. (2020) for the hypergradient, which they follow by gradient descent.
    """
    if l1_ratio is not None and not 0.0 < l1_ratio <= 1.0:
        raise DataError(f"l1_ratio must lie in (0, 1], or be None to search it as well, got {l1_ratio!r}")
    if not 0.0 < eps < 1.0:
        raise DataError(f"eps must lie in (0, 1), got {eps!r}")
    if not tolerance > 0.0 or max_evaluations < 3:
        raise DataError("tolerance must be positive and max_evaluations at least 3")
    first = criterion.evaluations
    seen: list[Evaluation] = []

    def left() -> int:
        return max_evaluations - (criterion.evaluations - first)

    if l1_ratio is not None:
        seen += _scan(criterion, l1_ratio, eps, 0.25, np.inf, thorough, left())
        seen += _refine(criterion, l1_ratio, seen, tolerance, left())
    else:
        for ratio in _RAYS:
            least = min((e.value for e in seen), default=np.inf)
            seen += _scan(criterion, ratio, eps, 0.25 if ratio == 1.0 else 0.5, least, thorough, left())
        for start in _starts(seen):
            ray = [e for e in seen if e.l1_ratio == start.l1_ratio]
            ray += (more := _refine(criterion, start.l1_ratio, ray, tolerance, min(left(), 12)))
            seen += more
            seen += _descend(criterion, min(ray, key=lambda e: e.value), eps, tolerance, left())
        nearby = min(seen, key=lambda e: e.value).l1_ratio
        same = [e for e in seen if e.l1_ratio == nearby]
        seen += _refine(criterion, nearby, same, tolerance, min(left(), 6))
    best = min(seen, key=lambda e: e.value)
    coef, intercept = _fit(criterion, best)
    edge = best.alpha * best.l1_ratio <= eps * criterion.alpha_whole * (1.0 + 1e-9)
    return PenaltySearch(
        best.alpha, best.l1_ratio, best.value, best.standard_error, coef, intercept, tuple(seen), edge
    )


def _scan(
    criterion: ElasticNetCriterion,
    ratio: float,
    eps: float,
    decades: float,
    best: float,
    thorough: bool,
    limit: int,
) -> list[Evaluation]:
    """F at alphas from alpha_max down, a geometric grid of `decades` a step.

    Args:
        best: the least F so far along other rays; a scan ends that cannot fall below it at 1.5 times its slope.
    """
    top = criterion.alpha_max(ratio)
    count = int(np.ceil(-np.log10(eps) / decades - 1e-9))
    seen: list[Evaluation] = []
    rising = 0
    low = eps * criterion.alpha_whole / ratio
    for alpha in np.geomspace(top, min(low, 0.5 * top), count + 1):
        if len(seen) >= limit:
            break
        now = criterion.evaluate(float(alpha), ratio)
        seen.append(now)
        least = min(e.value for e in seen)
        rising = rising + 1 if now.slope < 0.0 and now.value > _RISE * least else 0
        reach = now.value - 1.5 * max(now.slope, 0.0) * np.log(alpha / low)
        if not thorough and (rising >= 2 or (len(seen) > 2 and reach > best)):
            break
    return seen


def _refine(
    criterion: ElasticNetCriterion, ratio: float, seen: Sequence[Evaluation], tolerance: float, limit: int
) -> list[Evaluation]:
    """Points between those seen, each where a cubic between two neighbours promises the least F."""
    points, added = sorted(seen, key=lambda e: e.alpha), list[Evaluation]()
    while len(added) < limit and len(points) > 1:
        best = min(e.value for e in points)
        value, u = min(_cubic(a, b) for a, b in pairwise(points))
        if not value < best * (1.0 - tolerance):
            beside = _beside(points)
            if beside is None:
                break
            u = beside
        added.append(criterion.evaluate(float(np.exp(u)), ratio))
        points = sorted([*points, added[-1]], key=lambda e: e.alpha)
    return added


def _cubic(a: Evaluation, b: Evaluation) -> tuple[float, float]:
    """The least value, and where in u, of the cubic Hermite interpolant between two evaluations.

    At the ends of an interval that is shorter than 1 % of alpha nothing is promised.
    """
    left, width = float(np.log(a.alpha)), float(np.log(b.alpha / a.alpha))
    if width < 0.01:
        return np.inf, left
    t = np.linspace(0.0, 1.0, 41)[1:-1]
    values = (
        (1 + 2 * t) * (1 - t) ** 2 * a.value
        + t * (1 - t) ** 2 * width * a.slope
        + t * t * (3 - 2 * t) * b.value
        + t * t * (t - 1) * width * b.slope
    )
    best = int(np.argmin(values))
    return float(values[best]), left + width * float(t[best])


def _beside(points: Sequence[Evaluation]) -> float | None:
    """The middle, in u, of the widest interval beside a point that is best or nearly so; None where all are narrow.

    Kinks hide minima from the cubics. The intervals beside the best point end below the spacing of 100 alphas,
    those beside its rivals below three times that.
    """
    best = min(e.value for e in points)
    found: tuple[float, float | None] = (1.0, None)
    for a, b in pairwise(points):
        least, width = min(a.value, b.value), float(np.log(b.alpha / a.alpha))
        allowed = _WIDTH if least == best else 3.0 * _WIDTH
        if least <= best * (1.0 + _RIVAL) and width / allowed > found[0]:
            found = (width / allowed, 0.5 * float(np.log(a.alpha * b.alpha)))
    return found[1]


def _starts(seen: Sequence[Evaluation]) -> list[Evaluation]:
    """The best point of each ray that is within a twentieth of the best of all, best first; three at most."""
    rays = {e.l1_ratio for e in seen}
    tops = sorted(
        (min((e for e in seen if e.l1_ratio == r), key=lambda e: e.value) for r in rays),
        key=lambda e: e.value,
    )
    return [e for e in tops if e.value <= 1.05 * tops[0].value][:3]


def _descend(
    criterion: ElasticNetCriterion, start: Evaluation, eps: float, tolerance: float, limit: int
) -> list[Evaluation]:
    """L-BFGS-B from one point in (log alpha, l1_ratio), F in units of its value there."""
    from scipy.optimize import minimize

    seen: list[Evaluation] = []
    if limit < 2:
        return seen

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        now = criterion.evaluate(float(np.exp(point[0])), float(np.clip(point[1], _LOWEST_RATIO, 1.0)))
        seen.append(now)
        return now.value / start.value, np.array([now.slope, now.by_l1_ratio]) / start.value

    top = np.log(criterion.alpha_max(_LOWEST_RATIO))
    bounds = [(np.log(eps * criterion.alpha_whole), top), (_LOWEST_RATIO, 1.0)]
    minimize(
        objective,
        np.array([np.log(start.alpha), start.l1_ratio]),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxfun": min(limit, 30), "ftol": 0.1 * tolerance, "maxls": 8},
    )
    return seen


def _fit(criterion: ElasticNetCriterion, best: Evaluation) -> tuple[np.ndarray, float]:
    """Weights and intercept on all rows, from the weights of the first fold."""
    rows = np.arange(len(criterion.y))
    whole = Fold(criterion.x, criterion.y, rows, rows[:1], criterion.intercept)
    a1, a2 = best.alpha * best.l1_ratio, best.alpha * (1.0 - best.l1_ratio)
    fit = whole.solve(a1, a2, best.fits[0])
    coef = np.zeros(criterion.x.shape[1])
    coef[fit.support] = fit.weights
    return coef, whole.offset - float(whole.shift @ coef)
