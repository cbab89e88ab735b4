"""Processes with sampled trajectories: (process, rows, the first episode whose error counts)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import processes

HALF, PAIRS = 6, 5  # states of each kind in the chains


def walk(seed, part, runs, episodes):
    """The 19-state random walk; the error counts after every episode."""
    rows = processes.walks(np.random.default_rng([seed, part]), runs, episodes)
    return processes.random_walk(), rows, 0


def signal(seed, part, runs, episodes):
    """Six states with reward 1, then six with reward N(0, 1)."""
    rng, kinds = np.random.default_rng([seed, part]), np.repeat([1.0, 0.0], HALF)
    rows = processes.chains(rng, runs, episodes, kinds, np.where(kinds, 0.1, 1.0))
    return processes.signal_then_noise(HALF), rows, episodes * 2 // 3


def aliased(seed, part, runs, episodes):
    """Ten states with reward N(1, 5^2), every second of which looks the same."""
    rng, ones = np.random.default_rng([seed, part]), np.ones(2 * PAIRS)
    rows = processes.chains(rng, runs, episodes, ones, 5.0 * ones)
    return processes.aliased(PAIRS), rows, episodes * 2 // 3


@dataclass(frozen=True)
class Chain:
    """What is learned on a chain.

    Attributes:
        build: of (seed, part, runs, episodes).
        learned: the hyperparameter with an entry for each state.
        start: the hyperparameters at first.
        kinds: 0 or 1 for each state, the last being the end.
    """

    build: Callable[..., Any]
    learned: str
    start: dict[str, Any]
    kinds: np.ndarray

    def pair(self, a: float, b: float) -> dict[str, Any]:
        """The start, with one value for the states of kind 0 and one for those of kind 1."""
        return {**self.start, self.learned: np.where(self.kinds == 0, a, b)}


CHAINS = {
    "signal": Chain(
        signal,
        "discount",
        {"rate": 0.1, "discount": np.full(2 * HALF + 1, 0.5), "trace": 0.9},
        np.repeat([0, 1, 1], [HALF, HALF, 1]),
    ),
    "aliased": Chain(
        aliased,
        "trace",
        {"rate": 0.1, "discount": 1.0, "trace": np.full(2 * PAIRS + 1, 0.5)},
        np.arange(2 * PAIRS + 1) % 2,
    ),
}
