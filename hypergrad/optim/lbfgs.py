"""L-BFGS (Liu & Nocedal 1989, algorithm 2.1) as a full-batch inner solver, in PyTorch's form without line search.

Notation: w_k parameters, g_k gradient, d_k direction, s_k = t_k d_k step, y_k = g_{k+1} - g_k change of gradient,
ρ_k = 1 / y_kᵀs_k, H_k the inverse Hessian that the last m pairs (s, y) tell, γ_k = y_kᵀs_k / y_kᵀy_k its start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hypergrad.errors import ProblemError
from hypergrad.optim.base import Optimizer, Rate

__all__ = ["LBFGS"]

_CURVATURE = 1e-10  # yᵀs of a pair that is remembered


@dataclass(frozen=True)
class LBFGS(Optimizer):
    """d = -H g by the two loops of Nocedal (1980); w' = w + t d; t = lr, at the first step lr min(1, 1 / |g|_1).

    A step is one iteration: ``torch.optim.LBFGS(max_iter=1)``, called once a step. A pair is remembered where
    yᵀs > 1e-10. Where max |g| <= tolerance_grad or gᵀd > -tolerance_change, w stays. The derivative is that of these
    operations, guarded where a pair is left out. It converges to that of the minimum about as fast as w does, but
    stays where w stays: tolerances of 0 let both go on to the last digit.

    Attributes:
        lr: step length, natural units.
        history: m, at least 1. The state holds 2 m + 3 vectors of the size of the parameters.
        tolerance_grad: 0 or more.
        tolerance_change: 0 or more.
    """

    slots: ClassVar[tuple[str, ...]] = ("gradient", "step", "steps", "changes", "rho", "scale")
    options: ClassVar[tuple[str, ...]] = ("history", "tolerance_grad", "tolerance_change")
    full_batch: ClassVar[bool] = True

    lr: Rate = 1.0
    history: int = 10
    tolerance_grad: float = 1e-7
    tolerance_change: float = 1e-9

    def __post_init__(self) -> None:
        m = self.history
        if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 1:
            raise ProblemError(f"LBFGS(history=...) takes a positive int, got {m!r}")
        for name in ("tolerance_grad", "tolerance_change"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | np.floating) or not value >= 0:
                raise ProblemError(f"LBFGS({name}=...) takes a number, 0 or more, got {value!r}")
        super().__post_init__()

    def slot_sizes(self, n: int) -> tuple[int, ...]:
        return (n, n, self.history * n, self.history * n, self.history, 1)

    def first_slots(self, n: int, rate: Mapping[str, Any]) -> tuple[Any, ...]:
        return (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)

    def derived(self, rates: Mapping[str, Any], t: np.ndarray) -> dict[str, Any]:
        return {"first": (t == 1.0).astype(float)}

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        old_g, step, steps, changes, rho, scale = slots
        m, n = self.history, g.shape[0]

        # the pair of the last step joins the history, which forgets its oldest; at the first step yᵀs is 0
        y = g - old_g
        ys, yy = np.sum(y * step), np.sum(y * y)
        keep = ys > _CURVATURE
        safe = np.where(keep, ys, 1.0)
        steps = np.where(keep, np.concatenate([steps[n:], step]), steps)
        changes = np.where(keep, np.concatenate([changes[n:], y]), changes)
        rho = np.where(keep, np.concatenate([rho[1:], np.reshape(1.0 / safe, (1,))]), rho)
        scale = np.where(keep, safe / np.where(keep, yy, 1.0), scale)

        # d = -H g; a place that is still empty has ρ = 0 and so adds nothing
        pairs = [(steps[i * n : (i + 1) * n], changes[i * n : (i + 1) * n], rho[i]) for i in range(m)]
        q, alphas = -g, []
        for s, y, r in reversed(pairs):
            alphas.append(np.sum(s * q) * r)
            q = q - alphas[-1] * y
        d = q * scale
        for (s, y, r), alpha in zip(pairs, reversed(alphas), strict=True):
            d = d + s * (alpha - np.sum(y * d) * r)

        size = np.sum(np.abs(g))
        short = np.minimum(1.0, 1.0 / np.where(size > 0.0, size, 1.0))
        step = np.where(rate["first"] > 0.0, short, 1.0) * rate["lr"] * d
        rests = (np.max(np.abs(g)) <= self.tolerance_grad) | (np.sum(g * d) > -self.tolerance_change)
        return np.where(rests, w, w + step), (g, step, steps, changes, rho, scale)
