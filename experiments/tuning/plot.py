"""Draw runs.jsonl: median incumbent and interquartile band against cost, as curves-GROUP.svg and curves-GROUP.png.

python experiments/tuning/plot.py [runs.jsonl]
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from problems import BUDGETS, GROUPS
from summary import ACCOUNTINGS, costs, incumbents

HERE = Path(__file__).parent
_AXIS = {"measured": "runs, value + gradient as measured", "unit": "evaluations, value + gradient as 1"}
_STEPS = 120  # points of a curve
Run = Mapping[str, Any]


def steps(run: Run, grid: np.ndarray, accounting: str, key: str) -> np.ndarray:
    """The incumbent's entry `key` at each cost; nan before the first evaluation and after the last."""
    spent, told = costs(run, accounting), incumbents(run, key)
    if run["optimum"] is not None and key == "exact":
        told = np.maximum(told - run["optimum"], 1e-10)
    place = np.searchsorted(spent, grid, side="right") - 1
    over = grid > spent[-1] + 1.0
    return np.where((place >= 0) & ~over, told[np.maximum(place, 0)], np.nan)


def draw(axes: Any, runs: Sequence[Run], methods: Sequence[str], accounting: str, key: str) -> None:
    """One panel; dotted is a method that was not run on all instances."""
    grid = np.linspace(1.0, runs[0]["budget"], _STEPS)
    seeds = Counter(run["method"] for run in runs)
    for method in seeds:
        colour = f"C{methods.index(method) % 10}"
        line = ":" if seeds[method] < max(seeds.values()) else "-" if methods.index(method) < 10 else "--"
        table = np.stack([steps(run, grid, accounting, key) for run in runs if run["method"] == method])
        known = ~np.isnan(table).any(axis=0)
        low, middle, high = np.quantile(table[:, known], [0.25, 0.5, 0.75], axis=0)
        axes.plot(grid[known], middle, line, color=colour, label=method, linewidth=1.2)
        axes.fill_between(grid[known], low, high, color=colour, alpha=0.12, linewidth=0, rasterized=True)
    if runs[0]["optimum"] is not None and key == "exact":
        axes.set_yscale("log")
    axes.set_xlabel(_AXIS[accounting], fontsize=8)
    axes.tick_params(labelsize=7)


def main() -> None:
    plt.rcParams["svg.fonttype"] = "none"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "complete" / "runs.jsonl"
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    methods = list(dict.fromkeys(run["method"] for run in runs))
    for group, members in GROUPS.items():
        here = [run for run in runs if run["problem"] in members and run["budget"] == BUDGETS[group]]
        problems = [name for name in members if any(run["problem"] == name for run in here)]
        if not problems:
            continue
        differentiable = group in ("training", "synthetic")
        rows = [(a, "exact") for a in (ACCOUNTINGS if differentiable else ACCOUNTINGS[:1])]
        rows += [("measured", "test_loss")] if group == "training" else []
        shape = (len(rows), len(problems))
        figure, panels = plt.subplots(
            *shape, figsize=(3.6 * shape[1], 2.8 * shape[0]), layout="constrained", squeeze=False
        )
        for column, problem in enumerate(problems):
            of_problem = [run for run in here if run["problem"] == problem]
            for row, (accounting, key) in enumerate(rows):
                draw(panels[row, column], of_problem, methods, accounting, key)
            panels[0, column].set_title(f"{problem} ({of_problem[0]['dimension']} dimensions)", fontsize=9)
        regret = here[0]["optimum"] is not None
        for row, (_, key) in enumerate(rows):
            name = "test loss" if key == "test_loss" else "regret" if regret else "ln validation loss"
            panels[row, 0].set_ylabel(name, fontsize=8)
        handles = {}
        for panel in panels.flat:
            handles |= dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True))
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower center",
            ncols=min(2 * shape[1], len(handles)),
            fontsize=8,
        )
        for suffix in ("svg", "png"):
            figure.savefig(path.with_name(f"curves-{group}.{suffix}"), dpi=130)
        plt.close(figure)


if __name__ == "__main__":
    main()
