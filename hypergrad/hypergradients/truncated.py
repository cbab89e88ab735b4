"""Truncated reverse mode (Shaban et al. 2019): the last K steps alone are differentiated.

s̄_T = ∂E/∂s_T; for t = T-1..T-K: as in `hypergrad.hypergradients.reverse`; s_{T-K} counts as a constant. With inner
losses that are μ-strongly convex and steps of rate α, the bias falls as (1 - α μ)^K (Shaban et al. 2019, prop. 3.1).
K = 1 is the one-step hypergradient (Luketina et al. 2016; Bolte et al. 2023).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hypergrad.errors import DerivativeError
from hypergrad.hypergradients.base import HypergradientResult, Method, conclude
from hypergrad.hypergradients.budget import fit, parse_bytes
from hypergrad.hypergradients.plan import Plan
from hypergrad.hypergradients.reverse import describe, reported
from hypergrad.hypergradients.trust import adjoint_growth
from hypergrad.unroll.reversal import Blocks, Costs, reverse_run
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["Truncated"]


@dataclass(frozen=True)
class Truncated(Method):
    """Reverse mode through the last steps only: cheaper, and biased.

    Attributes:
        steps: K, 1 or more; K >= T is `Reverse`.
        memory: as in `Reverse`.

    The result's ``stats["decay"]`` is ‖s̄_{T-K}‖ / ‖s̄_T‖ over the parameters: how much of the adjoint is cut off.

    Raises:
        DerivativeError: arguments outside their domains.
    """

    steps: int = 1
    memory: int | str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int | np.integer) or self.steps < 1:
            raise DerivativeError(f"Truncated(steps=...) takes a positive int, got {self.steps!r}")
        parse_bytes(self.memory, "Truncated")

    def __str__(self) -> str:
        return f"Truncated(steps={self.steps}{'' if self.memory is None else f', memory={self.memory!r}'})"

    def _blocks(self, trajectory: Trajectory, price: Costs) -> Blocks:
        steps = min(int(self.steps), trajectory.steps)
        return fit(price, steps, parse_bytes(self.memory, "Truncated"), None, str(self))

    def plan(self, trajectory: Trajectory, wrt: Sequence[bool]) -> Plan:
        price = Costs(trajectory)
        blocks = self._blocks(trajectory, price)
        before = trajectory.steps - blocks.steps
        plainly = trajectory.settling + before
        return Plan(
            str(self),
            f"of the last {blocks.steps:,} step{'s' * (blocks.steps > 1)}, {describe(blocks)}",
            trajectory.steps,
            price.bytes(blocks),
            plainly + blocks.forward_steps + blocks.kept_steps,
            blocks.steps,
            (price.seconds(blocks) + plainly * price.plain) / (trajectory.steps * price.plain),
        )

    def solve(self, trajectory: Trajectory, wrt: Sequence[bool], curve: int) -> HypergradientResult:
        began = time.perf_counter()
        losses = trajectory.curve(curve)
        trajectory.settle()
        price = Costs(trajectory)
        blocks = self._blocks(trajectory, price)
        before = trajectory.steps - blocks.steps
        run = reverse_run(trajectory, blocks, losses, before)
        decay, growth = float("nan"), None
        if run.adjoint is not None:
            growth = adjoint_growth(run.adjoint.looks, trajectory.steps)
            decay = run.adjoint.looks[-1][1] / (run.adjoint.looks[0][1] or 1.0)
        return conclude(
            trajectory,
            wrt,
            value=run.value,
            gradients=None if run.adjoint is None else run.adjoint.hyper(run.outer, start=before == 0),
            state=run.state,
            losses=losses,
            stats={**reported(self, price, blocks, run.trained, began), "decay": decay},
            growth=growth,
        )
