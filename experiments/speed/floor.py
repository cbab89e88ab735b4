"""The floor of each workload on this machine: its matrix products alone, and the bytes that must be kept.

    python experiments/speed/floor.py --dtypes float32 float64

The products are those of the compiled step and of its adjoint, each timed by itself at its own shape and dtype
(`np.dot` into a buffer, best of several); what a step keeps for the backward run is written once and read once at
the measured copy rate. No elementwise work and no Python is counted: nothing built on NumPy's products can be
faster.
"""

from __future__ import annotations

import argparse
import os
import timeit
from collections.abc import Iterable
from typing import Any

import numpy as np
from peers import hypergrad_peer
from rich.console import Console
from rich.table import Table
from workloads import WORKLOADS, load

from hypergrad.unroll.trajectory import Trajectory


def seconds(call: Any) -> float:
    """Best time of one call, of five rounds of about a millisecond."""
    once = min(timeit.repeat(call, number=1, repeat=3))
    number = max(1, int(1e-3 / once))
    return min(timeit.repeat(call, number=number, repeat=5)) / number


def products(equations: Iterable[Any]) -> tuple[float, float]:
    """(flops, seconds) of the matrix products of a Program."""
    flops, total = 0.0, 0.0
    for eq in equations:
        if eq.primitive.name != "matmul":
            continue
        a, b = (np.ones(atom.type.shape, atom.type.dtype) for atom in eq.inputs)
        out = np.empty(eq.outputs[0].type.shape, a.dtype)
        flops += 2.0 * a.size * (b.shape[-1] if b.ndim > 1 else 1)
        total += seconds(lambda a=a, b=b, out=out: np.dot(a, b, out))
    return flops, total


def copy_rate(dtype: str) -> float:
    """Bytes a second of a large copy."""
    source = np.ones(1 << 24, np.uint8)
    target = np.empty_like(source)
    return source.size / seconds(lambda: np.copyto(target, source))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS))
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.core})
    table = Table(
        "workload", "Mflop training", "Mflop hyper", "kB kept", "floor training µs", "floor hyper µs"
    )
    for name in options.workloads:
        for dtype in options.dtypes:
            workload = load(name, dtype, steps=2)
            code = Trajectory(hypergrad_peer.problem(workload), workload.hparams, 0).code
            flops, forward = products(code.step.equations)
            early, kept = products(code.cut.early.equations)
            late, backward = products(code.cut.late.equations)
            size = code.layout.size * np.dtype(dtype).itemsize + code.cut.bytes
            moved = 2.0 * size / copy_rate(dtype)
            table.add_row(
                f"{name} {dtype}",
                f"{flops / 1e6:.2f}",
                f"{(early + late) / 1e6:.2f}",
                f"{size / 1e3:.0f}",
                f"{forward * 1e6:.1f}",
                f"{(kept + backward + moved) * 1e6:.1f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
