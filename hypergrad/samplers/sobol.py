"""Quasi-random search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import numpy as np

from hypergrad.errors import SpaceError
from hypergrad.samplers.admission import Admission
from hypergrad.samplers.base import (
    Explanation,
    Proposal,
    Record,
    Sampler,
    generator,
    others,
    untried_defaults,
)
from hypergrad.samplers.explanation import at_defaults, of_the_sequence
from hypergrad.space import Space

__all__ = ["Sobol"]

_BLOCK = 256  # points generated at once; a power of two, as the balance of the sequence needs


@lru_cache(maxsize=8)
def _block(dimension: int, seed: int, index: int) -> np.ndarray:
    """Points index·_BLOCK ... (index + 1)·_BLOCK - 1 of the scrambled sequence, (_BLOCK, d), read-only."""
    from scipy.stats import qmc

    if dimension > qmc.Sobol.MAXDIM:
        raise SpaceError(
            f"the space has {dimension} dimensions, more than the {qmc.Sobol.MAXDIM} of Sobol; use Random"
        )
    engine = qmc.Sobol(dimension, scramble=True, seed=generator(seed, 0, stream=1))
    if index:
        engine.fast_forward(index * _BLOCK)
    points = engine.random(_BLOCK)
    points.flags.writeable = False
    return points


@dataclass(frozen=True)
class Sobol(Sampler):
    """Scrambled Sobol points: as random, but more evenly spread; trial n is point n of the sequence.

    Points that a constraint refuses, and those that a finite space has tried, are skipped; the note
    ``{"skipped": k}`` says how many so far.

    Args:
        defaults_first: the first trial is the space's defaults, in place of its point.

    Raises:
        SpaceError: a space of more than 21201 dimensions.

    Source: Owen, Randomly permuted (t,m,s)-nets and (t,s)-sequences (1995); scipy.stats.qmc.Sobol.
    """

    defaults_first: bool = True

    def ask(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> Proposal:
        """Point `number` of the sequence scrambled by `seed`, or a later one."""
        past = others(history, number)
        before = max((record.note.get("skipped", 0) for record in past), default=0)

        def candidates() -> Iterator[Proposal]:
            first = untried_defaults(space, history, number) if self.defaults_first else None
            if first is not None:
                yield Proposal(first, wants_gradient=False)
            for skipped in count(before):
                index, row = divmod(number + skipped, _BLOCK)
                note = {"skipped": skipped} if skipped else {}
                yield Proposal(_block(space.dimension, seed, index)[row], wants_gradient=False, note=note)

        return Admission(space, past).first(candidates(), generator(seed, number))

    def wants_gradient(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> bool:
        """Never."""
        return False

    def explain(self, space: Space, before: Sequence[Record], record: Record) -> Explanation:
        """The defaults, or the place in the sequence."""
        if self.defaults_first and at_defaults(space, before, record):
            return Explanation("the defaults of the space come first")
        return Explanation(f"{of_the_sequence(record)}, whatever the trials before it said")
