"""Schedules: one rate a step, evaluated for all steps at once, outside the training step.

Notation: T steps t = 0..T-1; a schedule maps hyperparameters to rows of shape (T,). A hyperparameter that is
a dict over the top-level keys of the parameters gives one row a layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad.errors import ProblemError

__all__ = ["PerStep", "PiecewiseLinear", "Schedule"]


@dataclass(frozen=True)
class Schedule(ABC):
    """A rate that changes from step to step.

    Attributes:
        key: the hyperparameter that it reads ("opt/lr" for a nested one).
    """

    key: str

    def __post_init__(self) -> None:
        if not isinstance(self.key, str):
            raise ProblemError(f"{type(self).__name__} takes a key of hparams, got {self.key!r}")

    @abstractmethod
    def rows(self, value: Any, steps: int) -> Any:
        """The rate at each step, of shape (steps,), from one leaf of the hyperparameter.

        Raises:
            ProblemError: a leaf of the wrong shape.
        """

    def check(self, value: np.ndarray, name: str) -> None:  # noqa: B027 - most schedules take any numbers
        """Raise ProblemError where the numbers of the hyperparameter called `name` are outside the domain."""


@dataclass(frozen=True)
class PerStep(Schedule):
    """Rate t is entry t of the hyperparameter, which has shape (T,) (Maclaurin et al. 2015, sec. 3.1)."""

    def rows(self, value: Any, steps: int) -> Any:
        if value.shape != (steps,):
            raise ProblemError(
                f"PerStep({self.key!r}) needs one entry for each of the {steps} steps, "
                f"got hparams[{self.key!r}] of shape {value.shape}"
            )
        return value


@dataclass(frozen=True)
class PiecewiseLinear(Schedule):
    """Linear interpolation between K knots that are equally spaced over the T steps.

    rate_t = (1 - a) v_i + a v_{i+1}, at position i + a = t (K - 1) / (T - 1).

    Attributes:
        key: hyperparameter of shape (K,), K >= 1.
        log: interpolate log v instead, so that the rate changes geometrically between (positive) knots.
    """

    log: bool = False

    def rows(self, value: Any, steps: int) -> Any:
        if len(value.shape) != 1 or value.shape[0] < 1:
            raise ProblemError(
                f"PiecewiseLinear({self.key!r}) needs knots of shape (K,) with K >= 1, "
                f"got hparams[{self.key!r}] of shape {value.shape}"
            )
        weights = np.apply_along_axis(
            lambda unit: np.interp(np.linspace(0.0, 1.0, steps), np.linspace(0.0, 1.0, len(unit)), unit),
            1,
            np.eye(value.shape[0]),
        )
        knots = np.log(value) if self.log else value
        rows = knots @ weights
        return np.exp(rows) if self.log else rows

    def check(self, value: np.ndarray, name: str) -> None:
        if self.log and bool(np.any(value <= 0)):
            raise ProblemError(
                f"PiecewiseLinear({self.key!r}, log=True) needs positive knots, "
                f"got hparams[{name!r}] = {np.min(value)}"
            )
