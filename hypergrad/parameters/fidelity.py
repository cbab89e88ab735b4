"""How much is spent on a trial: training steps, epochs, a share of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hypergrad.errors import SpaceError
from hypergrad.parameters.scalars import flag, integer, number

__all__ = ["Fidelity"]


@dataclass(frozen=True)
class Fidelity:
    """How much is spent on a trial, from a cheap, rough answer at `low` to the one that counts at `high`.

    It appears in hparams like a hyperparameter, but is none: the study looks for what is best at `high`, and only
    trials there can be its best. Samplers that do not model it propose `high` always. It has no derivative, and the
    cost of a trial is taken to be proportional to it until trials tell their own.

    Args:
        low: least value, > 0.
        high: the target.
        log: whether the model sees it on a logarithmic scale.

    ``Fidelity(100, 2000)``, of two ints, is an int in hparams; ``Fidelity(0.1, 1.0)`` a float.

    Raises:
        SpaceError: the arguments contradict each other.
    """

    low: float
    high: float
    log: bool = True

    continuous = False
    shape = ()
    size = 1
    active_if: ClassVar[Any] = None

    def __post_init__(self) -> None:
        low, high = number(self.low, "low of a Fidelity"), number(self.high, "high of a Fidelity")
        if not 0.0 < low < high:
            raise SpaceError(f"Fidelity needs 0 < low < high, got low={self.low!r} and high={self.high!r}")
        if self.whole:
            low, high = integer(self.low, "low of a Fidelity"), integer(self.high, "high of a Fidelity")
        for name, value in {"low": low, "high": high, "log": flag(self.log, "log of a Fidelity")}.items():
            object.__setattr__(self, name, value)

    @property
    def whole(self) -> bool:
        """Whether its values are ints."""
        return not isinstance(self.low, float | np.floating) and not isinstance(
            self.high, float | np.floating
        )

    def default_value(self) -> Any:
        """`high`."""
        return self.high

    def _scaled(self, value: Any) -> Any:
        return np.log(value) if self.log else np.asarray(value, np.float64)

    def position(self, value: Any) -> np.ndarray:
        """Coordinates of values in [low, high], any shape; 0 at `low`, 1 at `high`."""
        first, last = self._scaled(self.low), self._scaled(self.high)
        return np.clip((self._scaled(np.asarray(value, np.float64)) - first) / (last - first), 0.0, 1.0)

    def values(self, unit: Any) -> np.ndarray:
        """The values at coordinates, any shape, as floats; whole numbers for an int fidelity."""
        unit = np.asarray(unit, np.float64)
        scaled = (1.0 - unit) * self._scaled(self.low) + unit * self._scaled(self.high)
        found = np.clip(np.exp(scaled) if self.log else scaled, self.low, self.high)
        found = np.where(unit == 0.0, self.low, np.where(unit == 1.0, self.high, found))
        return np.round(found) if self.whole else found

    def snap(self, unit: np.ndarray) -> np.ndarray:
        """The coordinates of the values at `unit`, any shape."""
        return self.position(self.values(unit)) if self.whole else unit

    def to_unit(self, value: Any, name: str = "value") -> np.ndarray:
        """The coordinate of `value`, shape (1,).

        Raises:
            SpaceError: out of bounds, not finite, or no int where ints are expected.
        """
        found = integer(value, name) if self.whole else number(value, name)
        if not self.low <= found <= self.high:
            raise SpaceError(f"{name} is {found!r}, outside its bounds [{self.low!r}, {self.high!r}]")
        return self.position(np.array([found]))

    def from_unit(self, unit: np.ndarray) -> Any:
        """The value at `unit`, shape (1,)."""
        found = float(self.values(unit)[0])
        return int(found) if self.whole else found

    def share(self, unit: Any) -> np.ndarray:
        """value / high at coordinates, any shape: the cost of a trial there, relative to a full one."""
        return self.values(unit) / self.high
