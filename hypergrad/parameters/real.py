"""Real hyperparameters."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError
from hypergrad.parameters.scalars import conditions, flag, integer, nested, number

__all__ = ["Float"]


@dataclass(frozen=True)
class Float:
    """A real hyperparameter in [low, high], or an array of them; has a derivative.

    Args:
        low: smallest value, natural units.
        high: largest value, natural units.
        log: searched on a logarithmic scale; needs low > 0.
        default: a number, or an array of `shape`, inside the bounds; None: the middle (geometric when log).
            Kept as a float or as nested tuples, so that parameters can be compared and hashed.
        shape: of the array, each entry a coordinate of its own; (): a plain float.
        logit: searched on the scale of ln(x / (1 - x)), fine near 0 and near 1, as momentum, the betas of Adam
            and dropout need; needs 0 < low and high < 1.
        active_if: ``{"optimizer": "momentum"}`` or ``{"optimizer": ["momentum", "nesterov"]}``: exists only
            where the other hyperparameters, named by their paths, have these values; see `Space`.

    Raises:
        SpaceError: the arguments contradict each other.
    """

    low: float
    high: float
    log: bool = False
    default: Any = None
    shape: tuple[int, ...] = ()
    logit: bool = field(default=False, kw_only=True)
    active_if: Any = field(default=None, kw_only=True)

    continuous = True

    def __post_init__(self) -> None:
        low, high = number(self.low, "low of a Float"), number(self.high, "high of a Float")
        log, logit = flag(self.log, "log of a Float"), flag(self.logit, "logit of a Float")
        if low >= high:
            raise SpaceError(f"Float needs low < high, got low={low!r} and high={high!r}")
        if log and low <= 0.0:
            raise SpaceError(f"a logarithmic Float needs low > 0, got low={low!r}")
        if log and logit:
            raise SpaceError("a Float is log and logit at once, expected one of them")
        if logit and not (low > 0.0 and high < 1.0):
            raise SpaceError(
                f"a logit Float needs 0 < low and high < 1, got low={low!r} and high={high!r}; "
                "choose bounds such as 1e-3 and 0.999"
            )
        canonical = {
            "low": low,
            "high": high,
            "log": log,
            "shape": self._checked_shape(),
            "logit": logit,
            "active_if": conditions(self.active_if, "a Float"),
        }
        for name, value in canonical.items():
            object.__setattr__(self, name, value)
        if self.default is None:
            default = min(max(self._middle(), low), high)
        else:
            array = self._checked(self.default, "default of a Float", broadcast=True)
            default = nested(array)
        object.__setattr__(self, "default", default)

    def _checked_shape(self) -> tuple[int, ...]:
        shape = self.shape if isinstance(self.shape, tuple | list) else (self.shape,)
        sizes = tuple(integer(n, "shape of a Float") for n in shape)
        if any(n < 1 for n in sizes):
            raise SpaceError(f"shape of a Float is {sizes}, expected positive lengths")
        return sizes

    def _checked(self, value: Any, what: str, broadcast: bool = False) -> np.ndarray:
        """`value` as a float64 array of the shape (or 0-d, when `broadcast`), inside the bounds."""
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise SpaceError(f"{what} is no array of numbers: {error}") from None
        if array.dtype.kind not in "fiu":
            raise SpaceError(
                f"{what} is {value!r}, expected " + ("an array of numbers" if self.shape else "a number")
            )
        if array.shape != self.shape and not (broadcast and array.ndim == 0):
            raise SpaceError(f"{what} has the shape {array.shape}, expected {self.shape}")
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            bad = array[~np.isfinite(array)].flat[0]
            raise SpaceError(f"{what} is {bad}, expected a finite number")
        outside = (array < self.low) | (array > self.high)
        if outside.any():
            raise SpaceError(
                f"{what} is {float(array[outside].flat[0])!r}, outside its bounds "
                f"[{self.low!r}, {self.high!r}]"
            )
        return array

    @property
    def size(self) -> int:
        """Number of unit coordinates."""
        return math.prod(self.shape)

    def default_value(self) -> float | np.ndarray:
        """The default: a float, or a new float64 array of `shape`."""
        array = np.asarray(self.default, np.float64)
        return np.array(np.broadcast_to(array, self.shape)) if self.shape else float(array)

    def _scaled(self, array: np.ndarray) -> np.ndarray:
        """`array` on the scale of the search: x, ln x or logit x."""
        if self.logit:
            return np.log(array) - np.log1p(-array)
        return np.log(array) if self.log else array

    def _natural(self, scaled: np.ndarray) -> np.ndarray:
        """Undoes `_scaled`."""
        if self.logit:  # both branches without overflow: exp of a negative number only
            small = np.exp(-np.abs(scaled))
            return np.where(scaled < 0.0, small, 1.0) / (1.0 + small)
        return np.exp(scaled) if self.log else scaled

    def _ends(self) -> tuple[float, float]:
        """`low` and `high` on the scale of the search."""
        if self.logit:
            return math.log(self.low) - math.log1p(-self.low), math.log(self.high) - math.log1p(-self.high)
        return (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)

    def _middle(self) -> float:
        first, last = self._ends()
        if self.log:
            return math.exp(0.5 * (first + last))
        return float(self._natural(np.asarray(0.5 * first + 0.5 * last)))

    def _position(self, array: np.ndarray) -> np.ndarray:
        first, last = self._ends()  # halves, so that high - low cannot overflow
        unit = (0.5 * self._scaled(array) - 0.5 * first) / (0.5 * last - 0.5 * first)
        unit = np.where(array == self.low, 0.0, np.where(array == self.high, 1.0, unit))
        return np.clip(unit, 0.0, 1.0)

    def to_unit(self, value: Any, name: str = "value") -> np.ndarray:
        """Coordinates of `value`, shape (size,).

        Raises:
            SpaceError: wrong shape, out of bounds, or not finite.
        """
        return self._position(self._checked(value, name)).reshape(-1)

    def from_unit(self, unit: np.ndarray) -> float | np.ndarray:
        """The value at `unit`, shape (size,); exact at the bounds and at the default."""
        first, last = self._ends()
        value = np.clip(self._natural((1.0 - unit) * first + unit * last), self.low, self.high)
        default = np.broadcast_to(np.asarray(self.default, np.float64), self.shape).reshape(-1)
        value = np.where(unit == self._position(default), default, value)
        value = np.where(unit == 0.0, self.low, np.where(unit == 1.0, self.high, value))
        return value.reshape(self.shape) if self.shape else float(value[0])

    def slope(self, value: Any, name: str = "value") -> np.ndarray:
        """dx/du at `value`, shape (size,), natural units a unit of the cube."""
        array = self._checked(value, name).reshape(-1)
        first, last = self._ends()
        if self.logit:
            return array * (1.0 - array) * (last - first)
        return array * (last - first) if self.log else np.full(array.shape, last - first)
