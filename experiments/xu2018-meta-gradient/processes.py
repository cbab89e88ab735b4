"""Markov reward processes with known values, and trajectories of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Process:
    """A process with n states and one more, terminal.

    Attributes:
        features: (n + 1, k), of each state; zero for the terminal one.
        values: (n,), expected sums of rewards.
        judged: (n,), weight of each state in the error; they sum to 1.
    """

    features: np.ndarray
    values: np.ndarray
    judged: np.ndarray


def random_walk(states: int = 19) -> Process:
    """Steps to the left or right, from the middle; reward -1 at the left end, 1 at the right (Sutton & Barto 2018)."""
    values = np.arange(1, states + 1) * 2.0 / (states + 1) - 1.0
    return Process(np.eye(states + 1, states), values, np.full(states, 1.0 / states))


def signal_then_noise(half: int) -> Process:
    """A chain: `half` states with reward 1, then as many with rewards of mean 0."""
    values = np.maximum(half - np.arange(2 * half), 0.0)
    return Process(np.eye(2 * half + 1, 2 * half), values, np.full(2 * half, 0.5 / half))


def aliased(pairs: int) -> Process:
    """A chain with mean reward 1 in which every second state looks the same; the others are judged."""
    states = 2 * pairs
    seen = np.arange(states) % 2 == 0
    features = np.zeros((states + 1, pairs + 1))
    features[np.arange(states), np.where(seen, np.arange(states) // 2, pairs)] = 1.0
    return Process(features, np.arange(states, 0.0, -1.0), seen / pairs)


def walks(rng: np.random.Generator, runs: int, episodes: int, states: int = 19) -> dict[str, np.ndarray]:
    """Episodes of the random walk, one after the other in each run: arrays (T, runs).

    Returns:
        ``now``, ``next``: states; ``reward``; ``first``, ``last``: 1 at an episode's ends; ``on``: 0 after the last.
    """
    found = []
    for _ in range(runs):
        rows = []
        for _ in range(episodes):
            s, first = states // 2, 1.0
            while s < states:
                to = s + (1 if rng.random() < 0.5 else -1)
                over = to in (-1, states)
                reward = (1.0 if to == states else -1.0) if over else 0.0
                to = states if over else to
                rows.append((s, to, reward, first, float(over), 1.0))
                s, first = to, 0.0
        found.append(np.array(rows))
    steps = max(map(len, found))
    padded = np.zeros((runs, steps, 6))
    for run, rows in enumerate(found):
        padded[run, : len(rows)] = rows
    names = ("now", "next", "reward", "first", "last", "on")
    return {name: padded[:, :, k].T.astype(int if k < 2 else float) for k, name in enumerate(names)}


def chains(
    rng: np.random.Generator, runs: int, episodes: int, mean: np.ndarray, noise: np.ndarray
) -> dict[str, np.ndarray]:
    """Episodes of a chain with normal rewards of these means and standard deviations; arrays as `walks` returns."""
    states = len(mean)
    now = np.repeat(np.tile(np.arange(states), episodes)[:, None], runs, axis=1)
    return {
        "now": now,
        "next": now + 1,
        "reward": mean[now] + noise[now] * rng.standard_normal(now.shape),
        "first": (now == 0).astype(float),
        "last": (now == states - 1).astype(float),
        "on": np.ones(now.shape),
    }
