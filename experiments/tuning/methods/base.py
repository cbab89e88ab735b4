"""What a method is given, what is written down of it, and the points that all model-based methods start with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import process_time
from typing import Any

import numpy as np
from problems import Evaluation, Problem

from hypergrad.samplers import Sobol
from hypergrad.samplers.base import Record

__all__ = ["INITIAL", "Method", "Session", "Spent", "design", "worst_of"]

INITIAL = 10  # points of the initial design of the peers' models


class Spent(Exception):
    """The budget of the session is used up; ends a method."""


@dataclass
class Session:
    """One run of a method on a problem: answers evaluations, and writes down what they cost.

    CPU time between an answer and the next question is the method's own: its ask and tell.

    Attributes:
        problem: the instance.
        seed: of the method.
        budget: in runs; the evaluation that crosses it is the last.
        values, exact, gradients, costs, asking, answering, extras: one entry an evaluation: observed value, value
            without noise, whether the gradient was asked for, runs, CPU seconds of the method before it, CPU seconds
            of the evaluation, and what the problem reports beside.
        notes: counts of what a method had to do out of its way.
    """

    problem: Problem
    seed: int
    budget: float
    values: list[float] = field(default_factory=list)
    exact: list[float] = field(default_factory=list)
    gradients: list[bool] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    asking: list[float] = field(default_factory=list)
    answering: list[float] = field(default_factory=list)
    extras: list[dict[str, float]] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    _since: float = field(default_factory=process_time)

    @property
    def spent(self) -> float:
        """Runs so far."""
        return math.fsum(self.costs)

    def evaluate(self, hparams: Mapping[str, Any], wants_gradient: bool = False) -> Evaluation:
        """The answer of the problem.

        Raises:
            Spent: the budget was used up before.
        """
        asked = process_time()
        if self.spent >= self.budget:
            raise Spent
        wants_gradient = wants_gradient and self.problem.differentiable
        found = self.problem.evaluate(hparams, wants_gradient, draw=len(self.values))
        answered = process_time()
        self.asking.append(asked - self._since)
        self.answering.append(answered - asked)
        self.values.append(found.value)
        self.exact.append(self.problem.exact(hparams) if self.problem.noisy else found.value)
        self.gradients.append(wants_gradient)
        self.costs.append(found.cost)
        self.extras.append(found.extras)
        self._since = process_time()
        return found

    def note(self, what: str) -> None:
        """Count something that the reader of the results should know."""
        self.notes[what] = self.notes.get(what, 0) + 1


@dataclass(frozen=True)
class Method:
    """A way to search.

    Attributes:
        run: searches until `Spent`.
        about: one line.
        needs: distribution and module that must be installed; None: only hypergrad.
        gradients: whether it is of no use without gradients.
        continuous: whether it searches real hyperparameters only.
        most: largest dimension at which it is affordable, None: any.
    """

    run: Callable[[Session], None]
    about: str
    needs: tuple[str, str] | None = None
    gradients: bool = False
    continuous: bool = False
    most: int | None = None

    def unsuited(self, problem: Problem) -> str | None:
        """Why it is not run on a problem; None when it is."""
        dimension = problem.space.dimension
        if self.gradients and not problem.differentiable:
            return "the problem has no gradients"
        if self.continuous and not problem.space.continuous.all():
            return "the space has integers or choices"
        if self.most is not None and dimension > self.most:
            return f"{dimension} dimensions take it too long (it is run to {self.most})"
        return None


def design(problem: Problem, seed: int, count: int = INITIAL) -> np.ndarray:
    """The space's defaults and the scrambled Sobol points of the seed, (count, d) in the unit cube.

    They are the points with which `hypergrad.samplers.Bayes` starts.
    """
    past: list[Record] = []
    for number in range(count):
        proposal = Sobol().ask(problem.space, past, seed=seed, number=number)
        past.append(Record(number, problem.space.snap(proposal.unit), "complete", 0.0, note=proposal.note))
    return np.stack([record.unit for record in past])


def worst_of(values: list[float]) -> float:
    """The largest finite value so far, which stands for a run that diverged; 0 before there is one."""
    return max((value for value in values if math.isfinite(value)), default=0.0)
