"""Checkpointing schedules as data: which states to keep so that T steps can be reversed in little memory.

Notation
--------
n        units to reverse: single steps, or blocks of k consecutive steps
s        slots for states, the one of the start among them
β(s, r)  C(s + r, s): how many units can be reversed with s slots if no unit runs forward more than r times
t(n, s)  forward runs of units, beside the n that are linearised:  r n - C(s + r, s + 1), r least with β(s, r) >= n

Griewank & Walther (2000), Revolve: t(n, s) is the least possible. Wang, Moin & Iaccarino (2009) reach the same
number of repetitions when n is not known beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal

__all__ = ["Action", "Checkpoint", "OnlineStore", "forward_runs", "online_runs", "repetitions", "revolve"]


@dataclass(frozen=True)
class Action:
    """One instruction of a schedule.

    Attributes:
        kind: "store" the state at unit `unit` in `slot`; "restore" it from `slot`; "advance" from unit `unit` to
            `stop`; "reverse" unit `unit`, whose state is at hand.
        unit: where it begins.
        stop: where an advance ends.
        slot: of a store or restore.
    """

    kind: Literal["store", "restore", "advance", "reverse"]
    unit: int
    stop: int = 0
    slot: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A kept state: the unit that it begins, the slot it lies in, and its level (see `OnlineStore`)."""

    unit: int
    slot: int
    level: float = 0.0


def repetitions(units: int, slots: int) -> int:
    """r: the least number of forward runs of any unit that suffices, C(slots + r, slots) >= units."""
    if slots >= units:
        return 0 if units <= 1 else 1
    if slots == 1:
        return units - 1
    r, reach = 0, 1
    while reach < units:
        r += 1
        reach = reach * (slots + r) // r
    return r


def forward_runs(units: int, slots: int) -> int:
    """t(n, s) = r n - C(s + r, s + 1): forward runs of units beside the n that are linearised.

    Args:
        units: n, at least 1.
        slots: s, at least 1, the start's among them.

    Source: Griewank & Walther (2000), Algorithm 799: Revolve, eq. (4).
    """
    slots = min(slots, units)
    r = repetitions(units, slots)
    return r * units - comb(slots + r, slots + 1)


def split(units: int, slots: int) -> int:
    """How far to advance before the next state is stored: an optimal j in t(n, s) = min j + t(n-j, s-1) + t(j, s).

    j is optimal when β(s, r-2) <= j <= β(s, r-1) and β(s-1, r-1) <= n - j <= β(s-1, r).
    """
    r = repetitions(units, slots)
    least = comb(slots + r - 2, slots) if r >= 2 else 1
    return max(least, units - comb(slots - 1 + r, slots - 1), 1)


def revolve(units: int, slots: int, kept: Sequence[Checkpoint] = ()) -> Iterator[Action]:
    """The schedule that reverses `units` units, the last first, with `slots` slots.

    Args:
        kept: states that a first pass has stored already, by unit, the first of them unit 0; () begins by storing
            the state of unit 0, which is at hand.
    """
    free = sorted(set(range(slots)) - {point.slot for point in kept}, reverse=True)
    stack = list(kept)
    at: int | None = None
    if not stack:
        stack.append(Checkpoint(0, free.pop()))
        at = 0
        yield Action("store", 0, slot=stack[0].slot)
    stop = units
    while stop:
        last = stack[-1]
        if at != last.unit:
            yield Action("restore", last.unit, slot=last.slot)
            at = last.unit
        if last.unit == stop - 1:
            yield Action("reverse", stop - 1)
            stack.pop()
            free.append(last.slot)
            stop -= 1
            at = None
        elif not free:
            yield Action("advance", at, stop - 1)
            yield Action("reverse", stop - 1)
            stop -= 1
            at = None
        else:
            target = at + split(stop - at, len(free) + 1)
            yield Action("advance", at, target)
            at = target
            stack.append(Checkpoint(at, free.pop()))
            yield Action("store", at, slot=stack[-1].slot)


class OnlineStore:
    """Which states to keep during a first pass whose length is not known (Wang, Moin & Iaccarino 2009, alg. 1).

    A state is dispensable when a later one has a higher level. The state of each new unit takes a free slot or
    that of a dispensable state, at level 0; where there is none it replaces the last one, a level higher.

    Attributes:
        kept: the states kept, by unit.
    """

    def __init__(self, slots: int) -> None:
        self._free = list(range(slots - 1, 0, -1))
        self.kept = [Checkpoint(0, 0, float("inf"))]

    def offer(self, unit: int) -> Checkpoint | None:
        """Where to keep the state of the next unit; None: nowhere (there is one slot, the start's)."""
        level = 0.0
        if self._free:
            slot = self._free.pop()
        else:
            above = -1.0
            found = None
            for number in range(len(self.kept) - 1, 0, -1):
                if self.kept[number].level < above:
                    found = number
                    break
                above = max(above, self.kept[number].level)
            if found is None:
                if len(self.kept) == 1:
                    return None
                found = len(self.kept) - 1
                level = self.kept[found].level + 1.0
            slot = self.kept.pop(found).slot
        self.kept.append(Checkpoint(unit, slot, level))
        return self.kept[-1]


def online_runs(units: int, slots: int) -> int:
    """Forward runs of units after a first pass over all of them, the last of which is reversed at its end.

    Args:
        units: n, at least 1.
        slots: s, at least 1, the start's among them.
    """
    store = OnlineStore(slots)
    for unit in range(1, units):
        store.offer(unit)
    kept = [point for point in store.kept if point.unit < units - 1]
    actions = revolve(units - 1, slots, kept) if units > 1 else ()
    return sum(action.stop - action.unit for action in actions if action.kind == "advance")
