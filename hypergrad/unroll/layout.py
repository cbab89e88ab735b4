"""Where the leaves of a tree lie in one contiguous vector, for arrays and tracers alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.api import as_array, is_static
from hypergrad.ad.primitives.linear import match, reshape
from hypergrad.ad.primitives.shape import concatenate, split
from hypergrad.ad.program import ArrayType
from hypergrad.ad.trace import as_argument, type_of
from hypergrad.errors import ProblemError

__all__ = ["Layout", "freeze", "is_constant"]


@dataclass(frozen=True)
class Layout:
    """The leaves of a tree, one after the other in a vector of one dtype.

    Attributes:
        structure: the tree.
        shapes: shape of each leaf.
        dtype: of the vector.
    """

    structure: tree.Structure
    shapes: tuple[tuple[int, ...], ...]
    dtype: np.dtype

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes)

    @cached_property
    def size(self) -> int:
        return sum(self.sizes)

    def leaves(self, vector: Any) -> list[Any]:
        """The leaves of a (traced) vector."""
        if not self.shapes:
            return []
        return [
            as_argument(reshape(part, shape))
            for part, shape in zip(split(vector, self.sizes), self.shapes, strict=True)
        ]

    def part(self, vector: np.ndarray, number: int) -> np.ndarray:
        """One leaf of a plain vector, as a view."""
        start = sum(self.sizes[:number])
        return vector[start : start + self.sizes[number]].reshape(self.shapes[number])

    def tree(self, vector: Any) -> Any:
        """The tree of a (traced) vector."""
        return self.structure.unflatten(self.leaves(vector))

    def vector(self, leaves: Sequence[Any]) -> Any:
        """The (traced) vector of the given leaves, broadcast to their shapes and cast to the dtype."""
        if not self.shapes:
            return np.zeros(0, self.dtype)
        flat = [
            reshape(match(leaf, ArrayType(shape, self.dtype)), (size,))
            for leaf, shape, size in zip(leaves, self.shapes, self.sizes, strict=True)
        ]
        return concatenate(flat)

    @staticmethod
    def of_state(state: Any, what: str) -> Layout:
        """The layout of what `what` (a function's name) returned: arrays of one float dtype.

        Python floats, and what was computed from them alone, take that dtype.

        Raises:
            ProblemError: a leaf that is no float array, or several float dtypes.
        """
        leaves, structure = tree.flatten(state)
        if not leaves:
            raise ProblemError(f"{what} returned no arrays")
        found: dict[np.dtype, str] = {}
        weak: dict[np.dtype, str] = {}
        for path, leaf in zip(structure.paths(), leaves, strict=True):
            where = f" at {path!r}" if path else ""
            if is_static(leaf):
                raise ProblemError(f"{what} returned {leaf!r}{where}; the state holds float arrays only")
            array = as_array(leaf, f"what {what} returned{where}")
            if array.dtype.kind != "f":
                raise ProblemError(
                    f"{what} returned {array.dtype}{where}; the state holds float arrays only, "
                    "write .astype(float)"
                )
            (weak if type_of(leaf).weak else found).setdefault(array.dtype, path)
        if len(found) > 1:
            shown = " and ".join(f"{path!r} in {dtype}" for dtype, path in found.items())
            raise ProblemError(f"{what} returned {shown}; a state has one dtype, so cast its arrays to one")
        return Layout(structure, tuple(np.shape(leaf) for leaf in leaves), np.result_type(*(found or weak)))


def is_constant(leaf: Any) -> bool:
    """Whether a hyperparameter is concrete in user code: no float, so without a derivative."""
    if is_static(leaf):
        return True
    return as_array(leaf, "a hyperparameter").dtype.kind != "f"


def freeze(leaf: Any) -> Any:
    """A hashable stand-in of a constant leaf, for signatures."""
    if isinstance(leaf, np.ndarray | np.generic):
        return (leaf.dtype.str, leaf.shape, leaf.tobytes())
    return (type(leaf), leaf)
