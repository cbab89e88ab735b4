"""The quadratic model of a descent: limited-memory BFGS in compact form, minimised in a box.

=======  ==================================================================================
symbol   meaning
=======  ==================================================================================
s, y     a step and the change of the gradient along it; rows of S and Y, oldest first
B        the model's Hessian, positive definite
D0       its diagonal start, (d,)
g        gradient of the model at the incumbent
p        the step sought, in the box low <= p <= high, which holds 0
=======  ==================================================================================

Source: Byrd, Nocedal, Schnabel, Representations of quasi-Newton matrices, Math. Programming 63 (1994),
theorem 2.3: B = D0 - W M⁻¹ Wᵀ, W = [D0 Sᵀ, Yᵀ], M = [[S D0 Sᵀ, L], [Lᵀ, -D]], with L, D the strictly lower
part and the diagonal of S Yᵀ. The box is handled as in Moré and Toraldo, SIAM J. Optimization 1 (1991):
conjugate gradients on the free coordinates, projected back into the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Model", "fit", "minimize"]

_HALVINGS = 12  # of a projected step


@dataclass(frozen=True, eq=False)
class Model:
    """B, kept as a diagonal and a low-rank part.

    Attributes:
        diagonal: (d,) D0, positive.
        wide: (2k, d) Wᵀ.
        middle: (2k, 2k) M⁻¹.
    """

    diagonal: np.ndarray
    wide: np.ndarray
    middle: np.ndarray

    def times(self, v: np.ndarray) -> np.ndarray:
        """B v, shape (d,)."""
        product = self.diagonal * v
        if len(self.wide):
            product -= (self.middle @ (self.wide @ v)) @ self.wide
        return product


def fit(diagonal: np.ndarray, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Model:
    """The model of the given start and (s, y) pairs, oldest first; each needs s·y > 0."""
    if not pairs:
        empty = np.zeros((0, len(diagonal)))
        return Model(diagonal, empty, np.zeros((0, 0)))
    count = len(pairs)
    wide = np.empty((2 * count, len(diagonal)))
    steps = np.array([s for s, _ in pairs])
    changes = wide[count:]
    changes[:] = [y for _, y in pairs]
    scaled = np.multiply(steps, diagonal, out=wide[:count])
    products = steps @ changes.T
    lower = np.tril(products, -1)
    matrix = np.empty((2 * count, 2 * count))
    matrix[:count, :count] = steps @ scaled.T
    matrix[:count, count:] = lower
    matrix[count:, :count] = lower.T
    matrix[count:, count:] = -np.diag(np.diag(products))
    return Model(diagonal, wide, np.linalg.inv(matrix))


def minimize(
    model: Model,
    g: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    rounds: int = 12,
    tolerance: float = 1e-3,
) -> np.ndarray:
    """A p in [low, high] that makes g·p + ½ p·B p small, and never positive.

    Args:
        model: gives B.
        g: (d,).
        low: (d,) <= 0.
        high: (d,) >= 0; a coordinate with low = high = 0 stays fixed.
        rounds: of choosing the free coordinates.
        tolerance: a round that lowers the value by no more than this share of it is the last.
    """
    p, slope, value = np.zeros_like(g), g.copy(), 0.0

    def at(trial: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        curved = model.times(trial)
        return trial, g + curved, float(g @ trial + 0.5 * (trial @ curved))

    def along(direction: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """The first of the projected steps 1, 1/2, 1/4, ... that lowers the value."""
        for share in 0.5 ** np.arange(_HALVINGS):
            found = at(np.clip(p + share * direction, low, high))
            if found[2] < value:
                return found
        return p, slope, value

    bound = _bound(p, slope, low, high)
    for _ in range(rounds):
        if bound.all():
            break
        before, was = value, bound
        downhill = np.where(bound, 0.0, slope)
        newton = _newton(model, downhill, ~bound)
        if not newton.any():
            break
        found = at(np.clip(p + newton, low, high))
        if not found[2] < value:  # projected, a Newton step need not go down: these do
            ways = along(newton), at(_to_the_wall(p, newton, low, high)), along(-downhill / model.diagonal)
            found = min(ways, key=lambda way: way[2])
        if found[2] < value:
            p, slope, value = found
        bound = _bound(p, slope, low, high)
        if before - value <= tolerance * -value and (bound == was).all():
            break
    return p


def _to_the_wall(p: np.ndarray, step: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where p + t step, 0 <= t <= 1, meets its first bound, and p + step where it meets none."""
    moves = step != 0.0
    ahead = np.where(step > 0.0, high, low)
    room = np.full(len(p), np.inf)
    room[moves] = (ahead - p)[moves] / step[moves]
    share = min(float(room.min()), 1.0)
    return np.where(room <= share, ahead, np.clip(p + share * step, low, high))


def _bound(p: np.ndarray, slope: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The coordinates that the slope holds at a bound, (d,) bool."""
    return ((p <= low) & (slope >= 0.0)) | ((p >= high) & (slope <= 0.0))


def _newton(model: Model, slope: np.ndarray, free: np.ndarray) -> np.ndarray:
    """-(B_FF)⁻¹ slope_F on the free coordinates F, by preconditioned conjugate gradients; 0 elsewhere."""
    direction = np.zeros_like(slope)
    residual = -slope
    scaled = residual / model.diagonal
    search = scaled.copy()
    energy = first = float(residual @ scaled)
    for _ in range(2 * len(model.wide) + 2):
        if energy <= 1e-20 * first or energy <= 0.0:
            break
        product = np.where(free, model.times(search), 0.0)
        curvature = float(search @ product)
        if curvature <= 0.0:
            break
        length = energy / curvature
        direction += length * search
        residual -= length * product
        scaled = residual / model.diagonal
        previous, energy = energy, float(residual @ scaled)
        search = scaled + (energy / previous) * search
    return direction if direction.any() else scaled
