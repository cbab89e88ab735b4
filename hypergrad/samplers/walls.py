"""Where training diverges: a fence of single coordinates between healthy trials and diverged ones.

A trial that diverged says that some coordinate went too far, but not which. The suspects are the
coordinates in which every recent diverged trial lies beyond every healthy trial of the descent, on the same
side; where a diverged trial has a gradient, only those that drove its value up. Once they are at most half
of all, the next step stays within a quarter of the way from the healthy trials to the diverged ones in the
suspects, and is free in the others: at the edge of stability, learning rates wait while penalties move on.
Until then the trust radius shrinks, as after any bad trial.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Wall", "fence", "wall"]

APPROACH = 0.25  # of the way to the diverged trials
BLAMED = 0.05  # share of the largest rise along one coordinate that makes another one a suspect
FEW = 0.5  # share of the coordinates that may be suspects for a fence to be of use
LASTS = 8  # trials after which a fence is taken down, so that a wrong one does no harm for long
REMEMBERED = 10  # diverged trials


@dataclass(frozen=True, eq=False)
class Wall:
    """A diverged trial.

    Attributes:
        unit: (d,) the trial.
        blamed: (d,) bool; coordinates that may have made it diverge.
        time: trials of the descent so far.
    """

    unit: np.ndarray
    blamed: np.ndarray
    time: int


def wall(unit: np.ndarray, step: np.ndarray, gradient: np.ndarray | None, time: int) -> Wall:
    """The wall of the diverged trial `unit`, reached by `step`; `gradient` as it was reported there."""
    blamed = np.ones(unit.shape, bool)
    if gradient is not None:
        rise = np.where(np.isfinite(gradient), gradient, 0.0) * step
        if rise.max() > 0.0:
            blamed = rise > BLAMED * rise.max()
    return Wall(unit, blamed, time)


def fence(
    walls: tuple[Wall, ...], low: np.ndarray, high: np.ndarray, time: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Bounds (d,), (d,) of the next trial; None where nothing is fenced off.

    Args:
        walls: of the descent, oldest first.
        low: (d,) smallest coordinates of its healthy trials.
        high: (d,) largest ones.
        time: trials of the descent so far.
    """
    if not walls or time - walls[-1].time > LASTS:
        return None
    recent = walls[-REMEMBERED:]
    units = np.stack([each.unit for each in recent])
    blamed = np.stack([each.blamed for each in recent])
    above = np.all((units > high) & blamed, axis=0)
    below = np.all((units < low) & blamed, axis=0)
    if not 0 < (above | below).sum() <= FEW * len(low):
        return None
    return (
        np.where(below, low + APPROACH * (units.max(axis=0) - low), 0.0),
        np.where(above, high + APPROACH * (units.min(axis=0) - high), 1.0),
    )
