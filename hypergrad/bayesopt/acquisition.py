"""Acquisition functions of a Gaussian posterior, with their gradients; all are maximised.

Notation
--------
μ, s      posterior mean and standard deviation at a point, s > 0
f*        the least value so far; z = (f* - μ) / s
φ, Φ      density and distribution function of N(0, 1)
h(z)      φ(z) + z Φ(z), so that EI = s h(z)

Source: Jones et al. (1998), EI; Ament et al. (2023), log EI without cancellation; Srinivas et al. (2010), UCB.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

__all__ = ["ACQUISITIONS", "Acquisition", "LogEI", "LowerBound", "log_h", "log_h_slope"]

_HALF_LOG_2PI = 0.5 * np.log(2.0 * np.pi)
_FAR = -200.0


def log_h(z: np.ndarray) -> np.ndarray:
    """log(φ(z) + z Φ(z)), to rounding for every z.

    Args:
        z: any shape, finite.
    """
    return _parts(z)[0]


def log_h_slope(z: np.ndarray) -> np.ndarray:
    """d log h / dz = Φ(z) / h(z)."""
    return _parts(z)[1]


def _parts(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log h and Φ / h.

    Below -1, Φ = φ √(π/2) E with E = erfcx(|z|/√2), and h = φ (1 - |z| √(π/2) E), whose bracket cancels as z^-2; below
    `_FAR` both are their asymptotic series, right to 1e-11.
    """
    from scipy.special import erfcx, ndtr

    z = np.asarray(z, float)
    value, slope = np.empty_like(z), np.empty_like(z)
    near, far = z > -1.0, z < _FAR
    x = z[near]
    below = ndtr(x)
    h = np.exp(-0.5 * x * x - _HALF_LOG_2PI) + x * below
    value[near], slope[near] = np.log(h), below / h
    x = z[~near & ~far]
    tail = np.sqrt(0.5 * np.pi) * erfcx(-x / np.sqrt(2.0))
    bracket = 1.0 + x * tail
    value[~near & ~far], slope[~near & ~far] = -0.5 * x * x - _HALF_LOG_2PI + np.log(bracket), tail / bracket
    x = z[far]
    y = x**-2.0
    series = -3.0 * y + 15.0 * y * y
    value[far] = -0.5 * x * x - _HALF_LOG_2PI - 2.0 * np.log(-x) + np.log1p(series)
    slope[far] = -x * (1.0 - y + 3.0 * y * y) / (1.0 + series)
    return value, slope


class Acquisition(ABC):
    """A utility of evaluating a point, from its posterior alone. Subclasses are frozen dataclasses."""

    @abstractmethod
    def __call__(self, mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The utility and its derivatives by mean and standard deviation, each (q,).

        Args:
            mean: μ, (q,).
            deviation: s, (q,), positive.
        """


@dataclass(frozen=True)
class LogEI(Acquisition):
    """log EI = log s + log h(z): the logarithm of the expected fall below `best`.

    With noisy values, `best` may be the least posterior mean at the points evaluated; `noisy.NoisyLogEI` integrates
    over what is not known of it.

    Attributes:
        best: f*, in the units of the posterior; an array takes part in broadcasting.
    """

    best: float | np.ndarray

    def __call__(self, mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        z = (self.best - mean) / deviation
        value, slope = _parts(z)
        return np.log(deviation) + value, -slope / deviation, (1.0 - slope * z) / deviation


@dataclass(frozen=True)
class LowerBound(Acquisition):
    """-(μ - β s): optimism in the face of uncertainty; UCB for minimisation.

    Attributes:
        beta: β >= 0, standard deviations.
    """

    beta: float = 2.0

    def __call__(self, mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.beta * deviation - mean, -np.ones_like(mean), np.full_like(deviation, self.beta)


ACQUISITIONS = {"log_ei": LogEI, "lower_bound": LowerBound}
