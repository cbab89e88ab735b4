"""One smooth loss, as a hypergrad problem and as a gradient function of a flat vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import hypergrad as hg


@dataclass(frozen=True)
class Regression:
    """mean log cosh(X [u; v] - y) + 0.05 |u|²: parameters u (3,) and v (2,), 12 rows."""

    x: np.ndarray
    y: np.ndarray
    first: np.ndarray

    def loss(self, params: Any, hparams: Any, batch: Any) -> Any:
        r = batch["x"] @ np.concatenate([params["u"], params["v"]]) - batch["y"]
        return np.mean(np.logaddexp(r, -r) - np.log(2.0)) + 0.05 * np.sum(params["u"] ** 2)

    def gradient(self, w: np.ndarray) -> np.ndarray:
        decay = np.concatenate([0.1 * w[:3], np.zeros(2)])
        return self.x.T @ np.tanh(self.x @ w - self.y) / len(self.y) + decay

    def problem(self, optimizer: hg.optim.Optimizer, steps: int) -> hg.BilevelProblem:
        data = {"x": self.x, "y": self.y}
        return hg.BilevelProblem(
            init=lambda hparams, rng: {"u": self.first[:3], "v": self.first[3:]},
            inner_loss=self.loss,
            outer_loss=self.loss,
            train=data,
            valid=data,
            optimizer=optimizer,
            steps=steps,
        )

    def train(self, optimizer: hg.optim.Optimizer, hparams: Any, steps: int) -> np.ndarray:
        """The trained parameters, (5,)."""
        params = hg.train(self.problem(optimizer, steps), hparams).params
        return np.concatenate([params["u"], params["v"]])


@pytest.fixture(scope="package")
def regression() -> Regression:
    rng = np.random.default_rng(7)
    return Regression(rng.standard_normal((12, 5)), rng.standard_normal(12), rng.standard_normal(5))


@pytest.fixture(scope="package")
def loop(regression: Regression) -> Callable[..., np.ndarray]:
    """``loop(rule, slots, steps)``: `rule(w, g, slots, t)` applied by hand, t = 1..steps."""

    def run(rule: Callable[..., Any], slots: int, steps: int) -> np.ndarray:
        w, state = regression.first.copy(), [np.zeros(5) for _ in range(slots)]
        for t in range(1, steps + 1):
            w, state = rule(w, regression.gradient(w), state, t)
        return w

    return run
