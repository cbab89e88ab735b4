"""A choice: D(x, y) = 1 where x differs from y, else 0.

With the choice written as a unit vector e_x, D(x, y) = ‖e_x − e_y‖² / 2: a squared Euclidean distance, so that every
profile which is positive definite in all dimensions stays so. An inactive choice counts as one more choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Hamming"]


@dataclass(frozen=True)
class Hamming:
    """One length-scale; no derivative rows. The numbers are labels: only equality counts."""

    name: str = "hamming"
    scales: int = 1
    smooth: bool = False
    optional: bool = True

    def place(self, x: np.ndarray, active: np.ndarray) -> np.ndarray:
        """(n, k) labels; 0 where inactive (which `squares` tells apart from the label 0)."""
        return np.where(active, x, 0.0)

    def squares(self, x: np.ndarray, y: np.ndarray, on: np.ndarray, there: np.ndarray) -> list[np.ndarray]:
        """[(k, n, m) of 0 and 1] for labels x (k, n) and y (k, m); on, there: where each is active."""
        differs = (x[:, :, None] != y[:, None, :]) | (on[:, :, None] != there[:, None, :])
        return [differs.astype(float)]
