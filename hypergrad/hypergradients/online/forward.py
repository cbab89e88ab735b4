"""Real-time hyperparameter optimisation: forward mode, and updates while training runs.

Notation
--------
s_t, a_t    state (N,), adapted hyperparameters (m,) used by step t; Φ the step, E the outer loss
A_t, B_t    ∂Φ/∂s, ∂Φ/∂a at (s_t, a_t);  Z_t = ds_t/da (N, m), Z_0 = ∂s_0/∂a
μ           memory

s_{t+1} = Φ(s_t, a_t),  Z_{t+1} = μ A_t Z_t + B_t;  after every Δ steps
G = Z_{t+1}ᵀ ∂E/∂s (s_{t+1}, a_t) + ∂E/∂a,  a_{t+1} = update(a_t, G).
μ = 1 is RTHO (Franceschi, Donini, Frasconi & Pontil 2017, algorithm 2); 0 < μ < 1 forgets what early steps did at
hyperparameters long gone (Donini et al. 2020, MARTHE); μ = 0 looks one step back, as hypergradient descent does, but
at the outer loss. With Δ = T and μ = 1, G is the hypergradient of the whole run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.forward import push
from hypergrad.ad.optimize import optimize
from hypergrad.ad.primitives.linear import stop_gradient
from hypergrad.ad.program import ArrayType
from hypergrad.ad.reverse import linearize
from hypergrad.ad.trace import Builder, type_of, user_code
from hypergrad.errors import DerivativeError
from hypergrad.hypergradients.online.base import Adapted, Bounds, Online, Pushed, Run, made, rows_at
from hypergrad.hypergradients.online.descent import F64, check_levels, updated
from hypergrad.optim import Adam, Optimizer
from hypergrad.unroll.draws import TracedGenerator

__all__ = ["RealTimeForward"]


@dataclass(frozen=True)
class RealTimeForward(Online):
    """Forward-mode hypergradients of the outer loss, used while training runs.

    A step costs itself and one linear step, a bit more than a step, for each adapted entry; memory is (m, N) numbers,
    whatever T.

    Attributes:
        optimizer: of hg.optim, moves the hyperparameters; its rates are numbers.
        period: Δ, steps between updates, 1 or more.
        memory: μ in [0, 1].
        log: update log a instead of a, with G times a: positive hyperparameters stay positive.
        bounds: (low, high) of adapted hyperparameters, or a dict of pairs by name; None: none. An update that leaves
            them is put back.

    By default all float hyperparameters that a training step reads are adapted.

    stats: hypergradient, G of the last update, and updates, how many there were.
    """

    optimizer: Optimizer = field(default_factory=lambda: Adam(1e-3))
    period: int = 1
    memory: float = 1.0
    log: bool = False
    bounds: Bounds = None

    def __post_init__(self) -> None:
        check_levels((self.optimizer,), "RealTimeForward")
        if isinstance(self.period, bool) or not isinstance(self.period, int) or self.period < 1:
            raise DerivativeError(f"RealTimeForward takes a period of 1 step or more, got {self.period!r}")
        if (
            isinstance(self.memory, bool)
            or not isinstance(self.memory, int | float)
            or not 0.0 <= self.memory <= 1.0
        ):
            raise DerivativeError(f"RealTimeForward takes a memory from 0 to 1, got {self.memory!r}")

    def run(self, adapted: Adapted) -> Run:
        run = Run(adapted)
        if self.log and (adapted.first <= 0).any():
            name = adapted.name_of(int(np.argmax(adapted.first <= 0)))
            raise DerivativeError(
                f"hparams[{name!r}] is not positive, so that it has no logarithm; leave out log=True"
            )
        step = made(adapted, "forward", lambda: _Step(adapted)).bind(adapted, run)
        a = run.last = adapted.first.copy()
        slots = tuple(np.zeros_like(a) for _ in self.optimizer.slots)
        lr = self.optimizer.rates()["lr"]
        updates, slope = 0, np.full_like(a, np.nan)
        for t in range(run.steps):
            run.trace[t] = a
            run.curve[t] = step.advance(t, a, self.memory)
            if run.ended(adapted, step.state, a, t + 1):
                break
            if (t + 1) % self.period:
                continue
            updates += 1
            slope = step.hypergradient(a)
            count = np.full(1, float(updates))
            if self.log:
                before = np.log(a)
                after, slots = updated(self.optimizer, before, a * slope, slots, lr, count)
                free = a * np.exp(after - before)
            else:
                free, slots = updated(self.optimizer, a, slope, slots, lr, count)
            a = np.clip(free, adapted.low, adapted.high)
            run.projected += bool((a != free).any())
        run.state, run.last = step.state, a
        run.stats = {"hypergradient": slope.tolist() if updates else [], "updates": updates}
        return run


class _Step:
    """The step, and its linear part, compiled."""

    def __init__(self, adapted: Adapted) -> None:
        of, code = adapted.of, adapted.of.code
        problem, dtype = of.problem, code.layout.dtype
        with Builder("step") as builder, user_code("the step"):
            vector = builder.input(ArrayType((code.layout.size,), dtype))
            a = builder.input(ArrayType((adapted.layout.size,), F64))
            fixed = [builder.input(type_of(value)) for value in adapted.fixed()]
            row = builder.input(ArrayType((code.row_layout.size,), dtype))
            t = builder.input(ArrayType((), np.dtype(np.int64)))
            leaves = [builder.input(type_of(buffer)) for buffer in of.inputs[3 : 3 + len(code.train)]]
            batch = code._train_tree.unflatten(leaves) if leaves else problem.train
            hparams = adapted.hparams(a, fixed)
            rates = rows_at(adapted, hparams, row, t)
            rng = TracedGenerator(builder, dtype)
            state, loss = problem.advance(vector, code.start_layout, hparams, rates, batch, t, rng)
            value = np.full((), np.nan, dtype) if loss is None else stop_gradient(loss)
            program = optimize(builder.program([state, np.reshape(value, ()).astype(dtype)]))
        parts = linearize(program, [i < 2 for i in range(len(program.inputs))])
        self.residuals = [atom.type for atom in parts.primal.outputs[2:]]
        self.primal = Executable(optimize(parts.primal), closed=True)
        self.linear = Pushed(parts.linear, 2, adapted.layout.size)

    def bind(self, adapted: Adapted, run: Run) -> _Bound:
        """The step of one run."""
        return _Bound(self, adapted, run.state)


class _Bound:
    """The step with buffers: s, Z, and one step after the other.

    Attributes:
        state: s_t, (N,).
    """

    def __init__(self, step: _Step, adapted: Adapted, first: np.ndarray) -> None:
        of, dtype = adapted.of, first.dtype
        self._adapted, self._of = adapted, of
        self._a = adapted.first.copy()
        self._states = first.copy(), np.empty_like(first)
        self._z = _first_tangents(adapted), np.zeros((len(self._a), first.size), dtype)
        self._number, self._loss = np.zeros((), np.int64), np.zeros((), dtype)
        residuals = [np.zeros(type.shape, type.dtype) for type in step.residuals]
        given = [self._a, *adapted.fixed(), of.inputs[0], self._number, *of.inputs[3:]]
        scratch = step.primal.scratch()
        self._runs = [
            step.primal.bind(
                [self._states[i], *given], [self._states[1 - i], self._loss, *residuals], scratch
            )
            for i in (0, 1)
        ]
        scratch = step.linear.scratch()
        unit = np.eye(len(self._a))
        self._push = [
            step.linear.bind(residuals, [self._z[i], unit], self._z[1 - i], scratch) for i in (0, 1)
        ]
        self._here = 0

    @property
    def state(self) -> np.ndarray:
        return self._states[self._here]

    def advance(self, t: int, a: np.ndarray, memory: float) -> float:
        """Step t at the hyperparameters a; returns its inner loss."""
        self._of.prepare(t)
        self._number[...] = t
        self._a[...] = a
        here = self._here
        try:
            self._runs[here]()
            if memory != 1.0:
                self._z[here][...] *= memory
            self._push[here]()
        except np.linalg.LinAlgError:  # a singular matrix: training has diverged
            self._states[1 - here][...] = np.nan
        self._here = 1 - here
        self._of.evaluations["forward"] += 1
        return float(self._loss)

    def hypergradient(self, a: np.ndarray) -> np.ndarray:
        """Zᵀ ∂E/∂s + ∂E/∂a, (m,)."""
        code, adapted = self._of.code, self._adapted
        dtype = code.layout.dtype
        values = [v.astype(dtype) for v in adapted.values(a)]
        try:
            _, ct_state, *direct = code.outer_executable(self.state, *values, *code.valid)
        except np.linalg.LinAlgError:
            return np.full(a.shape, np.nan)
        own = [np.ravel(ct) for ct, w in zip(direct, adapted.floats, strict=True) if w]
        return np.concatenate(own).astype(np.float64) + self._z[self._here] @ ct_state


def _first_tangents(adapted: Adapted) -> np.ndarray:
    """∂s_0/∂a, one row an entry of a: (m, N)."""
    of, layout = adapted.of, adapted.layout
    dtype = of.code.layout.dtype
    z = np.zeros((layout.size, of.code.layout.size), dtype)
    if not any(r and w for r, w in zip(of.start.reads, adapted.floats, strict=True)):
        return z
    for j, unit in enumerate(np.eye(layout.size)):
        parts: Any = iter(np.split(unit, np.cumsum(layout.sizes)[:-1]))
        tangents = [
            next(parts).reshape(v.shape).astype(v.dtype) if w else None
            for v, w in zip(of.values, adapted.floats, strict=True)
        ]
        _, (found,) = push(of.start.program, of.values, tangents)
        z[j] = 0.0 if found is None else found
    return z
