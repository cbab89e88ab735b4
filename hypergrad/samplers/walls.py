"""Where training diverges: a fence of single coordinates between healthy trials and diverged ones.

A trial that diverged says that some coordinate went too far, but not which. The suspects are the
coordinates in which every recent diverged trial lies beyond every healthy trial of the descent, on the same
side; where a diverged trial has a gradient, only those that drove its value up. A fence keeps the next step
within a quarter of the way from the healthy trials to the diverged ones in the suspects, and leaves the
others free: at the edge of stability, learning rates wait while penalties move on.

While there are several suspects, only half of them is fenced off, the more or the less sensitive one in
turn: if the next trial is healthy, the others are cleared, so a single culprit is found by halving. A first
divergence fences nothing off, since a smaller trust radius is then the better answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Wall", "fence", "wall"]

APPROACH = 0.25  # of the way to the diverged trials,
CLOSE = 0.001  # unless it is shorter than this, units of the cube
BLAMED = 0.05  # share of the largest rise along one coordinate that makes another one a suspect
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
    walls: tuple[Wall, ...], low: np.ndarray, high: np.ndarray, sensitivity: np.ndarray, time: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Bounds (d,), (d,) of the next trial; None where nothing is fenced off.

    Args:
        walls: of the descent, oldest first.
        low: (d,) smallest coordinates of its healthy trials.
        high: (d,) largest ones.
        sensitivity: (d,) size of the derivative along each coordinate.
        time: trials of the descent so far.
    """
    if not walls or time - walls[-1].time > LASTS:
        return None
    recent = walls[-REMEMBERED:]
    units = np.stack([each.unit for each in recent])
    blamed = np.stack([each.blamed for each in recent])
    above = np.all((units > high) & blamed, axis=0)
    below = np.all((units < low) & blamed, axis=0)
    suspects = above | below
    count = int(suspects.sum())
    if count == 0:
        return None
    if count > 1:
        if sum(time - each.time <= LASTS for each in recent) < 2:
            return None
        rank = sensitivity if len(walls) % 2 else -sensitivity
        half = np.flatnonzero(suspects)[np.argsort(rank[suspects], kind="stable")[: (count + 1) // 2]]
        fenced = np.isin(np.arange(len(low)), half)
        above, below = above & fenced, below & fenced
    down, up = units.max(axis=0) - low, units.min(axis=0) - high
    return (
        np.where(below, low + APPROACH * np.where(-down > CLOSE, down, 0.0), 0.0),
        np.where(above, high + APPROACH * np.where(up > CLOSE, up, 0.0), 1.0),
    )
