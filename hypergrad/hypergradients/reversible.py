"""Reverse mode that runs training backwards instead of keeping it (Maclaurin, Duvenaud & Adams 2015, algorithm 2).

Notation: s_t = (w_t, m_t) in the integers of `hypergrad.optim.exact`, g_t the inner gradient at w_t, s̄_t a cotangent.

    t = 0..T-1:   g_t at w_t;  s_{t+1} = step(s_t, g_t), the bits that leave going to a store
    t = T-1..0:   w_t from s_{t+1};  g_t at w_t again, with the same bits;  m_t;  s̄_t = (∂Φ/∂s)ᵀ s̄_{t+1} at s_t

Cost: T training steps, T gradients and T vjps; memory: log2(1/γ) bits a parameter and step. Parameters and momentum are
multiples of 2^-f, so that values and hypergradients differ from those of `Reverse` by the rounding to 2^-f, as long as
training itself does not magnify it; the start is regained bit for bit, which is checked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from hypergrad.ad.cost import nominal_seconds
from hypergrad.ad.program import ArrayType, Program, Var
from hypergrad.errors import DerivativeError, RangeError
from hypergrad.hypergradients.base import HypergradientResult, Method, conclude
from hypergrad.hypergradients.plan import Plan
from hypergrad.hypergradients.trust import adjoint_growth
from hypergrad.optim.exact import DECAYS, Exact, MomentumForm, OutOfRange, planned_bytes, units
from hypergrad.unroll.problem import BilevelProblem
from hypergrad.unroll.rates import rate_table
from hypergrad.unroll.reversal import Costs
from hypergrad.unroll.trajectory import Adjoint, Trajectory

__all__ = ["Reversible"]

_ROUNDING = 2e-5, 8e-9  # nominal seconds of the integers of a step, and of one parameter in them


@dataclass(frozen=True)
class Reversible(Method):
    """Reverse mode for `hg.optim.Momentum` and `hg.optim.Nesterov` that runs training backwards.

    Momentum keeps ⌊Σ_t log2 1/momentum_t⌋ bits a parameter: 0.152 a step at momentum 0.9, where two float32 vectors a
    step, parameters and momentum, are 64. A step of Nesterov contracts a direction of curvature h by a further factor
    |1 - lr h|; what that loses is stored too, so that the momentum alone bounds nothing, and its inverse is an
    iteration of up to `iterations` gradients: `hg.Reverse(memory=...)` is the faster way to little memory there.

    Attributes:
        fraction_bits: f, 8 to 60: numbers are kept to 2^-f; parameters and momentum must stay below 2^(62 - f),
            1024 by default.
        iterations: with Nesterov, at most so many gradients, at each step and again when it is undone, to solve
            w - lr g(w) = z for w. More of them store less, fewer are faster.

    Raises:
        DerivativeError: arguments out of their domain; when it runs: another optimizer, or a start that is not
            regained.
        RangeError: when it runs: a momentum outside [2^-32, 1], parameters or momentum beyond the range.
    """

    fraction_bits: int = 52
    iterations: int = 30

    def __post_init__(self) -> None:
        for name, low, high in (("fraction_bits", 8, 60), ("iterations", 0, 10_000)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
                raise DerivativeError(
                    f"Reversible({name}=...) takes an int from {low} to {high}, got {value!r}"
                )

    def __str__(self) -> str:
        changed = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"Reversible({', '.join(changed)})"

    def plan(self, trajectory: Trajectory, wrt: Sequence[bool]) -> Plan:
        form, sizes = _form(trajectory)
        steps, solves = trajectory.steps, 0 if form.direct is None else self.iterations
        _, halvings = units(form.decay)
        bits = float(halvings.mean(axis=0) @ sizes / sum(sizes))
        price, kept = Costs(trajectory), _slotless(trajectory.code.cut.early)
        again = price.late if kept else nominal_seconds(trajectory.code.backward.program)
        runs = 2 + 2 * solves
        seconds = (
            runs * ((price.kept if kept else price.plain) + _ROUNDING[0] + _ROUNDING[1] * sum(sizes)) + again
        )
        more = "" if form.direct is None else f", what up to {solves} iterations a step miss,"
        return Plan(
            str(self),
            f"runs training backwards; keeps {bits:.3g} bits a parameter and step{more} and the last state",
            steps,
            planned_bytes(halvings, sizes) + _fixed(trajectory, form),
            runs * steps,
            steps,
            seconds / price.plain,
        )

    def solve(self, trajectory: Trajectory, wrt: Sequence[bool], curve: int) -> HypergradientResult:
        began = time.perf_counter()
        losses = trajectory.curve(curve)
        form, sizes = _form(trajectory)
        state = trajectory.initial()
        count = state.size // 2
        run = self._train(trajectory, form, sizes, state[:count], losses)
        if run is None:
            state[...] = np.nan
            value, gradients, growth = float("nan"), None, None
            trained = time.perf_counter() - began
            used = held = 0
        else:
            exact = run.exact
            run.state(trajectory.steps, state)
            value, ct_state, ct_hypers = trajectory.outer(state)
            trained = time.perf_counter() - began
            used, held = exact.store.used, exact.store.nbytes
            gradients, growth = None, None
            if np.isfinite(value):
                adjoint = Adjoint(trajectory, state, ct_state, run.kept)
                here = np.empty_like(state)
                for t in range(trajectory.steps - 1, -1, -1):
                    run.t = t
                    exact.undo(t)
                    run.state(t, here)
                    adjoint.step(t, here, run.residuals)
                run.check_start(trajectory.initial()[:count])
                gradients = adjoint.hyper(ct_hypers)
                growth = adjoint_growth(adjoint.looks, trajectory.steps)
        return conclude(
            trajectory,
            wrt,
            value=value,
            gradients=gradients,
            state=state,
            losses=losses,
            stats={
                "method": str(self),
                "seconds": time.perf_counter() - began,
                "seconds_training": trained,
                "bytes": held + _fixed(trajectory, form),
                "bytes_store": held,
                "bits_per_parameter_step": 8 * used / max(count * trajectory.steps, 1),
                "fraction_bits": int(self.fraction_bits),
            },
            growth=growth,
        )

    def _train(
        self,
        trajectory: Trajectory,
        form: MomentumForm,
        sizes: list[int],
        first: np.ndarray,
        losses: np.ndarray,
    ) -> _Run | None:
        """The forward run; None where training diverges."""
        if not (np.isfinite(first).all() and np.isfinite(form.slope).all()):
            trajectory.failed = 0
            return None
        run = _Run(trajectory, losses)
        t = -1
        try:
            exact = run.exact = Exact(form, sizes, first, self.fraction_bits, run.gradient, self.iterations)
            state = np.empty_like(trajectory.initial()) if trajectory.stopper is not None else None
            for t in range(trajectory.steps):
                run.t = t
                if not exact.step(t):
                    trajectory.failed = t + 1
                    return None
                if state is not None and trajectory.stopper is not None:
                    run.state(t + 1, state)
                    if trajectory.stopper.ended(state, t + 1):
                        trajectory.steps = t + 1
                        break
        except OutOfRange as error:
            raise self._too_large(trajectory, error, t) from None
        except np.linalg.LinAlgError:  # a singular matrix: training has diverged
            trajectory.failed = max(t, 0)
            return None
        run.learn = False
        return run

    def _too_large(self, trajectory: Trajectory, error: OutOfRange, t: int) -> RangeError:
        layout = trajectory.code.start_layout
        leaf = int(np.searchsorted(np.cumsum(layout.sizes), error.index, side="right"))
        name = layout.structure.paths()[leaf]
        what = f"{'the momentum of ' if error.momentum else ''}params{f'[{name!r}]' if name else ''}"
        when = f"takes {what} to" if t >= 0 else f"starts {what} at"
        fits = 62 - int(np.ceil(np.log2(error.size))) - 4 if np.isfinite(error.size) else 0
        room = f"take hg.Reversible(fraction_bits={fits}), which holds less than {2.0 ** (62 - fits):g}, or "
        return RangeError(
            f"training {when} {error.size:.3g} at step {max(t, 0)}, and {self} holds numbers below "
            f"{2.0 ** (62 - self.fraction_bits):g} only; lower the learning rate, "
            f"{room if fits >= 24 else 'or '}use hg.Reverse()"
        )


class _Run:
    """The exact numbers of one run, and the inner gradient at them.

    Attributes:
        t: the step that is at hand.
        learn: whether inner losses are still to be noted.
        kept: the gradient leaves residuals for the vjp at the same w, whatever m is; else the vjp starts anew.
        residuals: of the latest gradient.
    """

    exact: Exact

    def __init__(self, trajectory: Trajectory, losses: np.ndarray) -> None:
        self._of, self._losses = trajectory, losses
        layout = trajectory.code.layout
        self._count = layout.size // 2
        self._in, self._out = np.zeros(layout.size, layout.dtype), np.empty(layout.size, layout.dtype)
        self._loss = np.zeros((), layout.dtype)
        self._wanted = (~np.isnan(losses)).tolist()
        self.kept = _slotless(trajectory.code.cut.early)
        self.residuals = [np.empty(type.shape, type.dtype) for type in _residuals(trajectory)]
        self._runs = {}
        for with_loss in {*self._wanted}:
            executable = trajectory.code.forward(self.kept, with_loss)
            outputs = [self._out, *([self._loss] if with_loss else [])]
            inputs = [self._in, *trajectory.inputs]
            self._runs[with_loss] = executable.bind(inputs, outputs, executable.scratch())
        self.t, self._loaded = 0, -1
        self.learn = True

    def gradient(self, w: np.ndarray) -> np.ndarray:
        """The inner gradient of step t, (n,), valid until the next call; the same bits whenever it is asked for.

        The step from (w, m = 0) has m' = decay 0 + g = g: see `MomentumForm`.
        """
        self.exact.params(w, self._in[: self._count])
        if self._loaded != self.t:
            self._of.prepare(self.t)
            self._loaded = self.t
        with_loss = self._wanted[self.t]
        self._of.evaluations["forward"] += 1
        self._runs[with_loss](*self.residuals)
        if with_loss and self.learn:
            self._losses[self.t] = self._loss
        return self._out[self._count :]

    def state(self, t: int, out: np.ndarray) -> None:
        """s_t in floats, of which the integers are now at step t."""
        self.exact.params(self.exact.w, out[: self._count])
        self.exact.momentum(t, out[self._count :])

    def check_start(self, first: np.ndarray) -> None:
        """Raise DerivativeError unless the first state is regained, bit for bit, and the store is empty."""
        exact = self.exact
        if exact.store.used or exact.v.any() or not np.array_equal(exact.w, exact.integers(first)):
            raise DerivativeError(
                "Reversible() ran training backwards and did not regain its start, so that an inner gradient must have "
                "had other bits the second time; run linear algebra with one thread (OPENBLAS_NUM_THREADS=1), or use "
                "hg.Reverse()"
            )


def _slotless(early: Program) -> bool:
    """Whether no residual of a step depends on the slots, the second half of the state."""
    state = early.inputs[0]
    tainted: set[Var] = set()
    for eq in early.equations:
        halves = eq.primitive.name == "split" and len(eq.outputs) == 2 and eq.inputs[0] is state
        if halves:
            tainted.add(eq.outputs[1])
        elif any(atom is state or atom in tainted for atom in eq.inputs if isinstance(atom, Var)):
            tainted.update(eq.outputs)
    return not any(atom is state or atom in tainted for atom in early.outputs[2:])


def _residuals(trajectory: Trajectory) -> list[ArrayType]:
    """Types of what one gradient leaves for the vjp."""
    cut = trajectory.code.cut
    return list(cut.residuals) if _slotless(cut.early) else []


def _fixed(trajectory: Trajectory, form: MomentumForm) -> int:
    """Bytes of work space: integers, residuals, rates, and what every reverse run has."""
    kept = sum(type.size * type.dtype.itemsize for type in _residuals(trajectory))
    return Costs(trajectory).fixed + kept + 4 * 8 * trajectory.code.start_layout.size + 6 * form.decay.nbytes


def _form(trajectory: Trajectory) -> tuple[MomentumForm, list[int]]:
    """The update rule of a problem, with rates (T, J), and the parameters of each of the J layers.

    Raises:
        DerivativeError: a problem or an optimiser that cannot be reversed.
        RangeError: a momentum outside its domain.
    """
    problem, code = trajectory.problem, trajectory.code
    if not isinstance(problem, BilevelProblem):
        raise DerivativeError(
            "Reversible() needs an hg.BilevelProblem with hg.optim.Momentum or hg.optim.Nesterov, "
            f"got an {type(problem).__name__}, whose step has no known inverse; use hg.Reverse()"
        )
    dtype = code.layout.dtype
    hparams = trajectory.hyper.tree([value.astype(dtype) for value in trajectory.values])
    columns = [trajectory.rows[:, i] for i in range(code.row_layout.size)]
    rows = code.row_layout.structure.unflatten(columns) if columns else {}
    table, sizes = rate_table(problem.optimizer, hparams, rows, trajectory.limit, code.start_layout)
    form = problem.optimizer.reversal(table)
    if form is None or len(problem.optimizer.slots) != 1:
        raise DerivativeError(
            "Reversible() undoes steps of hg.optim.Momentum and hg.optim.Nesterov, "
            f"not of {type(problem.optimizer).__name__}; use hg.Reverse()"
        )
    outside = ~((form.decay >= DECAYS[0]) & (form.decay <= DECAYS[1]))
    if outside.any():
        t = int(np.flatnonzero(outside.any(axis=1))[0])
        raise RangeError(
            "Reversible() undoes a step by dividing by the momentum, which must lie in [2^-32, 1], "
            f"but it is {form.decay[t][outside[t]][0]:g} at step {t}; use hg.Reverse()"
        )
    return form, sizes
