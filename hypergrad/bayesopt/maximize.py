"""Where an acquisition function is largest in the unit cube, with some coordinates discrete.

Candidates spread over the cube and around good points are scored at once; the best of them, kept apart, are refined
by turns: quasi-Newton steps (L-BFGS-B, Byrd et al. 1995) in the continuous coordinates, then the best move in the
discrete ones, until neither gains. Where the combinations of the discrete coordinates are few, that move is exact: all
are tried, every one is among the candidates, and the starts differ in it as far as they can; where they are many it is
a local search, one coordinate after the other. With no continuous coordinate and few combinations the answer is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Cube", "maximize"]

Surface = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
Allowed = Callable[[np.ndarray], bool]

_FEW = 32  # values of a discrete coordinate that are all tried; of more, the nearest
_COMBINATIONS = 256  # of discrete values that are all tried, beside continuous coordinates
_LISTED = 8192  # the same where there are no others
_SCORED = 2**17  # coordinates of candidates that are scored at once; each takes memory for all trials
_APART = 1e-3  # largest distance along a coordinate at which two starts count as one


@dataclass(frozen=True)
class Cube:
    """What the points of the unit cube may be.

    Attributes:
        choices: for each coordinate its values in [0, 1], ascending; None: all of [0, 1].
        fixed: for each coordinate a value that it must keep; nan: none.
    """

    choices: tuple[np.ndarray | None, ...]
    fixed: np.ndarray

    @staticmethod
    def of(choices: Sequence[np.ndarray | None], fixed: np.ndarray | None = None) -> Cube:
        """A cube; nothing is fixed by default."""
        none = np.full(len(choices), np.nan)
        return Cube(tuple(choices), none if fixed is None else np.asarray(fixed, float))

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.choices)

    @property
    def continuous(self) -> np.ndarray:
        """(d,) bool: coordinates that move freely."""
        return np.array([c is None for c in self.choices], bool) & np.isnan(self.fixed)

    @property
    def discrete(self) -> dict[int, np.ndarray]:
        """The values of the discrete coordinates that are not fixed."""
        return {i: c for i, c in enumerate(self.choices) if c is not None and np.isnan(self.fixed[i])}

    @property
    def combinations(self) -> int:
        """How many there are of the values of the discrete coordinates."""
        return math.prod(values.size for values in self.discrete.values())

    def combined(self, x: np.ndarray) -> np.ndarray:
        """x (d,) with every combination of the discrete coordinates' values, (combinations, d)."""
        grid = np.meshgrid(*self.discrete.values(), indexing="ij")
        found = np.repeat(x[None], self.combinations, axis=0)
        for i, values in zip(self.discrete, grid, strict=True):
            found[:, i] = values.ravel()
        return found

    def snapped(self, x: np.ndarray) -> np.ndarray:
        """The nearest points of the cube, (q, d)."""
        x = np.clip(np.array(x, float, ndmin=2), 0.0, 1.0)
        for i, values in enumerate(self.choices):
            if values is not None:
                middle = 0.5 * (values[1:] + values[:-1])
                x[:, i] = values[np.searchsorted(middle, x[:, i])]
        held = ~np.isnan(self.fixed)
        x[:, held] = self.fixed[held]
        return x


def maximize(
    surface: Surface,
    cube: Cube,
    near: np.ndarray,
    rng: np.random.Generator,
    candidates: int = 512,
    starts: int = 6,
    iterations: int = 60,
    allowed: Allowed | None = None,
    score: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, float]:
    """The best point found, (d,), and the acquisition there.

    A start that moves where it is not allowed ends at the edge, on the way there.

    Args:
        surface: points (q, d) -> acquisition (q,) and its gradient (q, d).
        near: good points, (k, d), around which half of the candidates lie.
        rng: of the candidates; its state decides the answer.
        candidates: points that are scored first.
        starts: how many of them are refined.
        iterations: of each quasi-Newton run.
        allowed: whether a point (d,) may be the answer; None: all may. Where no candidate may, the answer is one that
            may not.
        score: points (q, d) -> acquisition (q,), where that alone costs less; None: by `surface`.
    """
    values = score or (lambda x: surface(x)[0])
    few = bool(cube.discrete) and cube.combinations <= _COMBINATIONS
    if not cube.continuous.any() and cube.combinations <= _LISTED:
        points = cube.combined(cube.snapped(np.zeros((1, cube.dimension)))[0])
        starts = 0
    else:
        points = cube.snapped(_spread(cube, near, rng, candidates))
        if few:
            points = np.concatenate([points, *(cube.combined(x) for x in points[candidates // 2 :][:2])])
    each = max(1, _SCORED // max(1, cube.dimension))
    scores = np.concatenate([values(points[i : i + each]) for i in range(0, len(points), each)])
    scores = np.where(np.isfinite(scores), scores, -np.inf)
    if allowed is not None:
        may = np.array([allowed(point) for point in points])
        if may.any():
            points, scores = points[may], scores[may]
    chosen: list[np.ndarray] = []
    every = list(range(cube.dimension))
    for compared in (
        [list(cube.discrete), every] if few else [every]
    ):  # where they are few, of each combination first
        for i in np.argsort(-scores, kind="stable"):
            if len(chosen) == starts:
                break
            if all(np.abs(points[i] - other)[compared].max(initial=0.0) > _APART for other in chosen):
                chosen.append(points[i])
    best, value = points[int(np.argmax(scores))], float(scores.max())
    for start in chosen:
        x, found = _refined(surface, cube, start, iterations)
        if allowed is not None and not allowed(x):
            x = _edge(cube, start, x, allowed)
            found = float(surface(x[None])[0][0])
        if found > value:
            best, value = x, found
    return best, value


def _edge(cube: Cube, inside: np.ndarray, outside: np.ndarray, allowed: Allowed) -> np.ndarray:
    """The last allowed point on the way from one to the other, by bisection."""
    low, high = 0.0, 1.0
    found = inside
    for _ in range(20):
        share = 0.5 * (low + high)
        point = cube.snapped(inside + share * (outside - inside))[0]
        if allowed(point):
            low, found = share, point
        else:
            high = share
    return found


def _spread(cube: Cube, near: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Candidates: uniform ones, and perturbations of `near` at scales from 0.1 to 0.001, some coordinates kept."""
    d = cube.dimension
    near = np.reshape(near, (-1, d))
    local = count // 2 if len(near) else 0
    anywhere = rng.random((count - local, d))
    if not local:
        return anywhere
    centre = near[rng.integers(len(near), size=local)]
    scale = 10.0 ** -rng.uniform(1.0, 3.0, (local, 1))
    moved = rng.random((local, d)) < max(0.3, min(1.0, 4.0 / max(d, 1)))
    jump = np.where(cube.continuous, centre + scale * rng.standard_normal((local, d)), rng.random((local, d)))
    return np.concatenate([anywhere, near, np.where(moved, jump, centre)])


def _refined(surface: Surface, cube: Cube, x: np.ndarray, iterations: int) -> tuple[np.ndarray, float]:
    """Continuous and discrete moves by turns, until neither gains."""
    value = float(surface(x[None])[0][0])
    for _ in range(4):
        moved, found = _continuous(surface, cube, x, value, iterations)
        moved, found = _discrete(surface, cube, moved, found)
        gained = found - value
        x, value = moved, found
        if not gained > 1e-9 * (1.0 + abs(value)) or cube.continuous.all():
            break
    return x, value


def _continuous(
    surface: Surface, cube: Cube, x: np.ndarray, value: float, iterations: int
) -> tuple[np.ndarray, float]:
    from scipy.optimize import minimize

    free = np.flatnonzero(cube.continuous)
    if not free.size:
        return x, value

    def negative(part: np.ndarray) -> tuple[float, np.ndarray]:
        point = x.copy()
        point[free] = part
        found, slope = surface(point[None])
        if not np.isfinite(found[0]):
            return 1e300, np.zeros(free.size)
        return -float(found[0]), -slope[0, free]

    ended = minimize(
        negative, x[free], jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * free.size,
        options={"maxiter": iterations, "maxcor": 10, "ftol": 1e-10},
    )  # fmt: skip
    if not -ended.fun > value:
        return x, value
    moved = x.copy()
    moved[free] = np.clip(ended.x, 0.0, 1.0)
    return moved, -float(ended.fun)


def _discrete(surface: Surface, cube: Cube, x: np.ndarray, value: float) -> tuple[np.ndarray, float]:
    """The best of all combinations where they are few; else each coordinate in turn, until none changes."""
    loose = cube.discrete

    def take(points: np.ndarray) -> bool:
        nonlocal x, value
        scores, _ = surface(points)
        j = int(np.argmax(np.where(np.isfinite(scores), scores, -np.inf)))
        gains = bool(scores[j] > value + 1e-12 * (1.0 + abs(value)))
        if gains:
            x, value = points[j], float(scores[j])
        return gains

    if loose and cube.combinations <= _COMBINATIONS:
        take(cube.combined(x))
        return x, value
    changed = bool(loose)
    while changed:
        changed = False
        for i, values in loose.items():
            if values.size > _FEW:
                values = values[np.argsort(np.abs(values - x[i]), kind="stable")[:_FEW]]
            points = np.repeat(x[None], values.size, axis=0)
            points[:, i] = values
            changed = take(points) or changed
    return x, value
