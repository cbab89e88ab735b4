"""What has been observed of f: values, and any subset of partial derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hypergrad.bayesopt.kernels import Kernel, Points, Rows
from hypergrad.errors import DataError, ShapeError

__all__ = ["Observations", "observe"]


@dataclass(frozen=True)
class Observations:
    """Values at n points, and G partial derivatives; made by `observe`.

    Attributes:
        points: the n points.
        values: (n,) in the unit of f.
        rows: all n values, then the derivative rows that are used.
        gradients: (n, d) partial derivatives by x (not by x/ℓ), 0 where not a row.
        value_noise: (n,) given noise variance of each value, unit of f squared.
        gradient_noise: (n, d) given noise variance of each partial derivative, in its unit squared.
    """

    points: Points
    values: np.ndarray
    rows: Rows
    gradients: np.ndarray
    value_noise: np.ndarray
    gradient_noise: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def derivatives(self) -> np.ndarray:
        """(G,) the partial derivatives by x, row by row."""
        return self.gradients[self.rows.points, self.rows.coordinates]

    @property
    def derivative_noise(self) -> np.ndarray:
        """(G,) their given noise variances."""
        return self.gradient_noise[self.rows.points, self.rows.coordinates]

    def keep(self, rows: np.ndarray) -> Observations:
        """The same with only these derivative rows (an index into them)."""
        rows = np.sort(np.asarray(rows, dtype=int))
        kept = Rows(self.rows.values, self.rows.points[rows], self.rows.coordinates[rows])
        return replace(self, rows=kept)

    def without_derivatives(self) -> Observations:
        """The values alone."""
        return self.keep(np.zeros(0, dtype=int))

    def take(self, points: np.ndarray) -> Observations:
        """The observations at an index of points, in that order."""
        points = np.asarray(points, dtype=int)
        place = np.full(len(self), -1)
        place[points] = np.arange(len(points))
        among = place[self.rows.points]
        order = np.lexsort((self.rows.coordinates, among))
        order = order[among[order] >= 0]
        return Observations(
            points=self.points.take(points),
            values=self.values[points],
            rows=Rows(np.arange(len(points)), among[order], self.rows.coordinates[order]),
            gradients=self.gradients[points],
            value_noise=self.value_noise[points],
            gradient_noise=self.gradient_noise[points],
        )

    def also(self, points: Points, values: np.ndarray) -> Observations:
        """With m more values, without derivatives or given noise."""
        m, d = len(points), self.gradients.shape[1]
        return Observations(
            points=Points(
                np.concatenate([self.points.x, points.x]), np.concatenate([self.points.active, points.active])
            ),
            values=np.concatenate([self.values, values]),
            rows=Rows(np.arange(len(self) + m), self.rows.points, self.rows.coordinates),
            gradients=np.concatenate([self.gradients, np.zeros((m, d))]),
            value_noise=np.concatenate([self.value_noise, np.zeros(m)]),
            gradient_noise=np.concatenate([self.gradient_noise, np.zeros((m, d))]),
        )

    def scaled(self, shift: float, scale: float) -> Observations:
        """Of (f − shift)/scale: derivatives are divided by `scale`, variances by its square."""
        return replace(
            self,
            values=(self.values - shift) / scale,
            gradients=self.gradients / scale,
            value_noise=self.value_noise / scale**2,
            gradient_noise=self.gradient_noise / scale**2,
        )


def observe(
    kernel: Kernel,
    x: object,
    values: object,
    gradients: object | None = None,
    *,
    known: object | None = None,
    active: object | None = None,
    value_noise: object = 0.0,
    gradient_noise: object = 0.0,
) -> Observations:
    """Observations of f, checked.

    Args:
        x: (n, d), n >= 1: numbers in the unit cube (the priors of `fit` assume it), or labels of choices.
        values: (n,).
        gradients: (n, d) ∂f/∂x_i; None: no derivatives.
        known: (n, d) bool, which entries of `gradients` were observed; what the others hold is ignored; None: all that
            can be. An entry of a choice or of an inactive number is never one.
        active: (n, d) bool; None: all are.
        value_noise: given noise variance of the values, a number or (n,), >= 0, in the unit of f squared; the learned
            noise comes on top.
        gradient_noise: that of the derivatives, a number or (n, d).

    Raises:
        ShapeError: shapes that do not fit.
        DataError: an observed number that is not finite, a negative noise variance, or no point.
    """
    points = kernel.points(x, active)
    n, d = points.x.shape
    if n == 0:
        raise DataError("there is no observation; tell at least one value before asking for a model")
    found = _finite("values", values, (n,), np.ones(n, dtype=bool))
    possible = points.active & kernel.smooth
    if gradients is None:
        if known is not None:
            raise ShapeError(
                "known says which gradients were observed, and gradients is None; give both or neither"
            )
        observed = np.zeros((n, d), dtype=bool)
        table = np.zeros((n, d))
    else:
        observed = possible.copy()
        if known is not None:
            said = np.asarray(known)
            if said.shape != (n, d) or said.dtype != bool:
                raise ShapeError(
                    f"known must be bool of the shape {(n, d)}, and is {said.dtype} {said.shape}"
                )
            observed &= said
        table = np.where(observed, _finite("gradients", gradients, (n, d), observed), 0.0)
    at, by = np.nonzero(observed)
    return Observations(
        points=points,
        values=found,
        rows=Rows(np.arange(n), at, by),
        gradients=table,
        value_noise=_variance("value_noise", value_noise, (n,)),
        gradient_noise=np.where(observed, _variance("gradient_noise", gradient_noise, (n, d)), 0.0),
    )


def _numbers(what: str, given: object, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be an array of real numbers of the shape {shape}; {error}") from error


def _finite(what: str, given: object, shape: tuple[int, ...], where: np.ndarray) -> np.ndarray:
    array = _numbers(what, given, shape)
    if array.shape != shape:
        raise ShapeError(
            f"{what} must have the shape {shape}, one entry for each point of x, and has {array.shape}"
        )
    bad = np.argwhere(where & ~np.isfinite(array))
    if len(bad):
        index = ", ".join(str(i) for i in bad[0])
        cure = "mark it False in known" if what == "gradients" else "leave that point out"
        raise DataError(f"{what}[{index}] is {array[tuple(bad[0])]}, not a finite number; {cure}")
    return array.copy()


def _variance(what: str, given: object, shape: tuple[int, ...]) -> np.ndarray:
    array = _numbers(what, given, shape)
    if array.shape not in ((), shape):
        raise ShapeError(f"{what} must be one number or have the shape {shape}, and has {array.shape}")
    if not (np.isfinite(array).all() and (array >= 0.0).all()):
        raise DataError(f"{what} must be variances, finite and not negative; its smallest is {array.min()}")
    return np.broadcast_to(array, shape).copy()
