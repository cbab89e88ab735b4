"""The condition that a trained state fulfils, and its derivatives at that state.

Notation: x the trained state (n,): the parameters w of a `BilevelProblem` (without the optimiser's slots), or the whole
state of an `UnrolledProblem`; h the float hyperparameters; D all training rows; R the condition R(x, h) = 0:

- "gradient": R = ∇_w inner_loss(w, h, D), the mean over all rows, whatever batches training saw, plus weight_decay w
  where the optimiser adds that to the gradient; R_x is symmetric;
- "fixed point": R = x − Φ(x, h), Φ the problem's own step at t = T − 1, or, for proximal optimisers, one proximal
  gradient step of w on all rows, of the length of the longest that training took.

Where Φ cuts an entry to a constant (a zero of soft thresholding), that row of Φ_x vanishes and the entry drops out of
every linear system: they are solved on the support alone (Bertrand et al. 2020).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from hypergrad.ad.api import grad
from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.forward import jvp_program
from hypergrad.ad.optimize import optimize
from hypergrad.ad.partition import cut
from hypergrad.ad.primitives.linear import broadcast_to, convert, stop_gradient
from hypergrad.ad.program import ArrayType, Program
from hypergrad.ad.reverse import linearize, vjp_program
from hypergrad.ad.trace import Builder, user_code
from hypergrad.errors import DerivativeError
from hypergrad.optim.base import Optimizer, decayed, is_off
from hypergrad.optim.proximal import Proximal
from hypergrad.optim.reader import Schedule
from hypergrad.tree import Structure
from hypergrad.unroll.batches import leaves_of
from hypergrad.unroll.draws import TracedGenerator
from hypergrad.unroll.problem import BilevelProblem
from hypergrad.unroll.rates import rate_now
from hypergrad.unroll.start import reads
from hypergrad.unroll.step import Compiled
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["Linear", "Point", "Stationarity", "distance", "stationarity"]


class Half:
    """A Program cut before its last inputs: what does not need them runs once, the rest once for each of them.

    Inputs are not kept, nor what is a view of them.

    Args:
        program: (inputs, later inputs) -> (value, later outputs).
        late: how many of the inputs come later.
    """

    def __init__(self, program: Program, late: int) -> None:
        parts = cut(optimize(program), late, 1)
        self.early, self.late = Executable(parts.early), Executable(parts.late)


class Linear:
    """A Program linearised in some of its inputs.

    Args:
        program: whose first output is differentiated.
        wrt: for each input, whether it moves.
    """

    def __init__(self, program: Program, wrt: Sequence[bool]) -> None:
        self._one = Program(program.inputs, program.equations, program.outputs[:1], program.name)
        self._wrt = list(wrt)
        lin = linearize(self._one, wrt)
        self.types = [var.type for var, w in zip(program.inputs, wrt, strict=True) if w]
        self.moving = lin.moving[0]
        linear = optimize(lin.linear)
        self.reads = reads(linear, linear.inputs[lin.residuals :])

    @cached_property
    def forward(self) -> Half:
        """(inputs, tangents) -> (value, its tangent)."""
        return Half(jvp_program(self._one, self._wrt), sum(self._wrt))

    @cached_property
    def backward(self) -> Half:
        """(inputs, cotangent of the value) -> (value, cotangents)."""
        return Half(vjp_program(self._one, self._wrt), 1)


class Stationarity:
    """The condition of one problem and signature, as Programs.

    Attributes:
        kind: "gradient" or "fixed point".
        size: n.
        reads: for each float hyperparameter, whether R depends on it differentiably.

    Raises:
        DerivativeError: the step is no fixed map (random draws, or minibatches in an `UnrolledProblem`), or the
            optimiser decays weights otherwise than through the gradient.
    """

    def __init__(self, code: Compiled) -> None:
        problem = code.problem
        self.dtype = code.layout.dtype
        bilevel = isinstance(problem, BilevelProblem)
        self.proximal = bilevel and isinstance(problem.optimizer, Proximal)
        self.kind = "gradient" if bilevel and not self.proximal else "fixed point"
        self.size = code.start_layout.size if bilevel else code.layout.size
        if not bilevel and not problem.batches.full:
            raise DerivativeError(
                "Implicit() needs a step that is the same map each time, but this one sees another batch each time; "
                "leave batch_size and batches out, or use hg.Reverse()"
            )
        self.decays = bilevel and _decays(problem.optimizer)
        self.data, structure = leaves_of(problem.train, self.dtype)
        program = self._trace(code, problem, structure)
        count = len(code.hyper.types)
        first = [i == 0 for i in range(len(program.inputs))]
        self.in_state = Linear(program, first)
        self.in_hypers = Linear(program, [3 <= i < 3 + count for i in range(len(first))])
        self.reads = list(self.in_hypers.reads)
        self.value = Executable(program)

    def _trace(self, code: Compiled, problem: Any, structure: Structure) -> Program:
        """(x, row of rates, t, float hyperparameters, data) -> (∇ or Φ, step size)."""
        start, dtype = code.start_layout, self.dtype
        with Builder("stationarity") as builder, user_code("the inner problem"):
            x = builder.input(ArrayType((self.size,), dtype))
            row = builder.input(ArrayType((code.row_layout.size,), dtype))
            t = builder.input(ArrayType((), np.dtype(np.int64)))
            floats = [builder.input(ArrayType(type.shape, dtype)) for type in code.hyper.types]
            leaves = [builder.input(ArrayType(leaf.shape, leaf.dtype)) for leaf in self.data]
            data = structure.unflatten(leaves) if leaves else problem.train
            hparams = code.hyper.tree(floats)
            rng = TracedGenerator(builder, dtype)
            step: Any = np.ones((), dtype)
            if isinstance(problem, BilevelProblem):
                found: Any = grad(lambda w: problem._call(rng, start.tree(w), hparams, data))(x)
                optimizer = problem.optimizer
                rates = code.row_layout.tree(row) if code.row_layout.shapes else {}
                if self.decays:
                    found = decayed(found, x, rate_now(optimizer, hparams, rates, start)["weight_decay"])
                if isinstance(optimizer, Proximal):
                    now = rate_now(optimizer, hparams, rates, start) | optimizer.bound(hparams, start)
                    now |= problem.curvature(x, start, hparams, rng)
                    step = stop_gradient(optimizer.step(now))
                    step = np.where(step > 0.0, step, 1.0)  # any length has the same fixed points
                    found = optimizer.penalty.prox(x - step * found, step, now["penalty"])
            else:
                found = problem.advance(x, start, hparams, {}, data, t, rng)[0]
            if rng.draws:
                what = "inner_loss" if isinstance(problem, BilevelProblem) else "step"
                raise DerivativeError(
                    f"Implicit() needs a stationary point, and there is none while {what} draws random numbers; "
                    "use hg.Reverse(), or fix the draws as data"
                )
            same = [convert(broadcast_to(part, (self.size,)), dtype) for part in (found, step)]
            return optimize(builder.program(same))


def _decays(optimizer: Optimizer) -> bool:
    """Whether training descends inner_loss plus weight_decay/2 |w|².

    Raises:
        DerivativeError: the decay is another one.
    """
    rate, name = optimizer.rates().get("weight_decay", 0.0), type(optimizer).__name__
    if is_off(rate):
        return False
    if not optimizer.coupled:
        raise DerivativeError(
            f"{name}(weight_decay=...) pulls training away from where the gradient of inner_loss vanishes, which "
            "Implicit() differentiates; write the penalty into inner_loss, or use hg.Reverse()"
        )
    if isinstance(rate, Schedule):
        raise DerivativeError(
            f"{name}(weight_decay={rate!r}) changes from step to step, and so does the point that training tends to; "
            "give a number or a key of hparams, or use hg.Reverse()"
        )
    return True


_KNOWN: weakref.WeakKeyDictionary[Compiled, Stationarity] = weakref.WeakKeyDictionary()


def stationarity(trajectory: Trajectory) -> Stationarity:
    """The condition of a trajectory's problem, traced once a signature."""
    found = _KNOWN.get(trajectory.code)
    if found is None:
        found = _KNOWN[trajectory.code] = Stationarity(trajectory.code)
    return found


class Point:
    """R and its derivatives at one state.

    Attributes:
        residual: R, (n,).
        norm: ‖R‖; for proximal optimisers ‖R / lr‖, which is the gradient's norm where nothing is cut.
        bytes: what is kept for the products.
    """

    def __init__(self, condition: Stationarity, trajectory: Trajectory, x: np.ndarray) -> None:
        self._of, self._trajectory = condition, trajectory
        dtype = condition.dtype
        row = trajectory.rows.max(axis=0)  # of which only the lr of a proximal optimiser is read
        self._inputs = [
            np.ascontiguousarray(x, dtype),
            np.ascontiguousarray(row, dtype),
            np.array(trajectory.steps - 1, np.int64),
            *(value.astype(dtype) for value in trajectory.values),
            *condition.data,
        ]
        self._kept: dict[Half, list[np.ndarray]] = {}
        found, step = self._run(condition.value, *self._inputs)
        self.fixed = condition.kind == "fixed point"
        self.residual = (x - found if self.fixed else found).astype(float)
        self.norm = float(np.linalg.norm(self.residual / step if self.fixed else self.residual))
        self.products = 0

    def _run(self, executable: Executable, *inputs: np.ndarray) -> list[np.ndarray]:
        with np.errstate(all="ignore"):
            try:
                return executable(*inputs)
            except np.linalg.LinAlgError:  # a singular matrix inside the user's function
                return [np.full(a.type.shape, np.nan, a.type.dtype) for a in executable.program.outputs]

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for kept in self._kept.values() for array in kept)

    def _product(self, which: str, v: np.ndarray) -> np.ndarray:
        """Φ_x v or Φ_xᵀ v (or those of the gradient)."""
        part = self._of.in_state
        if not part.moving:
            return np.zeros(v.shape)
        self.products += 1
        self._trajectory.evaluations["backward"] += 1
        return self._later(getattr(part, which), v)[0].astype(float)

    def _later(self, half: Half, v: np.ndarray) -> list[np.ndarray]:
        kept = self._kept.get(half)
        if kept is None:
            kept = self._kept[half] = self._run(half.early, *self._inputs)
        return self._run(half.late, *self._inputs, *kept, np.ascontiguousarray(v, self._of.dtype))

    def forward(self, v: np.ndarray) -> np.ndarray:
        """R_x v."""
        moved = self._product("forward", v)
        return v - moved if self.fixed else moved

    def backward(self, v: np.ndarray) -> np.ndarray:
        """R_xᵀ v."""
        if not self.fixed:  # R_x is symmetric, and forward over reverse is the cheaper product
            return self._product("forward", v)
        return v - self._product("backward", v)

    def hypers(self, q: np.ndarray) -> list[np.ndarray]:
        """−R_hᵀ q for each float hyperparameter: Φ_hᵀ q, or −(∇_h ∇_w L)ᵀ q."""
        part = self._of.in_hypers
        if not part.moving:
            return [np.zeros(type.shape) for type in part.types]
        sign = 1.0 if self.fixed else -1.0
        self._trajectory.evaluations["backward"] += 1
        return [sign * ct.astype(float) for ct in self._later(part.backward, q)]

    @cached_property
    def support(self) -> np.ndarray:
        """Entries whose row of Φ_x is not zero, (n,) of bool; all for a gradient.

        A row that is zero sends every vector to exactly 0; any other sends a random one elsewhere.
        """
        if not self.fixed:
            return np.ones(self.residual.size, bool)
        probe = np.random.default_rng(0).standard_normal(self.residual.size)
        return self._product("forward", probe) != 0.0

    @cached_property
    def symmetric(self) -> bool:
        """Whether R_x is symmetric on the support, to 1e-6 for float32 states and 1e-10 for float64, by a probe."""
        if not self.fixed:
            return True
        rng, on = np.random.default_rng(1), self.support
        u, v = (np.where(on, rng.standard_normal(on.size), 0.0) for _ in range(2))
        left, right = float(u @ self.forward(v)), float(v @ self.forward(u))
        scale = float(np.linalg.norm(u) * np.linalg.norm(v)) or 1.0
        tolerance = 1e-10 if self._of.dtype == np.float64 else 1e-6
        return abs(left - right) <= tolerance * scale

    def restricted(self, product: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        """`product` on the support: (k,) -> (k,)."""
        on, whole = self.support, np.zeros(self.residual.size)

        def run(v: np.ndarray) -> np.ndarray:
            whole[on] = v
            return product(whole)[on]

        return run


def distance(trajectory: Trajectory, state: np.ndarray) -> float:
    """‖R‖ at a state of the trajectory."""
    condition = stationarity(trajectory)
    return Point(condition, trajectory, np.asarray(state[: condition.size], float)).norm
