"""Processor time of calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and what it returned."""
    began = time.process_time()
    result = call()
    return time.process_time() - began, result


def fastest(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """CPU seconds of the fastest of some calls, and what the last returned."""
    found = [seconds(call) for _ in range(repeats)]
    return min(spent for spent, _ in found), found[-1][1]


def taking_turns(sides: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each side's calls, which alternate, after one call of each for imports and caches."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side()
    for _ in range(repeats):
        for name, side in sides.items():
            found[name].append(seconds(side)[0])
    return found
