"""Functions with exact gradients whose optimum has been moved, by a shift that the seed draws, and noisy ones.

The optimum of an instance lies in [0.1, 0.9] of the box in each coordinate, and at least 0.1 away from the middle: no
method may find it by looking at the centre first. Names without ``_s`` are the functions as published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

import hypergrad as hg
from problems.base import Evaluation, Problem
from problems.functions import FUNCTIONS

__all__ = ["SYNTHETIC", "Synthetic"]

_TARGETS = {"branin": 1e-3, "hartmann6": 0.05, "rosenbrock4": 10.0, "levy8": 3.0, "ackley10": 10.0}


class Synthetic(Problem):
    """f(x - s) with its gradient, and N(0, noise^2) on the value and on each derivative along the unit cube.

    Attributes:
        shift: (d,) s.
    """

    differentiable = True

    def __init__(self, function: str, seed: int, *, shifted: bool, noise: float = 0.0) -> None:
        self.name = function + ("_noisy" if noise else "") + ("_s" if shifted else "")
        self.seed, self.noise, self.target = seed, noise, 0.1 if noise else _TARGETS[function]
        self.noisy = noise > 0.0
        self.function = FUNCTIONS[function]
        self.optimum = self.function.optimum
        low, high = np.array(self.function.low), np.array(self.function.high)
        self.width = high - low
        self.shift = np.zeros(len(low))
        if shifted:
            rng = np.random.default_rng([seed, 3])
            place = rng.uniform(0.1, 0.4, len(low))  # and in half of the coordinates mirrored to 0.6 ... 0.9
            place = np.where(rng.random(len(low)) < 0.5, place, 1.0 - place)
            self.shift = low + place * self.width - np.array(self.function.best)
        self.space = hg.Space(
            {f"x{i + 1}": hg.Float(a, b) for i, (a, b) in enumerate(zip(low, high, strict=True))}
        )

    def evaluate(self, hparams: Mapping[str, Any], wants_gradient: bool = True, draw: int = 0) -> Evaluation:
        value, slope = self.function.f(np.array([*hparams.values()]) - self.shift)
        if self.noise:
            rng = np.random.default_rng([self.seed, 4, draw])
            value += self.noise * rng.standard_normal()
            slope = slope + self.noise * rng.standard_normal(len(slope)) / self.width
        gradient = dict(zip(hparams, map(float, slope), strict=True)) if wants_gradient else None
        return Evaluation(value, gradient, 1.0)

    def exact(self, hparams: Mapping[str, Any]) -> float:
        return self.function.f(np.array([*hparams.values()]) - self.shift)[0]


def _made(function: str, noise: float, shifted: bool, seed: int) -> Synthetic:
    return Synthetic(function, seed, shifted=shifted, noise=noise)


SYNTHETIC: dict[str, Callable[[int], Problem]] = {
    "branin_s": partial(_made, "branin", 0.0, True),
    "hartmann6": partial(_made, "hartmann6", 0.0, False),
    "hartmann6_s": partial(_made, "hartmann6", 0.0, True),
    "hartmann6_noisy": partial(_made, "hartmann6", 0.2, False),
    "hartmann6_noisy_s": partial(_made, "hartmann6", 0.2, True),
    "rosenbrock4": partial(_made, "rosenbrock4", 0.0, False),
    "rosenbrock4_s": partial(_made, "rosenbrock4", 0.0, True),
    "levy8_s": partial(_made, "levy8", 0.0, True),
    "ackley10_s": partial(_made, "ackley10", 0.0, True),
}
