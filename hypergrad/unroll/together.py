"""Several runs of one problem as one: the step of all of them at once, so that each NumPy call serves every run.

Notation: R runs, n state size of one, N = R n; r, c the rates of one step and the invariants of one run. The state is
the runs' states one after the other, (R n,), as are the rates (R r,) and the invariants (R c,): every run has
hyperparameters of its own (equal) ones, so that their cotangents come out run by run.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.batching import batched
from hypergrad.ad.forward import evaluate
from hypergrad.ad.optimize import optimize
from hypergrad.ad.primitives.linear import reshape
from hypergrad.ad.program import ArrayType
from hypergrad.ad.trace import Builder
from hypergrad.unroll.batches import generator, leaves_of
from hypergrad.unroll.gathers import Gather
from hypergrad.unroll.hyper import Hyper
from hypergrad.unroll.layout import Layout
from hypergrad.unroll.step import Compiled, remembered
from hypergrad.unroll.trajectory import Trajectory, drawn, row_norms

__all__ = ["Together"]


class TogetherCode(Compiled):
    """The programs of a step of `count` runs, made from those of one.

    Args:
        code: of one run.
        shared: whether all runs see the same batch.

    Attributes:
        pool: leaves of the data that the batches of all runs are rows of: of folds, those that were divided.
    """

    def __init__(self, code: Compiled, count: int, shared: bool) -> None:
        one = code.step
        self.count = count
        self.problem, self.hyper, self.start_layout = code.problem, code.hyper, code.start_layout
        self.layout, self.row_layout, self.invariant_layout = (
            _repeated(layout, count) for layout in (code.layout, code.row_layout, code.invariant_layout)
        )
        self._dense = count  # the invariants of every run are a vector
        self.draws = tuple((method, (count, *shape)) for method, shape in code.draws)
        self.has_loss, self.reads_t, self.holds_data = code.has_loss, code.reads_t, code.holds_data
        self.reads_rows, self.reads_step, self.reads_outer = (
            code.reads_rows,
            code.reads_step,
            code.reads_outer,
        )
        whole = None if shared else code.problem.whole
        self.pool = code.train if whole is None else leaves_of(whole, code.layout.dtype)[0]
        batch = range(4, 4 + len(code.train))
        own = [i < 3 or (i in batch and not shared) or i >= batch.stop for i in range(len(one.inputs))]
        every = batched(one, own, count, [True, True])[0]
        with Builder("step") as builder:
            inputs = []
            for i, var in enumerate(every.inputs):
                shape = var.type.shape
                flat = (shape[0] * shape[1], *shape[2:]) if own[i] and (i < 3 or i in batch) else shape
                inputs.append(reshape(builder.input(ArrayType(flat, var.type.dtype)), shape))
            state, loss = evaluate(every, inputs)
            self.step = optimize(builder.program([reshape(state, (self.layout.size,)), loss]))

    @property
    def gathers(self) -> list[Gather]:
        return []


def _code(first: Trajectory, count: int, shared: bool) -> TogetherCode:
    """The programs of runs like `first`, from its problem's cache where they are known."""
    key = ("together", first.hyper.signature, count, shared)
    return remembered(first.problem, key, lambda: TogetherCode(first.code, count, shared))


def _repeated(layout: Layout, count: int) -> Layout:
    return Layout(tree.structure([0] * count), ((layout.size,),) * count, layout.dtype)


class Together(Trajectory):
    """R training runs of one problem that differ in their seeds or data, run as one.

    What it tells of hyperparameters, curves and parameters has a first axis, or is a tuple, of R.

    Args:
        runs: with steps of equal types and equally many in an epoch.

    Attributes:
        outcomes: outer loss of each run, (R,), once `outer` or `outer_value` has run.
    """

    def __init__(self, runs: Sequence[Trajectory]) -> None:
        first = runs[0]
        count = self.count = len(runs)
        self.runs = tuple(runs)
        self.problem = copy.copy(first.problem)
        self.problem.metrics = {}  # they look at one run
        self.seed, self.steps, self.limit, self.stopper = first.seed, first.steps, first.limit, None
        self._watch = None
        self.evaluations = {"forward": 0, "backward": 0}
        self._full = first.problem.batches.full
        self._explicit = first.problem.batches.explicit
        one = all(run.problem is first.problem for run in runs)
        shared = one and (self._full or self._explicit is not None)
        self._shared = shared and self._full
        code = self.code = _code(first, count, shared)
        hyper = first.hyper
        self.hyper = Hyper(
            hyper.structure,
            hyper.paths,
            tuple(
                np.broadcast_to(leaf, (count, *np.shape(leaf))) if f else leaf
                for leaf, f in zip(hyper.leaves, hyper.floats, strict=True)
            ),
            hyper.floats,
        )
        self.values = self.hyper.values
        self.start = first.start
        self.rows, self.invariants = np.tile(first.rows, (1, count)), np.tile(first.invariants, count)
        dtype = code.layout.dtype
        self._row, self._t = np.zeros(code.row_layout.size, dtype), np.zeros((), np.int64)
        self._epoch = first.problem.batches.epoch
        self._orders: tuple[int, np.ndarray] | None = None
        if not self._full:
            length = (1 if shared else count) * (first.problem.batches.length or 0)
            self._batch = [np.zeros((length, *leaf.shape[1:]), leaf.dtype) for leaf in code.pool]
        elif shared:
            self._batch = code.pool
        else:
            each = zip(*(run.code.train for run in runs), strict=True)
            self._batch = [np.concatenate(leaves) for leaves in each]
        self._takes = [(leaf.take, buffer) for leaf, buffer in zip(code.pool, self._batch, strict=True)]
        self._draws = [np.zeros(shape, dtype) for _, shape in code.draws]
        self.inputs = [self._row, self.invariants, self._t, *self._batch, *self._draws]
        self.outcomes = np.full(count, np.nan)

    def initial(self) -> np.ndarray:
        return np.concatenate([run.initial() for run in self.runs])

    @property
    def held(self) -> list[np.ndarray]:
        own = () if self._shared else self.inputs
        return [*own, *(array for run in self.runs for array in run.held)]

    def prepare(self, t: int) -> None:
        if self._row.size:
            self._row[...] = self.rows[t]
        if self.code.reads_t:
            self._t[...] = t
        if not self._full:
            index = self._index(t)
            for take, buffer in self._takes:
                take(index, 0, buffer, "clip")
        if self._draws:
            for r, run in enumerate(self.runs):
                rng = generator(run.seed, "draws", t)
                for (method, shape), buffer in zip(self.code.draws, self._draws, strict=True):
                    buffer[r] = getattr(rng, method)(shape[1:], drawn(buffer.dtype))

    def _index(self, t: int) -> np.ndarray:
        """Rows of the pool that step t sees, run by run."""
        if self._explicit is not None:
            return self._explicit[t]
        size = self.problem.batches.size or 0
        epoch, number = divmod(t, self._epoch)
        if self._orders is None or self._orders[0] != epoch:
            self._orders = (
                epoch,
                np.stack([self._order(run, epoch)[: self._epoch * size] for run in self.runs]),
            )
        return self._orders[1][:, number * size : (number + 1) * size].ravel()

    @staticmethod
    def _order(run: Trajectory, epoch: int) -> np.ndarray:
        """Rows of the pool in the order of an epoch."""
        order, rows = run.problem.batches.order(run.seed, epoch), run.problem.rows
        return order if rows is None else rows[order]

    def curve(self, points: int) -> np.ndarray:
        return np.repeat(super().curve(points)[:, None], self.count, axis=1)

    def outer(self, state: np.ndarray) -> tuple[float, np.ndarray, list[np.ndarray]]:
        found = [run.outer(part) for run, part in zip(self.runs, self.parts(state), strict=True)]
        self.outcomes = np.array([value for value, _, _ in found])
        cts = [np.stack(leaves) for leaves in zip(*(hypers for _, _, hypers in found), strict=True)]
        return self._mean(), np.concatenate([ct for _, ct, _ in found]), cts

    def outer_value(self, state: np.ndarray) -> float:
        parts = zip(self.runs, self.parts(state), strict=True)
        self.outcomes = np.array([run.outer_value(part) for run, part in parts])
        return self._mean()

    def _mean(self) -> float:
        """Mean of the finite outcomes, so that one run that diverges does not keep the others from their derivative."""
        finite = self.outcomes[np.isfinite(self.outcomes)]
        return float(finite.mean()) if finite.size else float("nan")

    def total(
        self, ct_outer: list[np.ndarray], rows: np.ndarray, invariants: np.ndarray, first: np.ndarray | None
    ) -> list[np.ndarray]:
        firsts = [None] * self.count if first is None else self.parts(first)
        each = [
            run.total(
                [ct[r] for ct in ct_outer],
                np.ascontiguousarray(rows.reshape(len(rows), self.count, -1)[:, r]),
                invariants.reshape(self.count, -1)[r],
                part,
            )
            for r, (run, part) in enumerate(zip(self.runs, firsts, strict=True))
        ]
        return [np.stack(leaves) for leaves in zip(*each, strict=True)]

    def parts(self, state: np.ndarray) -> np.ndarray:
        """The state of each run, (R, n)."""
        return state.reshape(self.count, -1)

    @property
    def one(self) -> Trajectory:
        return self.runs[0]

    def norm(self, vector: np.ndarray) -> Any:
        return row_norms(self.parts(vector)[:, : self.code.start_layout.size])

    def params(self, state: np.ndarray) -> Any:
        return tuple(run.params(part) for run, part in zip(self.runs, self.parts(state), strict=True))
