"""One trial: the objective called, whatever kind it is, and what came of it.

An objective is a function of hparams that returns a number, a number and its gradient, an `Outcome`, or a training
problem; or it is a training problem itself. Of a problem the value and the hypergradient are computed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.errors import RangeError, StudyError
from hypergrad.study import checks
from hypergrad.study.told import Outcome
from hypergrad.study.trial import Trial

__all__ = ["evaluate", "is_problem", "limits"]

_EXPECTED = "expected a number, (number, gradient), an Outcome or a problem"


def is_problem(thing: Any) -> bool:
    """Whether `thing` is a training problem, to be differentiated, and not a function to be called."""
    return hasattr(thing, "steps") and hasattr(thing, "init") and not isinstance(thing, type)


def limits(objective: Any, trials: Any, seconds: Any, on_error: Any) -> tuple[int, float]:
    """The arguments of `Study.optimize`, checked: finished trials in the end, and the seconds allowed.

    Raises:
        StudyError: one of them is not what it should be.
    """
    if not callable(objective) and not is_problem(objective):
        raise StudyError(f"the objective is {objective!r}, expected a function of hparams or a problem")
    if on_error not in ("raise", "continue"):
        raise StudyError(f"on_error is {on_error!r}, expected 'raise' or 'continue'")
    budget = checks.index(trials, "trials")
    if budget < 0:
        raise StudyError(f"trials is {budget}, expected at least 0")
    return budget, math.inf if seconds is None else checks.amount(seconds, "seconds", finite=False)


def evaluate(objective: Any, trial: Trial, method: Any = None, noise: bool = False) -> Outcome:
    """The outcome of one trial.

    Args:
        objective: a problem, or hparams -> number | (number, gradient tree) | Outcome | problem; gets a copy of them.
        trial: which hparams, which seed, and whether the gradient is wanted of a problem.
        method: of the hypergradient; None: Auto().
        noise: whether the standard errors over folds and seeds of a problem are told; see `Study.optimize`.

    Raises:
        StudyError: the objective returned something else.
    """
    started = perf_counter()
    hparams = tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, trial.hparams)
    answer = objective if is_problem(objective) else _called(objective, hparams)
    if is_problem(answer):
        return _trained(answer, hparams, trial, method, started, noise)
    if isinstance(answer, Outcome):
        spent = perf_counter() - started
        return replace(answer, seconds=spent if answer.seconds is None else answer.seconds)
    value, gradient = answer, None
    if isinstance(answer, tuple):
        if len(answer) != 2:
            raise StudyError(
                f"the objective returned a tuple of {len(answer)} for trial {trial.number}, {_EXPECTED}"
            )
        value, gradient = answer
    return Outcome(value, gradient, seconds=perf_counter() - started)


def _called(objective: Callable[[Any], Any], hparams: dict[str, Any]) -> Any:
    answer = objective(hparams)
    if answer is None:
        raise StudyError(f"the objective returned None, {_EXPECTED}")
    return answer


def _trained(
    problem: Any, hparams: dict[str, Any], trial: Trial, method: Any, started: float, noise: bool
) -> Outcome:
    """Train and, when the gradient is wanted, differentiate.

    Where the method cannot at these hyperparameters, though it can at others, the trial has a value and no gradient.
    """
    from hypergrad.hypergradients import Auto, hypergradient, train

    result, refused = None, []
    if trial.wants_gradient:
        method = Auto() if method is None else method
        try:
            result = hypergradient(problem, hparams, method=method, seed=trial.seed)
        except RangeError as error:
            refused = [str(error)]
    if result is None:
        result = train(problem, hparams, seed=trial.seed)
    return Outcome(
        value=result.value,
        gradient=None if result.warnings else result.hypergradient,  # noise would mislead the sampler
        noise=result.value_error if noise else None,
        gradient_noise=result.hypergradient_error if noise and not result.warnings else None,
        curve=result.curve,
        metrics=dict(result.metrics),
        stats={
            **result.stats,
            "disconnected": list(result.disconnected),
            "warnings": [*result.warnings, *refused],
        },
        cost=float(result.stats["step_evaluations"]),
        seconds=perf_counter() - started,
    )
