"""The hypergradient of a problem: dF/dh of the outer loss F(h) = E(s_T(h), h), and how it is computed.

A method is a value with ``plan(trajectory, wrt) -> Plan``, which tells the cost beforehand, and
``solve(trajectory, wrt, curve) -> HypergradientResult``; it knows no optimiser.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.errors import DerivativeError, ProblemError, unknown_name
from hypergrad.hypergradients.groups import groups
from hypergrad.hypergradients.plan import Plan, total
from hypergrad.hypergradients.prepare import runs_of
from hypergrad.hypergradients.trust import Growth
from hypergrad.unroll.together import Together
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["HypergradientResult", "Method", "chosen", "conclude", "disconnected", "measure"]


@dataclass(frozen=True)
class HypergradientResult:
    """A value and its hypergradient.

    Attributes:
        value: outer loss after training; nan or inf when training diverged.
        hypergradient: tree like hparams, natural units, each leaf of its own dtype; None at leaves that are
            no floats or not in `wrt`; None altogether when only the value was asked for.
        params: trained parameters.
        stats: steps, step_evaluations = forward_steps (training steps run) + linearised_steps (steps run with
            their vjp or jvp), seconds, seconds_training, bytes (of what was kept for the derivative, at its
            peak), finite (value and hypergradient), trusted, method, and what the method itself reports.
        disconnected: names of float hyperparameters that nothing depends on.
        curve: inner loss of each step, (T,); nan where it was not taken, and where the problem has none.
        metrics: data set -> metric -> number, for the problem's `metrics`; nan where params are not finite.
        warnings: why the hypergradient should not be trusted, and what to try; one sentence each.
        value_error: standard error of `value` over folds and seeds; None where there is but one run.
        hypergradient_error: that of `hypergradient`, a tree like it.
        runs: the result of each run of a problem with folds, or of a sequence of seeds; see `hypergradient`.
    """

    value: float
    hypergradient: Any
    params: Any
    stats: dict[str, Any]
    disconnected: tuple[str, ...] = ()
    curve: np.ndarray = field(default_factory=lambda: np.zeros(0))
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    value_error: float | None = None
    hypergradient_error: Any = None
    runs: tuple[HypergradientResult, ...] = ()


class Method(ABC):
    """A way to compute hypergradients. Subclasses are frozen dataclasses, one file each."""

    @abstractmethod
    def solve(self, trajectory: Trajectory, wrt: Sequence[bool], curve: int) -> HypergradientResult:
        """Value and hypergradient, with None in the places that `wrt` leaves out.

        Args:
            wrt: for each leaf of hparams, whether its hypergradient is asked for.
            curve: at how many steps the inner loss is taken.
        """

    @abstractmethod
    def plan(self, trajectory: Trajectory, wrt: Sequence[bool]) -> Plan:
        """What `solve` would cost.

        Raises:
            DerivativeError: the method cannot differentiate this problem.
        """

    def together(self, trajectory: Together, wrt: Sequence[bool]) -> bool:
        """Whether these runs are better made together; only where derivatives of each cost no more then."""
        return False

    def named(self, trajectory: Trajectory, asked: Sequence[bool]) -> None:  # noqa: B027 - most methods refuse none
        """Raise DerivativeError where the caller named a hyperparameter that this method cannot differentiate.

        Args:
            asked: for each leaf of hparams, whether it was named.
        """

    def explain(
        self,
        problem: Any,
        hparams: Any,
        seed: int | Sequence[int] = 0,
        wrt: Sequence[str] | str | None = None,
    ) -> Plan:
        """Print and return what this method would do and cost, without training.

        Arguments and errors as in `hypergrad.hypergradient`.
        """
        plans = []
        for trajectory, made in groups(
            runs_of(problem, seed), hparams, lambda runs: self.together(runs, chosen(runs, wrt))
        ):
            asked = chosen(trajectory, wrt)
            if wrt is not None:
                self.named(trajectory, asked)
            plans.append((self.plan(trajectory, asked), len(made)))
        plan = total(plans)
        print(plan)
        return plan


def conclude(
    trajectory: Trajectory,
    wrt: Sequence[bool],
    *,
    value: float,
    gradients: Sequence[np.ndarray] | None,
    state: np.ndarray,
    losses: np.ndarray,
    stats: dict[str, Any],
    warnings: Sequence[str] = (),
    growth: Growth | None = None,
) -> HypergradientResult:
    """The result of one run, with what every method reports.

    Args:
        gradients: of each float hyperparameter, in the order of `trajectory.hyper.values`; None: nan.
        state: the last state, (N,).
        losses: what `trajectory.curve` returned, filled.
        stats: what the method reports: at least method, seconds, seconds_training, bytes.
        warnings: why the hypergradient should not be trusted.
        growth: what the chaos monitor saw; its stats and warnings are added.
    """
    if growth is not None:
        stats, warnings = {**stats, **growth.stats}, [*warnings, *growth.warnings]
    hyper = trajectory.hyper
    if gradients is None:
        gradients = [np.full(leaf.shape, np.nan, leaf.dtype) for leaf in hyper.values]
    stream = iter(gradient[()] for gradient in gradients)
    leaves = [next(stream) if f else None for f in hyper.floats]
    asked = [leaf if w else None for leaf, w in zip(leaves, wrt, strict=True)]
    finite = bool(np.isfinite(value)) and all(
        bool(np.isfinite(leaf).all()) for leaf in asked if leaf is not None
    )
    params = trajectory.params(state)
    losses[trajectory.ran :] = np.nan
    forward, linearised = trajectory.evaluations["forward"], trajectory.evaluations["backward"]
    common = {
        "steps": trajectory.steps,
        "step_evaluations": forward + linearised,
        "forward_steps": forward,
        "linearised_steps": linearised,
        "finite": finite,
        "trusted": finite and not warnings,
    }
    return HypergradientResult(
        value,
        hyper.structure.unflatten(asked),
        params,
        {**common, **stats},
        disconnected(trajectory),
        losses,
        measure(trajectory, params),
        tuple(warnings),
    )


def chosen(trajectory: Trajectory, wrt: Sequence[str] | str | None) -> list[bool]:
    """For each leaf of hparams, whether its hypergradient is asked for.

    Raises:
        UnknownNameError: a name that is no path, nor the beginning of one.
        DerivativeError: a name of a leaf that is no float, or that nothing depends on.
    """
    hyper = trajectory.hyper
    if wrt is None:
        return list(hyper.floats)
    if not isinstance(wrt, str | Sequence) or not all(isinstance(name, str) for name in wrt):
        raise DerivativeError(f"wrt must be names of hyperparameters such as 'lr' or 'opt/lr', got {wrt!r}")
    names = [wrt] if isinstance(wrt, str) else list(wrt)
    found = [False] * len(hyper.paths)
    cut = set(disconnected(trajectory))
    for name in names:
        hits = [i for i, path in enumerate(hyper.paths) if path == name or path.startswith(f"{name}/")]
        if not hits:
            raise unknown_name("hyperparameter", name, hyper.paths)
        for i in hits:
            if not hyper.floats[i]:
                leaf = hyper.leaves[i]
                raise DerivativeError(
                    f"hparams[{hyper.paths[i]!r}] is {leaf!r}, which has no derivative; "
                    "write a float, or leave it out of wrt"
                )
            if hyper.paths[i] in cut:
                raise DerivativeError(
                    f"nothing depends on hparams[{hyper.paths[i]!r}]: "
                    "neither init, the losses nor the optimizer reads it"
                )
            found[i] = True
    return found


def disconnected(trajectory: Trajectory) -> tuple[str, ...]:
    """Names of the float hyperparameters that enter nowhere."""
    code, hyper = trajectory.code, trajectory.hyper
    names = [path for path, f in zip(hyper.paths, hyper.floats, strict=True) if f]
    uses = zip(trajectory.start.reads, code.reads_rows, code.reads_step, code.reads_outer, strict=True)
    return tuple(name for name, used in zip(names, uses, strict=True) if not any(used))


def measure(trajectory: Trajectory, params: Any) -> dict[str, dict[str, float]]:
    """The problem's metrics on each data set that it has; nan where training diverged.

    Raises:
        ProblemError: a metric that is not one number.
    """
    problem = trajectory.problem
    if not problem.metrics:
        return {}
    hparams = trajectory.hyper.structure.unflatten(trajectory.hyper.leaves)
    finite = all(np.isfinite(leaf).all() for leaf in tree.leaves(params))
    sets = {"train": problem.train, "valid": problem.valid, "test": problem.test}
    return {
        name: {
            metric: _number(f(params, hparams, data), metric) if finite else float("nan")
            for metric, f in problem.metrics.items()
        }
        for name, data in sets.items()
        if data is not None
    }


def _number(value: Any, metric: str) -> float:
    array = np.asarray(value)
    if array.shape != () or array.dtype.kind not in "fiub":
        raise ProblemError(
            f"metrics[{metric!r}] must return one number, got {array.dtype} of shape {array.shape}"
        )
    return float(array)
