"""The hyperparameters of one call, split into floats and constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.program import ArrayType
from hypergrad.unroll.layout import freeze, is_constant

__all__ = ["Hyper"]


@dataclass(frozen=True)
class Hyper:
    """The hyperparameters of one call: floats, and constants.

    Attributes:
        structure: the whole tree.
        paths: name of each leaf.
        leaves: each leaf as it was given.
        floats: for each leaf, whether it is a float.
    """

    structure: tree.Structure
    paths: tuple[str, ...]
    leaves: tuple[Any, ...]
    floats: tuple[bool, ...]

    @staticmethod
    def of(hparams: Any) -> Hyper:
        leaves, structure = tree.flatten(hparams)
        floats = tuple(not is_constant(leaf) for leaf in leaves)
        return Hyper(structure, tuple(structure.paths()), tuple(leaves), floats)

    @property
    def signature(self) -> Any:
        """What a compiled problem depends on: trees, shapes, dtypes and constants, not the floats' values."""
        return (
            self.structure,
            tuple(
                (np.asarray(leaf).dtype.str, np.shape(leaf)) if f else freeze(leaf)
                for leaf, f in zip(self.leaves, self.floats, strict=True)
            ),
        )

    @property
    def values(self) -> list[np.ndarray]:
        """The float leaves as arrays."""
        return [np.asarray(leaf) for leaf, f in zip(self.leaves, self.floats, strict=True) if f]

    @property
    def types(self) -> list[ArrayType]:
        """Types of the float leaves; single numbers are weak, so that they never widen a float32 state."""
        return [
            ArrayType(np.shape(leaf), np.asarray(leaf).dtype, weak=np.ndim(leaf) == 0)
            for leaf, f in zip(self.leaves, self.floats, strict=True)
            if f
        ]

    def tree(self, floats: Sequence[Any]) -> Any:
        """The tree with other values in the places of the floats."""
        stream = iter(floats)
        return self.structure.unflatten(
            [next(stream) if f else leaf for leaf, f in zip(self.leaves, self.floats, strict=True)]
        )

    def gradients(self, floats: Sequence[Any]) -> Any:
        """The tree with the given values in the places of the floats and None elsewhere."""
        stream = iter(floats)
        return self.structure.unflatten([next(stream) if f else None for f in self.floats])
