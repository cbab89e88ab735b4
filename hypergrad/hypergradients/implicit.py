"""Implicit differentiation at a stationary point.

Notation: x the trained state, R(x, h) = 0 what it fulfils (`hypergrad.unroll.stationary`), E(x, h) the outer loss.
By the implicit function theorem dx/dh = −R_x⁻¹ R_h, so that

    dF/dh = E_h − R_hᵀ q,    R_xᵀ q = E_x.

For training by gradients R = ∇_w L: R_x = H is the Hessian of the inner loss, R_h the mixed derivative (Larsen et al.
1996; Bengio 2000; Pedregosa 2016). For any other iteration x' = Φ(x, h): R_x = I − Φ_x, R_h = −Φ_h (Christianson 1994).
Memory is that of one step, whatever T; the cost is a linear system, solved by products alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hypergrad.errors import DerivativeError, unknown_name
from hypergrad.hypergradients.base import HypergradientResult, Method, conclude, disconnected
from hypergrad.hypergradients.plan import Plan
from hypergrad.solvers import SOLVERS, Solution
from hypergrad.unroll.stationary import Point, Stationarity, stationarity
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["Implicit"]

_NEWTON = 1e-6  # tolerance of the Newton step, whose own error is of second order in the estimate
_EXPECTED = 50  # products of a Krylov solver in a plan, where the state is larger


@dataclass(frozen=True)
class Implicit(Method):
    """The derivative of the point that training arrives at, by the implicit function theorem.

    Exact at a stationary point, to the tolerance of the linear solver. A `BilevelProblem` is differentiated at a point
    where the gradient of its inner loss over ALL training rows vanishes, also when training saw minibatches, and with
    the weight_decay that its optimiser adds to the gradient (`AdamW` decays otherwise, and is refused); one with a
    proximal optimiser, and any `UnrolledProblem`, at a fixed point of the step, on its support alone.

    Learning rates, momentum, schedules and what only `init` reads decide how training arrives there, not where: they
    have no implicit derivative. Their leaves are None, ``stats["without_derivative"]`` names them, and naming one in
    `wrt` is an error. At a saddle or one of many minima the derivative is that of this branch of stationary points;
    where conjugate gradients find a saddle, a warning says so.

    Besides what every method reports, stats hold: solver, stationarity ("gradient" or "fixed point"),
    inner_gradient_norm (‖R‖: of the gradient, or of what one more step would change; over lr for proximal optimisers),
    residual (‖E_x − R_xᵀ q‖ / ‖E_x‖), converged, solver_products, support (entries that the linear system has),
    error (estimate of ‖hypergradient − exact‖), relative_error, without_derivative, note.

    The error is estimated (up to second order in R, where R_x is regular) by one Newton step x₁ = x − R_x⁻¹ R towards
    the exact stationary point, and the hypergradient there, with the linear solver going on from q:
    ‖dF/dh(x₁) − dF/dh(x)‖ / (1 − ρ), ρ the factor by which going on reduced the residual, where it was not yet small.
    It is an a-posteriori estimate of the two terms that Pedregosa (2016) and Ehrhardt & Roberts (2021)
    bound, inexact x and inexact q, and needs no Lipschitz constants.

    Attributes:
        solver: "cg" (R_x symmetric positive definite), "minres" (symmetric), "gmres" (any), "neumann" (truncated
            after `terms`, or run to the tolerance), "fixed_point" (q' = Φ_xᵀ q + E_x, the adjoint of the step itself;
            with a gradient the Neumann series to the tolerance), "dense" (n products, n² numbers);
            None: "cg" where R_x is symmetric ("minres" where that finds it indefinite), otherwise "gmres".
        tolerance: of the linear system, on its relative residual; not below 10 units of the state's roundoff.
        max_iterations: products of one linear solve; None: the solver's own limit.
        terms: of the Neumann series; None: to the tolerance.
        step: η of the Neumann series or fixed point; None: from the largest eigenvalue of R_x, or 1 for the latter at a
            fixed point.
        estimate: whether the error is estimated, which takes two more linear solves.
        accuracy: an estimated relative error above this is a warning.
        warm_start: a dict that the caller owns; the last q is read from it and kept there, for calls with
            hyperparameters that change little. None: every call starts at 0, so that its result depends on its
            arguments alone.

    Raises:
        UnknownNameError: no such solver.
        DerivativeError: arguments outside their domain.

    Source: Pedregosa (2016), sec. 2; Grazzi et al. (2020); Bertrand et al. (2020); Lorraine et al. (2020).
    """

    solver: str | None = None
    tolerance: float = 1e-12
    max_iterations: int | None = None
    terms: int | None = None
    step: float | None = None
    estimate: bool = True
    accuracy: float = 1e-3
    warm_start: dict[Any, np.ndarray] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.solver is not None and self.solver not in SOLVERS:
            raise unknown_name("solver", str(self.solver), SOLVERS)
        if self.terms is not None and self.solver != "neumann":
            raise DerivativeError('Implicit(terms=...) is of the Neumann series; write solver="neumann"')
        if self.step is not None and self.solver not in ("neumann", "fixed_point"):
            raise DerivativeError('Implicit(step=...) is of solver="neumann" and solver="fixed_point"')
        for name, least in (("max_iterations", 1), ("terms", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise DerivativeError(f"Implicit({name}=...) takes an int, {least} or more, got {value!r}")
        for name in ("tolerance", "step", "accuracy"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value > 0.0):
                raise DerivativeError(f"Implicit({name}=...) takes a positive number, got {value!r}")
        if self.warm_start is not None and not isinstance(self.warm_start, dict):
            raise DerivativeError(
                f"Implicit(warm_start=...) takes a dict to keep the last solution in, got {self.warm_start!r}"
            )

    def __str__(self) -> str:
        given = {"solver": self.solver, "max_iterations": self.max_iterations, "terms": self.terms}
        return f"Implicit({', '.join(f'{k}={v!r}' for k, v in given.items() if v is not None)})"

    def named(self, trajectory: Trajectory, asked: Sequence[bool]) -> None:
        """Raise DerivativeError where a hyperparameter that the caller named has no implicit derivative."""
        missing = set(_without(trajectory, stationarity(trajectory)))
        hits = [path for path, a in zip(trajectory.hyper.paths, asked, strict=True) if a and path in missing]
        if hits:
            raise DerivativeError(_sentence(hits))

    def plan(self, trajectory: Trajectory, wrt: Sequence[bool]) -> Plan:
        condition = stationarity(trajectory)
        limit = min(self.max_iterations or condition.size, condition.size)
        solve = {"dense": condition.size, "neumann": self.terms or limit}.get(
            self.solver or "", min(limit, _EXPECTED)
        )
        products = (3 if self.estimate else 1) * (solve + 2)
        state = condition.size * condition.dtype.itemsize
        kept = condition.size**2 * 8 if self.solver == "dense" else 20 * state
        name = "the inner gradient vanishes" if condition.kind == "gradient" else "the step changes nothing"
        return Plan(
            str(self),
            f"trains, then solves a linear system of {condition.size:,} unknowns where {name}, "
            f"in about {solve:,} products",
            trajectory.steps,
            kept,
            trajectory.steps,
            products,
            1.0 + 2.0 * products / trajectory.steps,
        )

    def solve(self, trajectory: Trajectory, wrt: Sequence[bool], curve: int) -> HypergradientResult:
        began = time.perf_counter()
        self.asked(trajectory, wrt)  # before training
        losses = trajectory.curve(curve)
        state = trajectory.train(losses)
        return self.finish(trajectory, wrt, state, trajectory.outer_value(state), losses, began)

    def asked(self, trajectory: Trajectory, wrt: Sequence[bool]) -> tuple[list[bool], list[str]]:
        """For each leaf whether its derivative is computed, and the names of those that have none.

        Raises:
            DerivativeError: only hyperparameters without an implicit derivative are asked for.
        """
        missing = _without(trajectory, stationarity(trajectory))
        asked = [w and path not in missing for w, path in zip(wrt, trajectory.hyper.paths, strict=True)]
        if any(wrt) and not any(asked):
            raise DerivativeError(_sentence(missing))
        return asked, missing

    def finish(
        self,
        trajectory: Trajectory,
        wrt: Sequence[bool],
        state: np.ndarray,
        value: float,
        losses: np.ndarray,
        began: float,
    ) -> HypergradientResult:
        """The result, given the trained state.

        Args:
            value: the outer loss there.
            losses: the curve, filled.
            began: when the run began, as `time.perf_counter` counts.
        """
        trained = time.perf_counter() - began
        asked, missing = self.asked(trajectory, wrt)
        run = _Run(self, stationarity(trajectory), trajectory, state, asked)
        stats = {
            "method": str(self),
            "seconds_training": trained,
            **run.stats(),
            "without_derivative": missing,
            "note": _sentence(missing) if missing else "",
        }
        stats["seconds"] = time.perf_counter() - began
        warnings = run.warnings() if np.isfinite(value) else ()
        gradients = [
            found.astype(leaf.dtype) for found, leaf in zip(run.found, trajectory.hyper.values, strict=True)
        ]
        return conclude(
            trajectory,
            asked,
            value=value,
            gradients=gradients if np.isfinite(value) else None,
            state=state,
            losses=losses,
            stats=stats,
            warnings=warnings,
        )


class _Run:
    """One hypergradient at one trained state, with the estimate of its error.

    Attributes:
        found: of each float hyperparameter.
        error, relative: the estimate, and over the norm of `found`; nan: not estimated, or the solver is stuck.
    """

    def __init__(
        self,
        method: Implicit,
        condition: Stationarity,
        trajectory: Trajectory,
        state: np.ndarray,
        asked: Sequence[bool],
    ) -> None:
        self.method, self.condition, self.trajectory, self.state = method, condition, trajectory, state
        self._asked = [a for a, f in zip(asked, trajectory.hyper.floats, strict=True) if f]
        self.tolerance = max(method.tolerance, 10.0 * float(np.finfo(condition.dtype).eps))
        x = np.asarray(state[: condition.size], float)
        self.point = Point(condition, trajectory, x)
        self.bytes = self.point.bytes
        self.solver = method.solver or ("cg" if self.point.symmetric else "gmres")
        key = (condition.size, condition.kind, trajectory.hyper.signature)
        warm = None if method.warm_start is None else method.warm_start.get(key)
        self.adjoint, self.solution, self.found = self._hypergradient(self.point, x, warm)
        eps = float(np.finfo(condition.dtype).eps)
        below = self.solution.smallest < -1e3 * eps * self.solution.largest
        self.saddle = method.solver is None and self.solver == "cg" and below
        if self.saddle:  # a stationary point, but no minimum
            self.solver = "minres"
            self.adjoint, self.solution, self.found = self._hypergradient(self.point, x, warm)
        if method.warm_start is not None and np.isfinite(self.adjoint).all():
            method.warm_start[key] = self.adjoint
        self.error = self.relative = float("nan")
        self.hindrance = ""
        if method.estimate:
            self._estimate(x)

    def _hypergradient(
        self, point: Point, x: np.ndarray, warm: np.ndarray | None
    ) -> tuple[np.ndarray, Solution, list[np.ndarray]]:
        """q, how its linear system was solved, and dF/dh = E_h − R_hᵀ q at x."""
        state = self.state.copy()
        state[: x.size] = x
        _, ct_state, ct_hypers = self.trajectory.outer(state)
        slope = np.asarray(ct_state[: x.size], float)
        q, solution = self._solve(point, point.backward, slope, warm, transposed=True)
        found = [np.asarray(e, float) + m for e, m in zip(ct_hypers, point.hypers(q), strict=True)]
        return q, solution, found

    def _solve(
        self, point: Point, product: Any, b: np.ndarray, warm: np.ndarray | None, transposed: bool
    ) -> tuple[np.ndarray, Solution]:
        """A x = b, A = R_x or its transpose, on the support S, and then the other entries N by substitution.

        There A_NN = I, and one of the blocks beside it vanishes: for R_x A_NS = 0, for its transpose A_SN = 0.
        """
        method, on = self.method, point.support
        tolerance = self.tolerance if transposed else max(self.tolerance, _NEWTON)
        options: dict[str, Any] = {"tolerance": tolerance, "max_iterations": method.max_iterations}
        if self.solver == "neumann":
            options |= {"step": method.step, "terms": method.terms}
        elif self.solver == "fixed_point":
            options |= {"step": 1.0 if point.fixed and method.step is None else method.step}
        rest = np.where(on, 0.0, b)
        right = b if transposed or on.all() else b - product(rest) + rest
        scale = float(np.max(np.abs(right[on]), initial=0.0)) or 1.0  # so that no square of an entry vanishes
        solution = SOLVERS[self.solver](
            point.restricted(product),
            right[on] / scale,
            None if warm is None else warm[on] / scale,
            **options,
        )
        x = rest.copy()
        x[on] = scale * solution.x
        if transposed and not on.all():
            inside = np.where(on, x, 0.0)
            x = np.where(on, x, b - product(inside))
        return x, solution

    def _estimate(self, x: np.ndarray) -> None:
        if self.point.norm > 0.0:
            move, solution = self._solve(self.point, self.point.forward, self.point.residual, None, False)
            if not solution.converged and self.method.terms is None:
                self.hindrance = solution.note
                return
            point = Point(self.condition, self.trajectory, x - move)
            if not np.array_equal(point.support, self.point.support):
                self.hindrance = "the Newton step to the stationary point changes the support"
        else:
            point, move = self.point, np.zeros_like(x)
        _, again, found = self._hypergradient(point, x - move, self.adjoint)
        self.point.products += 0 if point is self.point else point.products
        before, after = self.solution.residual, again.residual
        fresh = before <= self.tolerance or (not self.method.terms and self.solution.converged)
        ratio = 0.0 if fresh or not before > 0.0 else min(after / before, 0.99)
        if not fresh and not self.method.terms and ratio > 0.9:
            return  # the solver gets no further, so that its two solutions tell nothing
        apart = [np.linalg.norm(f - g) for f, g, a in zip(found, self.found, self._asked, strict=True) if a]
        size = [np.linalg.norm(g) for g, a in zip(self.found, self._asked, strict=True) if a]
        self.error = float(np.linalg.norm(apart)) / (1.0 - ratio)
        whole = float(np.linalg.norm(size))
        self.relative = self.error / whole if whole > 0.0 else (0.0 if self.error == 0.0 else float("inf"))

    def _rounding(self) -> float:
        """What rounding leaves of ‖R‖ at best, to a factor of 100."""
        eps = float(np.finfo(self.condition.dtype).eps)
        return 100.0 * eps * self.solution.largest * float(np.linalg.norm(self.state[: self.condition.size]))

    def stats(self) -> dict[str, Any]:
        return {
            "bytes": self.bytes,
            "solver": self.solver,
            "stationarity": self.condition.kind,
            "inner_gradient_norm": self.point.norm,
            "residual": self.solution.residual,
            "converged": self.solution.converged,
            "solver_products": self.point.products,
            "support": int(self.point.support.sum()),
            "error": self.error,
            "relative_error": self.relative,
        }

    def warnings(self) -> list[str]:
        """Why the hypergradient should not be trusted, and what to try."""
        found, norm = [], self.point.norm
        if self.solver in ("cg", "minres") and not self.point.symmetric:
            found.append(
                f'the linear system is not symmetric, as solver="{self.solver}" needs; use solver="gmres"'
            )
        if self.saddle:
            what = (
                "a step leads away from the fixed point in some direction"
                if self.condition.kind == "fixed point"
                else "the inner loss falls away in some direction from where training has arrived, which is no minimum"
            )
            found.append(
                f"{what}: the derivative is that of this branch of stationary points, which training leaves when it is "
                "disturbed"
            )
        if not self.solution.converged:
            singular = self.solution.note.startswith("A is singular")
            advice = "; use a stronger penalty" if singular else _ADVICE[self.solver]
            found.append(f'solver="{self.solver}" did not converge: {self.solution.note}{advice}')
        if self.hindrance:
            found.append(
                f"the inner gradient norm is {norm:.1e}, and its effect on the hypergradient is not known, because "
                f"{self.hindrance}; run more steps"
            )
        elif self.relative > self.method.accuracy and norm <= self._rounding():
            found.append(
                f"the hypergradient is off by about {self.relative:.1e} of its norm: the inner gradient has vanished "
                f"to rounding, at {norm:.1e}, but the linear system is too ill-conditioned; use a stronger penalty"
            )
        elif self.relative > self.method.accuracy:
            solved = self.solution.converged and self.method.terms is None
            cause = "" if solved else ", or solve more accurately"
            found.append(
                f"training has not arrived at a stationary point: the inner gradient norm is {norm:.1e}, and the "
                f"hypergradient is off by about {self.relative:.1e} of its norm; run more steps{cause}"
            )
        return found


_ADVICE = {
    "cg": '; use solver="minres" or "gmres", more steps of training, or a stronger penalty',
    "dense": "",
    "minres": '; allow more max_iterations, or use solver="dense" or a stronger penalty',
    "gmres": '; allow more max_iterations, or use solver="dense" or a stronger penalty',
    "neumann": '; give a smaller step, more terms, or use solver="minres" or "gmres"',
    "fixed_point": '; use solver="cg" or "gmres"',
}


def _without(trajectory: Trajectory, condition: Stationarity) -> list[str]:
    """Names of the float hyperparameters that training reads, but that decide nothing at a stationary point."""
    hyper, cut = trajectory.hyper, set(disconnected(trajectory))
    names = [path for path, f in zip(hyper.paths, hyper.floats, strict=True) if f]
    uses = zip(names, condition.reads, trajectory.code.reads_outer, strict=True)
    return [name for name, inner, outer in uses if not inner and not outer and name not in cut]


def _sentence(names: Sequence[str]) -> str:
    shown = " and ".join(filter(None, [", ".join(map(repr, names[:-1])), repr(names[-1])]))
    have, it = ("have", "they decide") if len(names) > 1 else ("has", "it decides")
    return (
        f"{shown} {have} no implicit derivative: {it} how training arrives at its stationary point, not where that is; "
        "use hg.Reverse() or hg.Forward() for these"
    )
