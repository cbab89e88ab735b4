"""Squared-exponential kernel: φ(s) = e^{-s/2} (Rasmussen & Williams 2006, equation 4.9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["SquaredExponential"]


@dataclass(frozen=True)
class SquaredExponential:
    """φ and its derivatives by s: the k-th is (−1/2)^k e^{-s/2}."""

    name: str = "squared_exponential"

    def derivatives(self, s: np.ndarray, order: int) -> list[np.ndarray]:
        """φ, φ', ..., up to `order`, each of the shape of `s`, which is >= 0."""
        value = np.exp(-0.5 * s)
        return [value if k == 0 else (-0.5) ** k * value for k in range(order + 1)]
