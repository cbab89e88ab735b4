"""A number that exists only under a condition (``active_if``).

The coordinate is embedded in the plane: x active goes to (x, 0), inactive to (1/2, 1), the centre of the unit
interval on a level of its own. With one length-scale ℓ along the number and one λ across the levels, two active numbers
differ by (x − y)²/ℓ², two inactive ones not at all, and an active and an inactive one by (x − 1/2)²/ℓ² + 1/λ². A
squared Euclidean distance, so the kernel stays positive definite. (Compare the arc kernel of Swersky et al. 2014, whose
embedding is an arc with the inactive point at its centre; ours keeps the derivative rows of active numbers those of an
ordinary number.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Conditional"]


@dataclass(frozen=True)
class Conditional:
    """Two length-scales, ℓ then λ; derivative rows where it is active."""

    name: str = "conditional"
    scales: int = 2
    smooth: bool = True
    optional: bool = True

    def place(self, x: np.ndarray, active: np.ndarray) -> np.ndarray:
        """(n, k) the numbers, or 1/2 where they are inactive."""
        return np.where(active, x, 0.5)

    def squares(self, x: np.ndarray, y: np.ndarray, on: np.ndarray, there: np.ndarray) -> list[np.ndarray]:
        """[(k, n, m) along the numbers, (k, n, m) across the levels], of x (k, n) and y (k, m) as placed."""
        difference = x[:, :, None] - y[:, None, :]
        difference *= difference
        return [difference, (on[:, :, None] != there[:, None, :]).astype(float)]
