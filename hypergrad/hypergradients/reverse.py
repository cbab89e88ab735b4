"""Reverse mode through training (Maclaurin et al. 2015, algorithm 2; Franceschi et al. 2017, algorithm 1).

s̄_T = ∂E/∂s_T; for t = T-1..0: (s̄_t, r̄_t, θ̄) += (∂Φ/∂(s, r, θ))ᵀ s̄_{t+1}.
Cost: T training steps and T vjps of a step (each about three training steps), whatever the number of
hyperparameters; memory: the T states.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hypergrad.hypergradients.base import HypergradientResult, Method, disconnected, measure
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["Reverse"]


@dataclass(frozen=True)
class Reverse(Method):
    """Reverse mode with all T states kept."""

    def solve(self, trajectory: Trajectory, wrt: Sequence[bool]) -> HypergradientResult:
        began = time.perf_counter()
        first = trajectory.initial()
        states = np.empty((trajectory.steps, first.size), first.dtype)
        curve = np.full(trajectory.steps, np.nan)
        last = trajectory.forward(first, 0, trajectory.steps, keep=states, losses=curve)
        value, ct_state, ct_hypers = trajectory.outer(last)
        trained = time.perf_counter() - began
        hyper = trajectory.hyper
        if np.isfinite(value):
            adjoint = trajectory.adjoint()
            adjoint.seed(ct_state)
            for t in range(trajectory.steps - 1, -1, -1):
                adjoint.step(t, states[t])
            cts = adjoint.hyper(ct_hypers)
        else:
            cts = [np.full(leaf.shape, np.nan, leaf.dtype) for leaf in hyper.values]
        finite = bool(np.isfinite(value)) and all(bool(np.isfinite(ct).all()) for ct in cts)
        stream = iter(ct[()] for ct in cts)
        leaves = [next(stream) if f else None for f in hyper.floats]
        gradient = hyper.structure.unflatten(
            [leaf if w else None for leaf, w in zip(leaves, wrt, strict=True)]
        )
        params = trajectory.params(last)
        stats = {
            "steps": trajectory.steps,
            "step_evaluations": sum(trajectory.evaluations.values()),
            "seconds": time.perf_counter() - began,
            "seconds_training": trained,
            "bytes": states.nbytes,
            "finite": finite,
        }
        return HypergradientResult(
            value, gradient, params, stats, disconnected(trajectory), curve, measure(trajectory, params)
        )
