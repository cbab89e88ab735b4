"""Minibatches as data: the training rows of each step, keyed by (seed, epoch); any step can be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.errors import ProblemError
from hypergrad.unroll.draws import Generator

__all__ = ["Batches", "arrays_of", "generator", "leaves_of", "row_count"]


def generator(seed: int, stream: str, index: int) -> np.random.Generator:
    """The random generator of one purpose at one index of one seed.

    Args:
        stream: "init", "batches" (index: the epoch) or "draws" (index: the step).
    """
    purpose = ("init", "batches", "draws").index(stream)
    return Generator(np.random.PCG64(np.random.SeedSequence([int(seed), purpose, int(index)])))


def arrays_of(data: Any, name: str) -> Any:
    """The tree of data with each leaf as an array of finite numbers; None: no data.

    Raises:
        ProblemError: text or objects, arrays of different lengths or without rows, nan or inf.
    """
    if data is None:
        return None
    leaves, structure = tree.flatten(data)
    arrays = []
    rows: dict[int, str] = {}
    for path, leaf in zip(structure.paths(), leaves, strict=True):
        where = f"{name}[{path!r}]" if path else name
        array = np.asarray(leaf)
        if array.dtype.kind not in "fiub":
            raise ProblemError(f"{where} must hold real numbers, got {array.dtype}; encode it first")
        if array.ndim == 0:
            raise ProblemError(
                f"{where} is one number; data are arrays with one row an example (write np.asarray of a list)"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argmin(np.isfinite(array).reshape(len(array), -1).all(axis=1)))
            value = array[row][~np.isfinite(array[row])].flat[0]
            raise ProblemError(f"{where} holds {value} in row {row}; impute or drop it first")
        rows.setdefault(len(array), where)
        arrays.append(array)
    if len(rows) > 1:
        shown = " and ".join(f"{where} has {count} rows" for count, where in rows.items())
        raise ProblemError(f"the arrays of {name} differ in length: {shown}")
    if 0 in rows:
        raise ProblemError(f"{rows[0]} has no rows")
    return structure.unflatten(arrays)


def row_count(data: Any) -> int | None:
    """Number of rows of what `arrays_of` returned (None: no data)."""
    leaves = [] if data is None else tree.leaves(data)
    return len(leaves[0]) if leaves else None


@dataclass
class Batches:
    """Row indices of each step.

    Attributes:
        rows: number of training rows.
        steps: T.
        size: rows a batch; None: all rows, in order, at every step.
        explicit: (T, B) row indices; overrides `size`.
    """

    rows: int | None
    steps: int
    size: int | None = None
    explicit: np.ndarray | None = None
    _epoch: tuple[int, int, np.ndarray] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.explicit is not None:
            if self.size is not None:
                raise ProblemError("give batch_size or batches, not both")
            try:
                index = np.asarray(self.explicit)
            except ValueError as error:
                raise ProblemError("batches must have the same number of rows at each step") from error
            if index.ndim != 2 or len(index) != self.steps or not index.size or index.dtype.kind not in "iu":
                raise ProblemError(
                    f"batches must be integer row indices of shape (steps, B) = ({self.steps}, B), B >= 1, "
                    f"got {index.dtype} of shape {index.shape}"
                )
            if self.rows is None:
                raise ProblemError("batches are row indices, but there are no training data")
            if index.min() < 0 or index.max() >= self.rows:
                raise ProblemError(
                    f"batches name rows {index.min()} to {index.max()}, "
                    f"but train has rows 0 to {self.rows - 1}"
                )
            self.explicit = index.astype(np.intp)
        elif self.size is not None:
            if isinstance(self.size, bool) or not isinstance(self.size, int | np.integer) or self.size < 1:
                raise ProblemError(f"batch_size must be a positive int or None (all rows), got {self.size!r}")
            if self.rows is None:
                raise ProblemError("batch_size needs training data")
            if self.size > self.rows:
                raise ProblemError(f"batch_size {self.size} is more than the {self.rows} training rows")

    @property
    def full(self) -> bool:
        """Whether every step sees all rows, in order."""
        return self.size is None and self.explicit is None

    @property
    def length(self) -> int | None:
        """Rows a batch."""
        if self.explicit is not None:
            return self.explicit.shape[1]
        return self.rows if self.size is None else int(self.size)

    @property
    def epoch(self) -> int:
        """Steps of an epoch; 0 where batches are explicit or whole."""
        return 0 if self.rows is None or self.size is None else self.rows // self.size

    def at(self, seed: int, t: int) -> np.ndarray:
        """Row indices of step t; the last, partial batch of an epoch is dropped."""
        if self.explicit is not None:
            return self.explicit[t]
        if self.rows is None or self.size is None:
            raise ProblemError("a full batch has no row indices")
        epoch, number = divmod(t, self.epoch)
        cached = self._epoch
        if cached is None or cached[:2] != (seed, epoch):
            cached = self._epoch = (seed, epoch, self.order(seed, epoch))
        return cached[2][number * self.size : (number + 1) * self.size]

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """All rows in the order in which an epoch's batches take them."""
        return generator(seed, "batches", epoch).permutation(self.rows or 0).astype(np.intp)


def leaves_of(data: Any, dtype: np.dtype) -> tuple[list[np.ndarray], tree.Structure]:
    """Contiguous leaves of data, floats cast to `dtype`, and their tree."""
    leaves, structure = tree.flatten(data)
    arrays: Sequence[np.ndarray] = [np.asarray(leaf) for leaf in leaves if leaf is not None]
    return [np.ascontiguousarray(a, dtype if a.dtype.kind == "f" else a.dtype) for a in arrays], structure
