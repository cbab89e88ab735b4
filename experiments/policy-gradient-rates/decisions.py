"""Small Markov decision processes, their optimal values, and policy gradient by hand.

Notation
    P (S, A, S), R (S, A)             transitions and mean rewards; rho (S,) distribution of the first state
    pi = softmax(theta)               the policy, theta (S, A)
    V = (I - discount P_pi)^-1 R_pi   its values; J = rho V
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Decisions:
    """A decision process: P, R, rho and the discount by which its policies are judged."""

    moves: np.ndarray
    rewards: np.ndarray
    first: np.ndarray
    discount: float


def chain(seed: int, states: int = 8) -> Decisions:
    """To the right leads to reward 1 at the end, to the left back to a small reward at the start; moves may slip."""
    slip = np.random.default_rng([seed, 0]).uniform(0.05, 0.2, states)
    moves, rewards = np.zeros((states, 2, states)), np.zeros((states, 2))
    for s in range(states):
        right = min(s + 1, states - 1)
        moves[s, 0, 0] = 1.0
        moves[s, 1, right] += 1.0 - slip[s]
        moves[s, 1, 0] += slip[s]
    rewards[:, 0], rewards[-1, 1] = 0.1, 1.0
    return Decisions(moves, rewards, np.eye(states)[0], 0.95)


def grid(seed: int, side: int = 5) -> Decisions:
    """A square from corner to corner: 1 at the goal, -1 in pits, -0.01 elsewhere; a tenth of the moves goes astray."""
    rng, n = np.random.default_rng([seed, 1]), side * side
    pits = rng.choice(np.setdiff1d(np.arange(1, n - 1), [1, side, n - 2, n - 1 - side]), 4, replace=False)
    moves, rewards = np.zeros((n, 4, n)), np.full((n, 4), -0.01)
    target = np.zeros((n, 4), int)
    for s in range(n):
        row, column = divmod(s, side)
        for a, (down, right) in enumerate(((0, 1), (1, 0), (0, -1), (-1, 0))):
            to = min(max(row + down, 0), side - 1), min(max(column + right, 0), side - 1)
            target[s, a] = to[0] * side + to[1]
    for s, a in np.ndindex(n, 4):
        for other in range(4):
            moves[s, a, target[s, other]] += 0.9 * (other == a) + 0.1 / 4
    worth = np.zeros(n)
    worth[n - 1], worth[pits] = 1.0, -1.0
    rewards = rewards + moves @ worth
    over = np.flatnonzero(worth)  # a goal or a pit ends the episode: nothing more is earned there
    moves[over], rewards[over] = np.eye(n)[over][:, None, :], 0.0
    return Decisions(moves, rewards, np.eye(n)[0], 0.95)


def optimum(task: Decisions) -> float:
    """J of the best policy, by value iteration."""
    v = np.zeros(len(task.first))
    for _ in range(2000):
        v = np.max(task.rewards + task.discount * (task.moves @ v), axis=1)
    return float(task.first @ v)


def softmax(theta: np.ndarray) -> np.ndarray:
    """Of each row."""
    weights = np.exp(theta - theta.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def returned(task: Decisions, theta: np.ndarray) -> float:
    """J of a policy."""
    pi = softmax(theta)
    chain = np.einsum("sa,sat->st", pi, task.moves)
    v = np.linalg.solve(np.eye(len(pi)) - task.discount * chain, np.sum(pi * task.rewards, axis=1))
    return float(task.first @ v)


def by_hand(task: Decisions, steps: int, hparams: dict) -> np.ndarray:
    """theta after policy gradient ascent on J + entropy sum_t discount^t H(pi(.|s_t)), by the policy gradient theorem.

    With A = R - entropy log pi + discount P V - V, d = rho (I - discount P_pi)^-1 the gradient is d(s) pi(a|s) A(s, a).
    """
    theta = np.zeros(task.rewards.shape)
    eye = np.eye(len(theta))
    for t in range(steps):
        pi = softmax(theta)
        gain = task.rewards - hparams["entropy"][t] * np.log(pi)
        inverse = np.linalg.inv(eye - hparams["discount"] * np.einsum("sa,sat->st", pi, task.moves))
        v, d = inverse @ np.sum(pi * gain, axis=1), task.first @ inverse
        theta = theta + hparams["lr"][t] * d[:, None] * pi * (
            gain + hparams["discount"] * (task.moves @ v) - v[:, None]
        )
    return theta
