"""The step of a descent along the known constraints that it would break.

=====  =========================================================================================
symbol meaning
=====  =========================================================================================
s      the step, in the box low <= s <= high of `descent.box`
g, B   gradient and Hessian of the descent's model; D0 the diagonal start of B
A, c   derivatives (k, d) and values (k,) of the constraints' margins at the incumbent, c <= 0
b      what may be used up: −c, less a trifle, so that rounding breaks nothing; where c is 0, a trifle below 0
λ      (k,) multipliers, >= 0
=====  =========================================================================================

The step minimises g·s + ½ s·B s in the box under A s <= b, by the method of multipliers: with B + ρ AᵀA and
g + Aᵀ(λ − ρ b) of the constraints that are met, in place of B and g, it is a problem in the box alone. As it ends a
little outside, the point of the box nearest in the metric D0 that keeps A s <= b takes its place. Constraints enter as
the steps so far break them.

A and c are those of the constraints linearised at the incumbent: exact where they are linear in the unit coordinates,
as sums of Floats on a linear scale are. A step that breaks a curved one all the same is halved like any other.

Source: Nocedal and Wright, Numerical Optimization, 2nd edition, section 17.3 (augmented Lagrangians).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from hypergrad.samplers.descent import Descent, box
from hypergrad.samplers.quadratic import Model, minimize
from hypergrad.space import Space

__all__ = ["slide"]

_MOST = 32  # constraints that are looked at together
_SPARE = 1e-9  # of a constraint's largest change in the box, kept free
_PENALTY = 10.0  # of the method of multipliers, for rows of length 1 in the metric D0⁻¹
_MULTIPLIERS, _GUESSES = 30, 8  # rounds of it, and guesses which constraints are met in each
_SWEEPS = 60  # over the multipliers of the projection
_HALVINGS = 60  # of the bracket of one of them
_TOLERANCE = 1e-10
_FLATTEST = 1e-8  # entry of D0 in the metric, by the largest
_ROUNDS = 50  # of the box
_POLISHINGS = 4
_WIDENINGS = 60  # of the bracket, by 4


def slide(descent: Descent, space: Space, factor: float = 1.0) -> tuple[np.ndarray, float] | None:
    """The next trial (d,), and by how much the model says that f falls there; None where nothing is gained.

    Args:
        descent: the state; its incumbent keeps the constraints.
        space: with constraints.
        factor: multiplies the trust radius.
    """
    x, g, model = descent.incumbent.unit, descent.gradient, descent.model()
    low, high = box(descent, factor)
    value, slope = space.margins(x)
    slope = np.where((low < 0.0) | (high > 0.0), slope, 0.0)
    reach = np.maximum(slope * low, slope * high).sum(axis=1)  # largest change in the box
    near = np.flatnonzero((reach > -value) & (value <= 0.0))
    if not len(near):
        return None
    s = _nearest(model, g, low, high, slope[near], -value[near] - _SPARE * reach[near])
    if s is None:
        return None
    predicted = -float(g @ s + 0.5 * (s @ model.times(s)))
    return (np.clip(x + s, 0.0, 1.0), min(predicted, sys.float_info.max)) if predicted > 0.0 else None


def _nearest(
    model: Model, g: np.ndarray, low: np.ndarray, high: np.ndarray, rows: np.ndarray, room: np.ndarray
) -> np.ndarray | None:
    """s under A s <= b, given as rows (k, d) and room (k,); None where too many are met, or the model fails."""
    top = float(model.diagonal.max())
    if not (1e-200 < top < 1e200):
        return None
    inverse = 1.0 / np.maximum(model.diagonal, _FLATTEST * top)
    working = np.zeros(len(rows), bool)
    s = minimize(model, g, low, high)
    while True:
        broken = (rows @ s > room) & ~working
        if not broken.any():
            return s
        working |= broken
        if working.sum() > _MOST:
            return None
        a, b = rows[working], room[working]
        aim = _aimed(model, g, low, high, a, b, inverse)
        if not np.isfinite(aim).all():
            return None
        s = _polished(_projected(aim, a, b, low, high, inverse), a, b, low, high, inverse)


def _aimed(
    model: Model,
    g: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    rows: np.ndarray,
    room: np.ndarray,
    inverse: np.ndarray,
) -> np.ndarray:
    """s by the method of multipliers: nearly optimal, and nearly within A s <= b."""
    size = np.sqrt((rows**2) @ inverse)
    rows, room = rows / size[:, None], room / size
    lam = np.zeros(len(rows))
    s = minimize(model, g, low, high, rounds=_ROUNDS, tolerance=_TOLERANCE)
    for _ in range(_MULTIPLIERS):
        met = np.zeros(len(rows), bool)
        for _ in range(_GUESSES):
            now = rows @ s - room + lam / _PENALTY > 0.0
            if (now == met).all():
                break
            met = now
            wide = np.concatenate([model.wide, rows[met]])
            middle = np.zeros((len(wide), len(wide)))
            middle[: len(model.wide), : len(model.wide)] = model.middle
            below = np.arange(len(model.wide), len(wide))
            middle[below, below] = -_PENALTY
            pull = (lam[met] - _PENALTY * room[met]) @ rows[met]
            penalised = Model(model.diagonal, wide, middle)
            s = minimize(penalised, g + pull, low, high, rounds=_ROUNDS, tolerance=_TOLERANCE)
        change = np.maximum(lam + _PENALTY * (rows @ s - room), 0.0) - lam
        lam = lam + change
        if np.abs(change).max() <= 1e-9 * np.abs(lam).max():
            break
    return s


def _projected(
    aim: np.ndarray,
    rows: np.ndarray,
    room: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    inverse: np.ndarray,
) -> np.ndarray:
    """The point of the box under A s <= b that is nearest to `aim` in the metric D0: s = aim − D0⁻¹ Aᵀ λ, clipped."""
    lam = np.zeros(len(rows))
    guess = float(np.abs(aim).max() / (np.abs(rows) * inverse).max()) or 1.0

    def at(multipliers: np.ndarray) -> np.ndarray:
        return np.clip(aim - inverse * (multipliers @ rows), low, high)

    for _ in range(_SWEEPS):
        before = lam.copy()
        for i in range(len(rows)):

            def broken(size: float, i: int = i) -> bool:
                lam[i] = size
                return float(rows[i] @ at(lam)) > room[i]

            lam[i] = _root(broken, lam[i] or guess)
        if len(rows) == 1 or np.abs(lam - before).max() <= 1e-12 * np.abs(lam).max():
            break
    return at(lam)


def _polished(
    s: np.ndarray, rows: np.ndarray, room: np.ndarray, low: np.ndarray, high: np.ndarray, inverse: np.ndarray
) -> np.ndarray:
    """s moved onto the constraints that it meets or breaks, by Newton's method on the coordinates inside the box."""
    for _ in range(_POLISHINGS):
        left = rows @ s - room
        met = left > -1e-6 * np.abs(rows).max(axis=1)
        free = np.where((s > low) & (s < high), inverse, 0.0)
        scaled = rows[met] * free
        s = np.clip(s - np.linalg.lstsq(scaled @ rows[met].T, left[met], rcond=None)[0] @ scaled, low, high)
    return s


def _root(broken: Callable[[float], bool], guess: float) -> float:
    """About the least size >= 0 at which a constraint is not broken, from above."""
    if not broken(0.0):
        return 0.0
    low, high = 0.0, guess
    for _ in range(_WIDENINGS):
        if not broken(high):
            break
        low, high = high, 4.0 * high
    else:
        return guess  # nothing in the box keeps it
    for _ in range(_WIDENINGS if low == 0.0 else 0):
        if broken(0.25 * high):
            low = 0.25 * high
            break
        high *= 0.25
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if broken(middle):
            low = middle
        else:
            high = middle
    return high
