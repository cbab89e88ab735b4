"""Reverse mode through training, in as much memory as it is given.

Notation
--------
s_t, s̄_t   state before step t, and its cotangent
r_t, θ      rates of step t, and the other hyperparameters
Φ, E        step, outer loss

s̄_T = ∂E/∂s_T; for t = T-1..0: (s̄_t, r̄_t, θ̄) += (∂Φ/∂(s, r, θ))ᵀ s̄_{t+1}
(Maclaurin et al. 2015, algorithm 2; Franceschi et al. 2017, algorithm 1). T training steps and T vjps of a step,
whatever the number of hyperparameters. The backward run needs every state again: it is kept, or run again from one
that is (Griewank & Walther 2000). A block of steps also keeps its residuals (activations and the like), so that a vjp
does not compute them a second time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hypergrad.hypergradients.base import HypergradientResult, Method, conclude
from hypergrad.hypergradients.budget import UNBOUNDED, check_checkpoints, fit, parse_bytes
from hypergrad.hypergradients.plan import Plan
from hypergrad.hypergradients.trust import adjoint_growth
from hypergrad.unroll.reversal import Blocks, Costs, online_steps, reverse_run
from hypergrad.unroll.together import Together
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["Reverse", "describe", "reported"]


@dataclass(frozen=True)
class Reverse(Method):
    """Reverse mode; exact to rounding.

    Attributes:
        memory: what a run may keep beside training itself, in bytes or as text ("64MiB"); None: what is fastest, up
            to 256 MiB. From it follow the steps a block and the states kept: everything where it fits, else the
            schedule that runs the fewest steps again.
        checkpoints: keep exactly so many states, the first among them, and nothing else: Revolve. The run then takes
            r T - C(s + r, s + 1) forward steps beside the T linearised ones.

    Raises:
        DerivativeError: a budget that is no number of bytes, or (when it runs) too small for one step.

    Where training may stop early, the states are kept by an online schedule (Wang, Moin & Iaccarino 2009), so that the
    number of steps need not be known.
    """

    memory: int | str | None = None
    checkpoints: int | None = None

    def __post_init__(self) -> None:
        parse_bytes(self.memory, "Reverse")
        check_checkpoints(self.checkpoints, "Reverse")

    def _blocks(self, trajectory: Trajectory, price: Costs) -> Blocks:
        budget = parse_bytes(self.memory, "Reverse")
        return fit(price, trajectory.steps, budget, self.checkpoints, str(self))

    def __str__(self) -> str:
        given = [
            f"{name}={getattr(self, name)!r}"
            for name in ("memory", "checkpoints")
            if getattr(self, name) is not None
        ]
        return f"Reverse({', '.join(given)})"

    def plan(self, trajectory: Trajectory, wrt: Sequence[bool]) -> Plan:
        price = Costs(trajectory)
        blocks = self._blocks(trajectory, price)
        known = blocks.forward_steps + blocks.kept_steps
        forward = known if trajectory.stopper is None else online_steps(blocks)
        return Plan(
            str(self),
            describe(blocks),
            trajectory.steps,
            price.bytes(blocks),
            forward,
            blocks.steps,
            (price.seconds(blocks) + (forward - known) * price.plain) / (blocks.steps * price.plain),
        )

    def solve(
        self,
        trajectory: Trajectory,
        wrt: Sequence[bool],
        curve: int,
        enough: Callable[[np.ndarray, float, np.ndarray], bool] | None = None,
    ) -> HypergradientResult:
        """As `Method.solve`.

        Args:
            enough: called with the last state, the outer loss and the curve before the backward run; True: leave it
                out, and return nan for the hypergradient.
        """
        began = time.perf_counter()
        losses = trajectory.curve(curve)
        price = Costs(trajectory)
        blocks = self._blocks(trajectory, price)
        stop = None if enough is None else partial(_with_curve, enough, losses)
        run = reverse_run(trajectory, blocks, losses, enough=stop)
        gradients, growth = None, None
        if run.adjoint is not None:
            gradients = run.adjoint.hyper(run.outer)
            growth = adjoint_growth(run.adjoint.looks, trajectory.steps)
        return conclude(
            trajectory,
            wrt,
            value=run.value,
            gradients=gradients,
            state=run.state,
            losses=losses,
            stats=reported(self, price, blocks, run.trained, began),
            growth=growth,
        )

    def together(self, trajectory: Together, wrt: Sequence[bool]) -> bool:
        if self.checkpoints is not None:
            return False
        budget, steps = parse_bytes(self.memory, "Reverse"), trajectory.steps
        return Costs(trajectory).bytes(Blocks(steps, steps, 1)) <= (UNBOUNDED if budget is None else budget)


def _with_curve(
    enough: Callable[[np.ndarray, float, np.ndarray], bool],
    losses: np.ndarray,
    state: np.ndarray,
    value: float,
) -> bool:
    return enough(state, value, losses)


def reported(method: Method, price: Costs, blocks: Blocks, trained: float, began: float) -> dict[str, Any]:
    """Stats of a method that ran `blocks` backwards."""
    return {
        "method": str(method),
        "seconds": time.perf_counter() - began,
        "seconds_training": trained,
        "bytes": price.bytes(blocks),
        "states": blocks.slots,
        "block": blocks.length,
    }


def describe(blocks: Blocks) -> str:
    """What a schedule keeps, in words."""
    if blocks.count == 1:
        return "reverse mode that keeps the state and the residuals of every step"
    states = f"{blocks.slots} of {blocks.count} states" if blocks.slots < blocks.count else "all states"
    if blocks.length == 1:
        return f"reverse mode that keeps {states} and runs the steps between them again (Revolve)"
    every = f"the state of every {blocks.length}th step"
    if blocks.slots < blocks.count:
        every = f"{blocks.slots} states, placed by Revolve over blocks of {blocks.length} steps,"
    return f"reverse mode that keeps {every} and the residuals of one block of {blocks.length}"
