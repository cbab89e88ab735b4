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


def summarise(runs: Sequence[Run], rivals: Sequence[str]) -> dict[str, Any]:
    """Rows of the tables.

    Args:
        runs: those of a problem have the same budget.
        rivals: methods whose best final median is the level that all are asked to reach, where there is no target.
    """
    problems: dict[str, Any] = {}
    for problem in PROBLEMS:
        of_problem = [run for run in runs if run["problem"] == problem]
        if not of_problem:
            continue
        optima = _optima(of_problem)
        known = of_problem[0]["optimum"] is not None
        methods = list(dict.fromkeys(run["method"] for run in of_problem))
        by_method = {name: [run for run in of_problem if run["method"] == name] for name in methods}
        final = of_problem[0]["budget"]
        finals = {
            name: float(np.median([at(run, final, "measured") for run in by_method[name]]))
            for name in methods
            if name in rivals
        }
        level = min(finals.values(), default=float("nan"))
        rows = {}
        for name, found in by_method.items():
            rows[name] = {
                "seeds": sorted(run["seed"] for run in found),
                "dimension": found[0]["dimension"],
                **{a: _curve(found, a, optima if known else {}, final) for a in ACCOUNTINGS},
                "normalised_regret": _normalised(found, by_method.get("random", []), optima, final),
                "reaching": {a: _reaching(found, a, level, optima, known) for a in ACCOUNTINGS},
                "ask_tell_seconds": float(f"{np.mean([_asking(run) for run in found]):.3g}"),
                "cpu_seconds": round(sum(run["cpu_seconds"] for run in found), 1),
                "evaluations": float(np.median([len(run["values"]) for run in found])),
                "notes": _notes(found),
            }
        problems[problem] = {
            "budget": final,
            "regret": known,
            "level": of_problem[0]["target"] if known else (level if np.isfinite(level) else None),
            "methods": rows,
        }
    return problems


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


def _reaching(
    found: Sequence[Run], accounting: str, level: float, optima: Mapping[int, float], known: bool
) -> dict[str, Any]:
    """Median cost over all seeds to the level, None when fewer than half reach it; and how many do."""
    goals = [
        optima[run["seed"]] + run["target"] if known and run["target"] is not None else level for run in found
    ]
    if known and found[0]["target"] is None:
        return {"cost": None, "share": None}
    spent = [reached(run, goal, accounting) for run, goal in zip(found, goals, strict=True)]
    middle = float(np.quantile(spent, 0.5, method="higher"))
    share = f"{sum(np.isfinite(spent))}/{len(spent)}"
    return {"cost": middle if np.isfinite(middle) else None, "share": share}


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
    lines: list[str] = []
    for problem, entry in problems.items():
        what = "regret" if entry["regret"] else "ln validation loss"
        level = entry["level"]
        points = [str(cost) for cost in _checkpoints(entry["budget"])]
        test = any("test_loss" in row["measured"][points[-1]] for row in entry["methods"].values())
        goal = (
            "" if level is None else f"; the level is {'a regret of ' if entry['regret'] else ''}{level:.4g}"
        )
        lines += [f"### {problem}: {what}, median over seeds{goal}", ""]
        head = ["method", "seeds", *(f"at {p}" for p in points)]
        head += ["test loss", "test accuracy"] if test else []
        head += [
            "level reached after",
            "in seeds",
            "v+g as 1: after",
            "normalised regret",
            "ask + tell, CPU s",
        ]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        last = points[-1]

        def final(row: Mapping[str, Any], last: str = last) -> float:
            value = row["measured"][last]["value"][1]
            return float("inf") if value is None else value

        for name, row in sorted(entry["methods"].items(), key=lambda pair: final(pair[1])):
            cells = [name, str(len(row["seeds"]))]
            cells += [_text(row["measured"][p]["value"][1]) for p in points]
            if test:
                cells += [_text(row["measured"][last][key][1]) for key in ("test_loss", "test_accuracy")]
            reaching = row["reaching"]
            cells += [_text(reaching["measured"]["cost"]) or "-", reaching["measured"]["share"] or ""]
            cells += [_text(reaching["unit"]["cost"]) or "-"]
            cells += [_text(row["normalised_regret"].get(last)), _text(row["ask_tell_seconds"])]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)
