"""One method on one instance of a problem, in this process.

python experiments/tuning/job.py digits6 bayes 0 200 out.json
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Any

from methods import METHODS, Session, Spent
from problems import load

__all__ = ["run"]


def run(problem: str, method: str, seed: int, budget: float) -> dict[str, Any]:
    """What `Session` wrote down, as numbers that JSON can hold: nan and inf are None; times are CPU seconds."""
    began = process_time()
    instance = load(problem, seed)
    session = Session(instance, seed, budget)
    with contextlib.suppress(Spent):
        METHODS[method].run(session)
    record: dict[str, Any] = {
        "problem": problem,
        "method": method,
        "seed": seed,
        "budget": budget,
        "dimension": instance.space.dimension,
        "optimum": _number(instance.optimum),
        "target": _number(instance.target),
        "gradient_cost": instance.gradient_cost,
        "cpu_seconds": round(process_time() - began, 2),
        "answering_seconds": round(math.fsum(session.answering), 2),
        "asking": [round(each, 4) for each in session.asking],
        "gradients": "".join("1" if each else "0" for each in session.gradients),
        "values": [_number(each) for each in session.values],
    }
    if instance.noisy:
        record["exact"] = [_number(each) for each in session.exact]
    for key in ("test_loss", "test_accuracy"):
        if key in session.extras[0]:
            record[key] = [_number(each[key]) for each in session.extras]
    step_evaluations = [
        each["step_evaluations"]
        for each, g in zip(session.extras, session.gradients, strict=True)
        if g and "step_evaluations" in each
    ]
    if step_evaluations:
        record["gradient_step_evaluations"] = math.fsum(step_evaluations) / len(step_evaluations)
    if session.notes:
        record["notes"] = session.notes
    return record


def _number(value: float) -> float | None:
    """Seven digits of a finite number."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def main(arguments: Sequence[str]) -> int:
    problem, method, seed, budget, out = arguments
    Path(out).write_text(json.dumps(run(problem, method, int(seed), float(budget))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
