"""Lasso and elastic net on one fold: the exact minimiser, its validation error, and the derivatives by both penalties.

Notation: n training rows, p features, x_j a centred column, y centred; penalties a1, a2 >= 0;

    w(a1, a2) = argmin ½/n |y − X w|² + a1 |w|₁ + ½ a2 |w|²,    c = Xᵀ(y − X w) / n.

On its support S, with signs s, w is the solution of K w_S = X_Sᵀ y / n − a1 s, K = X_SᵀX_S / n + a2 I, and
dw_S/da1 = −K⁻¹ s, dw_S/da2 = −K⁻¹ w_S (Bertrand et al. 2020): the factor of K serves both. scikit-learn's
alpha and l1_ratio are a1 = alpha · l1_ratio, a2 = alpha · (1 − l1_ratio).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

__all__ = ["Fit", "Fold"]

_ROUNDS = 8  # of exact active-set steps before coordinate descent


@dataclass(frozen=True)
class Fit:
    """The minimiser on one fold.

    Attributes:
        a1, a2: penalties.
        support: features with a weight, (k,), sorted.
        weights: theirs, (k,).
        correlations: c, (p,).
        by_a1, by_a2: dw_S/da1, dw_S/da2, (k,).
        violation: by how much the optimality conditions are not fulfilled, over a1.
    """

    a1: float
    a2: float
    support: np.ndarray
    weights: np.ndarray
    correlations: np.ndarray
    by_a1: np.ndarray
    by_a2: np.ndarray
    violation: float


class Fold:
    """Training and validation rows of one split, centred by the means of the training rows.

    The columns that were ever near the support, and their inner products, are kept.

    Args:
        x, y: all rows, (N, p) and (N,).
        train, valid: indices of rows.
        intercept: whether the model has one; otherwise nothing is centred.
    """

    def __init__(
        self, x: np.ndarray, y: np.ndarray, train: np.ndarray, valid: np.ndarray, intercept: bool = True
    ) -> None:
        rows, target = x[train], y[train]
        self.shift = rows.mean(axis=0) if intercept else np.zeros(x.shape[1])
        self.offset = float(target.mean()) if intercept else 0.0
        self.columns = np.ascontiguousarray((rows - self.shift).T)
        self.target = target - self.offset
        self.valid_columns = np.ascontiguousarray((x[valid] - self.shift).T)
        self.valid_target = y[valid] - self.offset
        self.count = len(train)
        self._scaled = self.target / np.sqrt(self.count)
        self.moments = self.columns @ self.target / self.count
        self._place = np.full(x.shape[1], -1)
        self._known = np.zeros(0, np.intp)
        self._gram = np.zeros((0, 0))

    def start(self) -> Fit:
        """The fit at the smallest a1 whose weights are all zero."""
        none, empty = np.zeros(0), np.zeros(0, np.intp)
        return Fit(float(np.max(np.abs(self.moments))), 0.0, empty, none, self.moments, none, none, 0.0)

    def solve(self, a1: float, a2: float, near: Fit, tolerance: float = 1e-9) -> Fit:
        """The minimiser, from a fit at other penalties.

        Features enter by the sequential strong rule (Tibshirani et al. 2012) and by their violation of |c| <= a1, which
        is checked for all of them before the end. Exact active-set steps come first; where they do not settle,
        coordinate descent (scikit-learn's) finds the support.

        Args:
            tolerance: on the violation of the optimality conditions, over a1.
        """
        strong = np.flatnonzero(np.abs(near.correlations) >= 2.0 * a1 - near.a1)
        if len(strong) > 2 * len(near.support) + 50:
            largest = np.argsort(-np.abs(near.correlations[strong]), kind="stable")
            strong = strong[largest[: 2 * len(near.support) + 50]]
        work = np.union1d(near.support, strong)
        w = np.zeros(len(work))
        w[np.searchsorted(work, near.support)] = near.weights
        while True:
            gram, moments = self._inner(work), self.moments[work]
            w, slopes = _restricted(gram, moments, self._scaled, a1, a2, w, tolerance)
            on = w != 0.0
            residual = self.target - w[on] @ self.columns[work[on]]
            c = self.columns @ residual / self.count
            outside = np.abs(c)
            outside[work] = 0.0
            new = np.flatnonzero(outside > a1 * (1.0 + tolerance))
            if not len(new):
                break
            most = max(20, len(work))
            if len(new) > most:
                new = new[np.argsort(-outside[new], kind="stable")[:most]]
            merged = np.union1d(work, new)
            filled = np.zeros(len(merged))
            filled[np.searchsorted(merged, work)] = w
            work, w = merged, filled
        support, weights = work[on], w[on]
        gap = np.abs(c[support] - a2 * weights - a1 * np.sign(weights))
        rest = np.abs(c[work[~on]]) - a1
        worst = max(float(gap.max(initial=0.0)), float(rest.max(initial=0.0)))
        return Fit(a1, a2, support, weights, c, *slopes, worst / a1 if a1 > 0 else worst)

    def error(self, fit: Fit) -> tuple[float, np.ndarray]:
        """Mean squared error on the validation rows, and its derivatives by a1 and a2, (2,)."""
        seen = self.valid_columns[fit.support]
        e = fit.weights @ seen - self.valid_target
        count = len(e)
        pulled = seen @ e * (2.0 / count)
        return float(e @ e) / count, np.array([pulled @ fit.by_a1, pulled @ fit.by_a2])

    def _inner(self, work: np.ndarray) -> np.ndarray:
        """X_workᵀ X_work / n."""
        new = work[self._place[work] < 0]
        if len(new):
            old, rows = len(self._known), self.columns[new]
            if old + len(new) > len(self._gram):
                room = max(64, 2 * old, old + len(new))
                gram = np.zeros((room, room))
                gram[:old, :old] = self._gram[:old, :old]
                self._gram = gram
            cross = rows @ self.columns[np.r_[self._known, new]].T / self.count
            both = slice(old, old + len(new))
            self._gram[both, : old + len(new)] = cross
            self._gram[: old + len(new), both] = cross.T
            self._place[new] = np.arange(old, old + len(new))
            self._known = np.r_[self._known, new]
        at = self._place[work]
        return self._gram[np.ix_(at, at)]


def _restricted(
    gram: np.ndarray,
    moments: np.ndarray,
    target: np.ndarray,
    a1: float,
    a2: float,
    w: np.ndarray,
    tolerance: float,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The minimiser over a few features, and the derivatives of its nonzero weights by a1 and a2."""
    found = _active_set(gram, moments, a1, a2, w, tolerance)
    if found is None:
        w = _monotone(gram, moments, a1, a2, _descend(gram, moments, target, a1, a2, w), tolerance)
        found = _active_set(gram, moments, a1, a2, w, tolerance)
    if found is not None:
        return found
    on = w != 0.0
    k = gram[np.ix_(on, on)] + a2 * np.eye(int(on.sum()))
    right = np.stack([-np.sign(w[on]), -w[on]], axis=1)
    by = np.linalg.lstsq(k, right, rcond=None)[0]
    return w, (by[:, 0], by[:, 1])


def _active_set(
    gram: np.ndarray, moments: np.ndarray, a1: float, a2: float, w: np.ndarray, tolerance: float
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]] | None:
    """Exact weights on a guessed support, which drops weights of the wrong sign and takes in what violates |c| <= a1.

    Returns:
        None where the guesses do not settle, or K is singular.
    """
    from scipy.linalg import cho_factor, cho_solve

    signs = np.sign(w)
    for _ in range(_ROUNDS):
        on = signs != 0.0
        if not on.any():
            w, by = np.zeros_like(w), np.zeros((0, 2))
        else:
            k = gram[np.ix_(on, on)]
            k.flat[:: len(k) + 1] += a2
            try:
                factor = cho_factor(k, lower=True, overwrite_a=True, check_finite=False)
            except np.linalg.LinAlgError:
                return None
            diagonal = np.diagonal(factor[0])
            if diagonal.min() < 1e-7 * diagonal.max():
                return None
            right = np.stack([moments[on] - a1 * signs[on], -signs[on]], axis=1)
            both = cho_solve(factor, right, check_finite=False)
            by = np.stack([both[:, 1], cho_solve(factor, -both[:, 0], check_finite=False)], axis=1)
            w = np.zeros_like(w)
            w[on] = both[:, 0]
        c = moments - gram[:, on] @ w[on]
        wrong = on & (w * signs <= 0.0)
        missing = ~on & (np.abs(c) > a1 * (1.0 + tolerance))
        if not wrong.any() and not missing.any():
            return w, (by[:, 0], by[:, 1])
        signs = np.where(wrong, 0.0, np.where(missing, np.sign(c), signs))
    return None


def _monotone(
    gram: np.ndarray, moments: np.ndarray, a1: float, a2: float, w: np.ndarray, tolerance: float
) -> np.ndarray:
    """The minimiser by an active-set method whose objective never rises, so that it ends.

    On a support with its signs: a Newton step, or, where K is singular, a step along its null space, cut where the
    first weight changes sign, which leaves. At the minimum of a support the feature that violates |c| <= a1 most enters
    (Lawson & Hanson 1974, chapter 23, for signs instead of non-negativity).
    """
    w, signs = w.copy(), np.sign(w)
    for _ in range(10 * len(w) + 50):
        on = np.flatnonzero(signs)
        k = gram[np.ix_(on, on)] + a2 * np.eye(len(on))
        slope = k @ w[on] - moments[on] + a1 * signs[on]
        move, longest = _direction(k, slope)
        back = move * signs[on] < 0.0
        reach = np.full(len(on), np.inf)
        reach[back] = -w[on][back] / move[back]
        step = min(longest, float(reach.min(initial=np.inf)))
        if not np.isfinite(step):
            break
        w[on] += step * move
        if step < longest:
            leaves = on[np.argmin(reach)]
            w[leaves] = signs[leaves] = 0.0
            continue
        c = moments - gram[:, on] @ w[on]
        outside = np.where(signs == 0.0, np.abs(c), 0.0)
        enters = int(np.argmax(outside)) if len(w) else 0
        if not len(w) or outside[enters] <= a1 * (1.0 + 0.5 * tolerance):
            break
        signs[enters] = np.sign(c[enters])
    return w


def _direction(k: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, float]:
    """A direction of descent of ½ dᵀK d + slopeᵀd, and how far it leads to the minimum (inf: it never rises)."""
    from scipy.linalg import cho_factor, cho_solve

    if not len(k):
        return slope, 1.0
    try:
        factor = cho_factor(k, lower=True, check_finite=False)
        diagonal = np.diagonal(factor[0])
        if diagonal.min() > 1e-5 * diagonal.max():
            return -cho_solve(factor, slope, check_finite=False), 1.0
    except np.linalg.LinAlgError:
        pass  # K is singular: its eigenvectors tell where to
    values, vectors = np.linalg.eigh(k)
    parts = vectors.T @ slope
    null = values <= 1e-12 * values[-1]
    if np.any(np.abs(parts[null]) > 1e-9 * np.linalg.norm(slope)):
        return -vectors[:, null] @ parts[null], np.inf
    return -vectors[:, ~null] @ (parts[~null] / values[~null]), 1.0


def _descend(
    gram: np.ndarray,
    moments: np.ndarray,
    target: np.ndarray,
    a1: float,
    a2: float,
    w: np.ndarray,
) -> np.ndarray:
    """Coordinate descent to a duality gap of 1e-4 |y|² / n, given X_WᵀX_W / n, X_Wᵀy / n and y / √n."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import enet_path

    alpha = a1 + a2
    one = np.empty((1, len(w)))  # scikit-learn reads only its shape: one row, so that nothing is scaled by n
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # what follows needs a start, and checks its own end
        _, coefs, _ = enet_path(
            one,
            target,
            l1_ratio=a1 / alpha,
            alphas=[alpha],
            precompute=gram,
            Xy=moments,
            coef_init=w,
            check_input=False,
            tol=1e-4,
            max_iter=2000,
        )
    return np.ascontiguousarray(coefs[:, 0])
