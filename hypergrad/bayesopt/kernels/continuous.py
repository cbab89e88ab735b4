"""A number that is always there: D(x, y) = (x − y)²."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Continuous"]


@dataclass(frozen=True)
class Continuous:
    """One length-scale; has derivative rows."""

    name: str = "continuous"
    scales: int = 1
    smooth: bool = True
    optional: bool = False

    def place(self, x: np.ndarray, active: np.ndarray) -> np.ndarray:
        """(n,) where the coordinate stands; it is always active."""
        return x

    def squares(self, x: np.ndarray, y: np.ndarray, on: np.ndarray, there: np.ndarray) -> list[np.ndarray]:
        """[(n, m) squared differences] of x (n,) and y (m,), both as placed."""
        difference = x[:, None] - y[None, :]
        return [difference * difference]
