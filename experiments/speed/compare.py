"""Time hypergrad and its peers on one workload: same numbers, same dtype, one thread, one core.

Every measurement is a process of its own; the peers take turns, so that a slow minute hits all of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from kit.workloads import Workload

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


def module(peer: str) -> Any:
    """The file of `peers` with this peer's constants and code."""
    return importlib.import_module(f"peers.{peer}_peer")


def installed() -> list[str]:
    """The peers that can be imported here."""
    return [peer for peer in PEERS if importlib.util.find_spec(module(peer).LIBRARY)]


def measure(pickled: Path, peer: str, variant: str, seconds: float) -> dict[str, Any]:
    """One fresh process: its times and memory, and under "arrays" its value and hypergradient."""
    core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measurement.npz"
        command = [sys.executable, str(HERE / "measure.py"), str(pickled), str(out)]
        command += ["--peer", peer, "--variant", variant, "--core", str(core), "--seconds", str(seconds)]
        path = os.pathsep.join([str(HERE.parent), *filter(None, sys.path)])
        subprocess.run(command, check=True, env=os.environ | ONE_THREAD | {"PYTHONPATH": path})
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


def verify(workload: Workload, dtype: str, first_round: dict[Kind, dict[str, Any]]) -> dict[Kind, float]:
    """Largest relative error of each peer against the first one of the round.

    Raises:
        Disagreement: an error is above `TOLERANCE` of the dtype.
    """
    (name, variant), *rest = first_round
    reference = first_round[name, variant]["arrays"]
    errors = {(name, variant): 0.0}
    for peer, kind in rest:
        worst, error = disagreement(first_round[peer, kind]["arrays"], reference)
        if not error <= TOLERANCE[dtype]:
            raise Disagreement(
                f"{workload.name} {dtype}: {worst!r} of {peer} ({kind}) differs from that of {name} ({variant}) "
                f"by {error:.1e} relative, more than {TOLERANCE[dtype]:.0e}; so no times are reported"
            )
        errors[peer, kind] = error
    return errors


def compare(workload: Workload, dtype: str, repeats: int, seconds: float) -> list[dict[str, Any]]:
    """Rows, one a peer and variant: medians over the processes of each process's median call."""
    kinds = [(peer, variant) for peer in installed() for variant in module(peer).VARIANTS]
    records: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    errors: dict[Kind, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        pickled = Path(folder) / "workload.pickle"
        pickled.write_bytes(pickle.dumps(workload))
        for repeat in range(repeats):
            for kind in kinds:
                records[kind].append(measure(pickled, *kind, seconds))
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
                "peer": peer,
                "variant": variant,
                "training_us": 1e6 * training / workload.steps,
                "hypergradient_us": 1e6 * hypergradient / workload.steps,
                "ratio": hypergradient / training,
                "first_seconds": first_call,
                "extra_mb": memory / 1e6,
                "relative_error": errors[peer, variant],
                "calls": [record["calls"] for record in found],
            }
        )
    return rows


def best(rows: list[dict[str, Any]], peer: str) -> dict[str, Any] | None:
    """The row of a peer's variant with the fastest hypergradient; None where the peer is not installed."""
    own = [row for row in rows if row["peer"] == peer]
    return min(own, key=lambda row: row["hypergradient_us"]) if own else None
