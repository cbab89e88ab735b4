"""Running the compiled step T times, forwards with states kept, and backwards over kept states.

Batches and draws are keyed by (seed, t), so that any step can be replayed bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.forward import evaluate
from hypergrad.unroll.batches import generator
from hypergrad.unroll.hyper import Hyper
from hypergrad.unroll.step import Compiled, Start, compiled

__all__ = ["Trajectory"]


class Trajectory:
    """One training run of a problem: its hyperparameters, seed, buffers and first state.

    Attributes:
        steps: T.
        code: the compiled programs.
        evaluations: training steps run so far, forwards (``"forward"``) and as vjp (``"backward"``).
    """

    def __init__(self, problem: Any, hparams: Any, seed: int) -> None:
        self.problem = problem
        self.hyper = Hyper.of(hparams)
        self.seed = int(seed)
        self.code: Compiled = compiled(problem, self.hyper, self.seed)
        self.steps: int = problem.steps
        self.evaluations = {"forward": 0, "backward": 0}
        code, dtype = self.code, self.code.layout.dtype
        self.start: Start = code.start(self.seed)
        self._data, self._valid = code.train, code.valid
        values = self.hyper.values
        self.rows = np.ascontiguousarray(evaluate(code.rows, values)[0], dtype)
        used = [v for v, u in zip(values, code.reads_step, strict=True) if u]
        self.theta = np.ascontiguousarray(
            np.concatenate([v.ravel() for v in used]) if used else np.zeros(0), dtype
        )
        self._row = np.zeros(code.row_layout.size, dtype)
        self._t = np.zeros((), np.int64)
        length = problem.batches.length
        self._batch = (
            self._data
            if problem.batches.full
            else [np.zeros((length, *leaf.shape[1:]), leaf.dtype) for leaf in self._data]
        )
        self._draws = [np.zeros(shape, dtype) for _, shape in code.draws]
        self._full = problem.batches.full

    @property
    def _inputs(self) -> list[np.ndarray]:
        return [self._row, self.theta, self._t, *self._batch, *self._draws]

    def initial(self) -> np.ndarray:
        """The first state vector, (N,)."""
        return np.array(evaluate(self.start.program, self.hyper.values)[0], self.code.layout.dtype)

    def _prepare(self, t: int) -> None:
        """Load the row, batch and draws of step t into the input buffers."""
        if self._row.size:
            self._row[...] = self.rows[t]
        self._t[...] = t
        if not self._full:
            index = self.problem.batches.at(self.seed, t)
            for leaf, buffer in zip(self._data, self._batch, strict=True):
                leaf.take(index, 0, buffer, "clip")
        if self._draws:
            rng = generator(self.seed, "draws", t)
            for (method, shape), buffer in zip(self.code.draws, self._draws, strict=True):
                buffer[...] = getattr(rng, method)(shape, _drawn(buffer.dtype))

    def forward(self, state: np.ndarray, start: int, stop: int, keep: np.ndarray | None = None,
                losses: np.ndarray | None = None) -> np.ndarray:  # fmt: skip
        """The state after steps start..stop-1.

        Args:
            state: s_start, (N,); not changed.
            keep: (stop - start, N) array that receives s_start..s_{stop-1}.
            losses: (T,) array that receives the inner loss of each step.
        """
        executable = self.code.forward
        here, there = state.copy(), np.empty_like(state)
        loss = np.zeros((), state.dtype)
        scratch = executable.scratch()
        odd = executable.bind([here, *self._inputs], [there, loss], scratch)
        even = executable.bind([there, *self._inputs], [here, loss], scratch)
        with np.errstate(all="ignore"):
            for t in range(start, stop):
                self._prepare(t)
                if keep is not None:
                    keep[t - start] = here if (t - start) % 2 == 0 else there
                self.evaluations["forward"] += 1
                try:
                    (odd if (t - start) % 2 == 0 else even)()
                except np.linalg.LinAlgError:  # a singular matrix: training has diverged
                    return np.full_like(state, np.nan)
                if losses is not None:
                    losses[t] = loss
        return here if (stop - start) % 2 == 0 else there

    def outer(self, state: np.ndarray) -> tuple[float, np.ndarray, list[np.ndarray]]:
        """Outer loss of a final state, its cotangent, and those of the float hyperparameters that it reads itself."""
        inputs = [state, *self._cast(), *self._valid]
        with np.errstate(all="ignore"):
            try:
                value, ct_state, *ct_hypers = self.code.outer_executable(*inputs)
            except np.linalg.LinAlgError:
                return float("nan"), np.full_like(state, np.nan), [v * np.nan for v in self._cast()]
        return float(value), ct_state, ct_hypers

    def outer_value(self, state: np.ndarray) -> float:
        """Outer loss of a final state."""
        with np.errstate(all="ignore"):
            try:
                return float(self.code.outer_value(state, *self._cast(), *self._valid)[0])
            except np.linalg.LinAlgError:
                return float("nan")

    def _cast(self) -> list[np.ndarray]:
        return [value.astype(self.code.layout.dtype) for value in self.hyper.values]

    def adjoint(self) -> Adjoint:
        """The backward run of this trajectory."""
        return Adjoint(self)

    def params(self, state: np.ndarray) -> Any:
        """What training returns: the parameters of a state vector, as arrays of their own."""
        return self.problem.params(state.copy(), self.code.start_layout)


class Adjoint:
    """Cotangents carried backwards: s̄ of the state, r̄ of each row of rates, θ̄ summed over steps."""

    def __init__(self, trajectory: Trajectory) -> None:
        self._of = trajectory
        code, dtype = trajectory.code, trajectory.code.layout.dtype
        self.rows = np.zeros_like(trajectory.rows)
        self.theta = np.zeros_like(trajectory.theta)
        self._theta_step = np.zeros_like(trajectory.theta)
        self._row_step = np.zeros(code.row_layout.size, dtype)
        self._state = np.zeros(code.layout.size, dtype)
        self._here, self._there = np.zeros(code.layout.size, dtype), np.zeros(code.layout.size, dtype)
        executable = code.backward
        scratch = executable.scratch()
        inputs = [self._state, *trajectory._inputs]
        cts = [self._row_step, self._theta_step]
        self._odd = executable.bind([*inputs, self._here], [self._there, *cts], scratch)
        self._even = executable.bind([*inputs, self._there], [self._here, *cts], scratch)
        self._parity = True

    @property
    def state(self) -> np.ndarray:
        """The current s̄, (N,)."""
        return self._here if self._parity else self._there

    def seed(self, ct_state: np.ndarray) -> None:
        """Set s̄_T."""
        self.state[...] = ct_state

    def step(self, t: int, state: np.ndarray) -> None:
        """From s̄_{t+1} to s̄_t, given s_t."""
        self._of._prepare(t)
        self._state[...] = state
        with np.errstate(all="ignore"):
            (self._odd if self._parity else self._even)()
        self._parity = not self._parity
        if self._row_step.size:
            self.rows[t] = self._row_step
        if self._theta_step.size:
            np.add(self.theta, self._theta_step, self.theta)
        self._of.evaluations["backward"] += 1

    def hyper(self, ct_outer: list[np.ndarray]) -> list[np.ndarray]:
        """Total cotangent of each float hyperparameter: through outer loss, steps, rates and first state."""
        of, code = self._of, self._of.code
        values = of.hyper.values
        total = [np.array(ct, dtype=float) for ct in ct_outer]
        pieces = iter(code.theta.leaves(self.theta))
        for i, used in enumerate(code.reads_step):
            if used:
                total[i] = total[i] + next(pieces)
        with np.errstate(all="ignore"):
            if any(code.reads_rows):
                for i, ct in enumerate(evaluate(code.rows_vjp, [*values, self.rows])[1:]):
                    total[i] = total[i] + ct
            if any(of.start.reads):
                for i, ct in enumerate(evaluate(of.start.vjp, [*values, self.state])[1:]):
                    total[i] = total[i] + ct
        return [ct.astype(value.dtype) for ct, value in zip(total, values, strict=True)]


def _drawn(dtype: np.dtype) -> Any:
    """The dtype that NumPy's generators draw in for a state of the given dtype."""
    return np.float32 if dtype == np.float32 else np.float64
