"""hypergrad: a `BilevelProblem`, differentiated by `hg.Reverse()` without a curve of inner losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kit.unrolled import problem

LIBRARY = "hypergrad"
DISTRIBUTION = "hypergrad-toolkit"
VARIANTS = ("reverse",)


def build(workload: Any, variant: str) -> tuple[Callable[[], float], Callable[[], tuple[float, Any]]]:
    import hypergrad as hg

    unrolled = problem(workload)

    def train() -> float:
        return float(hg.train(unrolled, workload.hparams, curve=0).value)

    def hypergradient() -> tuple[float, Any]:
        result = hg.hypergradient(unrolled, workload.hparams, method=hg.Reverse(), curve=0)
        return float(result.value), result.hypergradient

    return train, hypergradient
