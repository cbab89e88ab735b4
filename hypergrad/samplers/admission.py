"""Which proposals a space admits: its constraints allow them, and they have not been tried yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import islice

import numpy as np

from hypergrad.errors import ExhaustedError, SpaceError
from hypergrad.samplers.base import Proposal, Record
from hypergrad.space import Space

__all__ = ["TRIES", "Admission", "canonical"]

TRIES = 10_000  # candidates looked at before a space counts as over-constrained
_CHUNK = 2**20  # coordinates snapped at once
FEW = 100  # the same in a listed space, after which the rest of the list is drawn from


def canonical(space: Space, history: Sequence[Record]) -> list[Record]:
    """`history` at the points that stand for its configurations; see `Space.snap`."""
    if space.continuous.all() or not history:
        return list(history)
    found: list[Record] = []
    length = max(_CHUNK // space.dimension, 1)
    for start in range(0, len(history), length):
        records = history[start : start + length]
        points = space.snap(np.stack([record.unit for record in records]))
        found += [
            record if np.array_equal(record.unit, point) else replace(record, unit=point)
            for record, point in zip(records, points, strict=True)
        ]
    return found


def _key(point: np.ndarray) -> bytes:
    """16 bytes that tell points apart; chance makes two of 10^6 alike with probability 10^-27."""
    return blake2b(point.tobytes(), digest_size=16).digest()


class Admission:
    """What is left of a space after the trials of a history.

    Args:
        space: to be searched.
        history: the other trials; failed and running ones count as tried.

    Attributes:
        tried: points of the configurations tried, hashed; empty where all coordinates are continuous, since
            points drawn there do not repeat.
    """

    def __init__(self, space: Space, history: Sequence[Record]) -> None:
        self.space = space
        mixed = not space.continuous.all()
        past = canonical(space, history) if mixed else []
        self.tried: set[bytes] = {_key(r.unit) for r in past}
        self._full = {_key(r.unit) for r in past if space.at_full(r.unit)} if space.fidelity else self.tried

    @property
    def exhausted(self) -> bool:
        """Whether every configuration of a finite space has been tried (at full fidelity)."""
        if len(self._full) < self.space.size:
            return False
        return self.space.configurations is None or not len(self._rest())

    def _rest(self) -> np.ndarray:
        """The configurations of a listed space that have not been tried, (m, d)."""
        listed = self.space.configurations
        assert listed is not None
        return listed[[_key(point) not in self.tried for point in listed]]

    def forget(self, unit: np.ndarray) -> None:
        """Let a snapped point be proposed again."""
        self.tried.discard(_key(unit))

    def admits(self, unit: np.ndarray) -> bool:
        """Whether a snapped point may be proposed."""
        if _key(unit) in self.tried:
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
