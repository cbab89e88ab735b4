"""The problems by name; nothing here needs a peer to be installed until its problem is loaded."""

from __future__ import annotations

from collections.abc import Callable

from problems.base import Evaluation, Problem
from problems.synthetic import SYNTHETIC
from problems.training import TRAINING

__all__ = ["PROBLEMS", "Evaluation", "Problem", "load"]

PROBLEMS: dict[str, Callable[[int], Problem]] = {**SYNTHETIC, **TRAINING}


def load(name: str, seed: int = 0) -> Problem:
    """The instance of a problem that belongs to a seed."""
    return PROBLEMS[name](seed)
