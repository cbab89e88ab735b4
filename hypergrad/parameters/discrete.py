"""Hyperparameters of finitely many values; none has a derivative."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError
from hypergrad.parameters.scalars import conditions, flag, integer, plain, same

__all__ = ["Categorical", "Discrete", "Int", "Ordinal"]


class Discrete(ABC):
    """Values numbered 0 ... count - 1, each with a bin of the unit interval; here bins of equal widths."""

    continuous = False
    shape = ()
    size = 1

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of values."""

    @abstractmethod
    def value(self, index: int) -> Any:
        """The value of this number."""

    @abstractmethod
    def index(self, value: Any, name: str = "value") -> int:
        """The number of a value.

        Raises:
            SpaceError: it is none of the values.
        """

    @abstractmethod
    def default_value(self) -> Any:
        """The default."""

    def bins(self, unit: np.ndarray) -> np.ndarray:
        """Number of the value whose bin holds each coordinate, any shape."""
        return np.minimum(np.floor(unit * self.count), self.count - 1).astype(np.int64)

    def middles(self, index: np.ndarray) -> np.ndarray:
        """Middle of the bin of each number, any shape."""
        return (index + 0.5) / self.count

    def to_unit(self, value: Any, name: str = "value") -> np.ndarray:
        """The middle of the bin of `value`, shape (1,).

        Raises:
            SpaceError: it is none of the values.
        """
        return self.middles(np.array([self.index(value, name)]))

    def from_unit(self, unit: np.ndarray) -> Any:
        """The value whose bin holds `unit`, shape (1,)."""
        return self.value(int(self.bins(unit)[0]))


@dataclass(frozen=True)
class Int(Discrete):
    """An integer hyperparameter in {low, low + step, ..., high}; has no derivative.

    Args:
        low: smallest value.
        high: largest value, included; a multiple of `step` above low.
        log: searched on a logarithmic scale; needs low > step / 2. Otherwise all values have equal shares.
        default: one of the values; None: the middle (geometric when log), rounded.
        step: between neighbours, >= 1.
        active_if: exists only where other hyperparameters have these values, as in `Float`.

    Raises:
        SpaceError: the arguments contradict each other.
    """

    low: int
    high: int
    log: bool = False
    default: int | None = None
    step: int = field(default=1, kw_only=True)
    active_if: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        low, high = integer(self.low, "low of an Int"), integer(self.high, "high of an Int")
        log, step = flag(self.log, "log of an Int"), integer(self.step, "step of an Int")
        if low >= high:
            raise SpaceError(f"Int needs low < high, got low={low} and high={high}")
        if step < 1:
            raise SpaceError(f"step of an Int is {step}, expected at least 1")
        if (high - low) % step:
            fits = high - (high - low) % step
            raise SpaceError(
                f"high={high} of an Int is no whole number of steps of {step} above low={low}; "
                f"choose high={fits if fits > low else low + step} or another step"
            )
        if log and 2 * low <= step:
            need = "low >= 1" if step == 1 else f"low > step / 2 = {step / 2:g}"
            raise SpaceError(f"a logarithmic Int needs {need}, got low={low}")
        canonical = {
            "low": low,
            "high": high,
            "log": log,
            "step": step,
            "active_if": conditions(self.active_if, "an Int"),
        }
        for name, value in canonical.items():
            object.__setattr__(self, name, value)
        if self.default is None:
            middle = math.sqrt(low * high) if log else (low + high) / 2
            nearest = round(middle) if step == 1 else low + step * round((middle - low) / step)
            object.__setattr__(self, "default", min(max(nearest, low), high))
        else:
            index = self.index(self.default, "default of an Int")
            object.__setattr__(self, "default", self.value(index))

    @property
    def count(self) -> int:
        """Number of values."""
        return (self.high - self.low) // self.step + 1

    def value(self, index: int) -> int:
        """The value of this number."""
        return self.low + self.step * index

    def index(self, value: Any, name: str = "value") -> int:
        """The number of a value.

        Raises:
            SpaceError: not an integer, out of bounds, or between two steps.
        """
        found = integer(value, name)
        if not self.low <= found <= self.high:
            raise SpaceError(f"{name} is {found}, outside its bounds [{self.low}, {self.high}]")
        index, rest = divmod(found - self.low, self.step)
        if rest:
            raise SpaceError(
                f"{name} is {found}, expected {self.low} plus a multiple of {self.step}, "
                f"such as {found - rest}"
            )
        return index

    def default_value(self) -> int:
        """The default."""
        assert self.default is not None
        return self.default

    def _edges(self) -> tuple[float, float]:
        return math.log(self.low - 0.5 * self.step), math.log(self.high + 0.5 * self.step)

    def bins(self, unit: np.ndarray) -> np.ndarray:
        """Number of the value whose bin holds each coordinate, any shape."""
        if not self.log:
            return super().bins(unit)
        first, last = self._edges()
        steps = (np.exp((1.0 - unit) * first + unit * last) - (self.low - 0.5 * self.step)) / self.step
        return np.clip(np.floor(steps), 0, self.count - 1).astype(np.int64)

    def middles(self, index: np.ndarray) -> np.ndarray:
        """Middle of the bin of each number, any shape."""
        if not self.log:
            return super().middles(index)
        first, last = self._edges()
        value, half = self.low + self.step * np.asarray(index, np.float64), 0.5 * self.step
        return (0.5 * (np.log(value - half) + np.log(value + half)) - first) / (last - first)


@dataclass(frozen=True)
class _Choices(Discrete):
    choices: tuple[Any, ...]
    default: Any = None
    active_if: Any = field(default=None, kw_only=True)

    log = False

    def __post_init__(self) -> None:
        kind = type(self).__name__
        a = f"an {kind}" if kind[0] in "AEIOU" else f"a {kind}"
        if isinstance(self.choices, str | bytes | Mapping) or not hasattr(self.choices, "__iter__"):
            raise SpaceError(f"choices of {a} is {self.choices!r}, expected a list of choices")
        advice = "name the choices and look the name up"
        choices = tuple(plain(choice, f"a choice of {a}", advice) for choice in self.choices)
        if not choices:
            raise SpaceError(f"choices of {a} is empty, expected at least one choice")
        for i, choice in enumerate(choices):
            if choice in choices[:i]:
                twin = choices[choices.index(choice)]
                raise SpaceError(f"choices of {a} holds {twin!r} and {choice!r}, which are equal")
        object.__setattr__(self, "choices", choices)
        object.__setattr__(self, "active_if", conditions(self.active_if, a))
        given = self.default is not None
        default = choices[self.index(self.default, f"default of {a}")] if given else self._usual()
        object.__setattr__(self, "default", default)

    def _usual(self) -> Any:
        """The default when none is given."""
        return self.choices[0]

    @property
    def count(self) -> int:
        """Number of choices."""
        return len(self.choices)

    def value(self, index: int) -> Any:
        """The choice of this number."""
        return self.choices[index]

    def index(self, value: Any, name: str = "value") -> int:
        """The number of a choice.

        Raises:
            SpaceError: it is none of the choices.
        """
        value = value.item() if isinstance(value, np.generic) else value
        for i, choice in enumerate(self.choices):
            if same(value, choice):
                return i
        listed = ", ".join(map(repr, self.choices))
        raise SpaceError(f"{name} is {value!r}, expected one of {listed}")

    def default_value(self) -> Any:
        """The default."""
        return self.default


@dataclass(frozen=True)
class Categorical(_Choices):
    """One of a few unordered choices; has no derivative.

    Args:
        choices: strings, numbers, booleans or None, all different.
        default: one of them; None: the first.
        active_if: exists only where other hyperparameters have these values, as in `Float`.

    Raises:
        SpaceError: no choices, equal choices, or a default that is none of them.
    """


@dataclass(frozen=True)
class Ordinal(_Choices):
    """One of a few ordered choices, such as batch sizes or ``["small", "medium", "large"]``; has no derivative.

    Neighbours in the list are neighbours in the unit interval, and models of the value may interpolate.

    Args:
        choices: strings, numbers, booleans or None, all different, in their order.
        default: one of them; None: the middle one, of two the first.
        active_if: exists only where other hyperparameters have these values, as in `Float`.

    Raises:
        SpaceError: no choices, equal choices, or a default that is none of them.
    """

    def _usual(self) -> Any:
        return self.choices[(len(self.choices) - 1) // 2]
