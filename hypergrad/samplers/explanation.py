"""Why a trial was proposed: what the model of the trials before it expects there, in figures and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from hypergrad.bayesopt.acquisition import LogEI
from hypergrad.samplers.base import Explanation, Record, best_of, first_of_its_own, plain_explanation
from hypergrad.samplers.moves import Move, moves, moving
from hypergrad.samplers.surrogate import Surrogate
from hypergrad.samplers.warping import Warp
from hypergrad.space import Space

__all__ = [
    "Outlook",
    "at_defaults",
    "of_the_descent",
    "of_the_model",
    "of_the_sequence",
    "outlook",
]

MOSTLY = 0.5  # a move has most of the improvement if without it no more than this share is left,
MATTERS = 0.9  # and matters at all up to this one


@dataclass(frozen=True)
class Outlook:
    """What the model of earlier trials expects at a point, in the unit of the values.

    The model's values are warped (`hypergrad.samplers.warping`); `expected` is its median of the value, which the warp
    leaves in place, and `deviation` half the width of the interval that holds the value with probability 68 %.

    Attributes:
        expected, deviation: of the value at the point, without the noise of a trial.
        best: number of the best trial so far.
        best_value: its value.
        improvement: expected improvement over the least mean at a trial.
        log_ei: its logarithm in the unit of the model.
        cause: the move from the best trial without which the expected improvement would be smallest; None: none of them
            would make it smaller.
        without: the expected improvement without it.
    """

    expected: float
    deviation: float
    best: int
    best_value: float
    improvement: float
    log_ei: float
    cause: Move | None
    without: float


def outlook(
    space: Space, before: Sequence[Record], unit: np.ndarray, *, gradients: bool = True, rows: int = 400
) -> Outlook | None:
    """What the trials before say about a point (d,); None where there are fewer than two finite values.

    Args:
        gradients, rows: as in `Surrogate.of`.
    """
    values = np.array([r.value for r in before if r.state == "complete" and math.isfinite(r.value)])
    best = best_of(before)
    if len(values) < 2 or best is None:
        return None
    warp = Warp.of(values)
    surrogate = Surrogate.of(space, before, gradients=gradients, rows=rows)
    there, here = space.snap(unit), space.snap(best.unit)
    found = moves(space, here, there)
    points = [there]
    for move in found:
        back = there.copy()
        back[space.columns[move.parameter]] = here[space.columns[move.parameter]]
        points.append(space.snap(back))
    x = np.stack(points)
    mean, variance = surrogate.posterior.predict(x, space.active(x))
    deviation = np.sqrt(variance) + 1e-12 * surrogate.scale
    utility, _, _ = LogEI(surrogate.best)(mean, deviation)
    low, middle, high = warp.backward(mean[0] + deviation[0] * np.array([-1.0, 0.0, 1.0]))
    place = int(np.argmin(utility[1:])) if found else 0
    causes = bool(found) and utility[1 + place] < utility[0]
    return Outlook(
        expected=float(middle),
        deviation=float(0.5 * (high - low)),
        best=best.number,
        best_value=best.value,
        improvement=warp.unit * math.exp(utility[0]),
        log_ei=float(utility[0]),
        cause=found[place] if causes else None,
        without=warp.unit * math.exp(utility[1 + place]) if causes else math.nan,
    )


def of_the_model(
    space: Space, before: Sequence[Record], record: Record, *, gradients: bool = True, rows: int = 400
) -> Explanation:
    """What the model expected of the trial, against the best trial, and which move matters most."""
    found = outlook(space, before, record.unit, gradients=gradients, rows=rows)
    if found is None:
        return plain_explanation(space, before, record, "the model proposed it")
    chosen = record.note.get("log_ei", found.log_ei)
    beside = (
        ""
        if found.log_ei > chosen - 1.0
        else "the point of largest expected improvement was taken or not allowed; "
    )
    text = beside + (
        f"the model expects {found.expected:.4g} ± {found.deviation:.2g} there, against the best so far "
        f"{found.best_value:.4g} (trial {found.best}): expected improvement {found.improvement:.2g}"
    )
    if found.cause is not None and found.without < MATTERS * found.improvement:
        much = "mostly" if found.without < MOSTLY * found.improvement else "partly"
        text += f"; {much} because {found.cause} (without that: {found.without:.2g})"
    else:
        text += "; no single move from there matters much"
    return Explanation(text, asdict(found))


def of_the_descent(space: Space, before: Sequence[Record], record: Record) -> Explanation | None:
    """What a descent wanted with the trial; None where the note of the trial is not that of a descent.

    The note has ``phase``: ``"start"``, ``"beside"`` or ``"descent"``; ``start``, the number of the descent; and, of
    a step, ``parent``, the number of the trial at which it starts, ``step``, the largest change of a unit coordinate,
    and ``predicted``, the fall of the value.
    """
    phase, start = record.note.get("phase"), record.note.get("start")
    if start is None or phase not in ("start", "beside", "descent"):
        return None
    if phase == "descent":
        return _of_the_step(space, before, record)
    if phase == "beside":
        reason = f"descent {start} waits for a trial that still runs, and this one looks around meanwhile"
        return plain_explanation(space, before, record, reason)
    if np.array_equal(record.unit, space.snap(space.to_unit(space.defaults()))):
        return Explanation(f"descent {start} begins at the defaults of the space")
    over = "" if start == 0 else f", as descent {start - 1} has converged or fallen too far behind"
    return plain_explanation(space, before, record, f"descent {start} begins here{over}")


def _of_the_step(space: Space, before: Sequence[Record], record: Record) -> Explanation:
    """A step of a descent: from where, how far, and what its model predicts."""
    note = record.note
    parent = next((r for r in before if r.number == note["parent"]), None)
    text = f"a step of descent {note['start']} from trial {note['parent']}"
    if parent is not None:
        text += f", whose value is {parent.value:.6g}"
    text += f"; the descent's quadratic model predicts a fall of {note['predicted']:.2g}"
    if parent is not None:
        text += f", and {moving(space, parent.unit, record.unit)}"
    return Explanation(
        text, {key: note[key] for key in ("start", "parent", "predicted", "step") if key in note}
    )


def at_defaults(space: Space, before: Sequence[Record], record: Record) -> bool:
    """Whether this is a sampler's first trial, and at the space's defaults."""
    default = space.snap(space.to_unit(space.defaults()))
    return first_of_its_own(before, record.number) and np.array_equal(record.unit, default)


def of_the_sequence(record: Record) -> str:
    """The place of a Sobol trial in its sequence."""
    place = record.number + record.note.get("skipped", 0)
    return f"point {place} of a scrambled Sobol sequence, which spreads evenly over the space"
