"""What the runs say: incumbents at given costs, evaluations to a target, normalised regret, CPU time of ask and tell.

Notation
    c     cost so far. "measured": 1 for a value, `gradient_cost` for a value and its gradient. "unit": 1 for either.
    f_c   the best value observed within cost c; on noisy problems judged by its value without noise
    f*    the optimum, or where nobody knows it the best value that any method found on this instance
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from problems import PROBLEMS

__all__ = ["ACCOUNTINGS", "COSTS", "costs", "incumbents", "markdown", "summarise"]

Run = Mapping[str, Any]
ACCOUNTINGS = ("measured", "unit")
COSTS = (10, 25, 50, 100, 200)


def costs(run: Run, accounting: str) -> np.ndarray:
    """c after each evaluation."""
    asked = np.array([flag == "1" for flag in run["gradients"]])
    return np.cumsum(np.where(asked, run["gradient_cost"] if accounting == "measured" else 1.0, 1.0))


def incumbents(run: Run, key: str = "exact") -> np.ndarray:
    """Of each evaluation, entry `key` of the best observed so far; nan before there is a finite value.

    `key` falls back to "values" where a run has no such entry, as those without noise have no "exact".
    """
    observed = np.array([np.inf if value is None else value for value in run["values"]])
    told = np.array([np.nan if value is None else value for value in run.get(key, run["values"])])
    best = np.minimum.accumulate(observed)
    place = np.array([int(np.flatnonzero(observed == value)[0]) for value in best])
    return np.where(np.isfinite(best), told[place], np.nan)


def at(run: Run, cost: float, accounting: str, key: str = "exact") -> float:
    """f_c; nan before the first evaluation, and after the last one unless the space was exhausted."""
    spent = costs(run, accounting)
    slack = (
        run["gradient_cost"] if accounting == "measured" else 1.0
    )  # the next one would have crossed `cost`
    ended = cost >= spent[-1] + slack and "exhausted" not in run.get("notes", {})
    return float("nan") if ended or cost < spent[0] else float(incumbents(run, key)[spent <= cost][-1])


def reached(run: Run, level: float, accounting: str) -> float:
    """Cost at which f_c first is at most `level`; inf when it never is."""
    hits = np.flatnonzero(incumbents(run) <= level)
    return float(costs(run, accounting)[hits[0]]) if hits.size else float("inf")


def _quartiles(values: Iterable[float]) -> list[float | None]:
    """Lower quartile, median, upper quartile, rounded; None where one is nan."""
    known = np.array(list(values))
    if not known.size or np.isnan(known).any():
        return [None, None, None]
    return [float(f"{q:.6g}") for q in np.quantile(known, [0.25, 0.5, 0.75])]


def _optima(runs: Sequence[Run]) -> dict[int, float]:
    """f* of each seed of a problem."""
    found: dict[int, float] = {}
    for run in runs:
        known = run["optimum"]
        best = float(np.nanmin(incumbents(run))) if known is None else known
        found[run["seed"]] = min(found.get(run["seed"], np.inf), best)
    return found


def _checkpoints(budget: float) -> list[int]:
    return [cost for cost in COSTS if cost <= budget]


def summarise(runs: Sequence[Run], rivals: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Rows of the tables.

    Args:
        runs: those of a problem have the same budget.
        rivals: name of a level -> methods; where f* is unknown the level is the best of their final medians, of those
            that were run on most seeds.
    """
    problems: dict[str, Any] = {}
    for problem in PROBLEMS:
        of_problem = [run for run in runs if run["problem"] == problem]
        if not of_problem:
            continue
        optima = _optima(of_problem)
        budget, known, target = (of_problem[0][key] for key in ("budget", "optimum", "target"))
        by_method: dict[str, list[Run]] = {}
        for run in sorted(of_problem, key=lambda run: run["seed"]):
            by_method.setdefault(run["method"], []).append(run)
        levels = _levels(by_method, rivals, budget) if known is None else {}
        rows = {}
        for name, found in by_method.items():
            reaching = {level: _overtaking(found, rival) for level, (_, rival) in levels.items()}
            if target is not None:
                reaching["target"] = _reaching(found, target, optima)
            rows[name] = {
                "seeds": [run["seed"] for run in found],
                "dimension": found[0]["dimension"],
                **{a: _curve(found, a, {} if known is None else optima, budget) for a in ACCOUNTINGS},
                "normalised_regret": _normalised(found, by_method.get("random", []), optima, budget),
                "reaching": reaching,
                "ask_tell_seconds": float(f"{np.mean([_asking(run) for run in found]):.3g}"),
                "cpu_seconds": round(sum(run["cpu_seconds"] for run in found), 1),
                "evaluations": float(np.median([len(run["values"]) for run in found])),
                "notes": _notes(found),
            }
        problems[problem] = {
            "budget": budget,
            "regret": known is not None,
            "target": target,
            "levels": {
                name: {"value": float(f"{value:.6g}"), "method": rival[0]["method"]}
                for name, (value, rival) in levels.items()
            },
            "methods": rows,
        }
    return problems


def _levels(
    by_method: Mapping[str, Sequence[Run]], rivals: Mapping[str, Sequence[str]], budget: float
) -> dict[str, tuple[float, Sequence[Run]]]:
    """Of each level the best final median, and the runs of the method whose it is."""
    levels = {}
    for level, names in rivals.items():
        there = [by_method[name] for name in names if name in by_method]
        most = max(map(len, there), default=0)
        finals = [
            (float(np.median([at(run, budget, "measured") for run in found])), found)
            for found in there
            if len(found) == most
        ]
        finals = [pair for pair in finals if np.isfinite(pair[0])]
        if finals:
            levels[level] = min(finals, key=lambda pair: pair[0])
    return levels


def _curve(
    found: Sequence[Run], accounting: str, optima: Mapping[int, float], budget: float
) -> dict[str, Any]:
    """Quartiles over seeds at each cost: of f_c, or of f_c - f* where that is known, and of what is beside."""
    out: dict[str, Any] = {}
    for cost in _checkpoints(budget):
        entry = {
            "value": _quartiles(at(run, cost, accounting) - optima.get(run["seed"], 0.0) for run in found)
        }
        for key in ("test_loss", "test_accuracy"):
            if key in found[0]:
                entry[key] = _quartiles(at(run, cost, accounting, key) for run in found)
        out[str(cost)] = entry
    return out


def _normalised(
    found: Sequence[Run], random: Sequence[Run], optima: Mapping[int, float], budget: float
) -> dict[str, float]:
    """(f_c - f*) / (median of random's f_c - f*), clipped to [0, 1], mean over seeds."""
    out = {}
    for cost in _checkpoints(budget):
        spread = [at(run, cost, "measured") - optima[run["seed"]] for run in random]
        if not spread or not np.median(spread) > 0.0:
            continue
        regret = np.array([at(run, cost, "measured") - optima[run["seed"]] for run in found])
        out[str(cost)] = float(f"{np.clip(regret / np.median(spread), 0.0, 1.0).mean():.4g}")
    return out


def _reaching(found: Sequence[Run], target: float, optima: Mapping[int, float]) -> dict[str, Any]:
    """Median over all seeds of the cost to a regret, None where half of them or more never get there; how many do."""
    out: dict[str, Any] = {}
    for accounting in ACCOUNTINGS:
        spent = [reached(run, optima[run["seed"]] + target, accounting) for run in found]
        middle = float(np.median(spent)) if np.isfinite(spent).sum() * 2 > len(spent) else None
        out |= {accounting: middle, "share": f"{sum(np.isfinite(spent))}/{len(spent)}"}
    return out


def _overtaking(found: Sequence[Run], rival: Sequence[Run]) -> dict[str, Any]:
    """Cost at which the median over seeds of f_c is at most the rival's final one, both on the instances that both
    were run on; and on how many of these the method ends at or below the rival."""
    ends = {run["seed"]: at(run, run["budget"], "measured") for run in rival}
    common = [run for run in found if run["seed"] in ends]
    if not common:
        return {**dict.fromkeys(ACCOUNTINGS), "share": "0/0"}
    level = float(np.median([ends[run["seed"]] for run in common]))
    out: dict[str, Any] = {}
    for accounting in ACCOUNTINGS:
        grid = np.unique(np.concatenate([costs(run, accounting) for run in common]))
        hits = [cost for cost in grid if np.median([at(run, cost, accounting) for run in common]) <= level]
        out[accounting] = float(hits[0]) if hits else None
    wins = [at(run, run["budget"], "measured") <= ends[run["seed"]] for run in common]
    return out | {"share": f"{sum(wins)}/{len(wins)}"}


def _asking(run: Run) -> float:
    """Mean CPU seconds of ask and tell over the second half of the trials; imports fall into the first."""
    return float(np.mean(run["asking"][len(run["asking"]) // 2 :]))


def _notes(found: Sequence[Run]) -> dict[str, int]:
    total: dict[str, int] = {}
    for run in found:
        for key, count in run.get("notes", {}).items():
            total[key] = total.get(key, 0) + count
    return total


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.1e}"


def markdown(problems: Mapping[str, Any]) -> str:
    """The tables."""
    return "\n".join(line for name, entry in problems.items() for line in _table(name, entry))


def _table(problem: str, entry: Mapping[str, Any]) -> list[str]:
    """Lines of one problem, the best final median first; last, with a star, methods that were not run on all seeds."""
    points = [str(cost) for cost in _checkpoints(entry["budget"])]
    last = points[-1]

    most = max(len(row["seeds"]) for row in entry["methods"].values())

    def final(row: Mapping[str, Any]) -> tuple[int, float]:
        value = row["measured"][last]["value"][1]
        return -len(row["seeds"]), float("inf") if value is None else value

    goals = {name: f"{level['method']}'s {level['value']:.4g}" for name, level in entry["levels"].items()}
    if entry["target"] is not None:
        goals["target"] = f"a regret of {entry['target']:g}"
    test = any("test_loss" in row["measured"][last] for row in entry["methods"].values())
    head = ["method", "seeds", *(f"at {p}" for p in points)]
    head += ["test loss", "test accuracy"] if test else []
    for goal in goals.values():
        head += [f"{goal} after", "v+g as 1", "seeds"]
    head += ["normalised regret", "ask + tell, CPU s"]
    what = "regret" if entry["regret"] else "ln validation loss"
    lines = [f"### {problem}: {what}, median over seeds", "", "| " + " | ".join(head) + " |"]
    lines.append("|" + "---|" * len(head))
    for name, row in sorted(entry["methods"].items(), key=lambda pair: final(pair[1])):
        seeds = len(row["seeds"])
        cells = [name, str(seeds) if seeds == most else f"{seeds}*"]
        cells += [_text(row["measured"][p]["value"][1]) for p in points]
        if test:
            cells += [_text(row["measured"][last][key][1]) for key in ("test_loss", "test_accuracy")]
        for goal in goals:
            reaching = row["reaching"][goal]
            cells += [_text(reaching[a]) or "-" for a in ACCOUNTINGS] + [reaching["share"]]
        cells += [_text(row["normalised_regret"].get(last)), _text(row["ask_tell_seconds"])]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]
