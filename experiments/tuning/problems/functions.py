"""The functions of `kit.functions` with their gradients, boxes, and where they are smallest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from kit import functions

import hypergrad as hg

__all__ = ["FUNCTIONS", "Function"]


@dataclass(frozen=True)
class Function:
    """A function and what is known of it.

    Attributes:
        of: x (d,) -> value.
        low, high: (d,) the usual box.
        best: (d,) where it is smallest.
        optimum: the value there.
    """

    of: Callable[[np.ndarray], float]
    low: tuple[float, ...]
    high: tuple[float, ...]
    best: tuple[float, ...]
    optimum: float

    def f(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Value, and gradient (d,)."""
        value, slope = hg.value_and_grad(self.of)(x)
        return float(value), slope


FUNCTIONS: dict[str, Function] = {
    "branin": Function(
        functions.branin, (-5.0, 0.0), (10.0, 15.0), (np.pi, 2.275), functions.OPTIMA["branin"]
    ),
    "hartmann6": Function(
        functions.hartmann6,
        (0.0,) * 6,
        (1.0,) * 6,
        (0.20168951, 0.15001069, 0.47687398, 0.27533243, 0.31165162, 0.65730053),
        functions.OPTIMA["hartmann6"],
    ),
    "rosenbrock4": Function(functions.rosenbrock, (-5.0,) * 4, (10.0,) * 4, (1.0,) * 4, 0.0),
    "levy8": Function(functions.levy, (-10.0,) * 8, (10.0,) * 8, (1.0,) * 8, 0.0),
    "ackley10": Function(functions.ackley, (-32.768,) * 10, (32.768,) * 10, (0.0,) * 10, 0.0),
}
