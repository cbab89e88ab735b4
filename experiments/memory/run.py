"""How much memory one hypergradient takes under byte budgets, as the operating system counts it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from hypergrad.experiments import quantities, stage, table

HERE = Path(__file__).parent
SLACK = 8.0  # MiB above the budget and 5 % of it that a run may take


@stage(alone=True)
def measured(cases, dtype, repeats):
    """The measurements of each case, which take turns, each in a process of its own."""
    found = [[] for _ in cases]
    core = max(os.sched_getaffinity(0))
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), *filter(None, sys.path)])
    for _ in range(repeats):
        for runs, (workload, steps, method, budget) in zip(found, cases, strict=True):
            case = json.dumps([workload, steps, method, budget or None, dtype])
            command = ["taskset", "-c", str(core), sys.executable, str(HERE / "measure.py"), case]
            ended = subprocess.run(command, capture_output=True, text=True, env=environment)
            if ended.returncode:
                raise RuntimeError(f"{case}: {ended.stderr.strip().splitlines()[-1]}")
            runs.append(json.loads(ended.stdout))
    return found


def rows(cases, measured):
    """(workload, steps), budget, largest extra memory, runs."""
    for (workload, steps, method, budget), runs in zip(cases, measured, strict=True):
        yield (workload, steps), method, budget, max(run["extra_mib"] for run in runs), runs


@quantities
def kept(cases, measured):
    """Are the budgets kept, and does every plan compute the same?"""
    over, spread, first = [], [], {}
    for key, _, budget, extra, runs in rows(cases, measured):
        if budget:
            over.append(extra - 1.05 * budget - SLACK)
        for run in runs:
            reference = first.setdefault(key, run)
            spread += [abs(run[name] / reference[name] - 1.0) for name in ("value", "slope")]
    return {"over_budget": max(over), "spread": max(spread)}


@quantities
def sizes(cases, measured):
    """Extra memory of the first workload at its first number of steps."""
    found, first = {}, None
    for key, method, budget, extra, runs in rows(cases, measured):
        first = first or key
        if key == first:
            name = f"{method}_{budget}" if budget else method
            found[f"mib_{name}"] = extra
            found[f"seconds_{name}"] = median(run["seconds"] for run in runs)
    return found


@table
def plans(cases, measured):
    """All cases."""
    return [
        {
            "workload": key[0],
            "steps": key[1],
            "method": method,
            "budget MiB": budget or "none",
            "extra MiB": extra,
            "planned MiB": runs[0]["planned_mib"],
            "seconds": median(run["seconds"] for run in runs),
            "forward steps": runs[0].get("forward_steps", ""),
        }
        for key, method, budget, extra, runs in rows(cases, measured)
    ]
