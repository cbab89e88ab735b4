"""A descent as a fold of a history, and its next step as a proposal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from hypergrad.samplers.admission import Admission
from hypergrad.samplers.base import Proposal, Record
from hypergrad.samplers.descent import Descent, advance, begin, converged, hopeless, propose
from hypergrad.samplers.sliding import slide

__all__ = ["LOOK", "best", "current", "fold", "own", "step"]

LOOK = "look"  # phase of trials far apart that only look: no descent goes there for their value
_HALVINGS = 30  # of a step that a constraint refuses, or that has been tried


def own(record: Record) -> bool:
    """Whether a descent proposed the trial."""
    return record.note.get("phase") in ("start", "descent", "beside")


def current(past: Sequence[Record]) -> int:
    """Number of the latest descent; -1 before the first."""
    return max((record.note["start"] for record in past if own(record)), default=-1)


def base(past: Sequence[Record], current: int) -> int | None:
    """Number of the trial at which descent number `current` starts."""
    for record in past:
        if own(record) and record.note["start"] == current:
            if record.note["phase"] == "start":
                return record.number
            if "base" in record.note:
                return record.note["base"]
    return None


def best(past: Sequence[Record]) -> Record | None:
    """The ended trial of the least finite value."""
    finite = [record for record in past if record.state != "running" and math.isfinite(record.value)]
    return min(finite, key=lambda record: record.value, default=None)


def fold(past: Sequence[Record], current: int, radius: float) -> Descent | None:
    """The state of descent number `current`; None where it has no point to start at.

    Trials that it did not propose take part as well: where one is better than the incumbent, it becomes the incumbent;
    not those that only looked, which lie far away.

    Args:
        past: sorted by number.
        current: number of the descent.
        radius: first trust radius.
    """
    root = base(past, current)
    first = next((r for r in past if r.number == root and r.state != "running"), None)
    if first is None:
        return None
    descent = begin(first, radius)
    for record in past:
        if record.state == "running" or record is first:
            continue
        if record.number < first.number and (current > 0 or own(record)):
            continue  # only the first descent looks back, at what was enqueued before it
        if descent is not None and record.note.get("parent") == descent.incumbent.number:
            descent = advance(descent, record)
        elif record.note.get("phase") != LOOK and (descent is None or record.value < descent.incumbent.value):
            descent = _adopted(descent, record, radius)
    return descent


def _adopted(descent: Descent | None, record: Record, radius: float) -> Descent | None:
    """The state after a better trial that was not proposed from the incumbent."""
    if descent is not None:
        s = record.unit - descent.incumbent.unit
        if not s[~descent.known].any() and np.abs(s).max() <= 4.0 * descent.radius:
            return advance(descent, record)
    return begin(record, radius) or descent


def step(
    descent: Descent,
    start: int,
    best: Record,
    past: Sequence[Record],
    admission: Admission,
    factor: float = 1.0,
) -> Proposal | None:
    """The next step of a descent, along the constraints that it would break, and halved until it is allowed and new.

    None where the descent is over.
    """
    unit, predicted = propose(descent, factor)

    def may(point: np.ndarray) -> bool:
        new = not any(np.array_equal(record.unit, point) for record in past)
        return new and (not admission.space.constraints or admission.admits(point))

    if not may(unit) and admission.space.constraints:
        unit, predicted = slide(descent, admission.space, factor) or (unit, predicted)
    if not may(unit):
        found = _shortened(descent, unit, predicted, may)
        if found is None:
            return None
        unit, predicted = found
    length = float(np.abs(unit - descent.incumbent.unit).max())
    behind = best.number != descent.incumbent.number
    if converged(descent, length, predicted, hasty=not descent.known.all()):
        return None
    if behind and hopeless(descent, best, predicted):
        return None
    parent = descent.incumbent.number
    note = {"phase": "descent", "start": start, "parent": parent, "predicted": predicted, "step": length}
    return Proposal(unit, wants_gradient=True, note=note)


def _shortened(
    descent: Descent, unit: np.ndarray, predicted: float, may: Callable[[np.ndarray], bool]
) -> tuple[np.ndarray, float] | None:
    """The longest of the steps s, s / 2, s / 4, ... that may be taken, and the fall that the model predicts.

    A step t s falls by t a - t² (a - p), where a = -g·s and p is the fall predicted of s.
    """
    x = descent.incumbent.unit
    s = unit - x
    slope = -float(descent.gradient @ s)
    for share in 0.5 ** np.arange(_HALVINGS):
        shorter = unit if share == 1.0 else np.clip(x + share * s, 0.0, 1.0)
        if may(shorter):
            return shorter, float(share * slope - share * share * (slope - predicted))
    return None
