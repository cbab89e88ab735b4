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

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from hypergrad.bayesopt.kernels.base import Kernel, Points, Rows

__all__ = ["Blocks"]

_AT_ONCE = 2**18  # squared distances made at a time
_KEPT = 2**26  # most of them that are kept, half a GiB


class Blocks:
    """The covariance between two lists of rows, as a function of length-scales and signal variance.

    What does not depend on those is computed once, O(scales n1 n2 + (G1 + n1) G2) numbers; the squared distances anew
    each time where they are too many to keep.

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
        self._whole = (rows.whole(len(left)), others.whole(len(right)))

    @cached_property
    def _a(self) -> np.ndarray:
        """Differences in the own coordinate of each derivative row on the left, unscaled, (G1, n2)."""
        i = self.rows.coordinates
        return self._left.x[self.rows.points, i][:, None] - self._right.x[:, i].T

    @cached_property
    def _b(self) -> np.ndarray:
        """The same of those on the right, (n1, G2)."""
        if self.symmetric:
            return -self._a.T
        j = self.others.coordinates
        return self._left.x[:, j] - self._right.x[self.others.points, j][None, :]

    @cached_property
    def _outer(self) -> np.ndarray:
        """Products of the two differences, (G1, G2)."""
        return self._a[:, self.others.points] * self._b[self.rows.points, :]

    @cached_property
    def _same(self) -> np.ndarray:
        """Whether two derivative rows are along the same coordinate, (G1, G2)."""
        return self.rows.coordinates[:, None] == self.others.coordinates[None, :]

    def _pairs(self, table: np.ndarray) -> np.ndarray:
        """A table over points, (n1, n2), at the points of the derivative rows, (G1, G2)."""
        return table[np.ix_(self.rows.points, self.others.points)]

    def _parts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Some length-scales (k,) and their squared distances (k, n1, n2), until all were there."""
        left, right = self._left, self._right
        each = max(1, _AT_ONCE // max(1, len(left) * len(right)))
        for coordinate, columns in self.kernel.kinds:
            for start in range(0, len(columns), each):
                some = columns[start : start + each]
                x, on = left.x[:, some].T, left.active[:, some].T
                y, there = right.x[:, some].T, right.active[:, some].T
                for m, squares in enumerate(coordinate.squares(x, y, on, there)):
                    yield self.kernel.first[some] + m, squares

    def _sum(self, weights: np.ndarray, keep: bool) -> np.ndarray:
        """s, (n1, n2)."""
        if self._squares is not None:
            return np.tensordot(weights, self._squares, axes=1)
        total = np.zeros((len(self._left), len(self._right)))
        if keep and self.kernel.scales * total.size <= _KEPT:
            self._squares = np.empty((self.kernel.scales, *total.shape))
        for scales, squares in self._parts():
            if self._squares is not None:
                self._squares[scales] = squares
            squares *= weights[scales][:, None, None]
            total += squares.sum(axis=0)
        return total

    def _contracted(self, table: np.ndarray) -> np.ndarray:
        """(Σ_pq D_m(p, q) table_pq)_m, (scales,)."""
        if self._squares is not None:
            return np.tensordot(self._squares, table, axes=2)
        found = np.empty(self.kernel.scales)
        for scales, squares in self._parts():
            found[scales] = np.tensordot(squares, table, axes=2)
        return found

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
            keep: keep the squared distances for the next call (scales·n1·n2 numbers), where that is not too many.
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
            block = self._pairs(-4.0 * f2)
            block *= self._outer
            block *= left[:, None]
            block *= right
            block[self._same] += self._pairs(-2.0 * f1)[self._same]
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
                w *= self._pairs(f[2])
                by_scale += 4.0 * np.bincount(one, w.sum(axis=1), kernel.scales)
                by_scale += 4.0 * np.bincount(two, w.sum(axis=0), kernel.scales)
        by_scale -= 2.0 * self._contracted(by_pair) / lengthscales**2
        return signal * by_scale


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
