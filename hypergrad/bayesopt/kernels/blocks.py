"""Covariance of rows of values and derivatives, and its derivative by the log hyperparameters, in closed form.

Notation (as in `base`), and::

    z_i       x_i / ℓ_i: derivative rows are ∂f/∂z_i = ℓ_i ∂f/∂x_i, derivatives *per length-scale*
    Δ_i       z_i(x) − z_i(y)
    φ', φ''   derivatives of φ by s
    W         weights, (rows, rows)

The blocks (a value or ∂/∂z_i at x on the left, a value or ∂/∂z_j at y on the right), over v::

    value, value              φ
    derivative i, value       2 φ' Δ_i
    value, derivative j      −2 φ' Δ_j
    derivative i, j          −4 φ'' Δ_i Δ_j − 2 φ' [i = j]

and by log ℓ_m, with ∂s/∂log ℓ_m = −2 D_m/ℓ_m² =: s_m and ∂Δ_i/∂log ℓ_m = −Δ_i [i = m]::

    value, value              φ' s_m
    derivative i, value       2 φ'' Δ_i s_m − 2 φ' Δ_i [i = m]
    derivative i, j          −(4 φ''' Δ_i Δ_j + 2 φ'' [i = j]) s_m + 4 φ'' Δ_i Δ_j ([i = m] + [j = m])

The scaling by ℓ gives derivative rows the variance −2 φ'(0) v, whatever the length-scales: the diagonal preconditioner
that keeps the matrix well conditioned (compare Marchildon & Zingg 2023, arXiv 2307.05855).
"""

from __future__ import annotations

import numpy as np

from hypergrad.bayesopt.kernels.base import Kernel, Points, Rows

__all__ = ["Blocks"]

_AT_ONCE = 2**18  # squared distances held beside their sum


class Blocks:
    """The covariance between two lists of rows, as a function of length-scales and signal variance.

    What does not depend on those is computed once, O((scales + d) n1 n2 + G1 G2) numbers.

    Args:
        right: None: the same points and rows as on the left; the matrix is then symmetric.

    Attributes:
        distances: s (n1, n2) of the last `matrix`.
    """

    def __init__(
        self,
        kernel: Kernel,
        left: Points,
        rows: Rows,
        right: Points | None = None,
        others: Rows | None = None,
    ) -> None:
        self.kernel, self.rows = kernel, rows
        self.symmetric = right is None
        self._right = right = left if right is None else right
        self._left = left
        self.others = others = rows if others is None else others
        self._squares: np.ndarray | None = None
        self.distances: np.ndarray | None = None
        # Differences of the derivative rows' own coordinates, unscaled: (G1, n2) and (n1, G2).
        i, j = rows.coordinates, others.coordinates
        self._a = left.x[rows.points, i][:, None] - right.x[:, i].T
        self._b = -self._a.T if self.symmetric else left.x[:, j] - right.x[others.points, j][None, :]
        self._at = np.ix_(rows.points, others.points)
        self._outer = self._a[:, others.points] * self._b[rows.points, :]
        self._same = i[:, None] == j[None, :]
        self._whole = (_whole(rows.values, len(left)), _whole(others.values, len(right)))

    def _sum(self, weights: np.ndarray, keep: bool) -> np.ndarray:
        """s, (n1, n2)."""
        left, right = self._left, self._right
        if self._squares is not None:
            return np.tensordot(weights, self._squares, axes=1)
        shape = (len(left), len(right))
        total = np.zeros(shape)
        if keep:
            self._squares = np.empty((self.kernel.scales, *shape))
        each = max(1, _AT_ONCE // max(1, total.size))
        for coordinate, columns in self.kernel.kinds:
            for start in range(0, len(columns), each):
                some = columns[start : start + each]
                sides = (side[:, some].T for side in (left.x, right.x, left.active, right.active))
                for m, squares in enumerate(coordinate.squares(*sides)):
                    scales = self.kernel.first[some] + m
                    if self._squares is not None:
                        self._squares[scales] = squares
                    squares *= weights[scales][:, None, None]
                    total += squares.sum(axis=0)
        return total

    def _values(self, table: np.ndarray) -> np.ndarray:
        """A table over points, (n1, n2), at the value rows of both sides."""
        if not self._whole[0]:
            table = table[self.rows.values]
        return table if self._whole[1] else table[:, self.others.values]

    def _mixed(self, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A table over points at (derivative, value) and at (value, derivative)."""
        lower = table[self.rows.points]
        upper = table[:, self.others.points]
        if not self._whole[1]:
            lower = lower[:, self.others.values]
        return lower, upper if self._whole[0] else upper[self.rows.values]

    def _inverse_scales(self, lengthscales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first = self.kernel.first
        return 1.0 / lengthscales[first[self.rows.coordinates]], 1.0 / lengthscales[
            first[self.others.coordinates]
        ]

    def matrix(self, lengthscales: np.ndarray, signal: float, keep: bool = False) -> np.ndarray:
        """The covariance, (V1 + G1, V2 + G2), derivative rows per length-scale.

        Args:
            lengthscales: (scales,), > 0.
            signal: v > 0.
            keep: keep the squared distances for the next call (scales·n1·n2 numbers).
        """
        self.distances = s = self._sum(1.0 / lengthscales**2, keep)
        v1, v2 = len(self.rows.values), len(self.others.values)
        if not len(self.rows.points) and not len(self.others.points):
            return signal * self._values(self.kernel.profile.derivatives(s, 0)[0])
        left, right = self._inverse_scales(lengthscales)
        f0, f1, f2 = self.kernel.profile.derivatives(s, 2)
        found = np.empty((len(self.rows), len(self.others)))
        found[:v1, :v2] = self._values(f0)
        a, b = left[:, None] * self._a, right * self._b
        if len(left):
            found[v1:, :v2] = self._mixed(2.0 * f1)[0] * (a if self._whole[1] else a[:, self.others.values])
        if self.symmetric:
            found[:v1, v2:] = found[v1:, :v2].T
        elif len(right):
            found[:v1, v2:] = self._mixed(-2.0 * f1)[1] * (b if self._whole[0] else b[self.rows.values])
        if len(left) and len(right):
            block = (-4.0 * f2)[self._at]
            block *= self._outer
            block *= left[:, None]
            block *= right
            block[self._same] += (-2.0 * f1)[self._at][self._same]
            found[v1:, v2:] = block
        found *= signal
        return found

    def pull(self, lengthscales: np.ndarray, signal: float, weights: np.ndarray) -> np.ndarray:
        """(Σ_ab W_ab ∂K_ab/∂log ℓ_m)_m, (scales,).

        Args:
            weights: W (V1 + G1, V2 + G2); symmetric where the rows of both sides are the same.
        """
        kernel, rows, others = self.kernel, self.rows, self.others
        v1, v2 = len(rows.values), len(others.values)
        s = self._sum(1.0 / lengthscales**2, True)
        assert self._squares is not None
        derivative = bool(len(rows.points) or len(others.points))
        f = kernel.profile.derivatives(s, 3 if derivative else 1)
        n1, n2 = s.shape
        # P: what multiplies s_m, gathered by pairs of points.
        by_pair = _scatter(
            weights[:v1, :v2] * self._values(f[1]), rows.values, n1, others.values, n2, self._whole
        )
        by_scale = np.zeros(kernel.scales)
        if derivative:
            left, right = self._inverse_scales(lengthscales)
            one, two = kernel.first[rows.coordinates], kernel.first[others.coordinates]
            to_left, to_right = _incidence(rows.points, n1), _incidence(others.points, n2)
            a, b = left[:, None] * self._a, right * self._b
            if not self._whole[1]:
                a = a[:, others.values]
            if not self._whole[0]:
                b = b[rows.values]
            if len(left):
                w = weights[v1:, :v2] * a
                times = 2.0 if self.symmetric else 1.0
                gathered = to_left @ (w * self._mixed(f[2])[0])
                part = 2.0 * times * _columns(gathered, others.values, n2, self._whole[1])
                by_pair = by_pair + (0.5 * (part + part.T) if self.symmetric else part)
                sums = (w * self._mixed(f[1])[0]).sum(axis=1)
                by_scale -= 2.0 * times * np.bincount(one, sums, kernel.scales)
            if len(right) and not self.symmetric:
                w = weights[:v1, v2:] * b
                gathered = (w * self._mixed(f[2])[1]) @ to_right.T
                by_pair = by_pair - 2.0 * _columns(gathered.T, rows.values, n1, self._whole[0]).T
                sums = (w * self._mixed(f[1])[1]).sum(axis=0)
                by_scale += 2.0 * np.bincount(two, sums, kernel.scales)
            if len(left) and len(right):
                w = weights[v1:, v2:]
                plain = np.where(self._same, w, 0.0)
                w = w * self._outer
                w *= left[:, None]
                w *= right
                by_pair = by_pair - 4.0 * f[3] * (to_left @ w @ to_right.T)
                by_pair = by_pair - 2.0 * f[2] * (to_left @ plain @ to_right.T)
                w *= f[2][self._at]
                by_scale += 4.0 * np.bincount(one, w.sum(axis=1), kernel.scales)
                by_scale += 4.0 * np.bincount(two, w.sum(axis=0), kernel.scales)
        by_scale -= 2.0 * np.tensordot(self._squares, by_pair, axes=2) / lengthscales**2
        return signal * by_scale


def _whole(index: np.ndarray, n: int) -> bool:
    return len(index) == n and bool(np.array_equal(index, np.arange(n)))


def _incidence(points: np.ndarray, n: int) -> np.ndarray:
    """(n, rows): 1 where the row belongs to the point."""
    found = np.zeros((n, len(points)))
    found[points, np.arange(len(points))] = 1.0
    return found


def _columns(table: np.ndarray, index: np.ndarray, n: int, whole: bool) -> np.ndarray:
    """Columns (m, rows) added up by point, (m, n)."""
    return table if whole else table @ _incidence(index, n).T


def _scatter(
    table: np.ndarray, left: np.ndarray, n1: int, right: np.ndarray, n2: int, whole: tuple[bool, bool]
) -> np.ndarray:
    """A table over rows added up by pairs of points, (n1, n2)."""
    table = _columns(table, right, n2, whole[1])
    return table if whole[0] else _incidence(left, n1) @ table
