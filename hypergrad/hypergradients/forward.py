"""Forward mode through training (Franceschi et al. 2017, algorithm 2): tangents of the state, step by step.

dF/dh = ∂E/∂s ds_T/dh + ∂E/∂h. Cost: a training step and, for each entry of each hyperparameter, its jvp; memory: the
state and one tangent an entry, however long the run. No state is kept, so a run may be endless.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hypergrad.ad.cost import nominal_seconds
from hypergrad.errors import DerivativeError
from hypergrad.hypergradients.base import HypergradientResult, Method, conclude
from hypergrad.hypergradients.budget import parse_bytes
from hypergrad.hypergradients.plan import Plan, exact
from hypergrad.hypergradients.trust import tangent_growth
from hypergrad.unroll.curve import curve_positions
from hypergrad.unroll.reversal import Costs
from hypergrad.unroll.tangents import Directions, Tangents
from hypergrad.unroll.trajectory import Trajectory, row_norms

__all__ = ["Forward"]

_ROOM = 1 << 26


@dataclass(frozen=True)
class Forward(Method):
    """Forward mode; exact to rounding.

    Attributes:
        memory: what the tangents may take, in bytes or as text ("64MiB"); where they take more, training is run
            again for the next ones. None: 64 MiB.

    Raises:
        DerivativeError: (when it runs) a budget too small for one tangent.
    """

    memory: int | str | None = None

    def __post_init__(self) -> None:
        parse_bytes(self.memory, "Forward")

    def __str__(self) -> str:
        return f"Forward({'' if self.memory is None else f'memory={self.memory!r}'})"

    def _parts(self, trajectory: Trajectory, wrt: Sequence[bool]) -> tuple[list[Directions], int]:
        """The directions of each run, and the bytes of one run."""
        wanted = [w for w, f in zip(wrt, trajectory.hyper.floats, strict=True) if f]
        every = [
            (leaf, entry)
            for leaf, (value, w) in enumerate(zip(trajectory.values, wanted, strict=True))
            if w
            for entry in range(value.size)
        ]
        code = trajectory.code
        item = code.layout.dtype.itemsize
        hyper = sum(value.nbytes for value in trajectory.values)
        rows = 2 * trajectory.rows.nbytes + code.row_layout.size * item + 2 * trajectory.invariants.nbytes
        work = code.jvp(2, False).buffer_bytes - code.jvp(1, False).buffer_bytes
        each = 2 * code.layout.size * item + rows + max(work, 0) + hyper
        fixed = 4 * code.layout.size * item + code.jvp(1, False).buffer_bytes
        budget = parse_bytes(self.memory, "Forward") or _ROOM
        room = (budget - fixed) // each
        if room < 1 and self.memory is not None:
            raise DerivativeError(
                f"{self} may keep {exact(budget)}, but one tangent of this problem needs {exact(fixed + each)}; "
                "give at least that"
            )
        room = max(room, 1)
        runs = max(-(-len(every) // room), 1)
        length = max(-(-len(every) // runs), 1)
        parts: list[Directions] = [every[i : i + length] for i in range(0, len(every), length)]
        return parts, fixed + each * min(length, len(every))

    def plan(self, trajectory: Trajectory, wrt: Sequence[bool]) -> Plan:
        parts, kept = self._parts(trajectory, wrt)
        count = sum(map(len, parts))
        what = f"forward mode with {count} tangent{'s' * (count != 1)}"
        if len(parts) > 1:
            what += f" in {len(parts)} training runs of up to {len(parts[0])}"
        steps, plain = trajectory.steps, Costs(trajectory).plain
        seconds = sum(nominal_seconds(trajectory.code.jvp(len(part), False).program) for part in parts)
        forward = trajectory.settling + (0 if parts else steps)
        factor = forward / steps + max(seconds / plain, len(parts))
        return Plan(str(self), what, steps, kept, forward, steps * len(parts), factor)

    def solve(self, trajectory: Trajectory, wrt: Sequence[bool], curve: int) -> HypergradientResult:
        began = time.perf_counter()
        losses = trajectory.curve(curve)
        trajectory.settle()
        parts, kept = self._parts(trajectory, wrt)
        gradients = [np.zeros(value.shape) for value in trajectory.values]
        value, state, trained, direct = float("nan"), trajectory.initial(), 0.0, None
        if not parts or trajectory.failed is not None:
            parts, state = [], trajectory.train(losses)
            value, _, direct = trajectory.outer(state)
        look = set(curve_positions(trajectory.steps).tolist())
        w, elastic = trajectory.code.start_layout.size, 0.0
        for part in parts:
            size_of = np.array(
                [abs(float(trajectory.values[leaf].reshape(-1)[entry])) for leaf, entry in part]
            )
            tangents = Tangents(trajectory, part, losses)
            with np.errstate(all="ignore"):
                for t in range(trajectory.steps):
                    if not tangents.step(t):
                        break
                    if t in look:
                        moved = size_of * row_norms(tangents.tangent[:, :w])
                        now = float(moved.max() / (row_norms(tangents.state[None, :w])[0] or np.inf))
                        elastic = max(elastic, now) if now == now else now
            state = tangents.state
            value, cotangent, direct = trajectory.outer(state)
            trained = trained or time.perf_counter() - began
            if not np.isfinite(value):
                break
            for (leaf, entry), slope in zip(part, tangents.tangent @ cotangent, strict=True):
                gradients[leaf].reshape(-1)[entry] += slope + direct[leaf].reshape(-1)[entry]
        growth = tangent_growth(elastic, trajectory.steps)
        found = [g.astype(v.dtype) for g, v in zip(gradients, trajectory.values, strict=True)]
        return conclude(
            trajectory,
            wrt,
            value=value,
            gradients=found if np.isfinite(value) else None,
            state=state,
            losses=losses,
            stats={
                "method": str(self),
                "seconds": time.perf_counter() - began,
                "seconds_training": trained,
                "bytes": kept,
                "tangents": sum(map(len, parts)),
                "runs": len(parts),
            },
            growth=growth if np.isfinite(value) else None,
        )
