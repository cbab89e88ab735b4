"""Expected improvement where the best value so far is itself uncertain.

Notation
--------
X         (m, d) the points that may be the best
f_k       (m,) the k-th draw of f at X from the posterior, k = 1 ... S; f*_k its least entry
μ_k, s    mean and deviation of f at a point given the data and f(X) = f_k; s is the same for all k
EI_k      expected improvement on f*_k under N(μ_k, s²)

Noisy expected improvement (Letham et al. 2019, arXiv 1706.07094, equation 8) integrates over the draws what would be
the improvement without noise, and is maximised as its logarithm (Ament et al. 2023, arXiv 2310.20708)::

    log NEI = log Σ_k exp(log EI_k) − log S

The draws come from quasi-random normal numbers, the same ones for every model, so the surface is smooth and the answer
a function of the data. Given the draws it is in closed form, and so is its gradient: no maximum is smoothed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from hypergrad.bayesopt.acquisition import LogEI
from hypergrad.bayesopt.gp import Posterior, condition, solve

__all__ = ["DRAWS", "POINTS", "NoisyLogEI"]

DRAWS = 32  # S; a power of two, as the balance of the sequence needs
POINTS = 20  # m, at most


@lru_cache(maxsize=4)
def _normal(count: int, dimension: int) -> np.ndarray:
    """Quasi-random normal numbers (count, dimension), read-only."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    uniform = qmc.Sobol(dimension, scramble=True, seed=np.random.default_rng(0)).random(count)
    found: np.ndarray = ndtri(np.clip(uniform, 1e-9, 1.0 - 1e-9))
    found.flags.writeable = False
    return found


@dataclass(frozen=True, eq=False)
class NoisyLogEI:
    """log NEI as a function of the point; made by `NoisyLogEI.of`.

    Attributes:
        given: the posterior that has also observed f at X, without noise; its mean is that of no draw.
        weights: (R + m, S), A⁻¹ y of each draw.
        best: (S,) f*_k.
    """

    given: Posterior
    weights: np.ndarray
    best: np.ndarray

    @staticmethod
    def of(posterior: Posterior, draws: int = DRAWS, points: int = POINTS) -> NoisyLogEI:
        """Of the posterior's own points, those with the least mean less deviation.

        Args:
            draws: S, a power of two.
            points: m, at most.
        """
        data, theta = posterior.data, posterior.theta
        mean, variance = posterior.predict(data.points.x, data.points.active)
        chosen = np.sort(np.argsort(mean - np.sqrt(variance), kind="stable")[:points])
        among = data.points.take(chosen)
        mean, covariance = posterior.joint(among.x, among.active)
        scale, axes = np.linalg.eigh(covariance)
        root = axes * np.sqrt(np.maximum(scale, 0.0))
        drawn = mean + _normal(draws, len(chosen)) @ root.T
        told = replace(data, value_noise=data.value_noise + theta.noise).also(among, mean)
        given = condition(posterior.kernel, replace(theta, noise=0.0), told)
        n = len(data)
        lengths = theta.lengthscales[posterior.kernel.first[data.rows.coordinates]]
        y = np.concatenate([told.values - theta.mean, lengths * told.derivatives])
        right = np.repeat(y[:, None], draws, axis=1)
        right[n : n + len(chosen)] = drawn.T - theta.mean
        return NoisyLogEI(given, solve(given.factor, right), drawn.min(axis=1))

    def __call__(self, x: np.ndarray, active: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """log NEI (q,) and its gradient by x, (q, d), at x (q, d).

        Raises:
            ShapeError, DataError: x is not q points of the posterior's kernel.
        """
        here = self.given.here(x, active)
        variance, by_variance = here.variance()
        deviation = np.sqrt(variance + 1e-24 * self.given.theta.signal)
        mean = self.given.theta.mean + here.cross @ self.weights
        value, by_mean, by_deviation = LogEI(self.best)(mean, deviation[:, None])
        top = value.max(axis=1)
        share = np.exp(value - top[:, None])
        total = share.sum(axis=1)
        share /= total[:, None]
        slope = here.slope((share * by_mean) @ self.weights.T)
        slope += ((share * by_deviation).sum(axis=1) / (2.0 * deviation))[:, None] * by_variance
        return top + np.log(total / len(self.best)), slope
