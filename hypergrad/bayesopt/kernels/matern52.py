"""Matérn kernel of smoothness 5/2: φ(s) = (1 + t + t²/3) e^{-t}, t = √(5 s).

Its functions have two derivatives in the mean-square sense, so values and gradients have joint covariances and the
gradients may kink. (Rasmussen & Williams 2006, equation 4.17; the derivatives by s are ours.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Matern52"]


@dataclass(frozen=True)
class Matern52:
    """φ and its derivatives by s:

    φ' = −(5/6)(1 + t) e^{-t},  φ'' = (25/12) e^{-t},  φ''' = −(125/24) e^{-t} / t.
    """

    name: str = "matern52"

    def derivatives(self, s: np.ndarray, order: int) -> list[np.ndarray]:
        """φ, φ', ..., up to `order` (at most 3), each of the shape of `s`, which is >= 0.

        φ''' is unbounded at s = 0, where every covariance multiplies it by differences of higher order; 0 is
        returned there, the limit of those products divided by what multiplies φ'''.
        """
        t = np.sqrt(5.0 * s)
        decay = np.exp(-t)
        found = [(1.0 + t + 5.0 / 3.0 * s) * decay]
        if order >= 1:
            found.append(-5.0 / 6.0 * (1.0 + t) * decay)
        if order >= 2:
            found.append(25.0 / 12.0 * decay)
        if order >= 3:
            found.append(-125.0 / 24.0 * np.divide(decay, t, out=np.zeros_like(t), where=t > 0.0))
        return found
