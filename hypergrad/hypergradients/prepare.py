"""From a problem and hyperparameters to a trajectory, after all checks of what was given."""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.api import as_array, is_static
from hypergrad.errors import ProblemError
from hypergrad.unroll.problem import UnrolledProblem
from hypergrad.unroll.rehearsal import rehearse
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["unrolled"]


def unrolled(problem: Any, hparams: Any, seed: int) -> Trajectory:
    """The trajectory of a problem, after all checks of what was given.

    Raises:
        ProblemError: no problem, no seed, hyperparameters that are no numbers or that do not fit the problem.
    """
    if not isinstance(problem, UnrolledProblem):
        raise ProblemError(f"expected an hg.BilevelProblem or hg.UnrolledProblem, got {problem!r}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ProblemError(f"seed must be an int, 0 or more, got {seed!r}")
    leaves, structure = tree.flatten(hparams)
    for path, leaf in zip(structure.paths(), leaves, strict=True):
        if not is_static(leaf):
            as_array(leaf, f"hparams[{path!r}]" if path else "hparams")
    problem.check(hparams)
    try:
        trajectory = Trajectory(problem, hparams, int(seed))
    except KeyError as error:
        error.add_note(f"hparams has {', '.join(structure.paths()) or 'no keys'}")
        raise
    signature = trajectory.hyper.signature
    if signature not in problem.rehearsed:
        rehearse(trajectory)
        problem.rehearsed.add(signature)
    return trajectory
