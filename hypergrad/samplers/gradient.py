"""Search along hypergradients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from hypergrad.errors import SpaceError
from hypergrad.samplers.admission import Admission, canonical
from hypergrad.samplers.base import (
    Explanation,
    Proposal,
    Record,
    Sampler,
    generator,
    others,
    plain_explanation,
)
from hypergrad.samplers.descent import Descent, advance, begin, converged, hopeless, propose
from hypergrad.samplers.explanation import of_the_step
from hypergrad.space import Space

__all__ = ["Gradient"]

_WIDTHS = (0.4, 2.0)  # trust radii of trials beside a running one, relative
_NEARBY = 50  # points drawn by the rule of a restart before any point will do
_HALVINGS = 30  # of a step that a constraint refuses


@dataclass(frozen=True)
class Gradient(Sampler):
    """Multi-start descent in the unit cube on values and hypergradients; every trial asks for both.

    The first descent starts at the space's defaults, or at a better enqueued trial. When it has converged,
    or cannot catch up with the best trial, the next one starts near the best trial or anywhere, in turn.
    Integers and choices, and coordinates whose derivative nobody reports, stay fixed during a descent and
    change between descents. A step that a constraint of the space refuses is halved until it is allowed.
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
            current = _current(past)
            running = [r for r in past if r.state == "running" and _own(r) and r.note["start"] == current]
            descent = self._fold(past, current)
            best = _best(past)
            if descent is not None and best is not None and len(running) <= len(_WIDTHS):
                proposal = _step(descent, current, best, admission, (1.0, *_WIDTHS)[len(running)])
                if proposal is not None:
                    return proposal
            elif running:
                around = running[0].unit if descent is None else descent.incumbent.unit
                return admission.first(self._beside(space, around, current, rng), rng)
            return admission.first(self._restart(space, past, current + 1, best, admission, rng), rng)

    def explain(self, space: Space, before: Sequence[Record], record: Record) -> Explanation:
        """Which step of which descent it is, or where a descent begins."""
        phase, start = record.note.get("phase"), record.note.get("start", 0)
        if phase == "descent":
            return of_the_step(space, before, record)
        if phase == "beside":
            reason = f"descent {start} waits for a trial that still runs, and this one looks around meanwhile"
            return plain_explanation(space, before, record, reason)
        if phase != "start":
            return super().explain(space, before, record)
        if np.array_equal(record.unit, space.snap(space.to_unit(space.defaults()))):
            return Explanation(f"descent {start} begins at the defaults of the space")
        over = "" if start == 0 else f", as descent {start - 1} has converged or fallen too far behind"
        return plain_explanation(space, before, record, f"descent {start} begins here{over}")

    def _fold(self, past: Sequence[Record], current: int) -> Descent | None:
        """The state of descent number `current`; None where it has no point to start at."""
        base = _base(past, current)
        first = next((r for r in past if r.number == base and r.state != "running"), None)
        if first is None:
            return None
        descent = begin(first, self.radius)
        for record in past:
            if record.state == "running" or record is first:
                continue
            if record.number < first.number and (current > 0 or _own(record)):
                continue  # only the first descent looks back, at what was enqueued before it
            if descent is not None and record.note.get("parent") == descent.incumbent.number:
                descent = advance(descent, record)
            elif descent is None or record.value < descent.incumbent.value:
                descent = self._adopted(descent, record)
        return descent

    def _adopted(self, descent: Descent | None, record: Record) -> Descent | None:
        """The state after a better trial that was not proposed from the incumbent."""
        if descent is not None:
            s = record.unit - descent.incumbent.unit
            if not s[~descent.known].any() and np.abs(s).max() <= 4.0 * descent.radius:
                return advance(descent, record)
        return begin(record, self.radius) or descent

    def _beside(
        self, space: Space, around: np.ndarray, current: int, rng: np.random.Generator
    ) -> Iterator[Proposal]:
        """Candidates for a trial beside the running first one of a descent."""
        for tries in count():
            near = tries < _NEARBY
            unit = _near(around, space, self.radius, rng) if near else _anywhere(space, rng, together=False)
            yield _start(unit, "beside", current)

    def _restart(
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
        if not _own(best) and all(record.note.get("base") != best.number for record in past):
            descent = begin(best, self.radius)  # enqueued, better than all else, and not yet followed
            if descent is None and sum(np.array_equal(record.unit, best.unit) for record in past) == 1:
                if space.size == np.inf:  # once more, for its gradient
                    admission.forget(best.unit)
                yield _start(best.unit, "start", start)
            proposal = None if descent is None else _step(descent, start, best, admission, 1.0)
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


def _own(record: Record) -> bool:
    """Whether this sampler proposed the trial."""
    return record.note.get("phase") in ("start", "descent", "beside")


def _current(past: Sequence[Record]) -> int:
    """Number of the latest descent; -1 before the first."""
    return max((record.note["start"] for record in past if _own(record)), default=-1)


def _base(past: Sequence[Record], current: int) -> int | None:
    """Number of the trial at which descent number `current` starts."""
    for record in past:
        if _own(record) and record.note["start"] == current:
            if record.note["phase"] == "start":
                return record.number
            if "base" in record.note:
                return record.note["base"]
    return None


def _best(past: Sequence[Record]) -> Record | None:
    """The ended trial of the least finite value."""
    finite = [record for record in past if record.state != "running" and math.isfinite(record.value)]
    return min(finite, key=lambda record: record.value, default=None)


def _start(unit: np.ndarray, phase: str, start: int) -> Proposal:
    return Proposal(unit, wants_gradient=True, note={"phase": phase, "start": start})


def _step(descent: Descent, start: int, best: Record, admission: Admission, factor: float) -> Proposal | None:
    """The next step of a descent, halved until the constraints allow it; None where it is over."""
    unit, predicted = propose(descent, factor)
    if admission.space.constraints:
        found = _shortened(descent, unit, predicted, admission)
        if found is None:
            return None
        unit, predicted = found
    step = float(np.abs(unit - descent.incumbent.unit).max())
    behind = best.number != descent.incumbent.number
    if converged(descent, step, predicted, hasty=not descent.known.all()):
        return None
    if behind and hopeless(descent, best, predicted):
        return None
    parent = descent.incumbent.number
    note = {"phase": "descent", "start": start, "parent": parent, "predicted": predicted, "step": step}
    return Proposal(unit, wants_gradient=True, note=note)


def _shortened(
    descent: Descent, unit: np.ndarray, predicted: float, admission: Admission
) -> tuple[np.ndarray, float] | None:
    """The longest of the steps s, s / 2, s / 4, ... that is admitted, and the fall that the model predicts.

    A step t s falls by t a - t² (a - p), where a = -g·s and p is the fall predicted of s.
    """
    x = descent.incumbent.unit
    s = unit - x
    slope = -float(descent.gradient @ s)
    for share in 0.5 ** np.arange(_HALVINGS):
        shorter = unit if share == 1.0 else np.clip(x + share * s, 0.0, 1.0)
        if admission.admits(shorter):
            return shorter, float(share * slope - share * share * (slope - predicted))
    return None


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
