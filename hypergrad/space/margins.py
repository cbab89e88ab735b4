"""How far hparams are from breaking a relation, and in which direction of the unit cube.

A comparison ``left <= right`` has the margin left − right, one for each entry, and is kept where that is <= 0; ``>=``
the other way round. Its derivative follows the arithmetic of the text by the rules of sums, products, quotients and
powers, down to dx/du of each Float. Integers and choices count as constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad.space.grammar import Chain, Comparison, Junction, Literal, Name, Node, Total
from hypergrad.space.relations import Inactive, Relation, holds, looked_up

__all__ = ["Dual", "margins"]


@dataclass(frozen=True, eq=False)
class Dual:
    """A value of any shape, and its derivative by the d unit coordinates, one more axis."""

    value: np.ndarray
    slope: np.ndarray

    def times(self, factor: np.ndarray) -> np.ndarray:
        """The derivative times a factor, entry by entry."""
        return np.asarray(factor)[..., None] * self.slope


def margins(
    relations: Iterable[Relation], hparams: Mapping[str, Any], seeds: Mapping[str, np.ndarray], dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """The margins of relations at hparams, and their derivatives by the unit coordinates.

    Of parts joined by ``or`` it is the first that holds, or the first. ``==`` and ``!=``, comparisons that name what is
    inactive, and entries that are not finite have none.

    Args:
        hparams: nested, of the space of the relations.
        seeds: dx/du of each active Float by path, of the shape of the Float and (d,).
        dimension: d.

    Returns:
        (k,) and (k, d).
    """
    values, slopes = [np.zeros(0)], [np.zeros((0, dimension))]
    with np.errstate(all="ignore"):
        for relation in relations:
            for found in _margins(relation.tree, hparams, seeds, dimension):
                value, slope = np.broadcast_arrays(found.value[..., None], found.slope)
                values.append(value[..., 0].reshape(-1))
                slopes.append(slope.reshape(-1, dimension))
    value, slope = np.concatenate(values), np.concatenate(slopes)
    finite = np.isfinite(value) & np.isfinite(slope).all(axis=1)
    return value[finite], slope[finite]


def _margins(
    node: Comparison | Junction, hparams: Mapping[str, Any], seeds: Mapping[str, np.ndarray], d: int
) -> list[Dual]:
    if isinstance(node, Junction):
        parts = node.parts
        if node.kind == "or":
            parts = (next((part for part in parts if holds(part, hparams)), parts[0]),)
        return [each for part in parts for each in _margins(part, hparams, seeds, d)]
    if all(sign in ("==", "!=") for sign in node.signs):
        return []
    try:
        terms = [_dual(term, hparams, seeds, d) for term in node.terms]
    except Inactive:
        return []
    found = []
    for sign, left, right in zip(node.signs, terms[:-1], terms[1:], strict=True):
        if sign in (">", ">="):
            left, right = right, left
        if sign not in ("==", "!="):
            found.append(Dual(left.value - right.value, left.slope - right.slope))
    return found


def _dual(node: Node, hparams: Mapping[str, Any], seeds: Mapping[str, np.ndarray], d: int) -> Dual:
    if isinstance(node, Chain):
        found = _dual(node.terms[0], hparams, seeds, d)
        for sign, term in zip(node.signs, node.terms[1:], strict=True):
            found = _applied(sign, found, _dual(term, hparams, seeds, d))
        return found
    if isinstance(node, Total):
        of = _dual(node.of, hparams, seeds, d)
        entries = np.broadcast_to(of.slope, (*of.value.shape, d))
        return Dual(np.sum(of.value), entries.reshape(-1, d).sum(axis=0))
    if isinstance(node, Literal):
        return Dual(np.asarray(node.value, np.float64), np.zeros(d))
    value = np.asarray(looked_up(node, hparams), np.float64)
    seed = seeds.get(node.path)
    if seed is None:
        return Dual(value, np.zeros(d))
    return Dual(value, seed[node.index] if isinstance(node, Name) and node.index else seed)


def _applied(sign: str, one: Dual, two: Dual) -> Dual:
    a, b = one.value, two.value
    if sign in ("+", "-"):
        way = 1.0 if sign == "+" else -1.0
        return Dual(a + way * b, one.slope + way * two.slope)
    if sign == "*":
        return Dual(a * b, one.times(b) + two.times(a))
    if sign == "/":
        return Dual(a / b, one.times(1.0 / b) - two.times(a / b**2))
    slope = one.times(b * a ** (b - 1.0))
    return Dual(a**b, slope + two.times(np.log(a) * a**b) if two.slope.any() else slope)
