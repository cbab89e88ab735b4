"""Running the compiled step over stretches of training, between two state buffers that are bound once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["Runner"]


class Runner:
    """A state vector and the step that moves it.

    Args:
        keep: every stretch keeps residuals.
        curve: (T,) array, zero where the inner loss is wanted, else nan; receives those of the steps that run for
            the first time.
        pool: buffers that it may use while it runs, of the sizes `pool_sizes` of workspace; None: its own.
        buffers: those of another runner, whose state is lost when this one runs; None: its own.

    Attributes:
        buffers: the current state and the next.
    """

    def __init__(
        self,
        trajectory: Any,
        keep: bool = False,
        curve: np.ndarray | None = None,
        pool: Sequence[np.ndarray] | None = None,
        buffers: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self._of = trajectory
        code, layout = trajectory.code, trajectory.code.layout
        self.buffers = buffers or (np.empty(layout.size, layout.dtype), np.empty(layout.size, layout.dtype))
        self._here = 0
        self._keep = keep
        self._pool = pool
        self._curve = curve
        self._loss = np.zeros(code.step.outputs[1].type.shape, layout.dtype)
        self._wanted = (
            np.zeros(trajectory.limit, bool)
            if curve is None
            else ~np.isnan(curve).reshape(len(curve), -1)[:, 0]
        )
        self._code = code
        self._runs: dict[tuple[int, bool], Callable[..., None]] = {}
        self._scratch: dict[bool, list[np.ndarray]] = {}

    @property
    def state(self) -> np.ndarray:
        """The current state, (N,); the next step overwrites it."""
        return self.buffers[self._here]

    def load(self, state: np.ndarray) -> None:
        """Go on from (a copy of) `state`."""
        self.buffers[self._here][...] = state

    def _run(self, with_loss: bool) -> Callable[..., None]:
        key = (self._here, with_loss)
        found = self._runs.get(key)
        if found is None:
            executable = self._code.forward(self._keep, with_loss)
            scratch = self._scratch.setdefault(with_loss, executable.scratch(self._pool))
            more = [self._loss] if with_loss else []
            inputs = [self.buffers[self._here], *self._of.inputs]
            found = self._runs[key] = executable.bind(inputs, [self.buffers[1 - self._here], *more], scratch)
        return found

    def run(
        self,
        start: int,
        stop: int,
        states: np.ndarray | None = None,
        residuals: Sequence[np.ndarray] = (),
        ended: Callable[[np.ndarray, int], bool] | None = None,
    ) -> int:
        """Steps start..stop-1, or fewer.

        Args:
            states: (stop - start, N) array that receives s_start..s_{stop-1}.
            residuals: arrays of the types `Trajectory.kept`, filled for these steps.
            ended: called with s_{t+1} and t + 1 after each step; True stops there.

        Returns:
            the number of the first step that was not run; `stop` after a singular matrix, where the state is nan.
        """
        of, wanted = self._of, self._wanted
        if of.failed is not None:
            self.state[...] = np.nan
            return stop
        for t, with_loss in zip(range(start, stop), wanted[start:stop].tolist(), strict=True):
            of.prepare(t)
            if states is not None:
                states[t - start] = self.state
            of.evaluations["forward"] += 1
            try:
                self._run(with_loss)(*[residual[t - start, ...] for residual in residuals])
            except np.linalg.LinAlgError:  # a singular matrix: training has diverged
                of.failed = t
                self.state[...] = np.nan
                return stop
            self._here = 1 - self._here
            if with_loss:
                self._curve[t] = self._loss  # type: ignore[index]
                wanted[t] = False
            if ended is not None and ended(self.state, t + 1):
                return t + 1
        return stop
