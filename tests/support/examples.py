"""What rows of examples are made of (see tests/ad/test_primitives.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Example:
    """A NumPy function, and arguments at which it is smooth (or, if not `smooth`, only has values)."""

    f: Callable[..., Any]
    args: tuple[Any, ...]
    smooth: bool = True
    exact: bool = True  # the same order of additions as NumPy's


def ex(f: Callable[..., Any], *args: Any, smooth: bool = True, exact: bool = True) -> Example:
    return Example(f, args, smooth, exact)


V = np.array([0.3, -0.7, 1.9, -2.4])  # any sign, no integer, no tie
P = np.array([0.4, 1.7, 0.9, 2.2])  # positive
U = np.array([0.2, -0.6, 0.85, -0.1])  # inside (-1, 1)
M = np.array([[0.3, -0.7, 1.9], [2.4, 0.6, -1.1]])
COLUMN = np.array([[0.8], [-1.3]])
SQUARE = np.array([[2.0, 0.3], [-0.4, 1.5]])
CUBE = np.sin(np.arange(24.0)).reshape(2, 3, 4)
EMPTY = np.zeros((0, 3))
ZERO_D = np.array(0.7)
INTS = np.array([3, -2, 5, 1])
BITS = np.array([True, False, True, True])


def unary(f: Any, x: np.ndarray, smooth: bool = True) -> list[Example]:
    return [ex(f, a, smooth=smooth) for a in (x, x[0], x.reshape(2, 2), x[:0])]


def binary(f: Any, x: np.ndarray, y: np.ndarray, smooth: bool = True) -> list[Example]:
    """All broadcasting situations."""
    pairs = ((x, y), (x[0], y), (x.reshape(4, 1), y), (x[:1], y.reshape(2, 2)), (x[0], y[0]), (x[:0], y[:1]))
    return [ex(f, a, b, smooth=smooth) for a, b in pairs] + [ex(lambda a: f(a, a), x, smooth=smooth)]
