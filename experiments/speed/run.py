"""Time hypergrad and its peers on S1, S2 and S3: same numbers, same dtype, one thread, one core.

    python experiments/speed/run.py                                  all of it
    python experiments/speed/run.py --smoke                          twenty steps each: does everything agree?
    python experiments/speed/run.py --workloads S1 --dtypes float64 --peers jax hypergrad --repeats 5

Every measurement is a process of its own; the peers take turns, so that a slow minute hits all of them.
No time is reported unless all values and hypergradients of the first round agree.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import pickle
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from workloads import WORKLOADS, Workload, load

HERE = Path(__file__).parent
PEERS = ("jax", "torch", "autograd", "hypergrad")
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


Kind = tuple[str, str]  # peer, variant


class Disagreement(Exception):
    """Two peers computed different numbers, so that their times mean nothing."""


def measure(pickled: Path, peer: str, variant: str, options: argparse.Namespace) -> dict[str, Any]:
    """One fresh process: its times and memory, and under "arrays" its value and hypergradient."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measurement.npz"
        script = str(HERE / "measure.py")
        command = [sys.executable, script, str(pickled), str(out), "--peer", peer, "--variant", variant]
        command += ["--core", str(options.core), "--seconds", str(options.seconds)]
        subprocess.run(command, check=True, env=os.environ | ONE_THREAD)
        with np.load(out) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    record = json.loads(str(found.pop("record")))
    return record | {"arrays": found}


def disagreement(found: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> tuple[str, float]:
    """(name, error) of the quantity that is farthest off, relative to its norm in `reference`.

    The error is infinite for a missing quantity, another shape or dtype, and anything not finite.
    """
    errors: dict[str, float] = {}
    for name in reference.keys() | found.keys():
        a, b = found.get(name), reference.get(name)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            errors[name] = float("inf")
            continue
        scale = float(np.linalg.norm(b.astype(float)))
        error = float(np.linalg.norm(a.astype(float) - b)) / (scale or 1.0)
        errors[name] = error if np.isfinite(error) else float("inf")
    worst = max(errors, key=lambda name: errors[name])
    return worst, errors[worst]


def verify(workload: Workload, dtype: str, first_round: dict[Kind, dict[str, Any]]) -> dict[str, float]:
    """Largest relative error of each peer against the first one of the round.

    Raises:
        Disagreement: an error is above `TOLERANCE` of the dtype.
    """
    (name, variant), *rest = first_round
    reference = first_round[name, variant]["arrays"]
    errors = {f"{name} {variant}": 0.0}
    for peer, kind in rest:
        worst, error = disagreement(first_round[peer, kind]["arrays"], reference)
        if not error <= TOLERANCE[dtype]:
            raise Disagreement(
                f"{workload.name} {dtype}: {worst!r} of {peer} ({kind}) differs from that of "
                f"{name} ({variant}) by {error:.1e} relative, more than {TOLERANCE[dtype]:.0e}; "
                "so no times are reported"
            )
        errors[f"{peer} {kind}"] = error
    return errors


def compare(
    workload: Workload, dtype: str, options: argparse.Namespace, console: Console
) -> list[dict[str, Any]]:
    """Rows of the table for one workload and dtype, one a peer and variant."""
    kinds = [(peer, variant) for peer in options.peers for variant in module(peer).VARIANTS]
    records: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    errors: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        pickled = Path(folder) / "workload.pickle"
        pickled.write_bytes(pickle.dumps(workload))
        for repeat in range(options.repeats):
            for kind in kinds:
                turn = f"{workload.name} {dtype} {' '.join(kind)}, {repeat + 1} of {options.repeats}"
                with console.status(turn):
                    records[kind].append(measure(pickled, *kind, options))
            if repeat == 0:
                errors = verify(workload, dtype, {kind: found[0] for kind, found in records.items()})
    rows = []
    for (peer, variant), found in records.items():
        training, hypergradient, first_call, memory = (
            median(record[key] for record in found)
            for key in ("training", "hypergradient", "first_call", "extra_peak_memory")
        )
        rows.append(
            {
                "workload": workload.name,
                "dtype": dtype,
                "peer": peer,
                "variant": variant,
                "steps": workload.steps,
                "training_us_per_step": 1e6 * training / workload.steps,
                "hypergradient_us_per_step": 1e6 * hypergradient / workload.steps,
                "ratio": hypergradient / training,
                "first_call_seconds": first_call,
                "extra_peak_memory_bytes": memory,
                "relative_error": errors[f"{peer} {variant}"],
                "repeats": [{key: value for key, value in r.items() if key != "arrays"} for r in found],
            }
        )
    return rows


def module(peer: str) -> Any:
    """The file of `peers` with this peer's constants and code."""
    return importlib.import_module(f"peers.{peer}_peer")


def best(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each workload, dtype and peer the variant with the fastest hypergradient."""
    fastest: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["workload"], row["dtype"], row["peer"])
        if key not in fastest or row["hypergradient_us_per_step"] < fastest[key]["hypergradient_us_per_step"]:
            fastest[key] = row
    return list(fastest.values())


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table: microseconds a step, first call in seconds, extra peak memory in MB."""
    out = Table(title="µs a step, one thread on one core, medians", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("workload", "peer"):
        out.add_column(heading, no_wrap=True)
    for heading in ("train µs", "hyper µs", "ratio", "first s", "MB"):
        out.add_column(heading, justify="right", no_wrap=True)
    for row in best(rows):
        out.add_row(
            f"{row['workload']} {row['dtype']}",
            f"{row['peer']} {row['variant']}",
            f"{row['training_us_per_step']:.1f}",
            f"{row['hypergradient_us_per_step']:.1f}",
            f"{row['ratio']:.2f}",
            f"{row['first_call_seconds']:.2f}",
            f"{row['extra_peak_memory_bytes'] / 1e6:.0f}",
        )
    return out


def version(name: str) -> str | None:
    """Installed version of a distribution; None for one that runs from its source folder."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def circumstances(options: argparse.Namespace) -> dict[str, Any]:
    """Versions, machine, threads and options: what the numbers depend on."""
    names = ["numpy", "scipy", *(module(peer).DISTRIBUTION for peer in options.peers)]
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
        "machine": {"processor": model[0] if model else platform.processor(), "cores": os.cpu_count()},
        "threads": 1,
        "environment": ONE_THREAD,
        "pinned": hasattr(os, "sched_setaffinity"),
        "tolerance": TOLERANCE,
        "options": {"repeats": options.repeats, "seconds": options.seconds, "smoke": options.smoke},
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS), metavar="S")
    add("--dtypes", nargs="+", choices=list(TOLERANCE), default=list(TOLERANCE), metavar="DTYPE")
    add("--peers", nargs="+", choices=PEERS, metavar="PEER", help="default: all that are installed")
    add("--repeats", type=int, default=3, help="processes a peer (default: 3)")
    add("--seconds", type=float, default=3.0, help="spent on calls in each process (default: 3)")
    add("--core", type=int, choices=cores, default=cores[-1], help="the core all are pinned to")
    add("--smoke", action="store_true", help="20 steps, one repeat: agreement, no meaningful times")
    add("--out", type=Path, default=HERE / "results.json", help="default: results.json beside this file")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    if options.peers is None:
        options.peers = [peer for peer in PEERS if importlib.util.find_spec(module(peer).LIBRARY)]
    if options.smoke:
        options.repeats, options.seconds = 1, 0.0
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the results; 1 when peers disagree."""
    options = parse(arguments)
    console = Console()
    rows: list[dict[str, Any]] = []
    about = {}
    try:
        for name in options.workloads:
            for dtype in options.dtypes:
                workload = load(name, dtype, 20 if options.smoke else None)
                about[name] = workload.about
                rows += compare(workload, dtype, options, console)
    except Disagreement as error:
        print(error, file=sys.stderr)
        return 1
    console.print(table(rows))
    results = circumstances(options) | {"workloads": about, "rows": rows}
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    console.print(f"results: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
