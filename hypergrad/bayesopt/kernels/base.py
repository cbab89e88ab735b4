"""What a kernel is made of, and the points and rows it is taken between.

Notation::

    x, y     points, (d,), numbers in the unit cube or labels
    D_m      unscaled squared distance of scale m (a coordinate has one or two scales), (n1, n2)
    ℓ_m      length-scale of scale m, > 0
    s(x, y)  Σ_m D_m(x, y) / ℓ_m²
    φ        profile, φ(0) = 1
    k(x, y)  v φ(s(x, y)), v the signal variance

A sum of squared Euclidean distances is one, so k is positive definite for every profile that is so in all dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from hypergrad.errors import DataError, ShapeError

__all__ = ["Coordinate", "Kernel", "Points", "Profile", "Rows"]


class Profile(Protocol):
    """φ(s) and its derivatives by s."""

    @property
    def name(self) -> str: ...

    def derivatives(self, s: np.ndarray, order: int) -> list[np.ndarray]: ...


class Coordinate(Protocol):
    """One hyperparameter as the kernel sees it.

    Attributes:
        scales: number of length-scales; the first is along the number.
        smooth: whether it can have derivative rows.
        optional: whether it can be inactive.
    """

    @property
    def name(self) -> str: ...
    @property
    def scales(self) -> int: ...
    @property
    def smooth(self) -> bool: ...
    @property
    def optional(self) -> bool: ...

    # Of k coordinates of this kind at once: (n, k) -> (n, k), and (k, n), (k, m) -> (k, n, m) a scale.
    def place(self, x: np.ndarray, active: np.ndarray) -> np.ndarray: ...
    def squares(
        self, x: np.ndarray, y: np.ndarray, on: np.ndarray, there: np.ndarray
    ) -> list[np.ndarray]: ...


@dataclass(frozen=True)
class Kernel:
    """k(x, y) = v φ(Σ_m D_m(x, y)/ℓ_m²).

    Args:
        profile: φ.
        coordinates: what each of the d columns of a point is.
    """

    profile: Profile
    coordinates: tuple[Coordinate, ...]

    def __post_init__(self) -> None:
        if not self.coordinates:
            raise ShapeError("a kernel needs at least one coordinate, and got none; name one a column of x")

    @cached_property
    def kinds(self) -> tuple[tuple[Coordinate, np.ndarray], ...]:
        """The different coordinates, each with its columns (k,)."""
        columns: dict[Coordinate, list[int]] = {}
        for i, coordinate in enumerate(self.coordinates):
            columns.setdefault(coordinate, []).append(i)
        return tuple((coordinate, np.array(mine)) for coordinate, mine in columns.items())

    @cached_property
    def first(self) -> np.ndarray:
        """(d,) index of each coordinate's first length-scale."""
        widths = [coordinate.scales for coordinate in self.coordinates]
        return np.cumsum([0, *widths[:-1]])

    @cached_property
    def smooth(self) -> np.ndarray:
        """(d,) bool: which coordinates can have derivative rows."""
        return np.array([coordinate.smooth for coordinate in self.coordinates])

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.coordinates)

    @cached_property
    def scales(self) -> int:
        """Number of length-scales."""
        return sum(coordinate.scales for coordinate in self.coordinates)

    def points(self, x: object, active: object | None = None, what: str = "x") -> Points:
        """The points of x (n, d), checked and placed.

        Args:
            active: (n, d) bool; None: all are.
            what: how an error calls `x`.

        Raises:
            ShapeError: x is not (n, d), or `active` is not of x's shape.
            DataError: an active entry of x is not a finite number, or a coordinate that is always there is inactive.
        """
        try:
            x = np.array(x, dtype=float)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{what} must be an array of real numbers (n, {self.dimension}); {error}"
            ) from error
        if x.ndim != 2 or x.shape[1] != self.dimension:
            raise ShapeError(f"{what} must have the shape (n, {self.dimension}), and has {x.shape}")
        on = np.ones(x.shape, dtype=bool) if active is None else np.asarray(active)
        if on.shape != x.shape or on.dtype != bool:
            raise ShapeError(
                f"active must be bool of the shape {x.shape} of {what}, and is {on.dtype} {on.shape}"
            )
        bad = on & ~np.isfinite(x)
        if bad.any():
            p, i = np.argwhere(bad)[0]
            raise DataError(f"{what}[{p}, {i}] is {x[p, i]}, not a finite number; leave that point out")
        placed = np.empty_like(x)
        for coordinate, columns in self.kinds:
            here = on[:, columns]
            if not coordinate.optional and not here.all():
                p, i = np.argwhere(~here)[0]
                raise DataError(
                    f"column {columns[i]} of {what} is {coordinate.name!r} but inactive at point {p}; "
                    "make it 'conditional'"
                )
            placed[:, columns] = coordinate.place(x[:, columns], here)
        return Points(placed, on)


@dataclass(frozen=True)
class Points:
    """Points as placed by a kernel.

    Attributes:
        x: (n, d).
        active: (n, d) bool.
    """

    x: np.ndarray
    active: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: np.ndarray) -> Points:
        """The points of an index."""
        return Points(self.x[index], self.active[index])


@dataclass(frozen=True)
class Rows:
    """Which linear functionals of f at some points: first values, then partial derivatives.

    Attributes:
        values: (V,) points whose value is a row.
        points: (G,) points of the derivative rows.
        coordinates: (G,) by which coordinate each of them is.
    """

    values: np.ndarray
    points: np.ndarray
    coordinates: np.ndarray

    @staticmethod
    def of(
        values: Sequence[int] | np.ndarray, derivatives: Sequence[tuple[int, int]] | np.ndarray = ()
    ) -> Rows:
        """Rows of the values at points, and derivatives as pairs (point, coordinate)."""
        pairs = np.asarray(derivatives, dtype=int).reshape(-1, 2)
        return Rows(np.asarray(values, dtype=int).reshape(-1), pairs[:, 0].copy(), pairs[:, 1].copy())

    def __len__(self) -> int:
        return len(self.values) + len(self.points)

    def whole(self, n: int) -> bool:
        """Whether the value rows are those of points 0 to n - 1, in order."""
        return len(self.values) == n and self._ordered

    @cached_property
    def _ordered(self) -> bool:
        return bool((self.values == np.arange(len(self.values))).all())
