"""The hypergradient of a problem: dF/dh of the outer loss F(h) = E(s_T(h), h), and how it is computed.

A method is a value with ``solve(trajectory, wrt) -> HypergradientResult``; it knows no optimiser.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from hypergrad import tree
from hypergrad.ad.api import as_array, is_static
from hypergrad.errors import DerivativeError, ProblemError, unknown_name
from hypergrad.unroll.problem import UnrolledProblem
from hypergrad.unroll.rehearsal import rehearse
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["HypergradientResult", "Method", "hypergradient", "train"]


@dataclass(frozen=True)
class HypergradientResult:
    """A value and its hypergradient.

    Attributes:
        value: outer loss after training; nan or inf when training diverged.
        hypergradient: tree like hparams, natural units, each leaf of its own dtype; None at leaves that are
            no floats or not in `wrt`; None altogether when only the value was asked for.
        params: trained parameters.
        stats: steps, step_evaluations (training steps run, forwards and as vjp), seconds, seconds_training,
            bytes (of kept states), finite (value and hypergradient).
        disconnected: names of float hyperparameters that nothing depends on.
        curve: inner loss of each step, (T,); nan where the problem has none.
        metrics: data set -> metric -> number, for the problem's `metrics`; nan where params are not finite.
    """

    value: float
    hypergradient: Any
    params: Any
    stats: dict[str, Any]
    disconnected: tuple[str, ...] = ()
    curve: np.ndarray = field(default_factory=lambda: np.zeros(0))
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)


class Method(ABC):
    """A way to compute hypergradients.

    Attributes:
        step_factor: nominal cost of value and hypergradient, in training runs.
    """

    step_factor: ClassVar[float] = 4.0

    @abstractmethod
    def solve(self, trajectory: Trajectory, wrt: Sequence[bool]) -> HypergradientResult:
        """Value and hypergradient, with None in the places that `wrt` leaves out."""


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
    uses = zip(code.reads_initial, code.reads_rows, code.reads_step, code.reads_outer, strict=True)
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


def unrolled(problem: Any, hparams: Any, seed: int) -> Trajectory:
    """The trajectory of a problem, after all checks of what was given.

    Raises:
        ProblemError: no problem, no seed, hyperparameters that are no numbers or that do not fit the problem.
    """
    if not isinstance(problem, UnrolledProblem):
        raise ProblemError(f"expected an hg.BilevelProblem or hg.UnrolledProblem, got {problem!r}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ProblemError(f"seed must be an int, 0 or more, got {seed!r}")
    leaves, structure = tree.flatten(hparams)
    for path, leaf in zip(structure.paths(), leaves, strict=True):
        if not is_static(leaf):
            as_array(leaf, f"hparams[{path!r}]" if path else "hparams")
    problem.check(hparams)
    try:
        trajectory = Trajectory(problem, hparams, int(seed))
    except KeyError as error:
        error.add_note(f"hparams has {', '.join(structure.paths()) or 'no keys'}")
        raise
    signature = trajectory.hyper.signature
    if signature not in problem.rehearsed:
        rehearse(problem, trajectory.hyper.tree(trajectory.hyper.values), int(seed))
        problem.rehearsed.add(signature)
    return trajectory


def hypergradient(
    problem: Any,
    hparams: Any,
    method: Method | None = None,
    seed: int = 0,
    wrt: Sequence[str] | str | None = None,
) -> HypergradientResult:
    """Value and hypergradient of a training problem.

    Args:
        problem: a `BilevelProblem` or `UnrolledProblem`.
        hparams: tree of hyperparameters in natural units. Floats and float arrays are differentiated; ints,
            bools, strings and None are constants.
        method: how; default `Reverse()`.
        seed: of the initial parameters, the batches and the draws inside the loss; an int, 0 or more.
        wrt: names ("lr", "opt/lr") to differentiate with respect to; default: all floats.

    Returns:
        A `HypergradientResult`; a run that diverges is a result with a value that is not finite.

    Raises:
        ProblemError: hyperparameters that do not fit the problem.
        DerivativeError: `wrt` names something without a derivative.

    Source: Maclaurin, Duvenaud & Adams (2015); Franceschi et al. (2017), sec. 3.
    """
    from hypergrad.hypergradients.reverse import Reverse

    began = time.perf_counter()
    method = Reverse() if method is None else method
    if not isinstance(method, Method):
        raise DerivativeError(
            f"method must be one of hypergrad's methods, such as hg.Reverse(), got {method!r}"
        )
    with np.errstate(all="ignore"):  # a run that diverges is a result
        trajectory = unrolled(problem, hparams, seed)
        result = method.solve(trajectory, chosen(trajectory, wrt))
    result.stats["seconds"] = time.perf_counter() - began
    return result


def train(problem: Any, hparams: Any, seed: int = 0) -> HypergradientResult:
    """Value only: training and the outer loss, with `hypergradient` None. Arguments as in `hypergradient`."""
    began = time.perf_counter()
    with np.errstate(all="ignore"):  # a run that diverges is a result
        trajectory = unrolled(problem, hparams, seed)
        curve = np.full(trajectory.steps, np.nan)
        state = trajectory.forward(trajectory.initial(), 0, trajectory.steps, losses=curve)
        value = trajectory.outer_value(state)
        params = trajectory.params(state)
        metrics = measure(trajectory, params)
    seconds = time.perf_counter() - began
    stats = {
        "steps": trajectory.steps,
        "step_evaluations": trajectory.evaluations["forward"],
        "seconds": seconds,
        "seconds_training": seconds,
        "bytes": 0,
        "finite": bool(np.isfinite(value)),
    }
    return HypergradientResult(value, None, params, stats, disconnected(trajectory), curve, metrics)
