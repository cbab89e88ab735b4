"""DrMAD (Fu et al. 2016): reverse mode along a straight line in place of the path that training took.

s̃_t = (1 - t/T) s_0 + (t/T) s_T; the backward run of `hypergrad.hypergradients.reverse` at s̃_t instead of s_t. Nothing
is kept but the two ends; the result is an approximation without a bound. With `knots` more states of the path are kept
at even distances, and the lines between them are followed: the error then falls as knots^-2 where the path is smooth.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hypergrad.ad.cost import nominal_seconds
from hypergrad.errors import DerivativeError
from hypergrad.hypergradients.base import HypergradientResult, Method, conclude
from hypergrad.hypergradients.plan import Plan
from hypergrad.hypergradients.trust import Growth, adjoint_growth
from hypergrad.unroll.reversal import Costs
from hypergrad.unroll.runner import Runner
from hypergrad.unroll.trajectory import Adjoint, Trajectory

__all__ = ["DrMAD"]


@dataclass(frozen=True)
class DrMAD(Method):
    """Reverse mode along straight lines between a few states: little memory, no second run, not exact.

    Attributes:
        knots: states of the path that are kept, 2 or more; 2 is the published method. Where the optimiser has slots
            (momentum), they are interpolated too; the publication recomputes the velocity.

    Raises:
        DerivativeError: fewer knots.
    """

    knots: int = 2

    def __post_init__(self) -> None:
        if isinstance(self.knots, bool) or not isinstance(self.knots, int | np.integer) or self.knots < 2:
            raise DerivativeError(f"DrMAD(knots=...) takes an int, 2 or more, got {self.knots!r}")

    def _bytes(self, trajectory: Trajectory) -> int:
        code = trajectory.code
        state = code.layout.size * code.layout.dtype.itemsize
        buffers = code.backward.buffer_bytes + code.forward(False, False).buffer_bytes
        return (min(int(self.knots), trajectory.steps + 1) + 8) * state + buffers

    def _judged(self, growth: Growth, knots: int) -> Growth:
        """The line may lead where training was not, so that growth along it does not prove that training is chaotic."""
        if not growth.warnings:
            return growth
        peak = growth.stats["growth"]
        return replace(
            growth,
            warnings=(
                f"a change of the parameters grows {peak:.0e}-fold along the lines between {knots} states, so that the "
                "hypergradient is noise: training is chaotic, or it did not follow the lines; try more knots, "
                "hg.Reverse(memory=...) or a smaller learning rate",
            ),
        )

    def plan(self, trajectory: Trajectory, wrt: Sequence[bool]) -> Plan:
        plain = Costs(trajectory).plain
        back = nominal_seconds(trajectory.code.backward.program)
        steps = trajectory.steps
        lines = min(int(self.knots) - 1, steps)
        what = f"approximate reverse mode along {lines} straight line{'s' if lines > 1 else ''}"
        forward = trajectory.settling + steps
        factor = forward / steps + back / plain
        return Plan(str(self), what, steps, self._bytes(trajectory), forward, steps, factor)

    def solve(self, trajectory: Trajectory, wrt: Sequence[bool], curve: int) -> HypergradientResult:
        began = time.perf_counter()
        losses = trajectory.curve(curve)
        trajectory.settle()
        steps = trajectory.steps
        at = np.unique(np.rint(np.linspace(0, steps, min(self.knots, steps + 1))).astype(int))
        runner = Runner(trajectory, curve=losses)
        runner.load(trajectory.initial())
        knots = [runner.state.copy()]
        with np.errstate(all="ignore"):
            for start, stop in zip(at[:-1].tolist(), at[1:].tolist(), strict=True):
                runner.run(start, stop)
                knots.append(runner.state.copy())
            value, cotangent, direct = trajectory.outer(knots[-1])
            trained = time.perf_counter() - began
            gradients, growth = None, None
            if np.isfinite(value):
                adjoint = Adjoint(trajectory, knots[-1], cotangent, False)
                for t in range(steps - 1, -1, -1):
                    right = int(np.searchsorted(at, t, side="right"))
                    share = (t - at[right - 1]) / (at[right] - at[right - 1])
                    adjoint.step(t, (1.0 - share) * knots[right - 1] + share * knots[right])
                gradients = adjoint.hyper(direct)
                growth = self._judged(adjoint_growth(adjoint.looks, steps), len(knots))
        return conclude(
            trajectory,
            wrt,
            value=value,
            gradients=gradients,
            state=knots[-1],
            losses=losses,
            stats={
                "method": str(self),
                "seconds": time.perf_counter() - began,
                "seconds_training": trained,
                "bytes": self._bytes(trajectory),
                "knots": len(knots),
            },
            growth=growth,
        )
