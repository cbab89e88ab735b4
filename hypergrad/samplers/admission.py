"""Which proposals a space admits: its constraints allow them, and they have not been tried yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from hypergrad.errors import ExhaustedError, SpaceError
from hypergrad.samplers.base import Proposal, Record
from hypergrad.space import Space

__all__ = ["TRIES", "Admission", "canonical"]

TRIES = 10_000  # candidates looked at before a space counts as over-constrained
FEW = 100  # the same in a listed space, after which the rest of the list is drawn from


def canonical(space: Space, history: Sequence[Record]) -> list[Record]:
    """`history` at the points that stand for its configurations; see `Space.snap`."""
    if space.continuous.all() or not history:
        return list(history)
    points = space.snap(np.stack([record.unit for record in history]))
    return [
        record if np.array_equal(record.unit, point) else replace(record, unit=point)
        for record, point in zip(history, points, strict=True)
    ]


class Admission:
    """What is left of a space after the trials of a history.

    Args:
        space: to be searched.
        history: the other trials; failed and running ones count as tried.

    Attributes:
        tried: points of the configurations tried, as bytes; empty where all coordinates are continuous, since
            points drawn there do not repeat.
    """

    def __init__(self, space: Space, history: Sequence[Record]) -> None:
        self.space = space
        mixed = not space.continuous.all()
        self.tried: set[bytes] = {r.unit.tobytes() for r in canonical(space, history)} if mixed else set()

    @property
    def exhausted(self) -> bool:
        """Whether every configuration of a finite space has been tried."""
        if len(self.tried) < self.space.size:
            return False
        return self.space.configurations is None or not len(self._rest())

    def _rest(self) -> np.ndarray:
        """The configurations of a listed space that have not been tried, (m, d)."""
        listed = self.space.configurations
        assert listed is not None
        return listed[[point.tobytes() not in self.tried for point in listed]]

    def admits(self, unit: np.ndarray) -> bool:
        """Whether a snapped point may be proposed."""
        if unit.tobytes() in self.tried:
            return False
        return not self.space.constraints or self.space.violated(self.space.from_unit(unit)) is None

    def first(self, candidates: Iterable[Proposal], rng: np.random.Generator) -> Proposal:
        """The first candidate that may be proposed, snapped.

        At most 10,000 candidates are looked at. In a finite space of up to 65,536 configurations it is 100,
        and then one of those that are left is drawn, with the note and the wish of the last candidate.

        Args:
            candidates: at least one; may go on forever.
            rng: used in the last resort only.

        Raises:
            ExhaustedError: every configuration of a finite space has been tried.
            SpaceError: no candidate is admitted.
        """
        if self.exhausted:
            raise ExhaustedError(
                f"all {self.space.size} configurations of the space have been tried, so nothing is left to ask "
                "for; widen the space for another study"
            )
        listed = self.space.configurations is not None
        last = None
        for last in islice(candidates, FEW if listed else TRIES):
            unit = self.space.snap(last.unit)
            if self.admits(unit):
                return replace(last, unit=unit)
        assert last is not None
        if listed:
            rest = self._rest()
            return replace(last, unit=rest[rng.integers(len(rest))].copy())
        reason = "that its constraints allow" if self.space.constraints else "that is new"
        raise SpaceError(
            f"the sampler found no point of the space {reason} in {TRIES} draws; loosen the constraints, or "
            "choose bounds that fit them more closely"
        )
