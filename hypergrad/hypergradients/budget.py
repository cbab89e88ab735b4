"""Byte budgets: how they are written, and which blocks and slots make the best use of one."""

from __future__ import annotations

import re

import numpy as np

from hypergrad.errors import DerivativeError
from hypergrad.hypergradients.plan import exact, size
from hypergrad.unroll.reversal import Blocks, Costs

__all__ = ["UNBOUNDED", "check_checkpoints", "fit", "parse_bytes"]

UNBOUNDED = 1 << 28  # more is slower: the system clears every page that a run is the first to touch
_CODE = 12  # up to this part of a budget is left to the compiled programs themselves
_UNITS = {"": 1, "B": 1} | {
    f"{letter}{suffix}": base ** (power + 1)
    for power, letter in enumerate("KMGT")
    for suffix, base in (("iB", 1024), ("B", 1000))
}


def parse_bytes(memory: object, what: str) -> int | None:
    """A budget in bytes from an int, or from a number with a unit such as "64MiB" or "1.5 GB"; None: none.

    Raises:
        DerivativeError: neither.
    """
    if memory is None:
        return None
    if isinstance(memory, str):
        found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([A-Za-z]*)\s*", memory)
        units = {unit.lower(): factor for unit, factor in _UNITS.items()}
        if found and found[2].lower() in units:
            memory = int(float(found[1]) * units[found[2].lower()])
    if isinstance(memory, bool) or not isinstance(memory, int | np.integer) or memory < 1:
        raise DerivativeError(
            f"{what}(memory=...) takes a number of bytes or a text such as '64MiB' or '1GB', got {memory!r}"
        )
    return int(memory)


def check_checkpoints(checkpoints: object, what: str) -> None:
    """Raise DerivativeError unless `checkpoints` is None or a positive int."""
    if checkpoints is not None and (
        isinstance(checkpoints, bool) or not isinstance(checkpoints, int | np.integer) or checkpoints < 1
    ):
        raise DerivativeError(f"{what}(checkpoints=...) takes a positive int, got {checkpoints!r}")


def fit(costs: Costs, steps: int, memory: int | None, checkpoints: int | None, what: str) -> Blocks:
    """The cheapest blocks and slots for `steps` steps within the budget.

    Args:
        memory: bytes; None: `UNBOUNDED`, or more where even the least plan needs more.
        checkpoints: exactly so many slots and blocks of one step: Revolve; None: free.

    Raises:
        DerivativeError: a budget that is too small for any plan.
    """
    if checkpoints is not None:
        blocks = Blocks(steps, 1, min(int(checkpoints), steps))
        _within(costs, blocks, memory, what, "fewer checkpoints or more memory")
        return blocks
    budget = UNBOUNDED if memory is None else memory - min(costs.code, memory // _CODE)
    best: tuple[float, int, Blocks] | None = None
    for count in _counts(steps):
        length = -(-steps // count)
        count = -(-steps // length)
        room = budget - costs.space(Blocks(steps, length, 1)) - length * costs.step
        slots = 1 if count == 1 else min(int(room // max(costs.state, 1)), count)
        blocks = Blocks(steps, length, slots)
        if room < 0 or slots < 1 or costs.bytes(blocks) > budget:
            continue
        offer = (costs.seconds(blocks), costs.bytes(blocks), blocks)
        if best is None or offer[:2] < best[:2]:
            best = offer
        if slots == count:  # every block runs forward once: more blocks only cost more
            break
    if best is not None:
        return best[2]
    least = Blocks(steps, 1, 1)
    if memory is not None:
        _within(costs, least, memory, what, "at least that")
    return least


def _within(costs: Costs, blocks: Blocks, memory: int | None, what: str, remedy: str) -> None:
    needed = costs.bytes(blocks)
    if memory is not None and needed > memory:
        raise DerivativeError(
            f"{what} may keep {exact(memory)}, but this problem needs {exact(needed)}, "
            f"{size(costs.space(blocks))} of them work space and {size(costs.state)} for each state; give {remedy}"
        )


def _counts(steps: int) -> list[int]:
    """Numbers of blocks to try: all small ones, then in steps of 5 %."""
    found = list(range(1, min(steps, 64) + 1))
    while found[-1] < steps:
        found.append(min(max(found[-1] + 1, int(found[-1] * 1.05)), steps))
    return found
