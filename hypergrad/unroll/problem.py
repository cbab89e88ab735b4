"""Training problems: what is iterated, on which data, and how the result is judged.

Notation: state s_t, hyperparameters h, batch b_t, step Φ: s_{t+1} = Φ(s_t, h, b_t, t), t = 0..T-1;
outer objective F(h) = E(s_T(h), h). The literature also writes lower/upper or inner/meta for inner/outer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.api import as_array, jacobian, value_and_grad
from hypergrad.ad.primitives.linear import broadcast_to, convert
from hypergrad.ad.primitives.shape import concatenate, split
from hypergrad.errors import ProblemError, ShapeError
from hypergrad.optim import OPTIMIZERS, Optimizer
from hypergrad.unroll.batches import Batches, arrays_of, generator, leaves_of, row_count
from hypergrad.unroll.calls import check_call, drawing
from hypergrad.unroll.folds import fold_problems
from hypergrad.unroll.layout import Layout
from hypergrad.unroll.rates import check_rates, rate_now, rate_rows, rate_start
from hypergrad.unroll.stopping import check_stop

__all__ = ["BilevelProblem", "UnrolledProblem"]

_MISSING: Any = object()


class UnrolledProblem:
    """Any iteration: proximal steps, policy gradients, a simulator, or (see `BilevelProblem`) training.

    Args:
        init: ``init(hparams, rng) -> state``: a tree of float arrays of one dtype; may read hparams.
        step: ``step(state, hparams, batch, t) -> state``, or with an argument ``rng`` for random draws; t is
            a traced int 0..T-1.
        outer_loss: ``outer_loss(state, hparams, valid) -> float``.
        steps: T, at least 1.
        train, valid, test: trees of finite arrays with one row an example; floats are cast to the state's
            dtype.
        metrics: name -> ``metric(state, hparams, data) -> float``, evaluated on the data sets that there are.
        batch_size: rows a step; None: all.
        batches: (T, B) row indices instead of batch_size.
        folds: cross-validation instead of `valid`: F is the mean of the outer losses of K trainings, each judged on
            the rows of `train` that it has not seen. An int K, a splitter such as scikit-learn's, or pairs
            (training rows, held out rows).
        fold_seed: of the shuffle before an int K divides the rows, as scikit-learn's ``KFold(K, shuffle=True,
            random_state=fold_seed)`` does; None: contiguous parts.
        stop: ends training before: an `EarlyStopping`, or ``stop(params, hparams, t) -> bool``, called on plain
            arrays after step t = 1, 2, ...; derivatives hold that step fixed.

    Attributes:
        folds: the problem of each fold; empty where there are none.

    Raises:
        ProblemError: arguments that contradict each other.
    """

    def __init__(
        self,
        *,
        init: Callable[..., Any],
        step: Callable[..., Any],
        outer_loss: Callable[..., Any],
        steps: int,
        train: Any = None,
        valid: Any = None,
        test: Any = None,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
        batch_size: int | None = None,
        batches: Any = None,
        stop: Any = None,
        folds: Any = None,
        fold_seed: int | None = 0,
    ) -> None:
        self.step = step
        self._call = drawing("step", step, ("state", "hparams", "batch", "t"))
        self._hold(init, outer_loss, steps, train, valid, test, metrics, batch_size, batches, stop)
        self._divide(folds, fold_seed, batch_size)

    def _hold(
        self,
        init: Any,
        outer_loss: Any,
        steps: Any,
        train: Any,
        valid: Any,
        test: Any,
        metrics: Any,
        batch_size: Any,
        batches: Any,
        stop: Any,
    ) -> None:
        """Check and keep what every problem has."""
        if not isinstance(metrics or {}, Mapping):
            raise ProblemError(f"metrics must be a dict of name -> function, got {type(metrics).__name__}")
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise ProblemError(f"steps must be a positive int, got {steps!r}")
        check_call("init", init, ("hparams", "rng"))
        check_call("outer_loss", outer_loss, ("params", "hparams", "valid"))
        for name, metric in (metrics or {}).items():
            check_call(f"metrics[{name!r}]", metric, ("params", "hparams", "data"))
        check_stop(stop)
        self.stop = stop
        self.init = init
        self.outer_loss = outer_loss
        self.steps = int(steps)
        self.train = arrays_of(train, "train")
        self.valid = arrays_of(valid, "valid")
        self.test = arrays_of(test, "test")
        self.metrics = dict(metrics or {})
        self.batches = Batches(row_count(self.train), self.steps, batch_size, batches)
        self.compiled: dict[Any, Any] = {}
        self.rehearsed: set[Any] = set()

    def _divide(self, folds: Any, fold_seed: int | None, batch_size: Any) -> None:
        """Make the problem of each fold."""
        self.folds: tuple[UnrolledProblem, ...] = ()
        self.kin: tuple[UnrolledProblem, ...] = ()  # of a fold: the problems of all, which share programs
        self.rows: np.ndarray | None = None  # of a fold: the rows of `whole` that are its train
        self.whole: Any = None
        if folds is None:
            return
        if self.valid is not None:
            raise ProblemError("give valid or folds, not both: folds hold out rows of train")
        if self.batches.explicit is not None:
            raise ProblemError("batches name rows of train, which folds divide; give batch_size instead")
        self.folds = fold_problems(self, folds, fold_seed, batch_size)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "compiled": {}}  # code bound to buffers stays in its process

    # What the step and the methods ask of a problem -----------------------------------------------
    def rates(self, hparams: Any) -> dict[str, Any]:
        """Rows of shape (T, ...), evaluated outside the step and given to it one by one."""
        return {}

    def state(self, start: Layout) -> Layout:
        """The layout of the state vector, given that of what `init` returned."""
        return start

    def start(self, leaves: Any, layout: Layout, start: Layout, hparams: Any) -> Any:
        """The first state vector, from the leaves of what `init` returned."""
        return layout.vector(leaves)

    def advance(
        self, vector: Any, start: Layout, hparams: Any, rates: dict[str, Any], batch: Any, t: Any, rng: Any
    ) -> tuple[Any, Any]:
        """The next state vector, and the inner loss of this step (None: there is none)."""
        state = self._call(rng, start.tree(vector), hparams, batch, t)
        leaves, structure = tree.flatten(state)
        if structure != start.structure:
            raise ProblemError(f"step returned the tree {structure}, expected {start.structure} as from init")
        for path, leaf, shape in zip(structure.paths(), leaves, start.shapes, strict=True):
            where = f" at {path!r}" if path else ""
            found = as_array(leaf, f"what step returned{where}").shape
            if found != shape:
                raise ShapeError(f"step returned shape {found}{where}, expected {shape} as from init")
        return start.vector(leaves), None

    def params(self, vector: Any, start: Layout) -> Any:
        """What the outer loss and the metrics see of a state vector."""
        return start.tree(vector)

    def evaluate(self, params: Any, hparams: Any, data: Any) -> float:
        """The outer loss on any data."""
        return float(self.outer_loss(params, hparams, data))

    def check(self, hparams: Any) -> None:
        """Raise ProblemError where numbers in hparams are outside the domain of what reads them."""

    def rehearse_step(self, state: Any, hparams: Any, batch: Any, seed: int) -> None:
        """What one step calls, on plain arrays."""
        self._call(generator(seed, "draws", 0), state, hparams, batch, np.int64(0))


class BilevelProblem(UnrolledProblem):
    """Training by an optimiser: w_{t+1}, m_{t+1} = update(w_t, m_t, ∇_w inner_loss(w_t, h, b_t), h).

    Args:
        init: ``init(hparams, rng) -> params``.
        inner_loss: ``inner_loss(params, hparams, batch) -> float``, or with an argument ``rng`` for random
            draws: the mean over the batch plus the whole regulariser.
        outer_loss: ``outer_loss(params, hparams, valid) -> float``, on the whole validation set at once.
        train, valid, test, metrics, steps, batch_size, batches, stop, folds, fold_seed: as in `UnrolledProblem`;
            valid may be left out where there are folds.
        optimizer: of `hypergrad.optim`; its rates are numbers, keys of hparams, or schedules.
    """

    def __init__(
        self,
        *,
        init: Callable[..., Any],
        inner_loss: Callable[..., Any],
        outer_loss: Callable[..., Any],
        train: Any,
        valid: Any = _MISSING,
        optimizer: Optimizer,
        steps: int,
        test: Any = None,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
        batch_size: int | None = None,
        batches: Any = None,
        stop: Any = None,
        folds: Any = None,
        fold_seed: int | None = 0,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            names = ", ".join(kind.__name__ for kind in OPTIMIZERS.values())
            raise ProblemError(f"optimizer must be one of hg.optim ({names}), got {optimizer!r}")
        if valid is _MISSING:
            if folds is None:
                raise ProblemError("give valid, the data of outer_loss, or folds=K to hold out rows of train")
            valid = None
        self.optimizer = optimizer
        self.inner_loss = inner_loss
        self._call = drawing("inner_loss", inner_loss, ("params", "hparams", "batch"))
        self._hold(init, outer_loss, steps, train, valid, test, metrics, batch_size, batches, stop)
        if optimizer.full_batch and not self.batches.full:
            raise ProblemError(
                f"{type(optimizer).__name__} needs every step to see the same rows; leave out batch_size and batches"
            )
        self._divide(folds, fold_seed, batch_size)

    def rates(self, hparams: Any) -> dict[str, Any]:
        return rate_rows(self.optimizer, hparams, self.steps)

    def check(self, hparams: Any) -> None:
        check_rates(self.optimizer, hparams)
        self.optimizer.check(hparams)

    def state(self, start: Layout) -> Layout:
        sizes = self._sizes(start)
        return Layout(tree.structure([0] * len(sizes)), tuple((size,) for size in sizes), start.dtype)

    def _sizes(self, start: Layout) -> tuple[int, ...]:
        """Lengths of w and of each slot."""
        return (start.size, *self.optimizer.slot_sizes(start.size))

    def start(self, leaves: Any, layout: Layout, start: Layout, hparams: Any) -> Any:
        slots = self.optimizer.first_slots(start.size, rate_start(self.optimizer, hparams, start))
        return layout.vector([start.vector(leaves), *slots])

    def advance(
        self, vector: Any, start: Layout, hparams: Any, rates: dict[str, Any], batch: Any, t: Any, rng: Any
    ) -> tuple[Any, Any]:
        w, slots, now = self.parts(vector, start, hparams, rates)
        loss, g = self.slope(self.optimizer.ahead(w, slots, now), start, hparams, batch, rng)
        now |= self.curvature(w, start, hparams, rng)
        return self.move(w, g, slots, now, start), loss

    def parts(
        self, vector: Any, start: Layout, hparams: Any, rates: dict[str, Any]
    ) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """w and the slots of a state vector, and what the optimiser reads at this step."""
        w, *slots = split(vector, self._sizes(start))
        now = {**rate_now(self.optimizer, hparams, rates, start), **self.optimizer.bound(hparams, start)}
        return w, tuple(slots), now

    def slope(self, w: Any, start: Layout, hparams: Any, batch: Any, rng: Any) -> tuple[Any, Any]:
        """The inner loss at w, (n,), and its gradient."""

        def inner_loss(flat: Any) -> Any:
            return self._call(rng, start.tree(flat), hparams, batch)

        return value_and_grad(inner_loss)(w)

    def curvature(self, w: Any, start: Layout, hparams: Any, rng: Any) -> dict[str, Any]:
        """The Hessian of the inner loss at w as a rate, where the optimiser reads it.

        The training rows enter as constants, so that what depends on them alone is computed once.
        """
        if not self.optimizer.curvature:
            return {}
        if rng.draws:
            raise ProblemError(
                f"{type(self.optimizer).__name__} needs the same inner_loss at every step, but this one draws random "
                "numbers; use hg.optim.ISTA, or fix the draws as data"
            )
        leaves, structure = leaves_of(self.train, start.dtype)
        data = structure.unflatten(leaves) if leaves else self.train

        def slope(flat: Any) -> Any:
            return value_and_grad(lambda x: self._call(rng, start.tree(x), hparams, data))(flat)[1]

        return {"hessian": jacobian(slope)(w)}

    def move(self, w: Any, g: Any, slots: tuple[Any, ...], now: dict[str, Any], start: Layout) -> Any:
        """The next state vector, given the gradient."""
        new, new_slots = self.optimizer.update(w, g, slots, now)
        parts = [
            convert(broadcast_to(part, (size,)), start.dtype)
            for part, size in zip((new, *new_slots), self._sizes(start), strict=True)
        ]
        return concatenate(parts)

    def params(self, vector: Any, start: Layout) -> Any:
        return start.tree(vector[: start.size])

    def rehearse_step(self, state: Any, hparams: Any, batch: Any, seed: int) -> None:
        self._call(generator(seed, "draws", 0), state, hparams, batch)
