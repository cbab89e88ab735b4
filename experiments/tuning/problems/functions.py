"""Test functions with their gradients, each on R^d; ``f(x) -> (value, gradient (d,))``, and where they are smallest.

Source: Picheny, Wagner and Ginsbourger (2013) for Branin and Hartmann6; Surjanovic and Bingham, Virtual library of
simulation experiments, for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["FUNCTIONS", "Function"]

Pair = tuple[float, np.ndarray]


@dataclass(frozen=True)
class Function:
    """A function and what is known of it.

    Attributes:
        f: value and gradient.
        low, high: (d,) the usual box.
        best: (d,) where it is smallest.
        optimum: the value there.
    """

    f: Callable[[np.ndarray], Pair]
    low: tuple[float, ...]
    high: tuple[float, ...]
    best: tuple[float, ...]
    optimum: float


def branin(x: np.ndarray) -> Pair:
    """(x2 - b x1^2 + c x1 - 6)^2 + 10 (1 - t) cos x1 + 10, b = 5.1 / 4 pi^2, c = 5 / pi, t = 1 / 8 pi."""
    b, c, t = 5.1 / (4.0 * np.pi**2), 5.0 / np.pi, 1.0 / (8.0 * np.pi)
    inner = x[1] - b * x[0] ** 2 + c * x[0] - 6.0
    value = inner**2 + 10.0 * (1.0 - t) * np.cos(x[0]) + 10.0
    slope = 2.0 * inner * (c - 2.0 * b * x[0]) - 10.0 * (1.0 - t) * np.sin(x[0])
    return float(value), np.array([slope, 2.0 * inner])


_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array(
    [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ]
)
_P = 1e-4 * np.array(
    [
        [1312.0, 1696.0, 5569.0, 124.0, 8283.0, 5886.0],
        [2329.0, 4135.0, 8307.0, 3736.0, 1004.0, 9991.0],
        [2348.0, 1451.0, 3522.0, 2883.0, 3047.0, 6650.0],
        [4047.0, 8828.0, 8732.0, 5743.0, 1091.0, 381.0],
    ]
)


def hartmann6(x: np.ndarray) -> Pair:
    """-sum_i alpha_i exp(-sum_j A_ij (x_j - P_ij)^2)."""
    away = x - _P
    terms = _ALPHA * np.exp(-(_A * away**2).sum(axis=1))
    return -float(terms.sum()), 2.0 * (terms[:, None] * _A * away).sum(axis=0)


def rosenbrock(x: np.ndarray) -> Pair:
    """sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2."""
    inner = x[1:] - x[:-1] ** 2
    slope = np.zeros_like(x)
    slope[:-1] = -400.0 * x[:-1] * inner - 2.0 * (1.0 - x[:-1])
    slope[1:] += 200.0 * inner
    return float((100.0 * inner**2 + (1.0 - x[:-1]) ** 2).sum()), slope


def levy(x: np.ndarray) -> Pair:
    """sin^2(pi w_1) + sum_{i<d} (w_i - 1)^2 (1 + 10 sin^2(pi w_i + 1)) + (w_d - 1)^2 (1 + sin^2(2 pi w_d)).

    w = 1 + (x - 1) / 4.
    """
    w = 1.0 + 0.25 * (x - 1.0)
    body, last = w[:-1], w[-1]
    wave = np.sin(np.pi * body + 1.0)
    value = np.sin(np.pi * w[0]) ** 2 + ((body - 1.0) ** 2 * (1.0 + 10.0 * wave**2)).sum()
    value += (last - 1.0) ** 2 * (1.0 + np.sin(2.0 * np.pi * last) ** 2)
    slope = np.zeros_like(x)
    slope[:-1] = 2.0 * (body - 1.0) * (1.0 + 10.0 * wave**2)
    slope[:-1] += (body - 1.0) ** 2 * 20.0 * np.pi * wave * np.cos(np.pi * body + 1.0)
    slope[0] += np.pi * np.sin(2.0 * np.pi * w[0])
    slope[-1] = 2.0 * (last - 1.0) * (1.0 + np.sin(2.0 * np.pi * last) ** 2)
    slope[-1] += (last - 1.0) ** 2 * 2.0 * np.pi * np.sin(4.0 * np.pi * last)
    return float(value), 0.25 * slope


def ackley(x: np.ndarray) -> Pair:
    """-20 exp(-r / 5) - exp(mean cos 2 pi x) + 20 + e, r = sqrt(mean x^2); gradient 0 at its one kink, the optimum."""
    radius = float(np.sqrt((x**2).mean()))
    bowl, waves = 20.0 * np.exp(-0.2 * radius), np.exp(np.cos(2.0 * np.pi * x).mean())
    slope = waves * 2.0 * np.pi * np.sin(2.0 * np.pi * x) / x.size
    if radius > 0.0:
        slope = slope + 0.2 * bowl * x / (radius * x.size)
    return float(20.0 + np.e - bowl - waves), slope


FUNCTIONS: dict[str, Function] = {
    "branin": Function(branin, (-5.0, 0.0), (10.0, 15.0), (np.pi, 2.275), 10.0 / (8.0 * np.pi)),
    "hartmann6": Function(
        hartmann6,
        (0.0,) * 6,
        (1.0,) * 6,
        (0.20168951, 0.15001069, 0.47687398, 0.27533243, 0.31165162, 0.65730053),
        -3.32236801141551,
    ),
    "rosenbrock4": Function(rosenbrock, (-5.0,) * 4, (10.0,) * 4, (1.0,) * 4, 0.0),
    "levy8": Function(levy, (-10.0,) * 8, (10.0,) * 8, (1.0,) * 8, 0.0),
    "ackley10": Function(ackley, (-32.768,) * 10, (32.768,) * 10, (0.0,) * 10, 0.0),
}
