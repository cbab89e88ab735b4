"""`hypergradient` and `train`: a problem and its hyperparameters, checked, run, and differentiated by a method."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from hypergrad.errors import DerivativeError
from hypergrad.hypergradients.base import HypergradientResult, Method, chosen, disconnected, measure
from hypergrad.hypergradients.combine import combine, split
from hypergrad.hypergradients.groups import groups
from hypergrad.hypergradients.prepare import runs_of
from hypergrad.hypergradients.reverse import Reverse
from hypergrad.unroll.curve import CURVE_POINTS
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["hypergradient", "train"]


def hypergradient(
    problem: Any,
    hparams: Any,
    method: Method | None = None,
    seed: int | Sequence[int] = 0,
    wrt: Sequence[str] | str | None = None,
    curve: int = CURVE_POINTS,
) -> HypergradientResult:
    """Value and hypergradient of a training problem.

    Args:
        problem: a `BilevelProblem` or `UnrolledProblem`.
        hparams: tree of hyperparameters in natural units. Floats and float arrays are differentiated; ints,
            bools, strings and None are constants.
        method: how; default `Reverse()`.
        seed: of the initial parameters, the batches and the draws inside the loss; an int, 0 or more; or several,
            whose mean is the outer loss.
        wrt: names ("lr", "opt/lr") to differentiate with respect to; default: all floats.
        curve: at how many evenly spaced steps the inner loss is taken; 0: at none, which is fastest.

    Returns:
        A `HypergradientResult`; a run that diverges is a result with a value that is not finite. Of several runs
        (each fold with each seed) value, hypergradient, curve and metrics are means, with the standard errors of
        the first two; `params` is a tuple with those of each run and `runs` one of their results, the seeds of the
        first fold first. In stats, counts and seconds are sums and bytes the largest; runs, folds and seeds say what
        was run, `together` how many runs were made at once (small steps only, where that is faster), values holds
        the outer loss of each run, value_error and hypergradient_error the standard errors (of the hypergradient:
        their norm for each float leaf of hparams), and what else differs between runs is a list.

    Raises:
        ProblemError: hyperparameters that do not fit the problem; a seed or a number of steps that is none.
        DerivativeError: `wrt` names something without a derivative.
        RangeError: at these hyperparameters a number is outside the range of the method.

    Source: Maclaurin, Duvenaud & Adams (2015); Franceschi et al. (2017), sec. 3.
    """
    began = time.perf_counter()
    method = Reverse() if method is None else method
    if not isinstance(method, Method):
        raise DerivativeError(
            f"method must be one of hypergrad's methods, such as hg.Reverse(), got {method!r}"
        )
    runs = runs_of(problem, seed)
    results: list[HypergradientResult] = []
    with np.errstate(all="ignore"):  # a run that diverges is a result
        for trajectory, made in groups(
            runs, hparams, lambda several: method.together(several, chosen(several, wrt))
        ):
            started = time.perf_counter()
            asked = chosen(trajectory, wrt)
            if wrt is not None:
                method.named(trajectory, asked)
            found = method.solve(trajectory, asked, curve)
            found.stats["seconds"] = time.perf_counter() - started
            results += split(trajectory, made, found)
    result = combine(runs, results) if runs.many else results[0]
    result.stats["seconds"] = time.perf_counter() - began
    return result


def train(
    problem: Any, hparams: Any, seed: int | Sequence[int] = 0, curve: int = CURVE_POINTS
) -> HypergradientResult:
    """Value only: training and the outer loss, with `hypergradient` None. Arguments as in `hypergradient`."""
    began = time.perf_counter()
    runs = runs_of(problem, seed)
    results: list[HypergradientResult] = []
    with np.errstate(all="ignore"):  # a run that diverges is a result
        for trajectory, made in groups(runs, hparams, lambda together: True):
            results += split(trajectory, made, _trained(trajectory, curve))
    result = combine(runs, results) if runs.many else results[0]
    result.stats["seconds"] = time.perf_counter() - began
    return result


def _trained(trajectory: Trajectory, curve: int) -> HypergradientResult:
    began = time.perf_counter()
    losses = trajectory.curve(curve)
    state = trajectory.train(losses)
    losses[trajectory.ran :] = np.nan
    value = trajectory.outer_value(state)
    params = trajectory.params(state)
    metrics = measure(trajectory, params)
    seconds = time.perf_counter() - began
    stats = {
        "steps": trajectory.steps,
        "step_evaluations": trajectory.evaluations["forward"],
        "forward_steps": trajectory.evaluations["forward"],
        "linearised_steps": 0,
        "seconds": seconds,
        "seconds_training": seconds,
        "bytes": 0,
        "finite": bool(np.isfinite(value)),
    }
    return HypergradientResult(value, None, params, stats, disconnected(trajectory), losses, metrics)
