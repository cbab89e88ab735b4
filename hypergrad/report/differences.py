"""One hypergradient beside central finite differences.

Notation
--------
f(λ)   the outer loss after training with hyperparameters λ
v      a direction of length 1 in one leaf of λ
D(h)   (f(λ + h v) - f(λ - h v)) / (2 h): the central difference along v, with an error of order h²
R(h)   (4 D(h/2) - D(h)) / 3: Richardson's extrapolation, with an error of order h⁴
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.errors import unknown_name

__all__ = ["Direction", "Leaf", "central_difference", "compare"]

STEPS = (1e-3, 1e-4, 1e-5)  # h in units of the coordinate, the largest first
AGREES = 1e-6  # |D(h) - D(h/2)| / |D(h/2)| at which no smaller h is tried


@dataclass(frozen=True)
class Direction:
    """A derivative along one direction, found in both ways.

    Attributes:
        along: the coordinate, as ``"[3,0]"``; empty for a scalar; ``"random"`` for a random direction of
            length 1, which looks at all coordinates of the leaf at once.
        at: value of the coordinate; None for a random direction.
        hypergradient: the derivative from the hypergradient.
        difference: the derivative from finite differences.
        relative: |hypergradient - difference| over the norm of the leaf's hypergradient.
    """

    along: str
    at: float | None
    hypergradient: float
    difference: float
    relative: float


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
        norm = float(np.linalg.norm(slope))

        def moved(step: np.ndarray, number: int = number, point: np.ndarray = point) -> float:
            leaf = point + step
            leaves = [*points[:number], float(leaf) if leaf.ndim == 0 else leaf, *points[number + 1 :]]
            return value(structure.unflatten(leaves))

        rows = []
        for label, at, direction in directions(point, slope, coordinates, rng):
            exact = float(np.sum(slope * direction))
            scale = abs(at) if at is not None else float(np.linalg.norm(point))
            numeric = central_difference(partial(_shifted, moved, direction), scale or 1.0)
            rows.append(Direction(label, at, exact, numeric, relative(exact, numeric, norm)))
        found.append(Leaf(path, point.size, norm, tuple(rows)))
    return found


def _shifted(f: Callable[[np.ndarray], float], direction: np.ndarray, h: float) -> float:
    return f(h * direction)


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


def central_difference(f: Callable[[float], float], scale: float) -> float:
    """The derivative of `f` at 0 by extrapolated central differences.

    Tries steps of 1e-3, 1e-4 and 1e-5 times `scale` until the differences for h and h/2 agree, and returns
    the extrapolation of the pair that agrees best; nan when `f` is not finite around 0.
    """
    best, estimate = np.inf, float("nan")
    for fraction in STEPS:
        h = fraction * scale
        wide, narrow = ((f(s) - f(-s)) / (2 * s) for s in (h, h / 2))
        gap = abs(wide - narrow)
        if gap < best:  # false for nan
            best, estimate = gap, (4 * narrow - wide) / 3
        if gap <= AGREES * abs(narrow):
            break
    return float(estimate)


def relative(exact: float, numeric: float, norm: float) -> float:
    """|exact - numeric| / norm; 0 where both are 0."""
    gap = abs(exact - numeric)
    return gap / norm if norm > 0 else (0.0 if gap == 0 else float("inf"))
