"""Outer optimisers on trees of hyperparameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad import tree

Tree = Any


def adam(
    value_and_gradient: Callable[[Tree, int], tuple[float, Tree]],
    start: Tree,
    steps: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    project: Callable[[Tree], Tree] = lambda point: point,
) -> tuple[Tree, list[float]]:
    """Adam (Kingma & Ba 2015, Algorithm 1): the last point, and the values on the way, that of the start first.

    Args:
        value_and_gradient: of (point, number of the step).
        start: floats and float arrays.
        steps: of Adam; the value is taken once more at the end.
        lr: step size.
        betas: decay of the first and the second moment.
        eps: outside the square root.
        project: back into the domain, after each step.
    """
    point, values = start, []
    first = tree.map(np.zeros_like, start)
    second = tree.map(np.zeros_like, start)
    for t in range(1, steps + 1):
        value, gradient = value_and_gradient(point, t - 1)
        values.append(float(value))
        first = tree.map(lambda m, g: betas[0] * m + (1.0 - betas[0]) * g, first, gradient)
        second = tree.map(lambda v, g: betas[1] * v + (1.0 - betas[1]) * g * g, second, gradient)
        size = lr * np.sqrt(1.0 - betas[1] ** t) / (1.0 - betas[0] ** t)
        point = project(
            tree.map(lambda x, m, v: x - size * m / (np.sqrt(v) + eps), point, first, second)  # noqa: B023
        )
    values.append(float(value_and_gradient(point, steps)[0]))
    return point, values


def gradient_descent(
    value_and_gradient: Callable[[Tree, int], tuple[float, Tree]],
    start: Tree,
    steps: int,
    lr: float,
    project: Callable[[Tree], Tree] = lambda point: point,
) -> tuple[Tree, list[float]]:
    """point <- project(point - lr gradient): the last point, and the values on the way, that of the start first."""
    point, values = start, []
    for t in range(steps):
        value, gradient = value_and_gradient(point, t)
        values.append(float(value))
        point = project(tree.map(lambda x, g: x - lr * g, point, gradient))
    values.append(float(value_and_gradient(point, steps)[0]))
    return point, values
