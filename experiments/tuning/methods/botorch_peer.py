"""BoTorch: SingleTaskGP on standardised values, log expected improvement, 8 restarts of 256 raw samples."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from problems import Problem

from hypergrad.parameters import Categorical
from methods.base import Method, Session, design, worst_of

__all__ = ["BOTORCH"]


class _Features:
    """The unit cube with every choice as an indicator of each value."""

    def __init__(self, problem: Problem) -> None:
        self.space = problem.space
        self.counts = [1] * self.space.dimension  # features of each coordinate
        for path, parameter in self.space.parameters.items():
            if isinstance(parameter, Categorical):
                self.counts[self.space.columns[path].start] = parameter.count
        self.size = sum(self.counts)

    def encode(self, unit: np.ndarray) -> np.ndarray:
        """(d,) to (size,)."""
        return np.concatenate(
            [
                [u] if count == 1 else np.eye(count)[min(int(u * count), count - 1)]
                for u, count in zip(unit, self.counts, strict=True)
            ]
        )

    def decode(self, features: np.ndarray) -> np.ndarray:
        """(size,) to a point of a configuration: the largest indicator, integers rounded."""
        parts = np.split(features, np.cumsum(self.counts)[:-1])
        unit = np.array([p[0] if len(p) == 1 else (p.argmax() + 0.5) / len(p) for p in parts])
        return self.space.snap(np.clip(unit, 0.0, 1.0))


def _candidate(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where log EI is largest, (size,); x (n, size), y (n,) minimised."""
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    inputs, outcomes = torch.tensor(x), torch.tensor(-y)[:, None]
    model = SingleTaskGP(inputs, outcomes, outcome_transform=Standardize(1))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    bounds = torch.tensor([[0.0], [1.0]], dtype=torch.float64).repeat(1, x.shape[1])
    acquisition = LogExpectedImprovement(model, best_f=outcomes.max())
    found: Any = optimize_acqf(acquisition, bounds, q=1, num_restarts=8, raw_samples=256)
    return found[0][0].numpy()


def search(session: Session) -> None:
    """Ask and tell; a run that diverged counts as the worst value seen.

    Where the model cannot be fitted, the next point of the design's sequence is taken, and counted.
    """
    import torch
    from botorch.exceptions import BotorchWarning, ModelFittingError
    from linear_operator.utils.warnings import NumericalWarning

    torch.set_num_threads(1)
    torch.manual_seed(session.seed)
    problem, features = session.problem, _Features(session.problem)
    space, units = problem.space, []
    for unit in design(problem, session.seed):
        session.evaluate(space.from_unit(unit))
        units.append(unit)
    while True:
        worst = worst_of(session.values)
        y = np.array([value if math.isfinite(value) else worst for value in session.values])
        with warnings.catch_warnings():
            for kind in (BotorchWarning, NumericalWarning, RuntimeWarning):
                warnings.simplefilter("ignore", kind)
            try:
                unit = features.decode(_candidate(np.stack([features.encode(u) for u in units]), y))
            except ModelFittingError:
                session.note("model not fitted")
                unit = design(problem, session.seed, len(units) + 1)[-1]
        session.evaluate(space.from_unit(unit))
        units.append(unit)


BOTORCH = Method(
    search, "SingleTaskGP, LogExpectedImprovement, 8 restarts of 256", ("botorch", "botorch"), most=100
)
