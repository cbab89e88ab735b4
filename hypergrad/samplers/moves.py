"""What changes between two points of a space, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad.parameters import Categorical
from hypergrad.space import Space

__all__ = ["Move", "moves", "moving", "spelled"]


@dataclass(frozen=True)
class Move:
    """The change of one hyperparameter; of an array, that of the entry which moves most.

    Attributes:
        name: readable: ``"lr"``, ``"l2[3,0]"``.
        parameter: path of the hyperparameter.
        before, after: natural units; None: inactive.
        size: the largest change of a unit coordinate; 1 where the hyperparameter appears, disappears or is a choice.
        entries: how many entries change.
    """

    name: str
    parameter: str
    before: Any
    after: Any
    size: float
    entries: int = 1

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name} comes in at {spelled(self.after)}"
        if self.after is None:
            return f"{self.name} drops out"
        others = f" (the largest of {self.entries} changes)" if self.entries > 1 else ""
        digits = next((n for n in (4, 6, 9) if spelled(self.before, n) != spelled(self.after, n)), 17)
        return (
            f"{self.name} moves from {spelled(self.before, digits)} to {spelled(self.after, digits)}{others}"
        )


def spelled(value: Any, digits: int = 4) -> str:
    """One value, a float with so many significant digits."""
    return f"{value:.{digits}g}" if isinstance(value, float) else repr(value)


def moves(space: Space, old: np.ndarray, new: np.ndarray) -> tuple[Move, ...]:
    """The hyperparameters that differ between two points of the unit cube, (d,) each, the largest change first."""
    old, new = space.snap(old), space.snap(new)
    on_old, on_new = space.active(old), space.active(new)
    natural = [space.from_unit(point) for point in (old, new)]
    found = []
    for path, parameter in space.parameters.items():
        columns = np.arange(space.dimension)[space.columns[path]]
        here, there = bool(on_old[columns[0]]), bool(on_new[columns[0]])
        change = np.abs(new[columns] - old[columns])
        if not (here or there) or (here and there and not change.any()):
            continue
        entry = int(np.argmax(change))
        was, now = (
            _value(tree, path, entry) if is_there else None
            for tree, is_there in zip(natural, (here, there), strict=True)
        )
        jump = isinstance(parameter, Categorical) or not (here and there)
        size = 1.0 if jump else float(change[entry])
        entries = int(np.count_nonzero(change)) if here and there else 1
        found.append(Move(space.names[columns[entry]], path, was, now, size, entries))
    return tuple(sorted(found, key=lambda move: -move.size))


def moving(space: Space, old: np.ndarray, new: np.ndarray) -> str:
    """The largest move between two points, and how many others there are."""
    found = moves(space, old, new)
    if not found:
        return "nothing moves"
    others = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{found[0]}{others}"


def _value(tree: Mapping[str, Any], path: str, entry: int) -> Any:
    node: Any = tree
    for key in path.split("/"):
        node = node[key]
    return float(node.reshape(-1)[entry]) if isinstance(node, np.ndarray) else node
