"""How uncertain a process is when its hyperparameters are not taken for known.

A fit has the most probable hyperparameters, and the variance of its process is what they leave open. Where trials are
few, the hyperparameters are uncertain themselves, and intervals from that variance hold the value too rarely. Here
the process is averaged over a normal approximation of the hyperparameters' posterior, to first order.

Notation::

    θ        hyperparameters (log ℓ, log v, log σ², log τ², c), standardised values; θ* the most probable ones
    D        deviations of their priors, diagonal
    H        −∂²/∂θ² of the log likelihood at θ*, negative curvatures as 0
    Σ        covariance of θ: D (I + D H D)⁻¹ D  (Laplace)
    μ, V     mean and variance of the process at a point, functions of θ

    V̄ = 4/3 V + (∂μ/∂θ)ᵀ Σ (∂μ/∂θ) + (∂V/∂θ)ᵀ Σ (∂V/∂θ) / (3 V)

Source: Garnett, Osborne, Hennig, Active learning of linear embeddings for Gaussian processes, UAI 2014, arXiv 1310.6740
(the "MGP"). It is for reports: acquisitions keep the variance at θ*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypergrad.bayesopt.fit import Fit, Priors
from hypergrad.bayesopt.gp import Hyperparameters, Likelihood, Posterior, condition

__all__ = ["Marginal"]

_NUDGE = 1e-3  # of the curvatures, in deviations of the priors
_SHARE = 1e-2  # of a deviation of θ, over which μ and V are differenced
_LEAST = 1e-10  # V by which is divided, in variances of the values


@dataclass(frozen=True, eq=False)
class Marginal:
    """A process beside itself at hyperparameters that are nearly as probable; made by `Marginal.of`.

    Attributes:
        scale: of the standardisation.
        centre: the process at θ*, standardised.
        pairs: for each principal direction of Σ, the process a hundredth of a deviation to either side.
    """

    scale: float
    centre: Posterior
    pairs: tuple[tuple[Posterior, Posterior], ...]

    @staticmethod
    def of(fit: Fit, priors: Priors | None = None) -> Marginal:
        """That of a fitted process: (scales + 4) · 2 gradients of the likelihood, and as many factorisations.

        Args:
            fit: as `hypergrad.bayesopt.fit.fit` returns it.
            priors: that it was fitted with; None: the usual ones.
        """
        kernel = fit.posterior.kernel
        priors = priors or Priors.of(kernel)
        data = fit.posterior.data.scaled(fit.shift, fit.scale)
        vector = np.clip(fit.standard.vector, priors.lower, priors.upper)
        free = np.ones(len(vector), bool)
        free[-2] = len(data.rows.points) > 0
        moves = np.diag(priors.deviation)[free]
        likelihood = Likelihood(kernel, data)
        slopes = np.stack(
            [likelihood(vector - _NUDGE * m)[1] - likelihood(vector + _NUDGE * m)[1] for m in moves]
        )
        curvature = (slopes @ moves.T) / (2.0 * _NUDGE)  # D H D
        sizes, directions = np.linalg.eigh(0.5 * (curvature + curvature.T))
        steps = (directions / np.sqrt(1.0 + np.maximum(sizes, 0.0))).T @ moves

        def at(moved: np.ndarray) -> Posterior:
            return condition(kernel, Hyperparameters.of(moved), data)

        pairs = tuple((at(vector - _SHARE * step), at(vector + _SHARE * step)) for step in steps)
        return Marginal(fit.scale, at(vector), pairs)

    def variance(self, x: np.ndarray, active: np.ndarray | None = None) -> np.ndarray:
        """V̄ of f at x (q, d), (q,), in the unit of f squared; without observation noise."""
        _, variance = self.centre.predict(x, active)
        by_mean, by_variance = np.zeros(len(variance)), np.zeros(len(variance))
        for left, right in self.pairs:
            (m0, v0), (m1, v1) = left.predict(x, active), right.predict(x, active)
            by_mean += ((m1 - m0) / (2.0 * _SHARE)) ** 2
            by_variance += ((v1 - v0) / (2.0 * _SHARE)) ** 2
        whole = 4.0 / 3.0 * variance + by_mean + by_variance / (3.0 * np.maximum(variance, _LEAST))
        return self.scale**2 * whole
