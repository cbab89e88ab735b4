"""Penalties that are not smooth, by their proximal maps.

Notation: w parameters (n,), Ω penalty, η > 0 a step size;
prox_{ηΩ}(v) = argmin_w ½ |w − v|² + η Ω(w). Where it cuts an entry to zero, its derivative is zero.

A weight is a number, or a key of hparams ("penalty/l1" for a nested one) that holds a number, an array that broadcasts
against the parameters it penalises, or a dict of these over the top-level keys of params.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from hypergrad import tree
from hypergrad.ad.primitives.linear import broadcast_to, reshape
from hypergrad.ad.primitives.shape import concatenate
from hypergrad.errors import ProblemError
from hypergrad.optim.base import children, lookup

__all__ = ["L1", "ElasticNet", "GroupLasso", "NonNegative", "Penalty"]

Weight = float | str


@dataclass(frozen=True)
class Penalty(ABC):
    """A sum of terms over entries or groups of the parameters. Subclasses are frozen dataclasses of weights.

    Attributes:
        on: top-level keys of params that are penalised, such as ("w",); None: all.

    Raises:
        ProblemError: a weight that is neither a number nor a key.
    """

    on: tuple[str, ...] | str | None = field(default=None, kw_only=True)

    options: ClassVar[tuple[str, ...]] = ("on",)

    def __post_init__(self) -> None:
        if isinstance(self.on, str):
            object.__setattr__(self, "on", (self.on,))
        for name in self.weights():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | str | np.floating | np.integer):
                raise ProblemError(
                    f"{type(self).__name__}({name}=...) takes a number or a key of hparams, got {value!r}"
                )
            if not isinstance(value, str) and not value >= 0:
                raise ProblemError(f"{type(self).__name__}({name}=...) must be 0 or more, got {value!r}")

    def weights(self) -> list[str]:
        """Names of the fields that are weights."""
        return [item.name for item in fields(self) if item.name not in self.options]

    def check(self, hparams: Any) -> None:
        """Raise ProblemError where a weight in hparams is negative or nan: a proximal map would take it silently."""
        for name in self.weights():
            key = getattr(self, name)
            if not isinstance(key, str):
                continue
            for path, leaf in zip(*_paths(lookup(hparams, key), key), strict=True):
                array = np.asarray(leaf)
                if array.dtype.kind == "f" and not (array >= 0).all():
                    wrong = array[~(array >= 0)].flat[0]
                    raise ProblemError(
                        f"{type(self).__name__} reads its {name} from hparams[{path!r}], which must be 0 or more, "
                        f"got {wrong}"
                    )

    def bind(self, hparams: Any, start: Any) -> dict[str, Any]:
        """Each weight as a vector (n,), zero where nothing is penalised, and under "start" the layout.

        Raises:
            ProblemError: a key that hparams lacks, or a weight that does not fit.
        """
        found = {name: self._spread(name, hparams, start) for name in self.weights()}
        return {**found, "on": self._mask(start), "start": start}

    def _parts(self, start: Any) -> list[tuple[str, tuple[int, ...], bool]]:
        """(layer, shape, penalised) of each leaf of the parameters."""
        layers = [str(key) for key in start.structure.keys]
        if not layers:
            if self.on is not None:
                raise ProblemError(
                    f"{type(self).__name__}(on={self.on!r}): params is one array; leave `on` out"
                )
            return [("", start.shapes[0], True)]
        unknown = [name for name in self.on or () if name not in layers]
        if unknown:
            raise ProblemError(
                f"{type(self).__name__}(on=...) names {unknown[0]!r}, but params has {', '.join(map(repr, layers))}"
            )
        names = [
            layer
            for layer, child in zip(layers, start.structure.children, strict=True)
            for _ in range(child.count)
        ]
        return [
            (name, shape, self.on is None or name in self.on)
            for name, shape in zip(names, start.shapes, strict=True)
        ]

    def _mask(self, start: Any) -> np.ndarray:
        parts = [np.full(int(np.prod(shape)), on) for _, shape, on in self._parts(start)]
        return np.concatenate(parts)

    def _spread(self, name: str, hparams: Any, start: Any) -> Any:
        weight = getattr(self, name)
        value = lookup(hparams, weight) if isinstance(weight, str) else np.asarray(float(weight))
        what = f"{type(self).__name__} reads its {name} from hparams[{weight!r}]"
        layered = children(value)
        pieces = []
        for layer, shape, on in self._parts(start):
            size = int(np.prod(shape))
            if not on:
                pieces.append(np.zeros(size, start.dtype))
                continue
            if layered and layer not in layered:
                raise ProblemError(f"{what}, which has no entry {layer!r}; give each penalised layer one")
            leaf = layered[layer] if layered else value
            if isinstance(leaf, bool | int | str) or children(leaf):
                raise ProblemError(f"{what}, which is {leaf!r}; write a float or an array of floats")
            leaf = np.asarray(leaf) if isinstance(leaf, float) else leaf
            pieces.append(_fit(leaf, self._shape(shape), size, what).astype(start.dtype))
        return concatenate(pieces)

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What a weight broadcasts against, for a leaf of this shape."""
        return shape

    @abstractmethod
    def prox(self, v: Any, step: Any, bound: dict[str, Any]) -> Any:
        """prox_{step Ω}(v), (n,).

        Args:
            v: (n,).
            step: η, a number or an array () or (n,).
            bound: what `bind` returned.
        """

    def blocks(self, start: Any) -> list[tuple[int, int, int]]:
        """(begin, end, k): the entries begin..end-1 are blocks of k that Ω is a sum over; in order, of all entries."""
        return [(0, start.size, 1)]

    def prox_block(self, v: Any, step: Any, bound: dict[str, Any]) -> Any:
        """prox_{step Ω}(v) of one of `blocks`, (k,).

        Args:
            v, step: (k,).
            bound: the vectors that `bind` returned, at this block.
        """
        return self.prox(v, step, bound)


def _fit(leaf: Any, target: tuple[int, ...], size: int, what: str) -> Any:
    """A weight broadcast to `target` and spread over `size` entries, (size,)."""
    try:
        fits = np.broadcast_shapes(leaf.shape, target) == target
    except ValueError:
        fits = False
    if not fits:
        raise ProblemError(f"{what}, of shape {leaf.shape}, which does not broadcast to {target}")
    whole = reshape(broadcast_to(leaf, target), (int(np.prod(target)),))
    groups = whole.shape[0]
    if groups in (0, size):
        return whole
    return reshape(broadcast_to(reshape(whole, (groups, 1)), (groups, size // groups)), (size,))


def _paths(value: Any, key: str) -> tuple[list[str], list[Any]]:
    """Names of the leaves of a hyperparameter, and the leaves."""
    leaves, structure = tree.flatten(value)
    return [f"{key}/{path}" if path else key for path in structure.paths()], leaves


def _soft(v: Any, threshold: Any) -> Any:
    """sign(v) max(|v| − threshold, 0)."""
    return np.where(np.abs(v) > threshold, v - threshold * np.sign(v), 0.0)


@dataclass(frozen=True)
class L1(Penalty):
    """Ω = Σ α |w|; prox: soft thresholding, sign(v) max(|v| − η α, 0) (Tibshirani 1996; Donoho 1995).

    Attributes:
        weight: α >= 0.
    """

    weight: Weight = 1.0

    def prox(self, v: Any, step: Any, bound: dict[str, Any]) -> Any:
        return np.where(bound["on"], _soft(v, step * bound["weight"]), v)


@dataclass(frozen=True)
class ElasticNet(Penalty):
    """Ω = Σ α₁ |w| + ½ α₂ w²; prox: soft(v, η α₁) / (1 + η α₂) (Zou & Hastie 2005).

    scikit-learn's alpha and l1_ratio are α₁ = alpha · l1_ratio, α₂ = alpha · (1 − l1_ratio).

    Attributes:
        l1, l2: α₁, α₂ >= 0.
    """

    l1: Weight = 1.0
    l2: Weight = 1.0

    def prox(self, v: Any, step: Any, bound: dict[str, Any]) -> Any:
        found = _soft(v, step * bound["l1"]) / (1.0 + step * bound["l2"])
        return np.where(bound["on"], found, v)


@dataclass(frozen=True)
class NonNegative(Penalty):
    """Ω = Σ α w for w >= 0, infinite otherwise; prox: max(v − η α, 0).

    Attributes:
        weight: α >= 0; 0: the constraint alone.
    """

    weight: Weight = 0.0

    def prox(self, v: Any, step: Any, bound: dict[str, Any]) -> Any:
        threshold = step * bound["weight"]
        return np.where(bound["on"], np.where(v > threshold, v - threshold, 0.0), v)


@dataclass(frozen=True)
class GroupLasso(Penalty):
    """Ω = Σ_g α |w_g|; prox: v_g max(1 − η α / |v_g|, 0) (Yuan & Lin 2006, without their factor √(group size)).

    A group is a row (first axis) of a penalised array, or `size` adjacent entries of it.

    Attributes:
        weight: α >= 0; an array holds one number a group.
        size: entries a group; None: rows.
    """

    weight: Weight = 1.0
    size: int | None = None

    options: ClassVar[tuple[str, ...]] = ("on", "size")

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self._groups(shape),)

    def _groups(self, shape: tuple[int, ...]) -> int:
        entries = int(np.prod(shape))
        if self.size is None:
            return shape[0] if shape else 1
        if (
            isinstance(self.size, bool)
            or not isinstance(self.size, int)
            or self.size < 1
            or entries % self.size
        ):
            raise ProblemError(
                f"GroupLasso(size={self.size!r}) does not divide the {entries} entries of an array of shape {shape}"
            )
        return entries // self.size

    def prox(self, v: Any, step: Any, bound: dict[str, Any]) -> Any:
        threshold = broadcast_to(step * bound["weight"], v.shape)
        pieces, begin = [], 0
        for _, shape, on in self._parts(bound["start"]):
            size = int(np.prod(shape))
            part, cut = v[begin : begin + size], threshold[begin : begin + size]
            begin += size
            if not on or not size:
                pieces.append(part)
                continue
            groups = self._groups(shape)
            rows, limit = np.reshape(part, (groups, -1)), np.reshape(cut, (groups, -1))[:, :1]
            pieces.append(np.reshape(_shrunk(rows, limit), (size,)))
        return concatenate(pieces)

    def blocks(self, start: Any) -> list[tuple[int, int, int]]:
        found, begin = [], 0
        for _, shape, on in self._parts(start):
            size = int(np.prod(shape))
            if size:
                found.append((begin, begin + size, size // self._groups(shape) if on else 1))
            begin += size
        return found

    def prox_block(self, v: Any, step: Any, bound: dict[str, Any]) -> Any:
        return np.where(bound["on"], _shrunk(v, step * bound["weight"]), v)


def _shrunk(rows: Any, limit: Any) -> Any:
    """Each row r as r max(1 − limit / |r|, 0)."""
    square = np.sum(rows * rows, axis=-1, keepdims=True)
    active = square > limit * limit
    norm = np.sqrt(np.where(active, square, 1.0))
    return np.where(active, rows * (1.0 - limit / norm), 0.0)
