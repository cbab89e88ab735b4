"""One run of a problem's functions on plain arrays, beside the traced one.

Traced labels and row numbers have no numbers, so that a label out of range would count as no class at all.
Where the data hold integers, the rows with their extremes therefore pass through the functions once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.errors import ProblemError
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["rehearse"]


def rehearse(trajectory: Trajectory) -> None:
    """Run the step and the outer loss on the first state and on the rows that hold the extreme integers.

    Raises:
        ProblemError: an index out of range.
        HypergradError: what the functions themselves find wrong, such as a label out of range.
    """
    problem, hyper, dtype = trajectory.problem, trajectory.hyper, trajectory.code.layout.dtype

    def cast(data: Any) -> Any:
        return tree.map(lambda leaf: np.array(leaf, dtype if leaf.dtype.kind == "f" else leaf.dtype), data)

    def state() -> Any:
        return trajectory.params(trajectory.initial())

    hparams = hyper.tree([value.astype(dtype) for value in hyper.values])
    singular = suppress(np.linalg.LinAlgError)  # which the run itself reports as a result
    with np.errstate(all="ignore"):
        if _integers(problem.train):
            for batch in _batches(problem):
                with _in_range("train"), singular:
                    problem.rehearse_step(state(), hparams, cast(batch), trajectory.seed)
        if _integers(problem.valid):
            with _in_range("valid"), singular:
                _unwritten(problem.outer_loss, state(), hparams, problem.valid, cast)


def _unwritten(outer_loss: Any, state: Any, hparams: Any, data: Any, cast: Any) -> None:
    """Run the outer loss on all validation rows, which may be many: on a copy only if it writes to them."""

    def shown(leaf: np.ndarray) -> np.ndarray:
        view = leaf.view()
        view.flags.writeable = False
        return view

    try:
        outer_loss(state, hparams, tree.map(shown, data))
    except (
        ValueError
    ):  # NumPy's for an array that is read-only, or the function's own, which then comes again
        outer_loss(state, hparams, cast(data))


@contextmanager
def _in_range(name: str) -> Iterator[None]:
    try:
        yield
    except IndexError as error:
        raise ProblemError(f"an integer of {name} is out of range where it indexes: {error}") from error


def _integers(data: Any) -> list[np.ndarray]:
    leaves = [] if data is None else tree.leaves(data)
    return [leaf for leaf in leaves if leaf.dtype.kind in "iu" and leaf.size]


def _batches(problem: Any) -> Iterator[Any]:
    """Batches of the length that the step sees, which hold the extremes of each integer array."""
    count, explicit = problem.batches.length, problem.batches.explicit
    if problem.batches.full:
        yield problem.train
        return
    used = np.arange(problem.batches.rows) if explicit is None else np.unique(explicit)
    rows: dict[int, None] = {}
    for leaf in _integers(problem.train):
        flat = leaf[used].reshape(len(used), -1)
        rows[int(used[np.argmin(flat.min(axis=1))])] = None
        rows[int(used[np.argmax(flat.max(axis=1))])] = None
    chosen = np.array(list(rows), np.intp)
    for start in range(0, len(chosen), count):
        index = np.resize(chosen[start : start + count], count)
        yield tree.map(lambda leaf, index=index: leaf[index], problem.train)
