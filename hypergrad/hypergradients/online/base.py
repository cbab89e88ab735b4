"""Hyperparameters that are adapted during one training run.

Notation: s_t state before step t, a_t the adapted hyperparameters as one vector (m,), which step t uses, Φ the step,
s_{t+1} = Φ(s_t, a_t, b_t, t); f_t the inner loss on the batch of step t, E the outer loss.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from hypergrad import tree
from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.optimize import optimize
from hypergrad.ad.primitives.indexing import getitem
from hypergrad.ad.primitives.linear import convert, reshape
from hypergrad.ad.program import Program
from hypergrad.errors import DerivativeError, ProblemError, unknown_name
from hypergrad.hypergradients.base import chosen, measure
from hypergrad.hypergradients.prepare import unrolled
from hypergrad.unroll.layout import Layout
from hypergrad.unroll.step import over_tangents
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["Adapted", "Bounds", "Online", "OnlineResult", "Pushed", "Run", "adapt", "made", "rows_at"]

_CACHE = 1 << 18  # bytes

Bounds = tuple[float, float] | Mapping[str, tuple[float, float]] | None


@dataclass(frozen=True)
class OnlineResult:
    """A training run during which hyperparameters were adapted.

    Attributes:
        value: outer loss after training, at the last hyperparameters; nan or inf when training diverged.
        hparams: the last hyperparameters, a tree like those given.
        params: trained parameters.
        trace: name of each adapted leaf -> what each step used, (T, ...).
        curve: inner loss of each step, (T,); nan where the problem has none.
        stats: method, steps, step_evaluations, seconds, finite, projected (steps at which an update left its bounds
            and was put back), and what the method reports.
        metrics: data set -> metric -> number, for the problem's `metrics`.
        warnings: why the run should not be trusted; one sentence each.
    """

    value: float
    hparams: Any
    params: Any
    trace: dict[str, np.ndarray]
    curve: np.ndarray
    stats: dict[str, Any]
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Adapted:
    """The adapted leaves as one vector a (m,) of float64, and everything else that a step reads.

    Attributes:
        names: path of each adapted leaf.
        layout: of a.
        first: a_0.
        low, high: bounds of each entry, (m,).
        varying: whether the rates of a step (its row) depend on a.
    """

    def __init__(self, trajectory: Trajectory, wrt: Sequence[bool], bounds: Bounds) -> None:
        self.of = trajectory
        hyper, code = trajectory.hyper, trajectory.code
        self.floats = [w for w, f in zip(wrt, hyper.floats, strict=True) if f]
        paths = [path for path, f in zip(hyper.paths, hyper.floats, strict=True) if f]
        self.names = [path for path, w in zip(paths, self.floats, strict=True) if w]
        steps = [r or s for r, s in zip(code.reads_rows, code.reads_step, strict=True)]
        for path, w, read in zip(paths, self.floats, steps, strict=True):
            if w and not read:
                raise DerivativeError(
                    f"no training step reads hparams[{path!r}], so that it cannot be adapted while training runs; "
                    "leave it out of wrt"
                )
        given = [v for v, w in zip(trajectory.values, self.floats, strict=True) if w]
        shapes = tuple(v.shape for v in given)
        self.layout = Layout(tree.structure([0] * len(given)), shapes, np.dtype(np.float64))
        if not self.layout.size:
            raise DerivativeError("there is nothing to adapt: name hyperparameters that training steps read")
        self.first = np.concatenate([v.ravel().astype(np.float64) for v in given])
        self.varying = any(r and w for r, w in zip(code.reads_rows, self.floats, strict=True))
        self.low, self.high = self._bounds(bounds)
        outside = (self.first < self.low) | (self.first > self.high)
        if outside.any():
            i = int(np.argmax(outside))
            raise DerivativeError(
                f"an entry of hparams[{self.name_of(i)!r}] starts at {self.first[i]}, outside its bounds "
                f"({self.low[i]}, {self.high[i]}); change one or the other"
            )

    def name_of(self, entry: int) -> str:
        """The leaf that an entry of a belongs to."""
        return self.names[int(np.searchsorted(np.cumsum(self.layout.sizes), entry, "right"))]

    def _bounds(self, bounds: Bounds) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(bounds, Mapping):
            for name in bounds:
                if name not in self.names:
                    raise unknown_name("adapted hyperparameter", name, self.names)
            pairs = [bounds.get(name, (-np.inf, np.inf)) for name in self.names]
        else:
            pairs = [(-np.inf, np.inf) if bounds is None else bounds] * len(self.names)
        for name, pair in zip(self.names, pairs, strict=True):
            if not (isinstance(pair, tuple | list) and len(pair) == 2 and pair[0] < pair[1]):
                raise DerivativeError(
                    f"bounds of {name!r} must be a pair (low, high) with low < high, got {pair!r}"
                )
        low, high = (
            np.concatenate([np.full(n, pair[i]) for n, pair in zip(self.layout.sizes, pairs, strict=True)])
            for i in (0, 1)
        )
        return low, high

    def fixed(self) -> list[np.ndarray]:
        """The float leaves that stay as they are, in the state's dtype."""
        dtype = self.of.code.layout.dtype
        return [v.astype(dtype) for v, w in zip(self.of.values, self.floats, strict=True) if not w]

    def hparams(self, vector: Any, fixed: Sequence[Any]) -> Any:
        """The tree of hyperparameters that a traced step reads."""
        moving, still = iter(self.layout.leaves(vector)), iter(fixed)
        dtype = self.of.code.layout.dtype
        return self.of.hyper.tree([convert(next(moving), dtype) if w else next(still) for w in self.floats])

    def values(self, vector: np.ndarray) -> list[np.ndarray]:
        """All float leaves, each of its own dtype."""
        parts = iter(np.split(vector, np.cumsum(self.layout.sizes)[:-1]))
        return [
            next(parts).reshape(v.shape).astype(v.dtype) if w else v
            for v, w in zip(self.of.values, self.floats, strict=True)
        ]

    def tree(self, vector: np.ndarray) -> Any:
        """The hyperparameters as their owner wrote them."""
        given = [leaf for leaf, f in zip(self.of.hyper.leaves, self.of.hyper.floats, strict=True) if f]
        return self.of.hyper.tree(
            [
                float(value) if type(leaf) is float else value[()]
                for value, leaf in zip(self.values(vector), given, strict=True)
            ]
        )


def rows_at(adapted: Adapted, hparams: Any, row: Any, t: Any) -> Any:
    """The rates of step t, as `advance` takes them: the row that was given, or the one that follows from hparams.

    A row that depends on adapted hyperparameters costs O(T) a step, in one or two calls of NumPy.
    """
    layout = adapted.of.code.row_layout
    if not layout.shapes:
        return {}
    if not adapted.varying:
        return layout.tree(row)
    leaves = tree.leaves(adapted.of.problem.rates(hparams))
    now = [
        convert(reshape(getitem(leaf, t) if np.ndim(leaf) else leaf, shape), layout.dtype)
        for leaf, shape in zip(leaves, layout.shapes, strict=True)
    ]
    return layout.structure.unflatten(now)


class Pushed:
    """A linear Program (residuals, tangents) -> tangent, compiled for m tangents of each.

    All at once where they stay in the processor's cache, else one after the other.

    Args:
        program: with one output.
        inputs: how many of its last inputs are tangents.
        count: m.
    """

    def __init__(self, program: Program, inputs: int, count: int) -> None:
        size = program.outputs[0].type.size * program.outputs[0].type.dtype.itemsize
        self._together = count == 1 or count * size <= _CACHE
        last = len(program.inputs)
        streamed = [f"i{i}" for i in range(last - inputs, last)]
        self._run = (
            Executable(over_tangents(program, inputs, 1, count), closed=True)
            if self._together
            else Executable(optimize(program), closed=True, streamed=[*streamed, "o0"])
        )
        self.scratch = self._run.scratch

    def bind(
        self,
        residuals: Sequence[np.ndarray],
        given: Sequence[np.ndarray],
        found: np.ndarray,
        scratch: list[np.ndarray],
    ) -> Callable[[], None]:
        """The function that reads the residuals and tangents (m, ...) and writes those that are found, (m, ...)."""
        if self._together:
            return self._run.bind([*residuals, *given], [found], scratch)
        one = self._run.bind(residuals, [], scratch)
        rows = list(zip(*given, found, strict=True))

        def run() -> None:
            for row in rows:
                one(*row)

        return run


class Run:
    """What a run leaves behind, step by step.

    Attributes:
        state: s_T, (N,).
        last: a_T, (m,).
        trace: what each step used, (T, m).
        curve: inner losses, (T,).
        projected: steps at which an update was put back within its bounds.
        stats: what the method reports.
    """

    def __init__(self, adapted: Adapted) -> None:
        steps = adapted.of.limit
        self.state = adapted.of.initial()
        self.last = adapted.first
        self.trace = np.zeros((steps, adapted.layout.size))
        self.curve = np.full(steps, np.nan)
        self.projected = 0
        self.steps = steps
        self.stats: dict[str, Any] = {}

    def ended(self, adapted: Adapted, state: np.ndarray, a: np.ndarray, t: int) -> bool:
        """Whether training ends after step t = 1, 2, ..."""
        of = adapted.of
        if of.stopper is None:
            return False
        of.values = adapted.values(a)  # what the outer loss of the rule reads
        self.steps = t
        return of.stopper.ended(state, t)


class Online(ABC):
    """A way to adapt hyperparameters while training runs. Subclasses are frozen dataclasses."""

    bounds: Bounds

    @abstractmethod
    def run(self, adapted: Adapted) -> Run:
        """Train once."""

    def default(self, trajectory: Trajectory) -> Sequence[str] | None:
        """Names that are adapted where the caller names none; None: all floats that a training step reads."""
        return None


def adapt(
    problem: Any, hparams: Any, method: Online, seed: int = 0, wrt: Sequence[str] | str | None = None
) -> OnlineResult:
    """Train once, adapting hyperparameters on the way.

    Args:
        problem: a `BilevelProblem` or `UnrolledProblem`.
        hparams: where the hyperparameters start, natural units.
        method: `HypergradientDescent`, `Tower` or `RealTimeForward`.
        seed: of the initial parameters, the batches and the draws inside the loss.
        wrt: names of the hyperparameters to adapt; default: the method's choice.

    Raises:
        ProblemError: hyperparameters that do not fit the problem.
        DerivativeError: a name of something that no training step reads, or that has no derivative.
    """
    began = time.perf_counter()
    if not isinstance(method, Online):
        raise ProblemError(
            f"method must be one of hg.online, such as hg.online.HypergradientDescent(), got {method!r}"
        )
    with np.errstate(all="ignore"):  # a run that diverges is a result
        trajectory = unrolled(problem, hparams, seed)
        names = method.default(trajectory) if wrt is None else wrt
        asked = chosen(trajectory, names) if names is not None else _read_by_steps(trajectory)
        adapted = Adapted(trajectory, asked, method.bounds)
        run = method.run(adapted)
        final = adapted.tree(run.last)
        after = Trajectory(problem, final, seed)
        value = after.outer_value(run.state)
        params = after.params(run.state)
        metrics = measure(after, params)
    parts = np.split(run.trace[: run.steps], np.cumsum(adapted.layout.sizes)[:-1], axis=1)
    trace = {
        name: part.reshape(run.steps, *shape)
        for name, part, shape in zip(adapted.names, parts, adapted.layout.shapes, strict=True)
    }
    finite = bool(np.isfinite(value) and np.isfinite(run.last).all())
    warnings = []
    if not finite:
        warnings.append(
            "training diverged while its hyperparameters were adapted; start at smaller ones, adapt more slowly, "
            "or give bounds"
        )
    stats = {
        "method": repr(method),
        "steps": run.steps,
        "step_evaluations": run.steps,
        "finite": finite,
        "projected": run.projected,
        **run.stats,
        "seconds": time.perf_counter() - began,
    }
    return OnlineResult(value, final, params, trace, run.curve[: run.steps], stats, metrics, tuple(warnings))


def _read_by_steps(trajectory: Trajectory) -> list[bool]:
    code = trajectory.code
    reads = iter([r or s for r, s in zip(code.reads_rows, code.reads_step, strict=True)])
    return [next(reads) if f else False for f in trajectory.hyper.floats]


_MADE: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()


def made(adapted: Adapted, key: Any, make: Callable[[], Any]) -> Any:
    """What `make` compiles, kept with the compiled problem under `key` and the names of what is adapted."""
    kept = _MADE.setdefault(adapted.of.code, {})
    full = (*adapted.names, key)
    if full not in kept:
        kept[full] = make()
    return kept[full]
