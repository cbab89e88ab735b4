"""One measurement, in a fresh process on one core; started by ``run.py``.

    python measure.py WORKLOAD.pickle OUT.npz --peer jax --variant scan --core 0 --seconds 3

Writes the value and the hypergradient as arrays, and under the key ``record`` the times (seconds a call) and
memory (bytes) as JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pickle
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from kit.workloads import flat


def _status(field: str) -> int | None:
    """A memory field of /proc/self/status in bytes; None where the system has no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        return None
    found = [line.split() for line in lines if line.startswith(field + ":")]
    return 1024 * int(found[0][1]) if found else None


def peak_memory() -> int:
    """Highest resident set so far, in bytes."""
    return _status("VmHWM") or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak() -> int:
    """The resident set in bytes, from which the next peak counts; off Linux the peak so far."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return _status("VmRSS") or peak_memory()


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds `call` took, and what it returned."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def measure(
    workload: Any, peer: str, variant: str, seconds: float
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(record, arrays): a first call, then training and hypergradient for `seconds`, at least twice."""
    module = importlib.import_module(f"peers.{peer}_peer")
    importing, _ = timed(lambda: importlib.import_module(module.LIBRARY))
    before = forget_peak()
    start = time.perf_counter()
    train, hypergradient = module.build(workload, variant)
    value, gradient = hypergradient()
    first_call = importing + time.perf_counter() - start
    extra = peak_memory() - before
    trained = train()
    training: list[float] = []
    hypergradients: list[float] = []
    begin = time.perf_counter()
    while len(training) < 2 or (time.perf_counter() - begin < seconds and len(training) < 200):
        training.append(timed(train)[0])
        hypergradients.append(timed(hypergradient)[0])
    record = {
        "import": importing,
        "first_call": first_call,
        "extra_peak_memory": extra,
        "training": median(training),
        "hypergradient": median(hypergradients),
        "calls": len(training),
    }
    arrays = {"value": np.asarray(value), "trained": np.asarray(trained)}
    return record, arrays | {f"gradient/{path}": leaf for path, leaf in flat(gradient).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--core", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.core})
    workload = pickle.loads(options.workload.read_bytes())
    record, arrays = measure(workload, options.peer, options.variant, options.seconds)
    arrays["record"] = np.asarray(json.dumps(record))
    with options.out.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
