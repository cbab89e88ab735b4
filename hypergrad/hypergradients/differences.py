"""A hypergradient beside central finite differences at several step sizes.

Notation
--------
f(λ)   the outer loss after training with hyperparameters λ
v      a direction of length 1 in one leaf of λ
D(h)   (f(λ + h v) - f(λ - h v)) / (2 h): the central difference along v, with an error of order h²
R(h)   (q² D(h) - D(q h)) / (q² - 1): Richardson's extrapolation of two step sizes h and q h, with an error of order h⁴
ε      the rounding of f, relative; it enters D(h) as ε |f| / h

The points λ ± h v must have the very distance 2 h: h is rounded such that each entry moves by a multiple of the spacing
of the numbers around λ, which in float32 is coarse (`representable`).

Over a range of h the error of D(h) is V-shaped: curvature on the right, rounding on the left. What is reported is the
R(h) that agrees best with that of the neighbouring step size, and this disagreement, never less than the rounding, as
its noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.errors import unknown_name

__all__ = ["Difference", "Direction", "Leaf", "below", "central_difference", "compare", "differentiate"]

STEPS = (1e-3, 1e-4, 1e-5, 1e-6)  # h in units of the coordinate, the largest first
AGREES = 1e-6  # relative disagreement of neighbouring step sizes at which no smaller h is tried
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Difference:
    """Finite differences of one step size.

    Attributes:
        h: the step, in units of the hyperparameter.
        central: D(h); nan where f is not finite.
        extrapolated: R(h), from this step size and the one before; D(h) for the first.
        noise: disagreement with the step size before, at least the rounding; inf for the first.
    """

    h: float
    central: float
    extrapolated: float
    noise: float


@dataclass(frozen=True)
class Direction:
    """A derivative along one direction, found in both ways.

    Attributes:
        along: the coordinate, as ``"[3,0]"``; empty for a scalar; ``"random"`` for a random direction of
            length 1, which looks at all coordinates of the leaf at once.
        at: value of the coordinate; None for a random direction.
        hypergradient: the derivative from the hypergradient.
        difference: the derivative from finite differences; nan where no two step sizes were finite.
        relative: |hypergradient - difference| over the norm of the leaf's hypergradient.
        noise: how much `difference` may be off: the disagreement of neighbouring step sizes.
        table: finite differences of each step size that was tried, the largest first.
    """

    along: str
    at: float | None
    hypergradient: float
    difference: float
    relative: float
    noise: float = float("nan")
    table: tuple[Difference, ...] = ()

    @property
    def error(self) -> float:
        """|hypergradient - difference|."""
        return abs(self.hypergradient - self.difference)

    @property
    def best(self) -> Difference | None:
        """The row of `table` that `difference` comes from."""
        return _best(self.table)


@dataclass(frozen=True)
class Leaf:
    """The directions tried in one hyperparameter; its size and its hypergradient's norm."""

    path: str
    size: int
    norm: float
    directions: tuple[Direction, ...]


def compare(
    value: Callable[[Any], float],
    hparams: Any,
    gradient: Any,
    wrt: Sequence[str] = (),
    coordinates: int = 2,
    seed: int = 0,
    steps: Sequence[float] = STEPS,
    agrees: float = AGREES,
    eps: float = EPS,
) -> list[Leaf]:
    """The hypergradient of every float leaf beside central finite differences of `value`.

    Args:
        value: the outer loss as a function of a tree like `hparams`.
        hparams: where the derivative is taken.
        gradient: tree like `hparams`; None at static leaves.
        wrt: paths of the leaves to look at (``"opt/lr"``), or of a branch above them; all when empty.
        coordinates: a leaf with more coordinates than this is tried along that many coordinates of the
            largest derivative, and along one random direction.
        seed: of the random directions.
        steps: step sizes, the largest first, relative to the coordinate (to the leaf's norm in a random
            direction; absolute at 0).
        agrees: relative disagreement of neighbouring step sizes at which no smaller one is tried; 0: all are.
        eps: relative rounding of `value`.

    Returns:
        one `Leaf` for each float leaf, in the order of the tree.

    Raises:
        UnknownNameError: `wrt` names no float leaf.
    """
    points, structure = tree.flatten(hparams)
    slopes = dict(zip(tree.paths(gradient), tree.leaves(gradient), strict=True))
    paths = structure.paths()
    known = [path for path in paths if slopes.get(path) is not None]
    for name in wrt:
        if not any(below(path, name) for path in known):
            raise unknown_name("float hyperparameter", name, known)
    rng = np.random.default_rng(seed)
    found = []
    for number, path in enumerate(paths):
        if path not in known or (wrt and not any(below(path, name) for name in wrt)):
            continue
        point, slope = np.asarray(points[number], float), np.asarray(slopes[path], float)
        kind = np.asarray(points[number]).dtype
        norm = float(np.linalg.norm(slope))

        def moved(
            step: np.ndarray, number: int = number, point: np.ndarray = point, kind: Any = kind
        ) -> float:
            leaf = (point + step).astype(kind)
            scalar = float(leaf) if type(points[number]) is float else leaf[()]
            return value(structure.unflatten([*points[:number], scalar, *points[number + 1 :]]))

        rows = []
        for label, at, direction in directions(point, slope, coordinates, rng):
            exact = float(np.sum(slope * direction))
            scale = (abs(at) if at is not None else float(np.linalg.norm(point))) or 1.0
            exactly = partial(representable, point=point.astype(kind), direction=direction)
            table = differentiate(partial(_shifted, moved, direction), scale, steps, agrees, eps, exactly)
            numeric, noise = estimate(table)
            rows.append(Direction(label, at, exact, numeric, relative(exact, numeric, norm), noise, table))
        found.append(Leaf(path, point.size, norm, tuple(rows)))
    return found


def _shifted(f: Callable[[np.ndarray], float], direction: np.ndarray, h: float) -> float:
    return f(h * direction)


def representable(h: float, point: np.ndarray, direction: np.ndarray) -> float:
    """The h > 0 next to `h` for which point ± h v are numbers of the point's dtype.

    Args:
        point: λ, of a float dtype.
        direction: v, whose entries are 0, c and -c.
    """
    size = float(np.abs(direction).max(initial=0.0))
    if not size:
        return h
    largest = np.abs(point[direction != 0.0]).astype(float).max() + h * size
    grain = float(np.spacing(np.asarray(largest, point.dtype)))
    return max(round(h * size / grain), 1) * grain / size


def below(path: str, name: str) -> bool:
    """Whether `path` is the leaf called `name` or lies in the branch of that name."""
    return path == name or path.startswith(f"{name}/")


def directions(
    point: np.ndarray, slope: np.ndarray, coordinates: int, rng: np.random.Generator
) -> list[tuple[str, float | None, np.ndarray]]:
    """(label, value of the coordinate or None, direction of length 1) for each direction worth trying."""
    chosen: list[tuple[str, float | None, np.ndarray]] = []
    for index in sorted(np.argsort(-np.abs(slope.ravel()), kind="stable")[: max(coordinates, 1)]):
        place = np.unravel_index(index, point.shape)
        unit = np.zeros(point.shape)
        unit[place] = 1.0
        label = "[" + ",".join(str(int(i)) for i in place) + "]" if point.ndim else ""
        chosen.append((label, float(point[place]), unit))
    if point.size > len(chosen):
        signs = rng.choice([-1.0, 1.0], point.shape)
        chosen.append(("random", None, signs / np.sqrt(point.size)))
    return chosen


def differentiate(
    f: Callable[[float], float],
    scale: float,
    steps: Sequence[float] = STEPS,
    agrees: float = AGREES,
    eps: float = EPS,
    exactly: Callable[[float], float] = float,
) -> tuple[Difference, ...]:
    """Central differences of `f` at 0 with the steps `steps` times `scale`, the largest first.

    Stops before a step where the disagreement is at most `agrees` of the derivative.

    Args:
        exactly: the step that is taken in place of h; those that it makes equal are tried once.
    """
    table: list[Difference] = []
    for fraction in steps:
        h = exactly(fraction * scale)
        if table and not h < table[-1].h:
            table.append(table[-1])
            continue
        right, left = f(h), f(-h)
        with np.errstate(all="ignore"):
            central = float((np.float64(right) - left) / (2.0 * h))
            # rounding of f, and of the point λ ± h v itself
            rounding = eps * (max(abs(right), abs(left)) + abs(central) * scale) / h
        if not np.isfinite(central):
            table.append(Difference(h, float("nan"), float("nan"), float("inf")))
            continue
        before = table[-1] if table and np.isfinite(table[-1].central) else None
        if before is None:
            table.append(Difference(h, central, central, float("inf")))
            continue
        square = (before.h / h) ** 2
        extrapolated = (square * central - before.central) / (square - 1.0)
        # an R beside another R tells its error; the first R has only a D beside it
        gap = abs(extrapolated - before.extrapolated)
        table.append(Difference(h, central, extrapolated, max(gap, rounding)))
        if table[-1].noise <= agrees * abs(extrapolated):
            break
    return tuple(table)


def _best(table: Sequence[Difference]) -> Difference | None:
    """The row whose neighbour agrees best; with no two neighbours, the last finite one."""
    finite = [row for row in table if np.isfinite(row.extrapolated)]
    if not finite:
        return None
    return min(finite, key=lambda row: row.noise) if any(np.isfinite(r.noise) for r in finite) else finite[-1]


def estimate(table: Sequence[Difference]) -> tuple[float, float]:
    """The derivative and its noise; nan and inf where nothing was finite."""
    row = _best(table)
    return (float("nan"), float("inf")) if row is None else (row.extrapolated, row.noise)


def central_difference(f: Callable[[float], float], scale: float) -> float:
    """The derivative of `f` at 0 from `differentiate`; nan when `f` is not finite around 0."""
    return estimate(differentiate(f, scale))[0]


def relative(exact: float, numeric: float, norm: float) -> float:
    """|exact - numeric| / norm; 0 where both are 0."""
    gap = abs(exact - numeric)
    return gap / norm if norm > 0 else (0.0 if gap == 0 else float("inf"))
