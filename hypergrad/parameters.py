"""The kinds of hyperparameter, and the map of each to the unit interval.

Notation: x is a value in natural units, u its coordinate in [0, 1].

=================  =============================================  ============================
parameter          u -> x                                         dx/du
=================  =============================================  ============================
Float              (1 - u) low + u high                           high - low
Float, log         exp((1 - u) ln low + u ln high)                x ln(high / low)
Int                low + floor(u n), n = high - low + 1 bins      none
Int, log           round(exp((1 - u) ln(low - ½) + u ln(high + ½)))  none
Categorical        choices[floor(u n)], n choices                 none
=================  =============================================  ============================
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError

__all__ = ["Categorical", "Float", "Int", "Parameter"]

_INT_LIMIT = 2**40  # beyond it a bin of a logarithmic Int is narrower than the spacing of doubles near 1


def _number(value: Any, what: str) -> float:
    """`value` as a finite float; refuses booleans, strings and arrays."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise SpaceError(f"{what} is {value!r}, expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SpaceError(f"{what} is {number}, expected a finite number")
    return number


def _integer(value: Any, what: str) -> int:
    """`value` as an int of moderate size; refuses booleans and floats."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise SpaceError(f"{what} is {value!r}, expected an integer")
    number = operator.index(value)
    if abs(number) > _INT_LIMIT:
        raise SpaceError(f"{what} is {number}, expected at most 2**40 in magnitude; use a logarithmic Float")
    return number


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise SpaceError(f"{what} is {value!r}, expected True or False")
    return bool(value)


def _nested(array: np.ndarray) -> Any:
    """`array` as nested tuples of floats: hashable and comparable."""
    return tuple(map(_nested, array)) if array.ndim else float(array)


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

    Raises:
        SpaceError: the arguments contradict each other.
    """

    low: float
    high: float
    log: bool = False
    default: Any = None
    shape: tuple[int, ...] = ()

    continuous = True

    def __post_init__(self) -> None:
        low, high = _number(self.low, "low of a Float"), _number(self.high, "high of a Float")
        log = _flag(self.log, "log of a Float")
        if low >= high:
            raise SpaceError(f"Float needs low < high, got low={low!r} and high={high!r}")
        if log and low <= 0.0:
            raise SpaceError(f"a logarithmic Float needs low > 0, got low={low!r}")
        for name, value in (("low", low), ("high", high), ("log", log), ("shape", self._checked_shape())):
            object.__setattr__(self, name, value)
        if self.default is None:
            middle = math.exp(0.5 * (math.log(low) + math.log(high))) if log else 0.5 * low + 0.5 * high
            default = min(max(middle, low), high)
        else:
            array = self._checked(self.default, "default of a Float", broadcast=True)
            default = _nested(array)
        object.__setattr__(self, "default", default)

    def _checked_shape(self) -> tuple[int, ...]:
        shape = self.shape if isinstance(self.shape, tuple | list) else (self.shape,)
        sizes = tuple(_integer(n, "shape of a Float") for n in shape)
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

    def _position(self, array: np.ndarray) -> np.ndarray:
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            unit = (np.log(array) - low) / (high - low)
        else:  # halves, so that high - low cannot overflow
            unit = (0.5 * array - 0.5 * self.low) / (0.5 * self.high - 0.5 * self.low)
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
        if self.log:
            value = np.exp((1.0 - unit) * math.log(self.low) + unit * math.log(self.high))
        else:
            value = (1.0 - unit) * self.low + unit * self.high
        value = np.clip(value, self.low, self.high)
        default = np.broadcast_to(np.asarray(self.default, np.float64), self.shape).reshape(-1)
        value = np.where(unit == self._position(default), default, value)
        value = np.where(unit == 0.0, self.low, np.where(unit == 1.0, self.high, value))
        return value.reshape(self.shape) if self.shape else float(value[0])

    def slope(self, value: Any, name: str = "value") -> np.ndarray:
        """dx/du at `value`, shape (size,), natural units a unit of the cube."""
        array = self._checked(value, name).reshape(-1)
        if self.log:
            return array * (math.log(self.high) - math.log(self.low))
        return np.full(array.shape, self.high - self.low)


@dataclass(frozen=True)
class Int:
    """An integer hyperparameter in {low, ..., high}; has no derivative.

    Args:
        low: smallest value.
        high: largest value, included.
        log: searched on a logarithmic scale; needs low >= 1. Otherwise all integers have equal shares.
        default: inside the bounds; None: the middle (geometric when log), rounded.

    Raises:
        SpaceError: the arguments contradict each other.
    """

    low: int
    high: int
    log: bool = False
    default: int | None = None

    continuous = False
    shape = ()
    size = 1

    def __post_init__(self) -> None:
        low, high = _integer(self.low, "low of an Int"), _integer(self.high, "high of an Int")
        log = _flag(self.log, "log of an Int")
        if low >= high:
            raise SpaceError(f"Int needs low < high, got low={low} and high={high}")
        if log and low < 1:
            raise SpaceError(f"a logarithmic Int needs low >= 1, got low={low}")
        for name, value in (("low", low), ("high", high), ("log", log)):
            object.__setattr__(self, name, value)
        if self.default is None:
            middle = math.sqrt(low * high) if log else (low + high) / 2
            object.__setattr__(self, "default", min(max(round(middle), low), high))
        else:
            object.__setattr__(self, "default", self._checked(self.default, "default of an Int"))

    def _checked(self, value: Any, what: str) -> int:
        number = _integer(value, what)
        if not self.low <= number <= self.high:
            raise SpaceError(f"{what} is {number}, outside its bounds [{self.low}, {self.high}]")
        return number

    def default_value(self) -> int:
        """The default."""
        assert self.default is not None
        return self.default

    def _edges(self) -> tuple[float, float]:
        return math.log(self.low - 0.5), math.log(self.high + 0.5)

    def to_unit(self, value: Any, name: str = "value") -> np.ndarray:
        """The middle of the bin of `value`, shape (1,).

        Raises:
            SpaceError: not an integer, or out of bounds.
        """
        number = self._checked(value, name)
        if not self.log:
            return np.array([(number - self.low + 0.5) / (self.high - self.low + 1)])
        first, last = self._edges()
        middle = 0.5 * (math.log(number - 0.5) + math.log(number + 0.5))
        return np.array([(middle - first) / (last - first)])

    def from_unit(self, unit: np.ndarray) -> int:
        """The integer whose bin holds `unit`, shape (1,)."""
        u = float(unit[0])
        if self.log:
            first, last = self._edges()
            number = math.floor(math.exp((1.0 - u) * first + u * last) + 0.5)
        else:
            number = self.low + math.floor(u * (self.high - self.low + 1))
        return min(max(number, self.low), self.high)


@dataclass(frozen=True)
class Categorical:
    """One of a few unordered choices; has no derivative.

    Args:
        choices: strings, numbers, booleans or None, all different.
        default: one of them; None: the first.

    Raises:
        SpaceError: no choices, equal choices, or a default that is none of them.
    """

    choices: tuple[Any, ...]
    default: Any = None

    continuous = False
    log = False
    shape = ()
    size = 1

    def __post_init__(self) -> None:
        if isinstance(self.choices, str | bytes | Mapping) or not hasattr(self.choices, "__iter__"):
            raise SpaceError(f"choices of a Categorical is {self.choices!r}, expected a list of choices")
        choices = tuple(self._plain(choice) for choice in self.choices)
        if not choices:
            raise SpaceError("choices of a Categorical is empty, expected at least one choice")
        for i, choice in enumerate(choices):
            if choice in choices[:i]:
                twin = choices[choices.index(choice)]
                raise SpaceError(f"choices of a Categorical holds {twin!r} and {choice!r}, which are equal")
        object.__setattr__(self, "choices", choices)
        default = (
            choices[0]
            if self.default is None
            else choices[self._index(self.default, "default of a Categorical")]
        )
        object.__setattr__(self, "default", default)

    @staticmethod
    def _plain(choice: Any) -> Any:
        value = choice.item() if isinstance(choice, np.generic) else choice
        if value is not None and not isinstance(value, str | bool | int | float):
            raise SpaceError(
                f"a choice of a Categorical is {choice!r}, expected a string, a number, a boolean or None; "
                "name the choices and look the name up"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise SpaceError(f"a choice of a Categorical is {value}, expected a finite number")
        return value

    def _index(self, value: Any, what: str) -> int:
        value = value.item() if isinstance(value, np.generic) else value
        for i, choice in enumerate(self.choices):
            if (
                isinstance(value, bool) == isinstance(choice, bool)
                and type(value == choice) is bool
                and value == choice
            ):
                return i
        listed = ", ".join(map(repr, self.choices))
        raise SpaceError(f"{what} is {value!r}, expected one of {listed}")

    def default_value(self) -> Any:
        """The default."""
        return self.default

    def to_unit(self, value: Any, name: str = "value") -> np.ndarray:
        """The middle of the bin of `value`, shape (1,).

        Raises:
            SpaceError: `value` is none of the choices.
        """
        return np.array([(self._index(value, name) + 0.5) / len(self.choices)])

    def from_unit(self, unit: np.ndarray) -> Any:
        """The choice whose bin holds `unit`, shape (1,); the bins have equal widths."""
        return self.choices[min(math.floor(float(unit[0]) * len(self.choices)), len(self.choices) - 1)]


Parameter = Float | Int | Categorical
