"""The warp between the values of a study and those of its model, in both directions.

Notation::

    u        unit of the values: 1, or the largest of their sizes where its square would overflow or vanish
    m        median of the values y / u
    s        m less the least value
    t        warped value: y / u up to m, m + s log(1 + (y / u − m) / s) above it

Backwards, a normal t ~ N(μ, σ²) becomes y / u = t below m and m + s (exp((t − m) / s) − 1) above it; with a = m − μ,
Φ and φ of the standard normal, and E_c = ∫_m^∞ exp(c (t − m) / s) N(t; μ, σ²) dt
= exp(−c a / s + c² σ² / (2 s²)) Φ(c σ / s − a / σ)::

    E[y / u]  = ∫_−∞^m t N dt + (m − s) E_0 + s E_1,    ∫_−∞^m t N dt = μ Φ(a / σ) − σ φ(a / σ)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Warp", "warp"]


@dataclass(frozen=True)
class Warp:
    """t of y.

    Attributes:
        unit: u > 0.
        middle: m.
        scale: s; 0 where no value is below the median: then t = y / u.
    """

    unit: float
    middle: float
    scale: float

    @staticmethod
    def of(values: np.ndarray) -> Warp:
        """The warp of finite values (n,), n >= 1."""
        unit = float(np.abs(values).max())
        unit = 1.0 if 1e-100 < unit < 1e100 or unit == 0.0 else unit
        counted = values / unit
        middle = float(np.median(counted))
        return Warp(unit, middle, max(middle - float(counted.min()), 0.0))

    def forward(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """t of finite values (n,), and dt/dy · u, both in counted units."""
        counted = values / self.unit
        above = np.maximum(counted - self.middle, 0.0)
        if not self.scale > 0.0:
            return counted, np.ones_like(counted)
        t = np.minimum(counted, self.middle) + self.scale * np.log1p(above / self.scale)
        return t, 1.0 / (1.0 + above / self.scale)

    def backward(self, t: np.ndarray) -> np.ndarray:
        """y of warped values, any shape; inf where it is too large to be a float."""
        if not self.scale > 0.0:
            return self.unit * np.asarray(t, float)
        above = np.maximum(t - self.middle, 0.0)
        with np.errstate(over="ignore"):
            return self.unit * (np.minimum(t, self.middle) + self.scale * np.expm1(above / self.scale))

    def slope(self, t: np.ndarray) -> np.ndarray:
        """dy/dt at warped values, any shape."""
        if not self.scale > 0.0:
            return np.full(np.shape(t), self.unit)
        with np.errstate(over="ignore"):
            return self.unit * np.exp(np.maximum(t - self.middle, 0.0) / self.scale)

    def moments(self, mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of y where t is normal; inf where they are too large to be floats.

        Args:
            mean: μ (q,), warped.
            deviation: σ (q,) >= 0.
        """
        from scipy.special import log_ndtr, ndtr

        mean, deviation = np.asarray(mean, float), np.asarray(deviation, float)
        if not self.scale > 0.0:
            return self.unit * mean, self.unit * deviation
        sure = deviation <= 1e-5 * self.scale  # over so little the map is a straight line
        spread = np.where(sure, self.scale, deviation)
        a, s = self.middle - mean, self.scale
        z = a / spread
        below, density = ndtr(z), np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        with np.errstate(over="ignore", invalid="ignore"):
            tail = [
                np.exp(-c * a / s + 0.5 * (c * spread / s) ** 2 + log_ndtr(c * spread / s - z))
                for c in range(3)
            ]
            # Moments about m, so that little is lost to cancellation: y' = t − m below, s (exp − 1) above.
            first = -a * below - spread * density + s * (tail[1] - tail[0])
            second = (a * a + spread**2) * below + a * spread * density
            second = second + s * s * (tail[2] - 2.0 * tail[1] + tail[0])
            found = self.middle + first
            width = np.sqrt(np.maximum(second - first * first, 0.0))
        width = np.where(np.isfinite(first) & np.isfinite(second), width, np.inf)
        line = self.slope(mean) * deviation
        return (
            np.where(sure, self.backward(mean), self.unit * np.where(np.isnan(found), np.inf, found)),
            np.where(sure, line, self.unit * width),
        )


def warp(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) that grow as their logarithm above the median, and the slope of the map at each."""
    middle = float(np.median(values))
    return Warp(1.0, middle, max(middle - float(values.min()), 0.0)).forward(values)
