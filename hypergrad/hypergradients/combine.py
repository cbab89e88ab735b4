"""Several runs as one outer loss: F = 1/R Σ_r F_r, its hypergradient, and the standard errors of both.

Notation: R runs, folds times seeds; x_r the value, or a coordinate of the hypergradient, of run r; x̄ = 1/R Σ_r x_r.
Standard error of x̄: sqrt(1 / (R (R - 1)) Σ_r (x_r - x̄)²). The folds of a cross-validation share training rows, so
that theirs is an estimate that tends to be too small (Bengio & Grandvalet 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.hypergradients.base import HypergradientResult, measure
from hypergrad.hypergradients.prepare import Runs
from hypergrad.unroll.together import Together
from hypergrad.unroll.trajectory import Trajectory, row_norms

__all__ = ["combine", "mean", "split", "standard_error"]

_SUMMED = ("step_evaluations", "forward_steps", "linearised_steps", "seconds", "seconds_training")
_LARGEST = ("bytes",)
_ALL = ("finite", "trusted")


def combine(runs: Runs, results: Sequence[HypergradientResult]) -> HypergradientResult:
    """The mean of the results of all runs."""
    first = results[0]
    values = [result.value for result in results]
    everywhere = [s for s in first.warnings if all(s in result.warnings for result in results)]
    warnings: dict[str, None] = dict.fromkeys(everywhere)
    for i, result in enumerate(results):
        warnings |= dict.fromkeys(f"{runs.name(i)}: {s}" for s in result.warnings if s not in everywhere)
    broken = [runs.name(i) for i, result in enumerate(results) if not result.stats["finite"]]
    if broken and len(broken) < len(results):
        warnings[f"{len(broken)} of {len(results)} runs are not finite ({'; '.join(broken)})"] = None
    with np.errstate(all="ignore"):
        value_error = standard_error(values)
        slopes, slope_errors = None, None
        if first.hypergradient is not None:
            every = [result.hypergradient for result in results]
            slopes = tree.map(lambda *leaves: mean(leaves), *every)
            slope_errors = tree.map(lambda *leaves: standard_error(leaves), *every)
        value = float(mean(values))
        curve = mean([result.curve for result in results])
        metrics = {
            name: {metric: float(mean([r.metrics[name][metric] for r in results])) for metric in found}
            for name, found in first.metrics.items()
        }
    stats = _stats([result.stats for result in results])
    stats |= {"runs": len(results), "folds": runs.folds, "seeds": list(runs.seeds), "values": values}
    if len(results) > 1:
        stats["value_error"] = value_error
        if slope_errors is not None:
            with np.errstate(all="ignore"):
                stats["hypergradient_error"] = _norms(slope_errors)
    disconnected = tuple(
        name for name in first.disconnected if all(name in result.disconnected for result in results)
    )
    return HypergradientResult(
        value,
        slopes,
        tuple(result.params for result in results),
        stats,
        disconnected,
        curve,
        metrics,
        tuple(warnings),
        None if len(results) == 1 else value_error,
        None if len(results) == 1 else slope_errors,
        tuple(results),
    )


def split(
    trajectory: Trajectory, made: Sequence[Trajectory], result: HypergradientResult
) -> list[HypergradientResult]:
    """The result of each run of `trajectory`; seconds in equal parts, bytes those of all.

    What a method tells of runs made together in a list of stats, or in `warnings`, has one entry a run.
    """
    result.stats["together"] = len(made)
    if not isinstance(trajectory, Together):
        return [result]
    each = []
    for r, run in enumerate(made):
        value = float(trajectory.outcomes[r])
        slopes = result.hypergradient
        if slopes is not None:
            finite = np.isfinite(value)
            slopes = tree.map(
                lambda leaf, r=r, finite=finite: (
                    None
                    if leaf is None
                    else leaf[r].copy()[()]
                    if finite
                    else np.full_like(leaf[r], np.nan)[()]
                ),
                slopes,
            )
        whole = np.isfinite(value) and all(
            np.isfinite(leaf).all() for leaf in tree.leaves(slopes) if leaf is not None
        )
        stats: dict[str, Any] = {}
        warnings: Sequence[str] = ()
        for key, entry in result.stats.items():
            if not isinstance(entry, list):
                stats[key] = entry
            elif np.isfinite(value):  # a run that diverged has no derivative to tell of
                stats[key] = entry[r]
        if result.warnings and np.isfinite(value):
            warnings = result.warnings[r]
        stats["finite"] = bool(whole)
        if "trusted" in stats:
            stats["trusted"] = bool(whole) and not warnings
        for key in ("seconds", "seconds_training"):
            stats[key] /= len(made)
        each.append(
            HypergradientResult(
                value,
                slopes,
                result.params[r],
                stats,
                result.disconnected,
                result.curve[:, r].copy(),
                measure(run, result.params[r]),
                tuple(warnings),
            )
        )
    return each


def mean(values: Sequence[Any]) -> Any:
    """The mean of numbers or of arrays of one shape, summed in float64, in their own dtype; None of None."""
    if values[0] is None:
        return None
    dtype = np.asarray(values[0]).dtype
    return np.asarray(np.mean(np.stack(values), axis=0, dtype=np.float64)).astype(dtype)[()]


def standard_error(values: Sequence[Any]) -> Any:
    """Standard error of the mean of numbers or of arrays of one shape, with R - 1; nan for R = 1; None of None."""
    if values[0] is None:
        return None
    if len(values) == 1:
        return np.full(np.shape(values[0]), np.nan)[()]
    dtype = np.asarray(values[0]).dtype
    found = np.std(np.stack(values), axis=0, ddof=1, dtype=np.float64) / np.sqrt(len(values))
    return float(found) if type(values[0]) is float else np.asarray(found).astype(dtype)[()]


def _stats(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts and seconds added, the largest of the bytes; of the rest what all say, or a list, one entry a run."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for stats in each for key in stats):
        values: list[Any] = [stats.get(key) for stats in each]
        if key in _SUMMED:
            found[key] = sum(values)
        elif key in _LARGEST:
            found[key] = max(values)
        elif key in _ALL:
            found[key] = all(values)
        else:
            found[key] = values[0] if all(value == values[0] for value in values) else values
    return found


def _norms(errors: Any) -> list[float]:
    """Norm of each float leaf, in the order of the tree."""
    rows = [np.reshape(leaf, (1, -1)) for leaf in tree.leaves(errors) if leaf is not None]
    return [float(row_norms(row)[0]) for row in rows]
