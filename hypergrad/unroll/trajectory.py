"""Running the compiled step T times, forwards with states kept, and backwards over kept states.

Batches and draws are keyed by (seed, t), so that any step can be replayed bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.debug import active
from hypergrad.ad.forward import evaluate
from hypergrad.ad.program import ArrayType
from hypergrad.errors import ProblemError
from hypergrad.unroll.batches import generator
from hypergrad.unroll.curve import curve_positions
from hypergrad.unroll.gathers import add_rows
from hypergrad.unroll.hyper import Hyper
from hypergrad.unroll.runner import Runner
from hypergrad.unroll.start import Start
from hypergrad.unroll.step import Compiled, compiled
from hypergrad.unroll.stopping import Stopper

__all__ = ["Adjoint", "Trajectory", "drawn", "row_norms"]

_LOOKS = 64
_MUCH = 1 << 20  # bytes that an outer loss gives back before the backward run


class Trajectory:
    """One training run of a problem: its hyperparameters, seed, buffers and first state.

    Attributes:
        steps: T; where training may stop early, the steps that have run.
        limit: T, also where training stops before.
        code: the compiled programs.
        rows: rates of all steps, (T, R).
        invariants: what the step computes from hyperparameters alone, (C,).
        evaluations: training steps run so far, forwards (``"forward"``) and as vjp (``"backward"``).
        failed: the step that met a singular matrix, after which training has diverged; None: none has. It is 0
            where what is computed before the first step met it.
    """

    failed: int | None = None

    def __init__(self, problem: Any, hparams: Any, seed: int) -> None:
        self.problem = problem
        self.hyper = Hyper.of(hparams)
        self.seed = int(seed)
        self.code: Compiled = compiled(problem, self.hyper, self.seed)
        self.steps: int = problem.steps
        self.limit: int = problem.steps
        self.stopper = None if problem.stop is None else Stopper(problem.stop, self)
        self._watch = active()
        self.evaluations = {"forward": 0, "backward": 0}
        code, dtype = self.code, self.code.layout.dtype
        self.start: Start = code.start(self.seed)
        self.values = self.hyper.values
        try:
            self.rows, self.invariants = code.outside(*self.values)
        except np.linalg.LinAlgError:
            self.failed = 0
            self.rows = np.full((self.limit, code.row_layout.size), np.nan, dtype)
            self.invariants = np.full(code.invariant_layout.size, np.nan, dtype)
        self._row = np.zeros(code.row_layout.size, dtype)
        self._t = np.zeros((), np.int64)
        self._full = problem.batches.full
        length = problem.batches.length
        self._batch = (
            code.train
            if self._full
            else [np.zeros((length, *leaf.shape[1:]), leaf.dtype) for leaf in code.train]
        )
        self._takes = [(leaf.take, buffer) for leaf, buffer in zip(code.train, self._batch, strict=True)]
        self._draws = [np.zeros(shape, dtype) for _, shape in code.draws]
        self.inputs = [self._row, self.invariants, self._t, *self._batch, *self._draws]

    def initial(self) -> np.ndarray:
        """The first state vector, (N,)."""
        layout = self.code.layout
        try:
            return np.array(evaluate(self.start.program, self.values)[0], layout.dtype)
        except np.linalg.LinAlgError:
            self.failed = 0
            return np.full(layout.size, np.nan, layout.dtype)

    @property
    def held(self) -> list[np.ndarray]:
        """Arrays of its own: inputs of the step, and data that were cast to the state's dtype."""
        given = [*tree.leaves(self.problem.train), *tree.leaves(self.problem.valid)]
        found = {id(array): array for array in (*self.inputs, *self.code.train, *self.code.valid)}
        return [
            array
            for array in found.values()
            if not any(isinstance(leaf, np.ndarray) and np.may_share_memory(array, leaf) for leaf in given)
        ]

    def prepare(self, t: int) -> None:
        """Load the row, batch and draws of step t into the input buffers."""
        if self._watch is not None:
            self._watch.step = t
        if self._row.size:
            self._row[...] = self.rows[t]
        if self.code.reads_t:
            self._t[...] = t
        if not self._full:
            index = self.problem.batches.at(self.seed, t)
            for take, buffer in self._takes:
                take(index, 0, buffer, "clip")
        if self._draws:
            rng = generator(self.seed, "draws", t)
            for (method, shape), buffer in zip(self.code.draws, self._draws, strict=True):
                buffer[...] = getattr(rng, method)(shape, drawn(buffer.dtype))

    def curve(self, points: int) -> np.ndarray:
        """Room for the inner losses of at most `points` steps: (T,), zero at those, nan elsewhere.

        Raises:
            ProblemError: no int, or below 0.
        """
        if isinstance(points, bool) or not isinstance(points, int | np.integer) or points < 0:
            raise ProblemError(f"curve must be a number of steps, 0 or more, got {points!r}")
        room = np.full(self.steps, np.nan)
        if self.code.has_loss and points:
            room[curve_positions(self.steps, points)] = 0.0
        return room

    @property
    def ran(self) -> int:
        """Steps that have run: fewer than T where training stopped early or met a singular matrix."""
        return self.steps if self.failed is None else self.failed

    def kept(self, steps: int) -> list[ArrayType]:
        """Types of what `steps` steps keep for the backward run: one array (steps, ...) a residual."""
        return [ArrayType((steps, *type.shape), type.dtype) for type in self.code.cut.residuals]

    def forward(
        self,
        state: np.ndarray,
        start: int,
        stop: int,
        states: np.ndarray | None = None,
        residuals: Sequence[np.ndarray] | None = None,
        curve: np.ndarray | None = None,
    ) -> np.ndarray:
        """The state after steps start..stop-1.

        Args:
            state: s_start, (N,); not changed.
            states: (stop - start, N) array that receives s_start..s_{stop-1}.
            residuals: arrays of the types `kept`, filled for these steps.
            curve: (T,) array, zero where the inner loss is wanted, else nan; receives those of these steps.
        """
        runner = Runner(self, residuals is not None, curve)
        runner.load(state)
        with np.errstate(all="ignore"):
            runner.run(start, stop, states, residuals or ())
        return runner.state

    def train(self, curve: np.ndarray | None = None) -> np.ndarray:
        """The state after training, which also settles where it stops."""
        runner = Runner(self, curve=curve)
        runner.load(self.initial())
        with np.errstate(all="ignore"):
            self.steps = runner.run(0, self.steps, ended=None if self.stopper is None else self.stopper.ended)
        self.stopper = None
        return runner.state

    @property
    def settling(self) -> int:
        """Steps that `settle` runs, at most."""
        return 0 if self.stopper is None else self.limit

    def settle(self) -> None:
        """Make `steps` the number of steps that run, by a training run of its own where it may stop early."""
        if self.stopper is not None:
            self.train()

    def outer(self, state: np.ndarray) -> tuple[float, np.ndarray, list[np.ndarray]]:
        """Outer loss of a final state, its cotangent, and those of the float hyperparameters that it reads itself.

        All are nan after a singular matrix, also where the outer loss reads none of what is nan since.
        """
        if self._watch is not None:
            self._watch.step = None
        inputs = [state, *self._cast(), *self.code.valid]
        with np.errstate(all="ignore"):
            try:
                if self.failed is None:
                    value, ct_state, *ct_hypers = self.code.outer_executable(*inputs)
                    if self.code.outer_executable.buffer_bytes > _MUCH:
                        self.code.outer_executable.clear()
                    return float(value), ct_state, ct_hypers
            except np.linalg.LinAlgError:
                pass
            return float("nan"), np.full_like(state, np.nan), [v * np.nan for v in self._cast()]

    def outer_value(self, state: np.ndarray) -> float:
        """Outer loss of a final state; nan as in `outer`."""
        with np.errstate(all="ignore"):
            try:
                if self.failed is None:
                    return float(self.code.outer_value(state, *self._cast(), *self.code.valid)[0])
            except np.linalg.LinAlgError:
                pass
            return float("nan")

    @property
    def hparams(self) -> Any:
        """The hyperparameters as they were given."""
        return self.hyper.structure.unflatten(self.hyper.leaves)

    def total(
        self, ct_outer: list[np.ndarray], rows: np.ndarray, invariants: np.ndarray, first: np.ndarray | None
    ) -> list[np.ndarray]:
        """Total cotangent of each float hyperparameter: through outer loss, rates, invariants and first state."""
        code = self.code
        total = [np.array(ct, dtype=float) for ct in ct_outer]
        with np.errstate(all="ignore"):
            if any(code.reads_rows) or any(code.reads_step):
                for i, ct in enumerate(code.outside_vjp(*self.values, rows, invariants)):
                    total[i] = total[i] + ct
            if first is not None and any(self.start.reads):
                for i, ct in enumerate(evaluate(self.start.vjp, [*self.values, first])[1:]):
                    total[i] = total[i] + ct
        return [ct.astype(value.dtype) for ct, value in zip(total, self.values, strict=True)]

    def _cast(self) -> list[np.ndarray]:
        return [value.astype(self.code.layout.dtype) for value in self.values]

    @property
    def one(self) -> Trajectory:
        """This run; of several together, the first."""
        return self

    def norm(self, vector: np.ndarray) -> Any:
        """Norm of a state vector, or of its cotangent, over what `init` returned."""
        part = vector[: self.code.start_layout.size]
        square = float(part @ part)
        if (
            1e-30 < square < 1e30
        ):  # far from where squares overflow or vanish, in any dtype but half precision
            return square**0.5
        return float(row_norms(part[None])[0])

    def params(self, state: np.ndarray) -> Any:
        """What training returns: the parameters of a state vector, as arrays of their own."""
        return self.problem.params(state.copy(), self.code.start_layout)


class Adjoint:
    """Cotangents carried backwards: s̄ of the state, r̄ of each row of rates, c̄ summed over steps.

    Attributes:
        looks: (t, norm of s̄_t, norm of s_t), each over the parameters, at some 64 steps, the last first.

    Args:
        after: s_stop, the state where the backward run begins.
        cotangent: s̄_stop.
        kept: `step` is given residuals.
        pool: as in `Runner`.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        after: np.ndarray,
        cotangent: np.ndarray,
        kept: bool,
        pool: Sequence[np.ndarray] | None = None,
    ) -> None:
        self._of = of = trajectory
        code, dtype = of.code, of.code.layout.dtype
        self.rows = np.zeros_like(of.rows)
        self.invariants = np.zeros_like(of.invariants)
        self._more = np.zeros(code.dense, dtype)
        self._dense = self.invariants[: code.dense]
        self._taken = [
            (
                code.invariant_layout.part(self.invariants, gather.leaf),
                gather.spec,
                [np.zeros(type.shape, type.dtype) for type in gather.types],
            )
            for gather in code.gathers
        ]
        self._row = np.zeros(code.row_layout.size, dtype)
        executable = code.backward_kept if kept else code.backward
        scratch = executable.scratch(pool)
        self._states = np.empty_like(after), after.copy()
        self._cts = np.empty_like(cotangent), cotangent.copy()
        self._runs = []
        for here in (0, 1):  # read the state and cotangent in the one place, write into the other
            late = [self._states[1 - here]] if kept else []
            inputs = [self._states[here], *of.inputs, *late, self._cts[1 - here]]
            outputs = [self._cts[here], self._row, self._more]
            outputs += [array for *_, arrays in self._taken for array in arrays]
            self._runs.append(executable.bind(inputs, outputs, scratch))
        self._here = 1
        self._watched = np.zeros(of.steps + 1, bool)
        self._watched[curve_positions(of.steps + 1, _LOOKS)] = True
        self.looks: list[tuple[int, Any, Any]] = []
        self._look(of.steps)

    def _look(self, t: int) -> None:
        norm, here = self._of.norm, self._here
        self.looks.append((t, norm(self._cts[here]), norm(self._states[here])))

    @property
    def state(self) -> np.ndarray:
        """The current s̄, (N,)."""
        return self._cts[self._here]

    def step(self, t: int, state: np.ndarray, residuals: Sequence[np.ndarray] = ()) -> None:
        """From s̄_{t+1} to s̄_t, given s_t and what the forward step kept."""
        here = self._here = 1 - self._here
        self._of.prepare(t)
        self._states[here][...] = state
        try:
            self._runs[here](*residuals)
        except np.linalg.LinAlgError:  # met at a state that training did not pass through: no derivative
            for array in (self._cts[here], self._row, self._more, *(ct for _, _, (ct, *_) in self._taken)):
                array[...] = np.nan
        if self._row.size:
            self.rows[t] = self._row
        if self._more.size:
            np.add(self._dense, self._more, self._dense)
        for total, spec, (ct, *indices) in self._taken:
            add_rows(total, spec, indices, ct)
        self._of.evaluations["backward"] += 1
        if self._watched[t]:
            self._look(t)

    def hyper(self, ct_outer: list[np.ndarray], start: bool = True) -> list[np.ndarray]:
        """Total cotangent of each float hyperparameter: through outer loss, steps, rates and (`start`) first state."""
        return self._of.total(ct_outer, self.rows, self.invariants, self.state if start else None)


def row_norms(rows: np.ndarray) -> np.ndarray:
    """Norm of each row of (R, n) in float64; squares that overflow or vanish are taken of the row over its largest."""
    found = np.sqrt(np.einsum("ri,ri->r", rows, rows, dtype=np.float64, casting="same_kind"))
    for r in np.flatnonzero(~((found > 1e-150) & (found < np.inf))):
        largest = float(np.abs(rows[r]).max(initial=0.0))
        if 0.0 < largest < np.inf:
            found[r] = largest * np.linalg.norm(rows[r] / largest)
    return found


def drawn(dtype: np.dtype) -> Any:
    """The dtype that NumPy's generators draw in for a state of the given dtype."""
    return np.float32 if dtype == np.float32 else np.float64
