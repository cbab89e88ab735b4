"""A space of few coordinates inside one of many: large arrays are seen along the directions of their hypergradients.

Notation
    u        a point of the space, block by block; b the best trial so far
    V        (m, k) orthonormal directions of a block of m coordinates
    w        (k,) half-widths: the fastest coordinate of a direction moves by 1/2 from b at most
    z        what the model sees of the block, (k,) in [0, 1]

z = 1/2 + Vᵀ(u - b) / (2 w), clipped; u = b + V (2 z - 1) w, clipped to the cube; and ∂f/∂z = 2 w Vᵀ ∂f/∂u.

V holds the leading right singular vectors of the block's gradients, each of length one: the active subspace of
Constantine (2015), of the trials so far. What happens outside it looks like noise to the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hypergrad.parameters import Float
from hypergrad.samplers.base import Record
from hypergrad.space import Space

__all__ = ["LARGE", "Subspace"]

LARGE = 40  # coordinates of a space from which on its arrays are reduced
BLOCK = 8  # coordinates of an array that is reduced
DIRECTIONS = 3  # of each array
RECENT = 50  # gradients that the directions are made of


@dataclass(frozen=True, eq=False)
class Subspace:
    """The small space and the maps between it and the whole; made by `Subspace.of`.

    Attributes:
        whole: the space of the trials.
        space: the small one, without constraints.
        base: (d,) b.
        blocks: directions (m, k) and half-widths (k,) of each reduced array, by path.
    """

    whole: Space
    space: Space
    base: np.ndarray
    blocks: dict[str, tuple[np.ndarray, np.ndarray]]

    @staticmethod
    def of(space: Space, past: Sequence[Record], best: Record) -> Subspace | None:
        """The small space after the trials `past`; None where nothing of the space is left.

        An array of which no trial has a gradient is left where `best` has it.
        """
        told = [r.gradient for r in past if r.gradient is not None][-RECENT:]
        table = np.stack(told) if told else np.zeros((0, space.dimension))
        blocks: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        parameters: dict[str, Any] = {}
        for path, parameter in space.parameters.items():
            if not isinstance(parameter, Float) or parameter.size < BLOCK:
                parameters[path] = parameter
                continue
            directions = _directions(table[:, space.columns[path]])
            width = 0.5 / np.abs(directions).max(axis=0, initial=1e-300)
            blocks[path] = (directions, width)
            if directions.shape[1]:
                parameters[path] = Float(
                    0.0,
                    1.0,
                    shape=(directions.shape[1],),
                    active_if=dict(parameter.active_if) if parameter.active_if else None,
                )
        if not parameters:
            return None
        tree: dict[str, Any] = {}
        for path, leaf in {**parameters, **space.constants}.items():
            *groups, key = path.split("/")
            node = tree
            for group in groups:
                node = node.setdefault(group, {})
            node[key] = leaf
        return Subspace(space, Space(tree), best.unit, blocks)

    def shrink(self, record: Record) -> Record:
        """A trial as one of the small space."""
        unit = np.empty(self.space.dimension)
        gradient = None if record.gradient is None else np.full(self.space.dimension, np.nan)
        for path, columns in self.space.columns.items():
            there = self.whole.columns[path]
            if path not in self.blocks:
                unit[columns] = record.unit[there]
                if gradient is not None and record.gradient is not None:
                    gradient[columns] = record.gradient[there]
                continue
            directions, width = self.blocks[path]
            away = (record.unit[there] - self.base[there]) @ directions
            unit[columns] = np.clip(0.5 + away / (2.0 * width), 0.0, 1.0)
            if gradient is not None and record.gradient is not None:
                gradient[columns] = 2.0 * width * (record.gradient[there] @ directions)
        return replace(record, unit=unit, gradient=gradient, gradient_noise=None)

    def lift(self, unit: np.ndarray) -> np.ndarray:
        """A point (k,) of the small space as one of the whole, (d,)."""
        found = self.base.copy()
        for path, columns in self.space.columns.items():
            there = self.whole.columns[path]
            if path in self.blocks:
                directions, width = self.blocks[path]
                moved = found[there] + directions @ ((2.0 * unit[columns] - 1.0) * width)
                found[there] = np.clip(moved, 0.0, 1.0)
            else:
                found[there] = unit[columns]
        return found

    def widen(self, slope: np.ndarray) -> np.ndarray:
        """A gradient (k,) by the small space as one by the whole, (d,); nan where the small one has no coordinate."""
        found = np.full(self.whole.dimension, np.nan)
        for path, columns in self.space.columns.items():
            there = self.whole.columns[path]
            if path in self.blocks:
                directions, width = self.blocks[path]
                found[there] = directions @ (slope[columns] / (2.0 * width))
            else:
                found[there] = slope[columns]
        return found


def _directions(gradients: np.ndarray) -> np.ndarray:
    """(m, k) orthonormal: the leading right singular vectors of gradients (n, m), nan as 0; k = 0 without any."""
    rows = np.where(np.isfinite(gradients), gradients, 0.0)
    largest = np.abs(rows).max(axis=1, initial=0.0)
    rows = rows[largest > 0.0] / largest[largest > 0.0][:, None]
    if not len(rows):
        return np.zeros((gradients.shape[1], 0))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    _, sizes, right = np.linalg.svd(rows, full_matrices=False)
    count = int((sizes > 1e-6 * sizes[0]).sum())
    return right[: min(count, DIRECTIONS)].T
