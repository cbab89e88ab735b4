"""The probability that a point keeps the black-box constraints of a study: a Gaussian process for each of them.

Notation: c_j(x) by how much constraint j is exceeded at x, kept where c_j <= 0; b(c) = sign(c) s log(1 + |c|/s), s the
median of |c|, keeps the sign and tames large violations (the bilog of Eriksson & Poloczek 2021, SCBO, with a scale);
m_j, s_j mean and deviation of the process of b(c_j); Φ, φ those of N(0, 1).

log P(feasible) = Σ_j log Φ(−m_j / s_j), as if the constraints were independent (Gardner et al. 2014; Gelbart et al.
2014): what is added to log EI.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hypergrad.bayesopt.fit import Fit, fit
from hypergrad.bayesopt.gp import Posterior
from hypergrad.bayesopt.kernels import Kernel
from hypergrad.bayesopt.observations import Observations, observe
from hypergrad.samplers.base import Record
from hypergrad.space import Space

__all__ = ["Feasibility", "bilog"]

_LEAST = 2  # known values of a constraint before it is modelled
_STEEP = 1e3  # a derivative above so many times the spread of the constraint is no slope of use
_FLOOR = 1e-6  # least deviation, by the spread of the constraint


@dataclass(frozen=True, eq=False)
class Feasibility:
    """The processes of the constraints that are known well enough; made by `Feasibility.of`.

    Attributes:
        posteriors: one a modelled constraint.
        scales: spread of each.
    """

    space: Space
    posteriors: tuple[Posterior, ...]
    scales: tuple[float, ...]

    @staticmethod
    def of(
        kernel: Kernel, space: Space, past: Sequence[Record], *, gradients: bool, rows: int
    ) -> Feasibility | None:
        """The model of the constraints that the trials told; None where there is none to model.

        Args:
            kernel: of the points of `space`.
            past: trials of this study; those that diverged have told their constraints all the same.
            gradients: whether derivatives of the constraints are used.
            rows: values and derivatives of each model, at most.
        """
        told = [r for r in past if r.state == "complete" and r.constraints is not None]
        fits: list[Fit] = []
        for j in range(len(told[0].constraints) if told and told[0].constraints is not None else 0):
            data = _observed(kernel, space, told, j, gradients)
            if data is not None:
                fits.append(fit(kernel, data, rows=max(rows, len(data))))
        if not fits:
            return None
        return Feasibility(space, tuple(f.posterior for f in fits), tuple(f.scale for f in fits))

    def log_probability(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log P(feasible) at points (q, d), (q,), and its gradient (q, d)."""
        from scipy.special import log_ndtr

        active = self.space.active(x)
        total, slope = np.zeros(len(x)), np.zeros(x.shape)
        for posterior, scale in zip(self.posteriors, self.scales, strict=True):
            moments = posterior.moments(x, active)
            deviation = np.sqrt(moments.variance) + _FLOOR * scale
            z = -moments.mean / deviation
            log_phi = log_ndtr(z)
            total += log_phi
            hazard = np.exp(-0.5 * z * z - 0.5 * np.log(2.0 * np.pi) - log_phi)  # φ(z) / Φ(z)
            by_mean = -hazard / deviation
            by_variance = -0.5 * hazard * z / deviation**2
            slope += by_mean[:, None] * moments.mean_gradient
            slope += by_variance[:, None] * moments.variance_gradient
        return total, slope

    def added_to(
        self, surface: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    ) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """`surface` plus log P(feasible)."""

        def evaluate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            value, slope = surface(x)
            more, by_x = self.log_probability(x)
            return value + more, slope + by_x

        return evaluate


def bilog(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sign(c) s log(1 + |c|/s) of values (n,), and the slope of the map at each; s is the median of |c|."""
    size = np.abs(values)
    scale = _middle(size)
    if not scale > 0.0:
        scale = float(size.max()) or 1.0
    return np.sign(values) * scale * np.log1p(size / scale), 1.0 / (1.0 + size / scale)


def _middle(sizes: np.ndarray) -> float:
    """The upper median, one of the numbers, so that two large ones are not added."""
    return float(np.sort(sizes)[len(sizes) // 2])


def _observed(
    kernel: Kernel, space: Space, told: Sequence[Record], j: int, gradients: bool
) -> Observations | None:
    """What the trials told of constraint j, by the median of its size."""
    found = [(r, float(r.constraints[j])) for r in told if r.constraints is not None]
    found = [(r, c) for r, c in found if np.isfinite(c)]
    if len(found) < _LEAST:
        return None
    values = np.array([c for _, c in found])
    unit = _middle(np.abs(values))
    unit = unit if 1e-100 < unit < 1e100 else float(np.abs(values).max()) or 1.0
    with np.errstate(all="ignore"):
        y, rate = bilog(values / unit)
    x = space.snap(np.stack([r.unit for r, _ in found]))
    active = space.active(x)
    if not gradients:
        return observe(kernel, x, y, active=active)
    table = np.full(x.shape, np.nan)
    with np.errstate(all="ignore"):
        for row, (record, _) in enumerate(found):
            if record.constraint_gradients is not None:
                table[row] = record.constraint_gradients[j] / unit * rate[row]
    known = np.isfinite(table) & (np.abs(table) <= _STEEP * (float(np.ptp(y)) or 1.0))
    return observe(kernel, x, y, table, known=known, active=active)
