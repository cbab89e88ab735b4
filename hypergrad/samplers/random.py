"""Random search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypergrad.samplers.base import Proposal, Record, Sampler, first_of_its_own, generator
from hypergrad.space import Space

__all__ = ["Random"]


@dataclass(frozen=True)
class Random(Sampler):
    """Independent points, uniform in the unit cube (so log-uniform for logarithmic parameters).

    Args:
        defaults_first: the first trial is the space's defaults.

    Source: Bergstra and Bengio, Random search for hyper-parameter optimization, JMLR 13 (2012).
    """

    defaults_first: bool = True

    def ask(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> Proposal:
        """A point drawn by (seed, number) alone."""
        if self.defaults_first and first_of_its_own(history, number):
            return Proposal(space.to_unit(space.defaults()), wants_gradient=False)
        return Proposal(generator(seed, number).random(space.dimension), wants_gradient=False)
