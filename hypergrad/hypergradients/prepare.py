"""From a problem and hyperparameters to a trajectory, after all checks of what was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.api import as_array, is_static
from hypergrad.errors import ProblemError
from hypergrad.unroll.problem import UnrolledProblem
from hypergrad.unroll.rehearsal import rehearse
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["Runs", "runs_of", "unrolled"]


@dataclass(frozen=True)
class Runs:
    """The trainings whose mean one outer loss is.

    Attributes:
        each: (problem, seed), the seeds of the first fold first.
        folds: number of folds; 0: the problem has none.
        seeds: each of them.
        many: whether folds or a sequence of seeds was asked for.
    """

    each: tuple[tuple[UnrolledProblem, int], ...]
    folds: int
    seeds: tuple[int, ...]
    many: bool

    def name(self, index: int) -> str:
        """Of one run, for messages."""
        fold, number = divmod(index, len(self.seeds))
        return f"fold {fold}, seed {self.seeds[number]}" if self.folds else f"seed {self.seeds[number]}"


def runs_of(problem: Any, seed: Any) -> Runs:
    """The runs of a problem with folds, and of a sequence of seeds.

    Raises:
        ProblemError: no problem, no seeds.
    """
    _check_problem(problem)
    several = isinstance(seed, Sequence) and not isinstance(seed, str | bytes)
    many = several or (isinstance(seed, np.ndarray) and seed.ndim > 0)
    seeds = tuple(_seed(number) for number in (seed if many else [seed]))
    if not seeds:
        raise ProblemError("seed is an empty sequence, expected at least one int")
    twice = [number for i, number in enumerate(seeds) if number in seeds[:i]]
    if twice:
        raise ProblemError(f"seed {twice[0]} is given twice, which would count one run as two")
    each = tuple((one, number) for one in problem.folds or (problem,) for number in seeds)
    return Runs(each, len(problem.folds), seeds, many or bool(problem.folds))


def _check_problem(problem: Any) -> None:
    if not isinstance(problem, UnrolledProblem):
        raise ProblemError(f"expected an hg.BilevelProblem or hg.UnrolledProblem, got {problem!r}")


def _seed(seed: Any) -> int:
    seed = seed.item() if isinstance(seed, np.ndarray) and seed.shape == () else seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ProblemError(f"seed must be an int, 0 or more, got {seed!r}")
    return int(seed)


def unrolled(problem: Any, hparams: Any, seed: int) -> Trajectory:
    """The trajectory of a problem, after all checks of what was given.

    Raises:
        ProblemError: no problem, no seed, hyperparameters that are no numbers or that do not fit the problem.
    """
    _check_problem(problem)
    seed = _seed(seed)
    if problem.folds:
        raise ProblemError(
            f"one training run is needed here, but the problem has {len(problem.folds)} folds; "
            "give one of problem.folds"
        )
    leaves, structure = tree.flatten(hparams)
    paths = structure.paths()
    if len(set(paths)) < len(paths):
        twice = next(path for i, path in enumerate(paths) if path in paths[:i])
        raise ProblemError(
            f"hparams has two leaves called {twice!r}, a key and a nested one; rename one of them"
        )
    for path, leaf in zip(structure.paths(), leaves, strict=True):
        if not is_static(leaf):
            as_array(leaf, f"hparams[{path!r}]" if path else "hparams")
    problem.check(hparams)
    try:
        trajectory = Trajectory(problem, hparams, seed)
    except KeyError as error:
        error.add_note(f"hparams has {', '.join(structure.paths()) or 'no keys'}")
        raise
    signature = trajectory.hyper.signature
    if signature not in problem.rehearsed:
        rehearse(trajectory)
        problem.rehearsed.add(signature)
    return trajectory
