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
        """(n, k) where the coordinates stand; they are always active."""
        return x

    def squares(self, x: np.ndarray, y: np.ndarray, on: np.ndarray, there: np.ndarray) -> list[np.ndarray]:
        """[(k, n, m) squared differences] of x (k, n) and y (k, m), both as placed."""
        difference = x[:, :, None] - y[:, None, :]
        difference *= difference
        return [difference]
