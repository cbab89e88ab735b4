"""Which runs are made together: small ones, where one NumPy call for all of them is cheaper than one each.

Notation: w elements that one step computes, with those of its batch; q its equations. A call has a price of its own, so
that R runs together gain while w / q is small: measured on one core with five folds of a ridge, of softmax regression
and of small networks, value and hypergradient are 1.2 to 2.2 times as fast for w / q from 20 to 600. From 750 on they
are slower, since the numbers of one run stay in the cache and those of several do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import numpy as np

from hypergrad.ad.batching import RULES
from hypergrad.ad.debug import active
from hypergrad.hypergradients.prepare import Runs, unrolled
from hypergrad.unroll.step import Compiled
from hypergrad.unroll.together import Together
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["groups", "small"]

PER_EQUATION = 640  # w / q up to which runs are made together
ELEMENTS = 1 << 18  # R w at most
_VIEWS = {"reshape", "split", "permute", "stop_gradient", "broadcast_to"}
_ALONE = {
    "cond",
    "scan",
    "inv",
    "det",
    "slogdet",
    "cholesky",
    "eigh",
    "svd",
    "qr",
    "pinv",
}  # may fail in one run


def groups(
    runs: Runs, hparams: Any, accepts: Callable[[Together], bool]
) -> Iterator[tuple[Trajectory, tuple[Trajectory, ...]]]:
    """What is run, in the order of the runs: (trajectory, the runs that it makes).

    The choice looks at the step's size alone, never at a clock, and is the same for the same call.

    Args:
        accepts: whether a method would make these runs together.
    """
    one, seed = runs.each[0]
    first = unrolled(one, hparams, seed)
    alone = len(runs.each) == 1 or first.stopper is not None or active() is not None
    most = 1 if alone else small(first.code)
    if most < 2:
        yield first, (first,)
        for one, seed in runs.each[1:]:
            trajectory = unrolled(one, hparams, seed)
            yield trajectory, (trajectory,)
        return
    every = [first, *(unrolled(one, hparams, seed) for one, seed in runs.each[1:])]
    for _, same in groupby(every, _kind):
        alike = list(same)
        parts = -(-len(alike) // most)
        for part in np.array_split(np.arange(len(alike)), parts):
            chunk = tuple(alike[i] for i in part)
            together = Together(chunk) if len(chunk) > 1 else None
            if together is not None and accepts(together):
                yield together, chunk
            else:
                yield from ((run, (run,)) for run in chunk)


def _kind(run: Trajectory) -> tuple[Any, ...]:
    """What runs that are made together have in common."""
    return run.problem.batches.epoch, [var.type for var in run.code.step.inputs]


def small(code: Compiled) -> int:
    """How many runs of this step are made together at most; 1: each alone."""
    equations = code.step.equations
    for eq in equations:
        name = eq.primitive.name
        if name in _ALONE or (eq.primitive.ufunc is None and name not in RULES):
            return 1
    work = sum(var.type.size for eq in equations if eq.primitive.name not in _VIEWS for var in eq.outputs)
    work += sum(var.type.size for var in code.step.inputs[4:])
    return 1 if work > PER_EQUATION * len(equations) else max(ELEMENTS // max(work, 1), 1)
