"""What every problem of the benchmark answers, whoever asks.

Notation: u the point of the unit cube, x the hyperparameters in natural units; f minimised, f* its smallest value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import hypergrad as hg

__all__ = ["Evaluation", "Problem"]


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation gives.

    Attributes:
        value: f, minimised; nan or inf where training diverged.
        gradient: tree like hparams, natural units; None where it was not asked for or does not exist.
        cost: in runs: 1 for a value, the problem's `gradient_cost` for a value and its gradient.
        extras: what is reported beside, such as the test loss.
    """

    value: float
    gradient: dict[str, Any] | None
    cost: float
    extras: dict[str, float] = field(default_factory=dict)


class Problem(ABC):
    """One instance of a problem: a seed fixes its data, split, label noise, shift and initial parameters.

    Attributes:
        name: as in `PROBLEMS`.
        seed: of the instance.
        space: what is searched.
        differentiable: whether `evaluate` can return a gradient.
        noisy: whether `evaluate` differs from `exact`.
        gradient_cost: of a value and its gradient, in runs, at least 1; 1 where there is none.
        optimum: f*, nan where nobody knows it.
        target: regret (or value, where f* is unknown) that counts as solved; nan: none.
    """

    name: str
    seed: int
    space: hg.Space
    differentiable: bool = False
    noisy: bool = False
    gradient_cost: float = 1.0
    optimum: float = math.nan
    target: float = math.nan

    @abstractmethod
    def evaluate(self, hparams: Mapping[str, Any], wants_gradient: bool = True, draw: int = 0) -> Evaluation:
        """Value and, where it is asked for and exists, gradient.

        Args:
            hparams: of `space`, natural units.
            draw: keys the noise of a noisy problem: the number of the evaluation; others do not read it.
        """

    def exact(self, hparams: Mapping[str, Any]) -> float:
        """f without noise, by which an incumbent is judged."""
        return self.evaluate(hparams, wants_gradient=False).value
