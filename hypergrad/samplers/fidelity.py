"""At which fidelity the next trial runs: what it tells of the target, per cost.

Notation: x the point that promises most at the target; z a fidelity, 1 the target; f(x, z); c(z) the cost of a trial
relative to one at the target.

Of the fidelities the one with the largest ::

    cov(f(x, 1), f(x, z))² / (var f(x, z) + σ²) / (c(z) + p [z < 1])

runs: how much the trial is expected to lower the variance of f(x, 1), per cost. To a cheap trial belongs the full one
that must follow if x is as good as it looks: p is the probability that f(x, 1) is below the best so far. Near x, what a
lower fidelity can tell is used up once it has been told, so a point that stays promising is tried at higher and higher
ones; and where fidelities do not agree the target itself is the best buy. (The idea of information per cost: Swersky et
al. 2013; BOCA, Kandasamy et al. 2017, and cost-aware knowledge gradient, Wu et al. 2019, choose the fidelity by other
measures.)

However cheap, lower fidelities get no more than the cost of one full trial before the next full one: the best trial at
the target is never far behind, and where lower ones mislead, half of the budget at the worst is spent on them.

Costs are what the trials told, c0 + c1 · value by least squares with c0, c1 >= 0, and proportional to the fidelity's
value until trials at two fidelities have told theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hypergrad.parameters import Fidelity
from hypergrad.samplers.base import Record
from hypergrad.samplers.surrogate import Surrogate
from hypergrad.space import Space

__all__ = ["at_start", "beside", "choose", "relative_cost", "spent_below"]

_LEVELS = 9  # fidelities that are compared


def relative_cost(space: Space, past: Sequence[Record]) -> Callable[[np.ndarray], np.ndarray]:
    """c: coordinates of the fidelity -> cost relative to that of a full trial."""
    assert space.fidelity is not None
    fidelity, column = space.parameters[space.fidelity], space.columns[space.fidelity].start
    assert isinstance(fidelity, Fidelity)
    told = [r for r in past if r.state == "complete" and np.isfinite(r.cost) and r.cost > 0.0]
    share = fidelity.share(np.array([r.unit[column] for r in told]))
    if len(set(share.tolist())) < 2:
        return fidelity.share
    from scipy.optimize import nnls

    cost = np.array([r.cost for r in told])
    (fixed, rising), _ = nnls(np.column_stack([np.ones_like(share), share]), cost / cost.max())
    if not rising > 0.0:
        return fidelity.share
    return lambda unit: (fixed + rising * fidelity.share(unit)) / (fixed + rising)


def spent_below(space: Space, past: Sequence[Record], cost: Callable[[np.ndarray], np.ndarray]) -> float:
    """Cost, in full trials, of the trials below full fidelity since the latest full one."""
    assert space.fidelity is not None
    column, total = space.columns[space.fidelity].start, 0.0
    for record in past:
        total = (
            0.0 if space.at_full(record.unit) else total + float(cost(record.unit[column : column + 1])[0])
        )
    return total


def at_start(space: Space, unit: np.ndarray, past: Sequence[Record]) -> np.ndarray:
    """A point of the first trials: one at full fidelity, then at the lowest while these cost less than a full one."""
    if space.fidelity is None or not any(space.at_full(record.unit) for record in past):
        return unit
    cost = relative_cost(space, past)
    lowest = beside(space, np.zeros_like(unit), unit)
    column = space.columns[space.fidelity]
    return lowest if spent_below(space, past, cost) + float(cost(lowest[column])[0]) <= 1.0 else unit


def beside(space: Space, unit: np.ndarray, point: np.ndarray) -> np.ndarray:
    """`point` (d,) at the fidelity of `unit` (d,)."""
    if space.fidelity is None:
        return point
    found, column = point.copy(), space.columns[space.fidelity]
    found[column] = unit[column]
    return found


def choose(surrogate: Surrogate, unit: np.ndarray, past: Sequence[Record]) -> np.ndarray:
    """`unit` (d,), a point at full fidelity, at the fidelity at which it is tried next."""
    space = surrogate.space
    from scipy.special import ndtr

    assert space.fidelity is not None
    column = space.columns[space.fidelity].start
    cost = relative_cost(space, past)
    levels = np.repeat(unit[None], _LEVELS, axis=0)
    levels[:, column] = np.linspace(0.0, 1.0, _LEVELS)
    levels = np.unique(space.snap(levels), axis=0)  # the target comes last
    if not surrogate.sources.lower:
        return levels[-1]
    mean, covariance = surrogate.posterior.joint(*surrogate.sources.lift(levels))
    deviation = np.sqrt(np.maximum(covariance[-1, -1], 1e-300))
    confirmed = float(ndtr((surrogate.best - mean[-1]) / deviation))
    prices = cost(levels[:, column])
    variance = np.diag(covariance) + surrogate.posterior.theta.noise
    gain = covariance[-1] ** 2 / np.maximum(variance, 1e-300)
    gain[:-1] /= prices[:-1] + confirmed
    gain[:-1][spent_below(space, past, cost) + prices[:-1] > 1.0] = -np.inf
    return levels[int(np.argmax(gain))]
