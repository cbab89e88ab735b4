"""Search along hypergradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from hypergrad.errors import SpaceError
from hypergrad.samplers import folding
from hypergrad.samplers.admission import Admission, canonical
from hypergrad.samplers.base import Explanation, Proposal, Record, Sampler, generator, others
from hypergrad.samplers.descent import begin
from hypergrad.samplers.explanation import of_the_descent
from hypergrad.space import Space

__all__ = ["Gradient"]

_WIDTHS = (0.4, 2.0)  # trust radii of trials beside a running one, relative
_NEARBY = 50  # points drawn by the rule of a restart before any point will do


@dataclass(frozen=True)
class Gradient(Sampler):
    """Multi-start descent in the unit cube on values and hypergradients; every trial asks for both.

    The first descent starts at the space's defaults, or at a better enqueued trial. When it has converged,
    or cannot catch up with the best trial, the next one starts near the best trial or anywhere, in turn.
    Integers and choices, and coordinates whose derivative nobody reports, stay fixed during a descent and
    change between descents. A step that would break a constraint of the space goes along it where the
    constraint is a text, see `hypergrad.samplers.sliding`; one that a function refuses, or that was tried, is halved.
    Gradients that exploded, are not finite or mislead are survived: see `hypergrad.samplers.descent`.

    Args:
        radius: first trust radius, in units of the cube: how far each coordinate may move in the first step.

    Raises:
        SpaceError: a radius outside (0, 0.5].
    """

    radius: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.radius <= 0.5:
            raise SpaceError(f"radius of Gradient is {self.radius!r}, expected a number in (0, 0.5]")

    def ask(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> Proposal:
        """The next step of the running descent, or the start of another one; folds the history anew."""
        past = canonical(space, others(history, number))
        admission = Admission(space, past)
        rng = generator(seed, number)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            current = folding.current(past)
            running = [
                r for r in past if r.state == "running" and folding.own(r) and r.note["start"] == current
            ]
            descent = folding.fold(past, current, self.radius)
            best = folding.best(past)
            if descent is not None and best is not None and len(running) <= len(_WIDTHS):
                width = (1.0, *_WIDTHS)[len(running)]
                proposal = folding.step(descent, current, best, past, admission, width)
                if proposal is not None:
                    return proposal
            elif running:
                around = running[0].unit if descent is None else descent.incumbent.unit
                return admission.first(self._beside(space, around, current, rng), rng)
            return admission.first(self.restart(space, past, current + 1, best, admission, rng), rng)

    def wants_gradient(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> bool:
        """Always: a descent may start there."""
        return True

    def explain(self, space: Space, before: Sequence[Record], record: Record) -> Explanation:
        """Which step of which descent it is, or where a descent begins."""
        return of_the_descent(space, before, record) or super().explain(space, before, record)

    def _beside(
        self, space: Space, around: np.ndarray, current: int, rng: np.random.Generator
    ) -> Iterator[Proposal]:
        """Candidates for a trial beside the running first one of a descent."""
        for tries in count():
            near = tries < _NEARBY
            unit = _near(around, space, self.radius, rng) if near else _anywhere(space, rng, together=False)
            yield _start(unit, "beside", current)

    def restart(
        self,
        space: Space,
        past: Sequence[Record],
        start: int,
        best: Record | None,
        admission: Admission,
        rng: np.random.Generator,
    ) -> Iterator[Proposal]:
        """Candidates for the first trial of descent number `start`, the preferred ones first."""
        default = space.to_unit(space.defaults())
        if not any(np.array_equal(record.unit, default) for record in past):
            yield _start(default, "start", start)
        while best is None:
            yield _start(_anywhere(space, rng, together=start % 2 == 1), "start", start)
        if not folding.own(best) and all(record.note.get("base") != best.number for record in past):
            descent = begin(best, self.radius)  # enqueued, better than all else, and not yet followed
            if descent is None and sum(np.array_equal(record.unit, best.unit) for record in past) == 1:
                if space.size == np.inf:  # once more, for its gradient
                    admission.forget(best.unit)
                yield _start(best.unit, "start", start)
            proposal = None if descent is None else folding.step(descent, start, best, past, admission)
            if proposal is not None:
                yield replace(proposal, note={**proposal.note, "base": best.number})
        turn = sum(record.note.get("phase") == "start" for record in past)
        for tries in count():
            if tries >= _NEARBY:
                unit = _anywhere(space, rng, together=False)
            elif turn % 3 != 0 and not space.continuous.all():
                unit = _mutated(best.unit, space, rng)
            elif turn % 2 == 1:
                unit = _near(best.unit, space, self.radius, rng)
            else:
                unit = _anywhere(space, rng, together=turn % 4 == 0)
            yield _start(unit, "start", start)


def _start(unit: np.ndarray, phase: str, start: int) -> Proposal:
    return Proposal(unit, wants_gradient=True, note={"phase": phase, "start": start})


def _near(unit: np.ndarray, space: Space, width: float, rng: np.random.Generator) -> np.ndarray:
    """A normal perturbation of the continuous coordinates, reflected into the cube.

    Its deviation lies between width / 2 and width.
    """
    moved = unit + width * 2.0 ** -rng.random() * rng.standard_normal(space.dimension)
    inside = np.clip(1.0 - np.abs(1.0 - np.abs(moved)), 0.0, 1.0)
    return np.where(space.continuous, inside, unit)


def _anywhere(space: Space, rng: np.random.Generator, together: bool) -> np.ndarray:
    """A uniform point; `together`: the entries of one parameter (say, learning-rate knots) are alike."""
    unit = rng.random(space.dimension)
    if together:
        for columns in space.columns.values():
            unit[columns] = np.clip(rng.random() + 0.1 * (unit[columns] - 0.5), 0.0, 1.0)
    return unit


def _mutated(unit: np.ndarray, space: Space, rng: np.random.Generator) -> np.ndarray:
    """`unit` with one integer or choice changed, and each other one drawn anew with probability 1 in 4.

    Only those that are active at `unit` are sure to change.
    """
    discrete, active = ~space.continuous, space.active(unit)
    moved = np.where(discrete & (rng.random(space.dimension) < 0.25), rng.random(space.dimension), unit)
    names = [
        name
        for name, parameter in space.parameters.items()
        if not parameter.continuous and active[space.columns[name].start]
    ]
    if not names:  # all integers and choices are switched off by constants
        return moved
    name = names[rng.integers(len(names))]
    parameter, columns = space.parameters[name], space.columns[name]
    old = parameter.from_unit(unit[columns])
    for _ in range(8):  # draws that fall on the old value again, unless there is no other
        moved[columns] = rng.random()
        if parameter.from_unit(moved[columns]) != old:
            break
    return moved
