"""A forward and a backward run in bounded memory: slots for states, and a block of steps with all that they keep.

Notation
--------
k, s     steps a block, slots for states
n        blocks: ceil(T / k)
a, b     bytes of a state, and of what one step of a block keeps (its state and its residuals)

A schedule of `hypergrad.unroll.checkpoint` treats a block as its unit: advancing runs plain steps, reversing runs the
block once more, keeping residuals, and then its vjps. k = T keeps everything; k = 1 is Revolve over single steps.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hypergrad.ad.program import ArrayType
from hypergrad.unroll.arena import leased
from hypergrad.unroll.checkpoint import Checkpoint, OnlineStore, forward_runs, online_runs, revolve
from hypergrad.unroll.runner import Runner
from hypergrad.unroll.trajectory import Adjoint, Trajectory
from hypergrad.unroll.workspace import code_bytes, pool_sizes, work_bytes

__all__ = ["Blocks", "Costs", "Reversed", "online_steps", "reverse_run"]

_LOOP = 1e-6  # nominal seconds of the loop around one step


@dataclass(frozen=True)
class Blocks:
    """What to keep.

    Attributes:
        steps: how many steps are reversed.
        length: k, steps a block.
        slots: s, states kept beside the block, that of the start among them.
    """

    steps: int
    length: int
    slots: int

    @property
    def count(self) -> int:
        """n, the number of blocks."""
        return -(-self.steps // self.length)

    @property
    def forward_steps(self) -> int:
        """Plain steps that the schedule runs; the last block, which may be shorter, is never run plainly."""
        return self.length * forward_runs(self.count, self.slots)

    @property
    def kept_steps(self) -> int:
        """Steps of blocks that run forward; one that is a block of its own counts as linearised only."""
        return self.steps if self.length > 1 else 0


def online_steps(blocks: Blocks) -> int:
    """Plain and kept steps where training may stop early and does not: the first pass runs every block as if the last.

    Those blocks of one step that are followed by their vjps count as linearised only, as in `Blocks.kept_steps`.
    """
    last = blocks.steps - (blocks.count - 1) * blocks.length
    again = blocks.length * online_runs(blocks.count, blocks.slots)
    first = blocks.steps - (blocks.length == 1)
    return first + again + (blocks.steps - last if blocks.length > 1 else 0)


class Costs:
    """Predicted costs of a step of a problem; each is found when it is first asked for.

    Attributes:
        plain, kept, late: nominal seconds of a plain step, of one that keeps residuals, and of its vjp.
        state, residuals: bytes of a state, and of what one step keeps beside it.
    """

    def __init__(self, trajectory: Trajectory) -> None:
        code = trajectory.code
        self._of = trajectory
        plain, kept, late = code.prices
        self.plain, self.kept, self.late = plain + _LOOP, kept + _LOOP, late + 2 * _LOOP
        self.state = code.layout.size * code.layout.dtype.itemsize
        self.residuals = code.cut.bytes

    @cached_property
    def fixed(self) -> int:
        """Bytes of work space, however long the run."""
        return work_bytes(self._of, plain=True)

    @cached_property
    def fixed_whole(self) -> int:
        """The same where all steps are one block, so that none runs plainly."""
        return work_bytes(self._of, plain=False)

    @cached_property
    def code(self) -> int:
        """Bytes of the compiled programs themselves, about."""
        return code_bytes(self._of)

    def space(self, blocks: Blocks) -> int:
        """Bytes of work space of a run."""
        whole = blocks.count == 1 and blocks.steps == self._of.steps and self._of.stopper is None
        return self.fixed_whole if whole else self.fixed

    def bytes(self, blocks: Blocks) -> int:
        """Kept by a run, at its peak."""
        slots = blocks.slots if blocks.count > 1 else 0
        return self.space(blocks) + slots * self.state + min(blocks.length, blocks.steps) * self.step

    @property
    def step(self) -> int:
        """b, bytes that a step of a block keeps."""
        return self.state + self.residuals

    def seconds(self, blocks: Blocks) -> float:
        """Nominal seconds of a run."""
        return blocks.forward_steps * self.plain + blocks.steps * (self.kept + self.late)


@dataclass(frozen=True)
class Reversed:
    """What came of a forward and a backward run.

    Attributes:
        state: s_T.
        value: outer loss.
        outer: cotangents of the float hyperparameters that the outer loss reads itself.
        adjoint: after its last step; None where there was no backward run.
        trained: seconds until the outer loss was known.
    """

    state: np.ndarray
    value: float
    outer: list[np.ndarray]
    adjoint: Adjoint | None
    trained: float


def reverse_run(
    trajectory: Trajectory,
    blocks: Blocks,
    losses: np.ndarray,
    started: int = 0,
    enough: Callable[[np.ndarray, float], bool] | None = None,
) -> Reversed:
    """Train, evaluate the outer loss, and carry cotangents back over the last `blocks.steps` steps.

    Args:
        losses: as `Trajectory.curve` returned it; filled.
        started: the first step that is reversed; those before run once and leave nothing.
        enough: called with the last state and a finite outer loss; True: there is no backward run.
    """
    began = time.perf_counter()
    width, dtype = trajectory.code.layout.size, trajectory.code.layout.dtype
    length = min(blocks.length, blocks.steps)
    slots = blocks.slots if blocks.count > 1 else 0
    types = [
        ArrayType((slots, width), dtype),
        ArrayType((length, width), dtype),
        *trajectory.kept(length),
    ]
    plainly = blocks.count > 1 or started > 0
    sizes = pool_sizes(trajectory, set(np.unique(~np.isnan(losses)).tolist()), plainly)
    pool = [np.zeros(size, np.uint8) for size in sizes]
    plain = Runner(trajectory, curve=losses, pool=pool)
    plain.load(trajectory.initial())
    with leased(types) as (stored, states, *residuals), np.errstate(all="ignore"):
        pass_ = _Pass(
            enough,
            trajectory,
            blocks,
            plain,
            Runner(trajectory, True, losses, pool, plain.buffers),
            pool,
            stored,
            states,
            residuals,
            started,
        )
        plain.run(0, started)
        pass_.go()
    return Reversed(pass_.last, pass_.value, pass_.ct_outer, pass_.adjoint, pass_.trained - began)


class _Pass:
    """One forward and backward run: the buffers, and where it stands."""

    def __init__(
        self,
        enough: Callable[[np.ndarray, float], bool] | None,
        trajectory: Trajectory,
        blocks: Blocks,
        plain: Runner,
        kept: Runner,
        pool: list[np.ndarray],
        stored: np.ndarray,
        states: np.ndarray,
        residuals: list[np.ndarray],
        started: int,
    ) -> None:
        self.of, self.blocks, self.started, self.enough = trajectory, blocks, started, enough
        self.plain, self.kept, self.pool = plain, kept, pool
        self.stored, self.states, self.residuals = stored, states, residuals
        self.adjoint: Adjoint | None = None
        self.done = False

    def at(self, unit: int) -> int:
        """The step that a block begins with."""
        return min(self.started + unit * self.blocks.length, self.started + self.blocks.steps)

    def go(self) -> None:
        if self.of.stopper is None:
            self._follow(self.blocks.count, ())
        else:
            count, kept = self._unknown_length()
            if self._back() and count:
                self._follow(count, kept)

    def _follow(self, count: int, kept: tuple[Checkpoint, ...]) -> None:
        """Reverse `count` blocks by Revolve's schedule."""
        if count == 1 and not kept:
            self._keep(0)
            self._back()
            return
        for action in revolve(count, self.blocks.slots, kept):
            match action.kind:
                case "store":
                    self.stored[action.slot] = self.plain.state
                case "restore":
                    self.plain.load(self.stored[action.slot])
                case "advance":
                    self.plain.run(self.at(action.unit), self.at(action.stop))
                case "reverse":
                    self._keep(action.unit)
                    if not self._back():
                        return

    def _keep(self, unit: int) -> None:
        """Run a block, keeping all that its vjps read."""
        start, stop = self.at(unit), self.at(unit + 1)
        self.kept.load(self.plain.state)
        self.span = start, self.kept.run(start, stop, self.states, self.residuals, self._ended())

    def _ended(self) -> Callable[[np.ndarray, int], bool] | None:
        return None if self.adjoint is not None or self.of.stopper is None else self.of.stopper.ended

    def _back(self) -> bool:
        """The vjps of the block kept last, after the outer loss where it is the first; False: there are none."""
        start, stop = self.span
        if not self.done:
            self.done = True
            self.last = self.kept.state.copy()
            self.value, cotangent, self.ct_outer = self.of.outer(self.last)
            self.trained = time.perf_counter()
            if not np.isfinite(self.value) or (self.enough and self.enough(self.last, self.value)):
                return False
            self.adjoint = Adjoint(self.of, self.last, cotangent, True, self.pool)
            del cotangent
        assert self.adjoint is not None
        if self.blocks.length == 1:
            self.of.evaluations["forward"] -= 1  # it counts as linearised
        for t in range(stop - 1, start - 1, -1):
            row = t - start
            self.adjoint.step(t, self.states[row], [residual[row, ...] for residual in self.residuals])
        return True

    def _unknown_length(self) -> tuple[int, tuple[Checkpoint, ...]]:
        """The first pass where training may stop early: blocks are kept one after the other, the last one stays.

        Returns:
            the number of blocks before the last, and the states stored for them.
        """
        store = OnlineStore(max(self.blocks.slots, 1))
        for unit in itertools.count():
            where = store.kept[0] if unit == 0 else store.offer(unit)
            if where is not None and len(self.stored):
                self.stored[where.slot] = self.plain.state
            self._keep(unit)
            stop = self.span[1]
            if (
                stop < self.at(unit + 1)
                or self.at(unit + 1) >= self.started + self.blocks.steps
                or self._over()
            ):
                self.of.steps = stop
                return unit, tuple(point for point in store.kept if point.unit < unit)
            self.plain.load(self.kept.state)
        raise AssertionError("unreachable")

    def _over(self) -> bool:
        return self.of.stopper is not None and self.of.stopper.over
