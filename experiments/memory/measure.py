"""One measurement, in a fresh process with one thread.

    python measure.py '["S3", 400, "reverse", 60, "float64"]'

Prints as JSON: the highest resident memory of one hypergradient above what the process held before it, its seconds,
what was planned, and the hypergradient's projection on a fixed random direction. Before, libraries are imported, data
loaded, and the same problem with two steps has been differentiated.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from kit.unrolled import problem
from kit.workloads import flat, load

import hypergrad as hg

MiB = 1 << 20
KEPT = ("forward_steps", "linearised_steps", "states", "block")


def resized(name: str, steps: int, dtype: str) -> Any:
    """The workload with another number of steps."""
    workload = load(name)

    def schedule(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: schedule(value) for key, value in tree.items()}
        return np.resize(tree, (steps,))

    hparams = {key: schedule(v) if workload.scheduled(key) else v for key, v in workload.hparams.items()}
    batches = np.resize(workload.batches, (steps, workload.batches.shape[1]))
    return replace(workload, hparams=hparams, steps=steps, batches=batches).cast(dtype)


def status(key: str) -> int:
    """A figure of /proc/self/status, bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {key}: this experiment needs Linux")


def measure(name: str, steps: int, method: str, budget: int | None, dtype: str) -> dict[str, Any]:
    """See the module; `budget` in MiB."""
    chosen: Any = hg.Reverse(memory=None if budget is None else budget * MiB)
    if method == "reversible":
        chosen = hg.Reversible()
    first, whole = resized(name, 2, dtype), resized(name, steps, dtype)
    hg.hypergradient(problem(first), first.hparams, method=chosen, curve=0)
    task = problem(whole)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    before = status("VmRSS")
    began = time.perf_counter()
    result = hg.hypergradient(task, whole.hparams, method=chosen, curve=0)
    seconds = time.perf_counter() - began
    extra = status("VmHWM") - before
    rng = np.random.default_rng(0)
    slopes = [
        float(np.sum(leaf * rng.standard_normal(leaf.shape))) for leaf in flat(result.hypergradient).values()
    ]
    return {
        "extra_mib": extra / MiB,
        "planned_mib": result.stats["bytes"] / MiB,
        "seconds": seconds,
        "value": result.value,
        "slope": sum(slopes),
        **{key: result.stats[key] for key in KEPT if key in result.stats},
    }


if __name__ == "__main__":
    print(json.dumps(measure(*json.loads(sys.argv[1]))))
