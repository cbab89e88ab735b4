"""Revolve's schedules: the formula, the optimum it should be, and what a schedule really does.

Notation: l steps are reversed, s states kept; t(l, s) = r l - C(s + r, s + 1), r least with C(s + r, s) >= l.
"""

from math import comb

import numpy as np

from hypergrad.unroll.checkpoint import revolve


def formula(steps, slots):
    """t(l, s), written out."""
    r = next(r for r in range(steps) if comb(slots + r, slots) >= steps)
    return r * steps - comb(slots + r, slots + 1)


def lengths(slots, longest, dense_below, every):
    """The lengths l to try with s states: dense at first, then thinner, and next to each C(s + r, s)."""
    reach = [comb(slots + r, slots) for r in range(longest)]
    near = [n + d for n in reach if n <= longest for d in (-1, 0, 1)]
    found = {*range(1, dense_below + 1), *range(dense_below, longest + 1, every), *near, longest}
    return sorted(n for n in found if 1 <= n <= longest)


def play(steps, slots):
    """Follow a schedule: (steps run forward, most states alive at once); raises where it is no schedule."""
    held, at, runs, alive, undone = {}, 0, 0, 0, steps
    for action in revolve(steps, slots):
        match action.kind:
            case "store":
                held[action.slot] = at
                right = at == action.unit
            case "restore":
                at = held[action.slot]
                right = at == action.unit
            case "advance":
                right = at == action.unit < action.stop
                runs, at = runs + action.stop - action.unit, action.stop
            case "reverse":
                undone -= 1
                right = at == action.unit == undone
                at = None
        if not right:
            raise ValueError(f"l = {steps}, s = {slots}: {action} with state {at} at hand")
        alive = max(alive, len(held) + 1)
    if undone:
        raise ValueError(f"l = {steps}, s = {slots}: {undone} steps are not reversed")
    return runs, alive


def unlike_formula(longest, most_slots):
    """t(l, s) = min_j j + t(l - j, s - 1) + t(j, s) by dynamic programming: the number of pairs unlike the formula."""
    n = np.arange(longest + 1)
    least, wrong = n * (n - 1) // 2, 0
    for slots in range(1, most_slots + 1):
        if slots > 1:
            above, least = least, np.zeros(longest + 1, int)
            for steps in range(2, longest + 1):
                j = n[1:steps]
                least[steps] = np.min(j + above[steps - j] + least[1:steps])
        wrong += sum(int(least[steps]) != formula(steps, slots) for steps in range(2, longest + 1))
    return wrong
