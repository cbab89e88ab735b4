"""Bayesian optimisation with derivatives: a Gaussian process on values and hypergradients, asked where to look next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hypergrad.errors import SpaceError
from hypergrad.samplers.admission import Admission
from hypergrad.samplers.asking import proposal
from hypergrad.samplers.base import Explanation, Proposal, Record, Sampler, earlier, generator, others
from hypergrad.samplers.explanation import at_defaults, of_the_model, of_the_sequence
from hypergrad.samplers.fidelity import at_start, beside, choose
from hypergrad.samplers.sobol import Sobol
from hypergrad.samplers.surrogate import Surrogate, by_study
from hypergrad.space import Space

__all__ = ["Bayes"]

_SAME = 1e-9  # largest distance along a coordinate at which two points count as one
_IDLE = (
    1e-5  # expected improvement, by the spread of the values, below which the model has nothing left to say
)


@dataclass(frozen=True)
class Bayes(Sampler):
    """Expected improvement under a Gaussian process that is told values and hypergradients.

    The first trials are the space's defaults and Sobol points. Then the model (Matern-5/2, one length-scale a
    coordinate, learned noise of values and of derivatives; see `hypergrad.bayesopt.fit`) is fitted to all trials, and
    the maximum of log EI is proposed (Ament et al. 2023), or the next Sobol point where that maximum is negligible.
    Values are warped above their median, so that a few bad trials do not flatten the rest; a trial that diverged counts
    as a bad value. Running trials count as observed at the model's mean.

    Standard errors of values and gradients enter the noise. Black-box constraints have models of their own, whose
    probability of being kept multiplies the expected improvement. In a space with a `Fidelity` the improvement is that
    at its target, and trials run where they tell most of it per cost. Trials of earlier studies are in the model too,
    as far as they agree with this one.

    Args:
        gradients: whether hypergradients are asked for and used; without them this is plain Bayesian optimisation.
        initial: trials before the first model; None: 5 with gradients, else 5 to 10, by the dimension.
        rows: values and derivatives in the model, at most.

    Raises:
        SpaceError: arguments outside their domain.

    Source: Jones et al. (1998); Solak et al. (2003) and Wu et al. (2017) for derivatives.
    """

    gradients: bool = True
    initial: int | None = None
    rows: int = 400

    uses_fidelity = True
    uses_earlier = True

    def __post_init__(self) -> None:
        for name in ("initial", "rows"):
            value = getattr(self, name)
            if value is None and name == "initial":
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 2:
                raise SpaceError(f"{name} of Bayes is {value!r}, expected an int, 2 or more")

    def _first(self, space: Space) -> int:
        if self.initial is not None:
            return int(self.initial)
        return 5 if self.gradients else min(max(5, space.dimension + 1), 10)

    def ask(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> Proposal:
        """A Sobol point at first, then the point of largest expected improvement."""
        past, before = others(history, number), earlier(history)
        told = [r for r in past if r.state == "complete"]
        finite = [r for r in told if math.isfinite(r.value)]
        few = 2 if by_study(before) else self._first(space)
        if len(told) < few or len(finite) < 2 or not space.dimension:
            return self._start(space, past, seed, number)
        rng = generator(seed, number)
        surrogate = Surrogate.of(space, past, gradients=self.gradients, rows=self.rows, earlier=before)
        if surrogate.sources.heard < self._first(space):  # cheap trials or earlier studies have misled
            return self._start(space, past, seed, number, full=True)
        unit, utility = surrogate.maximum(surrogate.improvement, rng)
        if utility < math.log(_IDLE * surrogate.scale):
            found = proposal(Sobol(defaults_first=False), space, past, seed=seed, number=number)
            return Proposal(
                found.unit, wants_gradient=self.gradients, note={**found.note, "phase": "explore"}
            )

        if space.fidelity is not None:
            unit = choose(surrogate, unit, past)
        tried = space.snap(np.stack([record.unit for record in past]))

        def candidates() -> Iterator[Proposal]:
            note = {"phase": "model", "log_ei": utility}
            if np.abs(tried - unit).max(axis=1).min() > _SAME:
                yield Proposal(unit, wants_gradient=self.gradients, note=note)
            while True:  # it has been tried, or is not allowed
                moved = np.abs(unit + 0.05 * rng.standard_normal(unit.shape))
                moved = np.clip(1.0 - np.abs(1.0 - moved), 0.0, 1.0)  # reflected into the cube
                unlike = rng.random(unit.shape) < 0.3
                point = np.where(unlike, rng.random(unit.shape), moved)
                yield Proposal(beside(space, unit, point), self.gradients, note)

        return Admission(space, past).first(candidates(), rng)

    def _start(
        self, space: Space, past: Sequence[Record], seed: int, number: int, full: bool = False
    ) -> Proposal:
        """The next point of the first trials; `full`: at full fidelity."""
        found = proposal(Sobol(), space, past, seed=seed, number=number)
        unit = found.unit if full else at_start(space, found.unit, past)
        return Proposal(unit, wants_gradient=self.gradients, note={**found.note, "phase": "start"})

    def wants_gradient(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> bool:
        """Whether the model has gradients."""
        return self.gradients

    def explain(self, space: Space, before: Sequence[Record], record: Record) -> Explanation:
        """What the model expects there, or why it was not asked."""
        phase = record.note.get("phase")
        if phase == "model":
            return of_the_model(space, before, record, gradients=self.gradients, rows=self.rows)
        if phase == "start":
            if at_defaults(space, before, record):
                return Explanation("the defaults of the space come first")
            return Explanation(f"{of_the_sequence(record)}, as there were too few trials for a model")
        if phase == "explore":
            place = of_the_sequence(record)
            return Explanation(f"{place}, as the model expects next to no improvement anywhere")
        return super().explain(space, before, record)
