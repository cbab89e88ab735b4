"""Test functions of global optimisation, each of x (d,) -> a number, in NumPy that `hg.grad` differentiates.

Source: Picheny, Wagner & Ginsbourger (2013) for Branin and Hartmann; Surjanovic & Bingham, Virtual library of
simulation experiments, for the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["OPTIMA", "ackley", "branin", "hartmann3", "hartmann6", "levy", "rosenbrock"]

Array = Any  # (d,) of floats, complex numbers or traced

_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A3 = np.array([[3.0, 10.0, 30.0], [0.1, 10.0, 35.0]] * 2)
_P3 = 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
_A6 = np.array(
    [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ]
)
_P6 = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)

OPTIMA = {
    "branin": 10.0 / (8.0 * np.pi),
    "rosenbrock": 0.0,
    "hartmann3": -3.8627797873326596,
    "hartmann6": -3.32236801141551,
    "levy": 0.0,
    "ackley": 0.0,
}


def branin(x: Array) -> Any:
    """(x2 - b x1^2 + c x1 - 6)^2 + 10 (1 - t) cos x1 + 10, b = 5.1 / 4 pi^2, c = 5 / pi, t = 1 / 8 pi."""
    b, c, t = 5.1 / (4.0 * np.pi**2), 5.0 / np.pi, 1.0 / (8.0 * np.pi)
    return (x[1] - b * x[0] ** 2 + c * x[0] - 6.0) ** 2 + 10.0 * (1.0 - t) * np.cos(x[0]) + 10.0


def rosenbrock(x: Array) -> Any:
    """sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def hartmann3(x: Array) -> Any:
    """-sum_i alpha_i exp(-sum_j A_ij (x_j - P_ij)^2), three variables."""
    return -np.sum(_ALPHA * np.exp(-np.sum(_A3 * (x - _P3) ** 2, axis=1)))


def hartmann6(x: Array) -> Any:
    """The same, six variables."""
    return -np.sum(_ALPHA * np.exp(-np.sum(_A6 * (x - _P6) ** 2, axis=1)))


def levy(x: Array) -> Any:
    """sin^2(pi w_1) + sum_{i<d} (w_i - 1)^2 (1 + 10 sin^2(pi w_i + 1)) + (w_d - 1)^2 (1 + sin^2(2 pi w_d)).

    w = 1 + (x - 1) / 4.
    """
    w = 1.0 + 0.25 * (x - 1.0)
    body, last = w[:-1], w[-1]
    middle = np.sum((body - 1.0) ** 2 * (1.0 + 10.0 * np.sin(np.pi * body + 1.0) ** 2))
    return np.sin(np.pi * w[0]) ** 2 + middle + (last - 1.0) ** 2 * (1.0 + np.sin(2.0 * np.pi * last) ** 2)


def ackley(x: Array) -> Any:
    """-20 exp(-r / 5) - exp(mean cos 2 pi x) + 20 + e, r = sqrt(mean x^2); gradient 0 at its one kink, the optimum."""
    radius = np.sqrt(np.maximum(np.mean(x**2), 1e-300))
    return 20.0 + np.e - 20.0 * np.exp(-0.2 * radius) - np.exp(np.mean(np.cos(2.0 * np.pi * x)))
