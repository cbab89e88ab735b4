"""Multi-start L-BFGS-B of SciPy on values and gradients in the unit cube."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from scipy.optimize import minimize

from hypergrad.samplers import Sobol
from methods.base import Method, Session, worst_of

__all__ = ["LBFGS"]


def search(trusting: bool, session: Session) -> None:
    """Descend from the defaults, then from Sobol points, each until SciPy's own criteria call it converged.

    Every call of the objective costs a value and its gradient. A run that diverged counts as the worst value seen
    plus 1, with slope 0, so that the line search turns back; entries of a gradient that are not finite count as 0.

    Args:
        trusting: whether a gradient that came with a warning is used as it is; otherwise it counts as 0.
    """
    space = session.problem.space

    def objective(unit: np.ndarray) -> tuple[float, np.ndarray]:
        hparams = space.from_unit(np.clip(unit, 0.0, 1.0))
        found = session.evaluate(hparams, wants_gradient=True)
        if not math.isfinite(found.value) or found.gradient is None:
            session.note("diverged")
            return worst_of(session.values) + 1.0, np.zeros_like(unit)
        if not trusting and found.extras.get("trusted", 1.0) == 0.0:
            session.note("gradient not trusted")
            return found.value, np.zeros_like(unit)
        slope = space.gradient_to_unit(hparams, found.gradient)
        return found.value, np.where(np.isfinite(slope), slope, 0.0)

    number = 0
    while True:
        starts = Sobol(defaults_first=number == 0)
        start = starts.ask(space, [], seed=session.seed, number=number).unit
        with np.errstate(all="ignore"):
            minimize(objective, start, jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * space.dimension)
        session.note("converged")
        number += 1


_ABOUT = "scipy.optimize.minimize(method='L-BFGS-B'), multi-start"
LBFGS = {
    "lbfgs": Method(
        partial(search, False), f"{_ABOUT}; doubtful gradients as 0", gradients=True, continuous=True
    ),
    "lbfgs-raw": Method(
        partial(search, True), f"{_ABOUT}; every gradient as it is", gradients=True, continuous=True
    ),
}
