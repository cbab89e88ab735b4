"""Trees: nested dicts, lists, tuples, named tuples and dataclasses whose leaves are arrays.

Anything else is a leaf; ``None`` is a leaf too, since a hyperparameter may be None.
Dict keys are visited in sorted order, by type where their types cannot be compared, so that two dicts
with the same keys are the same tree; rebuilding keeps the order of insertion. A subclass of dict is rebuilt
as a plain dict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from hypergrad.errors import ShapeError, TreeError

__all__ = ["Structure", "flatten", "leaves", "map", "paths", "ravel", "spans", "structure", "unravel"]


@dataclass(frozen=True)
class Structure:
    """The shape of a tree without its leaves; hashable, comparable.

    Attributes:
        kind: the container type; None for a leaf.
        keys: dict keys, field names or indices, one a child.
        children: one Structure a key.
        order: dict keys in the order of insertion (not compared).
    """

    kind: type | None = None
    keys: tuple = ()
    children: tuple[Structure, ...] = ()
    order: tuple = field(default=(), compare=False)

    @property
    def count(self) -> int:
        """Number of leaves."""
        return 1 if self.kind is None else sum(child.count for child in self.children)

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """The tree of this structure with the given leaves, in the order of `flatten`."""
        leaves = list(leaves)
        if len(leaves) != self.count:
            raise TreeError(f"expected {self.count} leaves for the tree {self}, got {len(leaves)}")
        return self._build(iter(leaves))

    def _build(self, stream: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(stream)
        built = [child._build(stream) for child in self.children]
        if issubclass(self.kind, dict):
            by_key = dict(zip(self.keys, built, strict=True))
            return {key: by_key[key] for key in self.order}
        if dataclasses.is_dataclass(self.kind):
            return self.kind(**dict(zip(self.keys, built, strict=True)))
        if issubclass(self.kind, tuple) and hasattr(self.kind, "_make"):
            return self.kind._make(built)
        return tuple(built) if self.kind is tuple else self.kind([*built])  # type: ignore[call-arg]

    def paths(self, prefix: str = "") -> list[str]:
        """The name of each leaf: keys joined by ``/``; the empty string for a lone leaf."""
        if self.kind is None:
            return [prefix]
        return [
            path
            for key, child in zip(self.keys, self.children, strict=True)
            for path in child.paths(f"{prefix}/{key}" if prefix else str(key))
        ]

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        inner = [str(child) for child in self.children]
        if issubclass(self.kind, dict):
            return "{" + ", ".join(f"{k!r}: {c}" for k, c in zip(self.keys, inner, strict=True)) + "}"
        if self.kind is list:
            return "[" + ", ".join(inner) + "]"
        if self.kind is tuple:
            return "(" + ", ".join(inner) + ("," if len(inner) == 1 else "") + ")"
        named = (f"{k}={c}" for k, c in zip(self.keys, inner, strict=True))
        return f"{self.kind.__name__}({', '.join(named)})"


LEAF = Structure()


def _children(tree: Any) -> tuple[tuple, list[Any], tuple] | None:
    """(keys, children, insertion order) of a container; None for a leaf."""
    if isinstance(tree, dict):
        order = tuple(tree)
        try:
            keys = tuple(sorted(order))
        except TypeError:
            keys = tuple(sorted(order, key=lambda key: (type(key).__name__, repr(key))))
        return keys, [tree[key] for key in keys], order
    if isinstance(tree, tuple) and hasattr(tree, "_make"):
        named: Any = tree
        return tuple(named._fields), list(tree), ()
    if isinstance(tree, list | tuple):
        return tuple(range(len(tree))), list(tree), ()
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = tuple(f.name for f in dataclasses.fields(tree) if f.init)
        return names, [getattr(tree, name) for name in names], ()
    return None


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Leaves of `tree` in order, and its structure; ``structure.unflatten(leaves)`` undoes it."""
    split = _children(tree)
    if split is None:
        return [tree], LEAF
    keys, children, order = split
    flat: list[Any] = []
    structures = []
    for child in children:
        found, below = flatten(child)
        flat += found
        structures.append(below)
    kind = dict if isinstance(tree, dict) else type(tree)
    return flat, Structure(kind, keys, tuple(structures), order)


def leaves(tree: Any) -> list[Any]:
    """Leaves of `tree`, in the order of `flatten`."""
    return flatten(tree)[0]


def structure(tree: Any) -> Structure:
    """Structure of `tree`."""
    return flatten(tree)[1]


def paths(tree: Any) -> list[str]:
    """Name of each leaf: ``{"opt": {"lr": 1.0}}`` has the one path ``"opt/lr"``."""
    return flatten(tree)[1].paths()


def map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`function` of each leaf of `tree` and of the leaves in the same places of `rest`.

    Raises:
        TreeError: a tree of `rest` has another structure.
    """
    first, shape = flatten(tree)
    columns = [first]
    for number, other in enumerate(rest, start=2):
        found, other_shape = flatten(other)
        if other_shape != shape:
            raise TreeError(f"tree {number} has the structure {other_shape}, expected {shape} as in tree 1")
        columns.append(found)
    return shape.unflatten([function(*row) for row in zip(*columns, strict=True)])


def spans(shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, int]]:
    """(start, stop) of each shape, laid one after the other in a vector."""
    edges = [0]
    for shape in shapes:
        edges.append(edges[-1] + int(np.prod(shape, dtype=np.int64)))
    return list(pairwise(edges))


def ravel(tree: Any, dtype: Any = None) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """All leaves as ONE contiguous vector, and the function back to a tree of views.

    Args:
        tree: float leaves of any shape.
        dtype: of the vector; default: the common type of the leaves.

    Returns:
        vector of shape (N,), and ``unravel(vector)``: the same tree, each leaf a view of `vector`.
    """
    flat, shape = flatten(tree)
    arrays = [np.asarray(leaf) for leaf in flat]
    for path, array in zip(shape.paths(), arrays, strict=True):
        if array.dtype.kind not in "fiub":
            raise TreeError(f"leaf {path!r} is no array of numbers: got {array.dtype} of shape {array.shape}")
    kind = np.dtype(dtype) if dtype is not None else np.result_type(*arrays) if arrays else np.dtype(float)
    vector = np.empty(sum(array.size for array in arrays), kind)
    shapes = [array.shape for array in arrays]
    for array, (start, stop) in zip(arrays, spans(shapes), strict=True):
        vector[start:stop] = array.ravel()
    return vector, lambda v: unravel(v, shape, shapes)


def unravel(vector: Any, shape: Structure, shapes: Sequence[tuple[int, ...]]) -> Any:
    """The tree of structure `shape` whose leaves are views of `vector`, of the given `shapes`.

    Raises:
        ShapeError: the vector has another length.
    """
    places = spans(shapes)
    size = places[-1][1] if places else 0
    if np.shape(vector) != (size,):
        raise ShapeError(f"the tree {shape} needs a vector of shape ({size},), got {np.shape(vector)}")
    return shape.unflatten([vector[a:b].reshape(s) for s, (a, b) in zip(shapes, places, strict=True)])
