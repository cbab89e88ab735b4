"""Tangents carried forward through training (Franceschi et al. 2017, algorithm 2).

ds_{t+1} = ∂Φ/∂s ds_t + ∂Φ/∂r dr_t + ∂Φ/∂θ dθ.

Notation: H directions, each a unit vector of one entry of one float hyperparameter; ds_t (H, N). Nothing is kept from
step to step but ds_t.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hypergrad.ad.forward import evaluate
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["Directions", "Tangents"]

Directions = Sequence[tuple[int, int]]  # (number of the float hyperparameter, entry of its flattened array)


class Tangents:
    """The state and its tangents along some directions.

    Args:
        curve: as in `Runner`.

    Attributes:
        state: s_t, (N,).
        tangent: ds_t, (H, N).
    """

    def __init__(
        self, trajectory: Trajectory, directions: Directions, curve: np.ndarray | None = None
    ) -> None:
        self._of = of = trajectory
        code, count = of.code, len(directions)
        units = [np.zeros((count, *value.shape), value.dtype) for value in of.values]
        for row, (leaf, entry) in enumerate(directions):
            units[leaf].reshape(count, -1)[row, entry] = 1.0
        dtype = code.layout.dtype
        self._rows, self._fixed = code.outside_jvp(count)(*of.values, *units)
        self._row = np.zeros((count, code.row_layout.size), dtype)
        size = code.layout.size
        self._states = of.initial(), np.empty(size, dtype)
        self._tangents = np.zeros((count, size), dtype), np.empty((count, size), dtype)
        if any(of.start.reads):
            for row in range(count):
                found = evaluate(of.start.jvp, [*of.values, *(unit[row] for unit in units)])
                self._tangents[0][row] = found[1]
        self._curve = curve
        self._wanted = np.zeros(of.limit, bool) if curve is None else ~np.isnan(curve)
        self._loss = np.zeros((), dtype)
        self._runs: dict[tuple[int, bool], Callable[[], None]] = {}
        self._here = 0

    @property
    def state(self) -> np.ndarray:
        return self._states[self._here]

    @property
    def tangent(self) -> np.ndarray:
        return self._tangents[self._here]

    def _run(self, with_loss: bool) -> Callable[[], None]:
        here, of = self._here, self._of
        found = self._runs.get((here, with_loss))
        if found is None:
            more = [self._loss] if with_loss else []
            found = self._runs[here, with_loss] = of.code.jvp(len(self._row), with_loss).bind(
                [self._states[here], *of.inputs, self._tangents[here], self._row, self._fixed],
                [self._states[1 - here], *more, self._tangents[1 - here]],
            )
        return found

    def step(self, t: int) -> bool:
        """From t to t + 1; False where a singular matrix ends training, with everything nan from there on."""
        self._of.prepare(t)
        if self._row.size:
            self._row[...] = self._rows[:, t]
        self._of.evaluations["backward"] += 1
        try:
            self._run(bool(self._wanted[t]))()
        except np.linalg.LinAlgError:
            self._of.failed = t
            self.state[...] = np.nan
            self.tangent[...] = np.nan
            return False
        self._here = 1 - self._here
        if self._wanted[t]:
            self._curve[t] = self._loss  # type: ignore[index]
        return True
