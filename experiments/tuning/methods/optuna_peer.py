"""Optuna's samplers, at their defaults but for the seed and the initial design."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import numpy as np
from problems import Problem

from hypergrad.parameters import Categorical, Float, Int
from methods.base import Method, Session, design

__all__ = ["OPTUNA"]

_NEEDS = ("optuna", "optuna")


def _distributions(problem: Problem) -> dict[str, Any]:
    """A distribution for each coordinate: reals by their unit coordinate, ordinals by their number."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space = problem.space
    found: dict[str, Any] = {}
    for path, parameter in space.parameters.items():
        for column in range(*space.columns[path].indices(space.dimension)):
            name = space.names[column]
            if isinstance(parameter, Float):
                found[name] = FloatDistribution(0.0, 1.0)
            elif isinstance(parameter, Int):
                found[name] = IntDistribution(
                    parameter.low, parameter.high, log=parameter.log, step=parameter.step
                )
            elif isinstance(parameter, Categorical):
                found[name] = CategoricalDistribution(list(parameter.choices))
            else:
                found[name] = IntDistribution(0, parameter.count - 1)
    return found


def _to_optuna(problem: Problem, unit: np.ndarray) -> dict[str, Any]:
    """What Optuna calls a point of the unit cube."""
    space = problem.space
    found: dict[str, Any] = {}
    for path, parameter in space.parameters.items():
        for column in range(*space.columns[path].indices(space.dimension)):
            if isinstance(parameter, Float):
                found[space.names[column]] = float(unit[column])
                continue
            index = int(parameter.bins(unit[[column]])[0])
            whole = isinstance(parameter, Int | Categorical)
            found[space.names[column]] = parameter.value(index) if whole else index
    return found


def _to_unit(problem: Problem, params: dict[str, Any]) -> np.ndarray:
    """The point of the unit cube that Optuna's parameters mean."""
    space = problem.space
    unit = np.empty(space.dimension)
    for path, parameter in space.parameters.items():
        for column in range(*space.columns[path].indices(space.dimension)):
            value = params[space.names[column]]
            if isinstance(parameter, Float):
                unit[column] = value
            elif isinstance(parameter, Int | Categorical):
                unit[column] = parameter.to_unit(value)[0]
            else:
                unit[column] = parameter.middles(np.array([value]))[0]
    return unit


def search(kind: str, session: Session) -> None:
    """Ask and tell; nan is told as a failed trial, inf as it is, which each sampler handles itself."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = session.problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Clip non-finite values", UserWarning)  # inf, as announced above
        sampler = getattr(optuna.samplers, kind)(seed=session.seed)
        study = optuna.create_study(sampler=sampler)
        for unit in design(problem, session.seed):
            study.enqueue_trial(_to_optuna(problem, unit))
        distributions = _distributions(problem)
        while True:
            trial = study.ask(distributions)
            found = session.evaluate(problem.space.from_unit(_to_unit(problem, trial.params)))
            if math.isnan(found.value):
                session.note("diverged")
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, found.value)


OPTUNA = {
    "optuna-tpe": Method(partial(search, "TPESampler"), "optuna.samplers.TPESampler()", _NEEDS),
    "optuna-gp": Method(partial(search, "GPSampler"), "optuna.samplers.GPSampler()", _NEEDS, most=100),
}
