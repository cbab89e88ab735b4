"""Functions of COCO's suites bbob and bbob-mixint in five dimensions (`pip install coco-experiment`).

The instance is that of number seed + 1.

Of bbob, at least one of each group: f1 sphere and f3 Rastrigin (separable), f8 Rosenbrock (moderate conditioning),
f10 ellipsoid (high conditioning), f15 rotated Rastrigin (multimodal), f21 Gallagher's 101 peaks (weak structure). Of
bbob-mixint f1, f8 and f15, whose first four variables are integers with 2, 4, 8 and 16 values. Neither has gradients.

Source: Hansen et al. (2021), COCO: a platform for comparing continuous optimizers; Tusar et al. (2019) for mixint.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import hypergrad as hg
from problems.base import Evaluation, Problem

__all__ = ["COCO", "Coco"]

_DIMENSION = 5
_LAST_INSTANCE = 1000


class Coco(Problem):
    """A function of a suite.

    Raises:
        ImportError: coco-experiment is not installed.
    """

    target = 1.0  # regret

    def __init__(self, suite: str, function: int, seed: int) -> None:
        self.name = f"{suite.replace('-', '_')}_f{function}"
        self.seed = seed
        self._which = (suite, function, seed + 1)
        self._suite, self._problem = _instance(*self._which)
        low, high = self._problem.lower_bounds, self._problem.upper_bounds
        integers = self._problem.number_of_integer_variables
        self.space = hg.Space(
            {
                f"x{i + 1}": hg.Int(round(a), round(b)) if i < integers else hg.Float(a, b)
                for i, (a, b) in enumerate(zip(low, high, strict=True))
            }
        )
        self.optimum = self._optimum()

    def _optimum(self) -> float:
        """f at the point that COCO writes into a file of the current folder when it is asked for the best one."""
        suite, problem = _instance(*self._which)  # another instance: to look is counted as evaluating
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            problem._best_parameter("print")
            (written,) = Path(folder).iterdir()
            best = np.loadtxt(written)
        value = float(problem(best))
        suite.free()
        return value

    def evaluate(self, hparams: Mapping[str, Any], wants_gradient: bool = True, draw: int = 0) -> Evaluation:
        return Evaluation(float(self._problem(np.array([*hparams.values()], float))), None, 1.0)


def _instance(suite: str, function: int, instance: int) -> tuple[Any, Any]:
    import cocoex

    if not 1 <= instance <= _LAST_INSTANCE:
        raise ValueError(f"the seed of a COCO problem is {instance - 1}, expected 0 to {_LAST_INSTANCE - 1}")
    found = cocoex.Suite(
        suite, f"instances: {instance}", f"dimensions:{_DIMENSION} function_indices:{function}"
    )
    return found, found[0]  # the suite owns the problem: it must live as long


COCO: dict[str, Callable[[int], Problem]] = {
    **{f"bbob_f{f}": partial(Coco, "bbob", f) for f in (1, 3, 8, 10, 15, 21)},
    **{f"bbob_mixint_f{f}": partial(Coco, "bbob-mixint", f) for f in (1, 8, 15)},
}
