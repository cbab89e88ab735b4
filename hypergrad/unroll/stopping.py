"""Training that may end before its last step: early stopping.

The step at which training ends is a constant of the run: hypergradients hold it fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad.errors import ProblemError
from hypergrad.unroll.calls import check_call

__all__ = ["EarlyStopping", "Stopper", "check_stop"]


@dataclass(frozen=True)
class EarlyStopping:
    """End training when the outer loss has not fallen for a while (Prechelt 1998).

    Attributes:
        patience: how many looks in a row may pass without a new least loss; 1 or more.
        every: steps between looks; 1 or more.
        tolerance: by how much a loss must be below the least one so far to count as new; natural units, 0 or more.
    """

    patience: int = 5
    every: int = 10
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        for name in ("patience", "every"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ProblemError(f"EarlyStopping({name}=...) must be a positive int, got {value!r}")
        number = isinstance(self.tolerance, int | float | np.integer | np.floating)
        if isinstance(self.tolerance, bool) or not number or not self.tolerance >= 0:
            raise ProblemError(f"EarlyStopping(tolerance=...) must be 0 or more, got {self.tolerance!r}")


def check_stop(stop: Any) -> None:
    """Raise ProblemError unless `stop` is None, an `EarlyStopping` or a function of (params, hparams, t)."""
    if stop is not None and not isinstance(stop, EarlyStopping):
        check_call("stop", stop, ("params", "hparams", "t"))


class Stopper:
    """The stop rule of one run.

    Attributes:
        over: it has said that training ends.
    """

    def __init__(self, rule: EarlyStopping | Callable[..., Any], trajectory: Any) -> None:
        self._rule, self._of = rule, trajectory
        self._least, self._waited = float("inf"), 0
        self.over = False

    def ended(self, state: np.ndarray, t: int) -> bool:
        """Whether training ends after step t (1, 2, ...), which led to `state`.

        Raises:
            ProblemError: a function that returned neither True nor False.
        """
        if isinstance(self._rule, EarlyStopping):
            self.over = t % self._rule.every == 0 and self._no_better(self._of.outer_value(state))
        else:
            said = self._rule(self._of.params(state), self._of.hparams, t)
            if not isinstance(said, bool | np.bool_):
                raise ProblemError(f"stop must return True or False, got {said!r} at t = {t}")
            self.over = bool(said)
        return self.over

    def _no_better(self, loss: float) -> bool:
        assert isinstance(self._rule, EarlyStopping)
        if loss < self._least - self._rule.tolerance:
            self._least, self._waited = loss, 0
        else:
            self._waited += 1
        return self._waited >= self._rule.patience
