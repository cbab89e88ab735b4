"""How much memory one hypergradient takes: S7 and S8 under byte budgets, each in a process of its own.

    python experiments/memory/run.py            all of it; a few minutes; writes results.json
    python experiments/memory/run.py --smoke    short runs: does every plan keep to its budget?
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "speed"))

MiB = 1 << 20
# workload of experiments/speed, steps, method, budget in MiB (None: none)
CASES: list[tuple[str, int, str, int | None]] = [
    ("S3", 400, "reverse", None),
    ("S3", 400, "reverse", 256),
    ("S3", 400, "reverse", 60),
    ("S3", 400, "reverse", 16),
    ("S3", 400, "reversible", None),
    ("S3", 4000, "reverse", None),
    ("S3", 4000, "reverse", 60),
    ("S1", 100_000, "reverse", None),
    ("S1", 100_000, "reverse", 64),
]
SMOKE = [("S3", 40, "reverse", None), ("S3", 40, "reverse", 24), ("S1", 2000, "reverse", 1)]


def resized(name: str, steps: int, dtype: str) -> Any:
    """The workload with another number of steps."""
    from workloads import load

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
    """One hypergradient: highest resident memory above what the process held before it, and its time.

    Before, the libraries are imported, the data are loaded, and the same problem with two steps has been differentiated.
    """
    import hypergrad as hg
    from peers.hypergrad_peer import problem

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
    keys = ("forward_steps", "linearised_steps", "states", "block", "bytes_store")
    return {
        "extra_mib": extra / MiB,
        "planned_mib": result.stats["bytes"] / MiB,
        "seconds": seconds,
        "value": result.value,
        **{key: result.stats[key] for key in keys if key in result.stats},
    }


def child(case: tuple[str, int, str, int | None], dtype: str, core: int) -> dict[str, Any]:
    """`measure` in a fresh process with one thread on one core."""
    command = [sys.executable, __file__, "--child", json.dumps([*case, dtype])]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

    def pin() -> None:
        os.sched_setaffinity(0, {core})

    ended = subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=pin)
    if ended.returncode:
        raise SystemExit(f"{case}: {ended.stderr.strip().splitlines()[-1]}")
    return json.loads(ended.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="short runs")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        *case, dtype = json.loads(options.child)
        print(json.dumps(measure(*case, dtype)))
        return
    cases = SMOKE if options.smoke else CASES
    found: dict[int, list[dict[str, Any]]] = {number: [] for number in range(len(cases))}
    for _ in range(1 if options.smoke else options.repeats):  # cases take turns
        for number, case in enumerate(cases):
            found[number].append(child(case, options.dtype, options.core))
    rows = []
    for number, (name, steps, method, budget) in enumerate(cases):
        runs = found[number]
        row = {**runs[0], "workload": name, "steps": steps, "method": method, "budget_mib": budget}
        row["seconds"] = median(run["seconds"] for run in runs)
        row["extra_mib"] = max(run["extra_mib"] for run in runs)
        row["within"] = budget is None or row["extra_mib"] <= 1.05 * budget + 8
        rows.append(row)
        print(
            f"{name} T={steps:<7,} {method:10} budget {budget or '-':>4} MiB: {row['extra_mib']:7.1f} MiB extra, "
            f"{row['planned_mib']:7.1f} planned, {row['seconds']:7.2f} s"
            f"{'' if row['within'] else '   ABOVE ITS BUDGET'}",
            flush=True,
        )
    if not options.smoke:
        about = {
            "dtype": options.dtype,
            "repeats": options.repeats,
            "threads": 1,
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "versions": {name: metadata.version(name) for name in ("numpy", "scipy")},
        }
        options.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    if not all(row["within"] for row in rows):
        sys.exit("a run took more memory than its budget + 5 % + 8 MiB")


if __name__ == "__main__":
    main()
