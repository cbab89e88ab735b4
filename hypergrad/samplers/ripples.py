"""Whether gradients describe ripples and not the trend: asked of points far apart, before a descent is tried.

Where a function has many narrow minima, a descent ends in the nearest one, its trials lie in a heap from which a model
learns little, and a search by values alone is better. A descent looks smooth while it runs. So the defaults and the
first points of a Sobol sequence are looked at, with their gradients; a Gaussian process is fitted to them
(`hypergrad.bayesopt.fit`)::

    ρ̄    mean correlation of f at two random points of the cube
    τ²   learned variance of the noise of derivatives
    η²   variance of a derivative under the process, mean over coordinates: -2 φ'(0) v / ℓ²

The gradients describe ripples where the function is about as steep everywhere, and ρ̄ < `_TOLD`: then the length-scales
are those of one basin, and trials tell nothing of one another; or τ² > η²: then the trend explains the values and not
the slopes. As steep: no gradient's largest entry is below `_ALIKE` of the largest of all, that at the defaults left
out, as symmetry may make the middle of a space stationary; cliffs, plateaus and wells are no ripples. It takes
`_FIRST` points to say that gradients describe the trend, and `_LAST` to say that they do not.

Measured on 20 or 40 shifts each: Ackley in 3 and 10 variables and Rastrigin in 5 and 10 are found always or nearly so,
Rastrigin in 2 and Schwefel in 5 in 3 of 4 cases or more, Levy in 8 in 6 of 10, Levy in 4 in 3 of 20. Quadratics,
Rosenbrock, Dixon-Price, Styblinski-Tang, Griewank, Branin and Hartmann in 2 to 12 variables, and the training of a
network (10 splits), are taken for rippled in none, Hartmann with noise in 2 of 80, after 2 to 3 looks.

It costs gradients, so nobody looks where a start is given (defaults other than the middle of the space, enqueued
trials, earlier studies), nor where ρ̄ says little: with integers or choices, and above `_MOST` coordinates, where random
points are far apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hypergrad.samplers.base import Record
from hypergrad.samplers.descent import largest
from hypergrad.samplers.folding import LOOK
from hypergrad.samplers.surrogate import Surrogate
from hypergrad.space import Space

__all__ = ["looks", "rippled", "verdict"]

_FIRST = 3  # points
_LAST = 9
_MOST = 15  # coordinates
_ALIKE = 0.1
_TOLD = 0.07
_PAIRS = 256  # of random points, for ρ̄
_MIDDLE = 1e-9


def looks(space: Space, past: Sequence[Record], rows: int) -> bool:
    """Whether the next trial is one that looks: the second and third, and up to the ninth while ripples are seen.

    Args:
        past: trials of this study, sorted by number.
        rows: values and derivatives in the model, at most.
    """
    looked = sum(record.note.get("phase") == LOOK for record in past)
    if len(past) != 1 + looked or len(past) >= _LAST or past[0].note.get("enqueued"):
        return False
    plain = space.continuous.all() and space.dimension <= _MOST and space.fidelity is None
    middle = np.full(space.dimension, 0.5)
    if not plain or not space.active(middle).all():
        return False
    if np.abs(space.to_unit(space.defaults()) - middle).max() > _MIDDLE:
        return False
    return sum(record.state != "running" for record in past) < _FIRST or _seen(space, past, rows)


def verdict(space: Space, past: Sequence[Record], rows: int) -> bool | None:
    """Whether gradients describe ripples, as the note of a trial says or those that looked tell; None: none looked.

    Arguments as in `looks`.
    """
    known = next((record.note["ripples"] for record in past if "ripples" in record.note), None)
    if known is not None:
        return bool(known)
    looked = [record for record in past if record.note.get("phase") == LOOK]
    if not looked:
        return None
    return len(looked) == _LAST - 1 and _seen(space, [past[0], *looked], rows)


def _seen(space: Space, trials: Sequence[Record], rows: int) -> bool:
    told = [r for r in trials if r.state == "complete" and math.isfinite(r.value) and _whole(r)]
    steepness = [largest(r.gradient) for r in told if r is not trials[0]]
    if len(told) < _FIRST or min(steepness) < _ALIKE * max(steepness):
        return False
    return rippled(Surrogate.of(space, told, gradients=True, rows=rows))


def _whole(record: Record) -> bool:
    return record.gradient is not None and bool(np.isfinite(record.gradient).all())


def rippled(surrogate: Surrogate) -> bool:
    """Whether ρ̄ or τ² says so, of a model of points that are far apart."""
    theta, kernel = surrogate.model.standard, surrogate.posterior.kernel
    x, y = np.random.default_rng(0).random((2, _PAIRS, kernel.dimension))
    correlation = kernel.profile.derivatives(np.sum(((x - y) / theta.lengthscales) ** 2, axis=1), 0)[0]
    bend = float(kernel.profile.derivatives(np.zeros(1), 1)[1][0])
    varies = float(np.mean(-2.0 * bend * theta.signal / theta.lengthscales**2))
    return float(correlation.mean()) < _TOLD or theta.gradient_noise > varies
