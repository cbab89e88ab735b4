"""Whether a hypergradient can be trusted: the chaos monitor.

Notation
--------
w_t, s̄_t   parameters before step t, and the cotangent of them
κ_t         ‖w_t‖ ‖s̄_t‖: by how much a relative change of w_t moves the outer loss
G_t         κ_t / κ_T: how much a relative change grows from step t to the end

Where training is chaotic, G_t grows exponentially as t falls, and the hypergradient is the slope of a ripple instead
of the trend (Maclaurin et al. 2015, sec. 4.3; Metz et al. 2019). While training is stable, G_t stays near 1, whatever
its length. `CHAOS` was chosen on twelve networks (tanh and relu; SGD, Nesterov, momentum and Adam; T from 60 to 400)
whose learning rate crosses the edge. On the same networks it is passed within 0.2 in log lr of the point where a change
of the first parameters by 1e-8 of them grows 100-fold on about nine, and of the point where |dF/dlog lr| exceeds 100 on
about eight; on the others 0.3 to 0.9 to either side, mostly before, where these two points lie apart themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CHAOS", "Growth", "adjoint_growth", "tangent_growth"]

CHAOS = 100.0


@dataclass(frozen=True)
class Growth:
    """What the monitor saw.

    Attributes:
        stats: growth = max G_t (1: none), growth_per_step: the factor a step that fits log G_t best, lost_before: the
            latest step t with G_t above `CHAOS`, None where there is none.
        warnings: a sentence where training is chaotic.
    """

    stats: dict[str, Any]
    warnings: tuple[Any, ...]


def adjoint_growth(looks: Sequence[tuple[int, Any, Any]], steps: int) -> Growth:
    """The growth of the adjoint from the end of training to its start.

    Args:
        looks: (t, ‖s̄_t‖, ‖w_t‖), from the last step to the first. Norms of shape (R,) are those of R runs together;
            then each entry of stats is a list and warnings a tuple of tuples, one entry a run.
    """
    if np.ndim(looks[0][1]):
        each = [
            adjoint_growth(
                [(t, float(adjoint[r]), float(weights[r])) for t, adjoint, weights in looks], steps
            )
            for r in range(len(looks[0][1]))
        ]
        return Growth(
            {key: [one.stats[key] for one in each] for key in each[0].stats},
            tuple(one.warnings for one in each),
        )
    t, adjoint, weights = (np.array(column, float) for column in zip(*looks, strict=True))
    with np.errstate(all="ignore"):
        condition = np.log(adjoint) + np.log(weights)  # of numbers whose product may overflow
        growth = condition - condition[0]  # log G_t
    broken = ~np.isfinite(adjoint)
    if broken.any():
        first = int(t[np.argmax(broken)])
        return Growth(
            {"growth": float("inf"), "growth_per_step": float("inf"), "lost_before": first},
            (
                f"the adjoint overflowed at step {first} of {steps}: training is chaotic; "
                f"try a smaller learning rate, {_remedy(first, steps)}",
            ),
        )
    if not np.isfinite(condition[0]):  # the outer loss is flat, or the parameters are 0
        return Growth({"growth": 1.0, "growth_per_step": 1.0, "lost_before": None}, ())
    used = np.isfinite(growth)
    t, growth = t[used], growth[used]
    with np.errstate(over="ignore"):
        rate = float(np.exp(-np.polyfit(t, growth, 1)[0])) if len(t) > 1 else 1.0
        peak = float(np.exp(growth.max()))
    stats: dict[str, float | int | None] = {
        "growth": peak,
        "growth_per_step": rate,
        "lost_before": None,
    }
    if peak < CHAOS:
        return Growth(stats, ())
    lost = stats["lost_before"] = int(t[np.argmax(growth >= np.log(CHAOS))])
    return Growth(
        stats,
        (
            f"training is chaotic: a change of the parameters at step {int(t[np.argmax(growth)])} grows "
            f"{peak:.0e}-fold by step {steps}, so that what the hypergradient says of the steps before {lost} is "
            f"noise; try a smaller learning rate, {_remedy(lost, steps)}",
        ),
    )


def _remedy(lost: int, steps: int) -> str:
    kept = max(steps - lost, 1)
    return f"hg.Truncated(steps={kept}) or hg.Evolution()"


def tangent_growth(largest: float, steps: int) -> Growth:
    """The same from forward mode, which sees elasticities instead.

    An elasticity grows with t even where training is not chaotic, by a few units a step where it diverges as a linear
    system does: chaos is above 4 a step, and above `CHAOS`.

    Args:
        largest: max over hyperparameters h and steps t of |h| ‖dw_t/dh‖ / ‖w_t‖; nan where it overflowed.
    """
    peak = float("inf") if np.isnan(largest) else float(largest)
    stats: dict[str, float | int | None] = {"elasticity": peak}
    if peak < max(CHAOS, 4.0 * steps):
        return Growth(stats, ())
    return Growth(
        stats,
        (
            f"training is chaotic: over its {steps} steps a relative change of a hyperparameter moves the parameters "
            f"{peak:.0e} times as much; try a smaller learning rate, hg.Truncated(steps=...) or hg.Evolution()",
        ),
    )
