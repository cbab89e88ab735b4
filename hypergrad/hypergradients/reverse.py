"""Reverse mode through training (Maclaurin et al. 2015, algorithm 2; Franceschi et al. 2017, algorithm 1).

s̄_T = ∂E/∂s_T; for t = T-1..0: (s̄_t, r̄_t, θ̄) += (∂Φ/∂(s, r, θ))ᵀ s̄_{t+1}.
Cost: T training steps and T vjps of a step, whatever the number of hyperparameters; memory: the T states. Where
they fit, the forward steps also keep their residuals (activations and the like), so that the backward run does not
compute them again: about one training step and a half a vjp instead of two and a half.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hypergrad.ad.program import ArrayType
from hypergrad.hypergradients.base import HypergradientResult, Method, conclude
from hypergrad.hypergradients.plan import Plan
from hypergrad.unroll.arena import leased
from hypergrad.unroll.together import Together
from hypergrad.unroll.trajectory import Adjoint, Trajectory

__all__ = ["Reverse"]

_RESIDUALS = 1 << 28  # bytes of residuals that are kept


@dataclass(frozen=True)
class Reverse(Method):
    """Reverse mode with all T states kept."""

    def solve(self, trajectory: Trajectory, wrt: Sequence[bool], curve: int) -> HypergradientResult:
        began = time.perf_counter()
        first, steps, code = trajectory.initial(), trajectory.steps, trajectory.code
        keep = steps * code.cut.bytes <= _RESIDUALS
        types = [ArrayType((steps, first.size), first.dtype), *(trajectory.kept(steps) if keep else ())]
        losses = trajectory.curve(curve)
        with leased(types) as (states, *residuals):
            last = trajectory.forward(first, 0, steps, states, residuals if keep else None, losses)
            value, ct_state, ct_hypers = trajectory.outer(last)
            trained = time.perf_counter() - began
            if np.isfinite(value):
                adjoint = Adjoint(trajectory, last, ct_state, keep)
                for t in range(steps - 1, -1, -1):
                    adjoint.step(t, states[t], [residual[t, ...] for residual in residuals])
                cts = adjoint.hyper(ct_hypers)
            else:
                cts = None
        return conclude(
            trajectory,
            wrt,
            value=value,
            gradients=cts,
            state=last,
            losses=losses,
            stats={
                "method": "Reverse()",
                "seconds": time.perf_counter() - began,
                "seconds_training": trained,
                "bytes": sum(type.size * type.dtype.itemsize for type in types),
            },
        )

    def together(self, trajectory: Together) -> bool:
        return trajectory.steps * trajectory.code.cut.bytes <= _RESIDUALS

    def plan(self, trajectory: Trajectory, wrt: Sequence[bool]) -> Plan:
        steps = trajectory.steps
        keep = steps * trajectory.code.cut.bytes <= _RESIDUALS
        types = [*(trajectory.kept(steps) if keep else ())]
        kept = sum(type.size * type.dtype.itemsize for type in types)
        state = trajectory.code.layout.size * trajectory.code.layout.dtype.itemsize
        return Plan("Reverse()", "keeps all states", steps, kept + steps * state, steps, steps, 3.0)
