"""Random search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
from hypergrad.samplers.explanation import at_defaults
from hypergrad.space import Space

__all__ = ["Random"]


@dataclass(frozen=True)
class Random(Sampler):
    """Independent points, uniform in the unit cube (so log-uniform for logarithmic parameters).

    Points that a constraint refuses, and those that a finite space has tried, are drawn again.

    Args:
        defaults_first: the first trial is the space's defaults.

    Source: Bergstra and Bengio, Random search for hyper-parameter optimization, JMLR 13 (2012).
    """

    defaults_first: bool = True

    def ask(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> Proposal:
        """A point drawn by (seed, number) alone; the history says which ones a finite space has left."""
        rng = generator(seed, number)

        def candidates() -> Iterator[Proposal]:
            first = untried_defaults(space, history, number) if self.defaults_first else None
            if first is not None:
                yield Proposal(first, wants_gradient=False)
            while True:
                yield Proposal(rng.random(space.dimension), wants_gradient=False)

        return Admission(space, others(history, number)).first(candidates(), rng)

    def wants_gradient(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> bool:
        """Never."""
        return False

    def explain(self, space: Space, before: Sequence[Record], record: Record) -> Explanation:
        """The defaults, or chance."""
        if self.defaults_first and at_defaults(space, before, record):
            return Explanation("the defaults of the space come first")
        return Explanation("drawn at random from the whole space, whatever the trials before it said")
