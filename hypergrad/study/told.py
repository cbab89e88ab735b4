"""What a study is told of a trial, checked against its space and its constraints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hypergrad.errors import StudyError, unknown_name
from hypergrad.space import Space
from hypergrad.study import checks
from hypergrad.study.trial import Trial

__all__ = ["Outcome", "completed"]


@dataclass(frozen=True)
class Outcome:
    """What came of a trial: what an objective may return, and what `Study.tell` takes.

    Args:
        value: outer loss, minimised; nan and inf say that training diverged.
        gradient: tree like hparams, natural units; missing and None leaves are unknown.
        noise: standard error of the value, in its unit, such as that of a mean over folds; None: not known.
        gradient_noise: tree like `gradient`: standard errors of its entries.
        constraints: the study's black-box constraints by name; missing ones are looked for in `metrics`.
        constraint_gradients: by name, a tree like `gradient`.
        metrics: further results: numbers, strings, arrays, nested.
        cost: step evaluations.
        curve: inner loss a step; 200 evenly chosen points are kept.
        stats: of the training.
        seconds: wall time; None: it is measured.
    """

    value: Any
    gradient: Any = None
    noise: Any = None
    gradient_noise: Any = None
    constraints: Mapping[str, Any] = field(default_factory=dict)
    constraint_gradients: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    cost: float = 0.0
    curve: Any = ()
    stats: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None


def completed(
    running: Trial, outcome: Outcome, space: Space, bounds: Mapping[str, float], seconds: float
) -> Trial:
    """The trial with its outcome.

    Args:
        bounds: largest feasible value of each constraint, by name.
        seconds: wall time where the outcome does not say.

    Raises:
        StudyError: something in the outcome that does not fit.
    """
    n = running.number
    value = checks.number(outcome.value, f"the value of trial {n}")
    tree, unit = checks.canonical_gradient(
        space, running.hparams, outcome.gradient, f"the gradient of trial {n}"
    )
    what = f"the gradient noise of trial {n}"
    noise_tree, noise_unit = checks.canonical_gradient(space, running.hparams, outcome.gradient_noise, what)
    if noise_unit is not None and (noise_unit < 0.0).any():
        where = space.names[int(np.argmax(noise_unit < 0.0))]
        raise StudyError(f"{what} is negative at {where!r}, expected standard errors >= 0")
    noise = 0.0 if outcome.noise is None else checks.number(outcome.noise, f"the noise of trial {n}")
    if noise < 0.0:
        raise StudyError(f"the noise of trial {n} is {noise}, expected a standard error >= 0")
    found = _constraints(outcome, bounds, n)
    trees, slopes = _slopes(outcome, bounds, running, space)
    margins = np.array([found[name] - bound for name, bound in bounds.items()])
    return replace(
        running,
        state="complete",
        value=value,
        gradient=tree,
        unit_gradient=unit,
        noise=noise if np.isfinite(noise) else 0.0,
        gradient_noise=noise_tree,
        unit_gradient_noise=noise_unit,
        constraints=found,
        constraint_gradients=trees,
        margins=margins if bounds else None,
        margin_gradients=slopes,
        curve=checks.curve(outcome.curve, n),
        metrics=dict(outcome.metrics or {}),
        stats=dict(outcome.stats or {}),
        cost=checks.amount(outcome.cost, f"the cost of trial {n}"),
        seconds=seconds if outcome.seconds is None else checks.amount(outcome.seconds, "seconds"),
    )


def _known(given: Any, bounds: Mapping[str, float], what: str) -> Mapping[str, Any]:
    """`given` by names of constraints, or a StudyError."""
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise StudyError(f"{what} are {given!r}, expected a dict such as {{'latency': 0.3}}")
    for name in given:
        if name in bounds:
            continue
        if not bounds:
            raise StudyError(
                f"{what} name {name!r}, but the study has no constraints; "
                f"make it with Study(..., constraints=[{name!r}])"
            )
        raise StudyError(f"{what} name {unknown_name('constraint', name, bounds)}")
    return given


def _constraints(outcome: Outcome, bounds: Mapping[str, float], n: int) -> dict[str, float]:
    """Each constraint as told, else from the metrics, else nan."""
    what = f"the constraints of trial {n}"
    given = _known(outcome.constraints, bounds, what)
    found = {}
    for name in bounds:
        value = given[name] if name in given else _metric(outcome.metrics, name)
        found[name] = (
            np.nan if value is None else checks.number(value, f"the constraint {name!r} of trial {n}")
        )
    return found


def _metric(metrics: Any, path: str) -> Any:
    """The metric of a name, or of a path such as ``"valid/error"``; None where there is none."""
    if isinstance(metrics, Mapping) and path in metrics:
        return metrics[path]
    for key in path.split("/"):
        if not isinstance(metrics, Mapping) or key not in metrics:
            return None
        metrics = metrics[key]
    return metrics


def _slopes(
    outcome: Outcome, bounds: Mapping[str, float], running: Trial, space: Space
) -> tuple[dict[str, Any], np.ndarray | None]:
    what = f"the constraint gradients of trial {running.number}"
    given = _known(outcome.constraint_gradients, bounds, what)
    trees: dict[str, Any] = {}
    table = np.full((len(bounds), space.dimension), np.nan)
    for row, name in enumerate(bounds):
        of = f"the gradient of the constraint {name!r} of trial {running.number}"
        tree, unit = checks.canonical_gradient(space, running.hparams, given.get(name), of)
        if unit is not None:
            trees[name], table[row] = tree, unit
    return trees, table if trees else None
