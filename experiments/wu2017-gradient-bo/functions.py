"""The synthetic objectives of Wu et al. (2017) in plain NumPy, with their boxes and optima; minimised.

Source: Surjanovic & Bingham, Virtual library of simulation experiments; boxes as in the authors' repository.
"""

import numpy as np

ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
A3 = np.array([[3.0, 10.0, 30.0], [0.1, 10.0, 35.0]] * 2)
P3 = 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
A6 = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
P6 = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def branin(x):
    """(x2 - b x1^2 + c x1 - 6)^2 + 10 (1 - t) cos x1 + 10."""
    b, c, t = 5.1 / (4.0 * np.pi**2), 5.0 / np.pi, 1.0 / (8.0 * np.pi)
    return (x[1] - b * x[0] ** 2 + c * x[0] - 6.0) ** 2 + 10.0 * (1.0 - t) * np.cos(x[0]) + 10.0


def rosenbrock(x):
    """sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def hartmann3(x):
    """-sum_i alpha_i exp(-sum_j A_ij (x_j - P_ij)^2), three variables."""
    return -(ALPHA @ np.exp(-np.sum(A3 * (x - P3) ** 2, axis=1)))


def hartmann6(x):
    """The same, six variables."""
    return -(ALPHA @ np.exp(-np.sum(A6 * (x - P6) ** 2, axis=1)))


def levy(x):
    """sin^2(pi w_1) + sum_{i<d} (w_i - 1)^2 (1 + 10 sin^2(pi w_i + 1)) + (w_d - 1)^2 (1 + sin^2(2 pi w_d))."""
    w = 1.0 + (x - 1.0) / 4.0
    body, last = w[:-1], w[-1]
    middle = np.sum((body - 1.0) ** 2 * (1.0 + 10.0 * np.sin(np.pi * body + 1.0) ** 2))
    return np.sin(np.pi * w[0]) ** 2 + middle + (last - 1.0) ** 2 * (1.0 + np.sin(2.0 * np.pi * last) ** 2)


def ackley(x):
    """-20 exp(-r / 5) - exp(mean cos 2 pi x) + 20 + e, r = sqrt(mean x^2)."""
    radius = np.sqrt(np.mean(x**2))
    return 20.0 + np.e - 20.0 * np.exp(-0.2 * radius) - np.exp(np.mean(np.cos(2.0 * np.pi * x)))


# name: (function, low, high, optimum)
FUNCTIONS = {
    "branin": (branin, [0.0, -5.0], [15.0, 15.0], 0.39788735772973816),
    "rosenbrock": (rosenbrock, [-2.0] * 4, [2.0] * 4, 0.0),
    "hartmann3": (hartmann3, [0.0] * 3, [1.0] * 3, -3.8627797873326596),
    "levy": (levy, [-1.0] * 4, [2.0] * 4, 0.0),
    "hartmann6": (hartmann6, [0.0] * 6, [1.0] * 6, -3.322368011415515),
    "ackley": (ackley, [-5.0] * 5, [5.0] * 5, 0.0),
}
