"""The floor of a workload on this machine: its matrix products alone, and the bytes that must be kept.

The products are those of the compiled step and of its adjoint, each timed by itself at its own shape and dtype
(`np.dot` into a buffer, best of several); what a step keeps for the backward run is written once and read once at
the measured copy rate. No elementwise work and no Python is counted: nothing built on NumPy's products can be
faster.
"""

from __future__ import annotations

import timeit
from collections.abc import Iterable
from typing import Any

import numpy as np
from kit.unrolled import problem
from kit.workloads import load

from hypergrad.unroll.trajectory import Trajectory


def seconds(call: Any) -> float:
    """Best time of one call, of five rounds of about a millisecond."""
    once = min(timeit.repeat(call, number=1, repeat=3))
    number = max(1, int(1e-3 / once))
    return min(timeit.repeat(call, number=number, repeat=5)) / number


def products(equations: Iterable[Any]) -> float:
    """Seconds of the matrix products of a Program."""
    total = 0.0
    for eq in equations:
        if eq.primitive.name != "matmul":
            continue
        a, b = (np.ones(atom.type.shape, atom.type.dtype) for atom in eq.inputs)
        out = np.empty(eq.outputs[0].type.shape, a.dtype)
        total += seconds(lambda a=a, b=b, out=out: np.dot(a, b, out))
    return total


def copy_rate() -> float:
    """Bytes a second of a large copy."""
    source = np.ones(1 << 24, np.uint8)
    target = np.empty_like(source)
    return source.size / seconds(lambda: np.copyto(target, source))


def floor(name: str, dtype: str) -> dict[str, float]:
    """Microseconds a step of training and of the hypergradient, at least."""
    workload = load(name, dtype, steps=2)
    code = Trajectory(problem(workload), workload.hparams, 0).code
    size = code.layout.size * np.dtype(dtype).itemsize + code.cut.bytes
    kept = products(code.cut.early.equations) + products(code.cut.late.equations) + 2.0 * size / copy_rate()
    return {"training_us": 1e6 * products(code.step.equations), "hypergradient_us": 1e6 * kept}
