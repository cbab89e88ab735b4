"""What a sampler sees (records), what it answers (a proposal), and the contract between them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from hypergrad.samplers.moves import moving
from hypergrad.space import Space

__all__ = [
    "Explanation",
    "Proposal",
    "Record",
    "Sampler",
    "best_of",
    "earlier",
    "first_of_its_own",
    "generator",
    "others",
    "plain_explanation",
    "untried_defaults",
]


@dataclass(frozen=True, eq=False)
class Record:
    """A trial as a sampler sees it.

    Attributes:
        number: of the trial in its study, from 0.
        unit: (d,) the point, in [0, 1].
        state: ``"running"``, ``"complete"`` or ``"failed"``.
        value: outer loss, minimised; nan or inf when training diverged or the trial has not ended.
        gradient: (d,) d value / d unit, nan where unknown; None when no entry is known.
        note: what the sampler wrote into its `Proposal`, after a round trip through JSON.
        cost: step evaluations spent.
        noise: standard error of the value; 0 where none was told.
        gradient_noise: (d,) standard errors of `gradient`, nan where not told; None when no entry was told.
        constraints: (m,) by how much the study's black-box constraints exceed their bounds, feasible where <= 0,
            nan where unknown; None where the study has none.
        constraint_gradients: (m, d) d constraint / d unit, nan where unknown; None when no entry is known.
        study: 0 for a trial of this study, k for one of the k-th earlier study, whose `number` it then is.
    """

    number: int
    unit: np.ndarray
    state: str
    value: float = math.nan
    gradient: np.ndarray | None = None
    note: Mapping[str, Any] = field(default_factory=dict)
    cost: float = 0.0
    noise: float = 0.0
    gradient_noise: np.ndarray | None = None
    constraints: np.ndarray | None = None
    constraint_gradients: np.ndarray | None = None
    study: int = 0

    @property
    def feasible(self) -> bool:
        """Whether every constraint of the study is known to hold."""
        return self.constraints is None or bool((self.constraints <= 0.0).all())


@dataclass(frozen=True, eq=False)
class Proposal:
    """The next trial.

    Attributes:
        unit: (d,) the point, in [0, 1].
        wants_gradient: whether the hypergradient is to be computed as well as the value.
        note: JSON-able; comes back as `Record.note`.
    """

    unit: np.ndarray
    wants_gradient: bool
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """Why a sampler proposed a trial.

    Attributes:
        text: a clause, without a capital at its start or a full stop at its end.
        data: the figures behind it: JSON-able.
    """

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


class Sampler(ABC):
    """Proposes trials; minimises.

    A sampler is a frozen dataclass of its settings. It remembers nothing between calls: `ask` is a pure
    function of its arguments, so a study that was interrupted and resumed goes on with the same bits.

    It proposes what the constraints of the space allow, and in a finite space nothing twice;
    `hypergrad.samplers.admission` has the means.

    Attributes:
        uses_fidelity: whether it proposes trials below full fidelity; else it never sees the `Fidelity` of a space,
            nor the trials below its `high` (see `hypergrad.samplers.asking`).
        uses_earlier: whether it is told the trials of earlier studies.
    """

    uses_fidelity: ClassVar[bool] = False
    uses_earlier: ClassVar[bool] = False

    @abstractmethod
    def ask(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> Proposal:
        """The trial of this `number`.

        Args:
            space: of d unit coordinates.
            history: the study's other trials, sorted by number: finished ones, failed ones, running ones of
                other workers, and enqueued ones (note ``{"enqueued": True}``) that no sampler proposed. Before
                them, where `uses_earlier`, come the trials of earlier studies (`Record.study` > 0): `others` leaves
                them out, `earlier` has them alone.
            seed: of the study, >= 0.
            number: of the trial asked for.

        Raises:
            ExhaustedError: every configuration of a finite space is in the history.
            SpaceError: no point was found that the constraints of the space allow.
        """

    def wants_gradient(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> bool:
        """Whether the gradient of a point that the user enqueued is wanted; by default, whether `ask` wants one.

        Args and Raises: as `ask`; the trial of this `number` is the enqueued one.
        """
        return self.ask(space, history, seed=seed, number=number).wants_gradient

    def explain(self, space: Space, before: Sequence[Record], record: Record) -> Explanation:
        """Why this sampler proposed a trial; by default, how the trial differs from the best one before it.

        A pure function of its arguments. It calls no constraint: those of a study read from a store cannot be called.

        Args:
            before: the trials of smaller numbers, as they are known now.
            record: the trial, which this sampler proposed.
        """
        return plain_explanation(space, before, record, f"{type(self).__name__} proposed it")


def generator(seed: int, number: int, stream: int = 0) -> np.random.Generator:
    """The random numbers of one trial; independent for each (seed, number, stream), all >= 0."""
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(number, stream)))


def others(history: Sequence[Record], number: int) -> list[Record]:
    """The study's trials but that of this number; without those of earlier studies."""
    return [record for record in history if record.study == 0 and record.number != number]


def earlier(history: Sequence[Record]) -> list[Record]:
    """The trials of earlier studies."""
    return [record for record in history if record.study > 0]


def first_of_its_own(history: Sequence[Record], number: int) -> bool:
    """Whether every earlier trial was enqueued by the user, so that this is the sampler's first."""
    return all(
        record.note.get("enqueued", False)
        for record in history
        if record.study == 0 and record.number < number
    )


def untried_defaults(space: Space, history: Sequence[Record], number: int) -> np.ndarray | None:
    """The point of the defaults, where a sampler begins; None when it has begun or the user enqueued them."""
    if not first_of_its_own(history, number):
        return None
    point = space.to_unit(space.defaults())
    return None if any(np.array_equal(record.unit, point) for record in history) else point


def best_of(history: Sequence[Record]) -> Record | None:
    """The complete trial of the smallest finite value, the earliest of equals; None: there is none."""
    finite = [r for r in history if r.state == "complete" and math.isfinite(r.value)]
    return min(finite, key=lambda r: (r.value, r.number), default=None)


def plain_explanation(space: Space, before: Sequence[Record], record: Record, reason: str) -> Explanation:
    """`reason`, and how the trial differs from the best one before it."""
    best = best_of(before)
    if best is None:
        return Explanation(reason)
    there = f"beside the best so far, {best.value:.6g} of trial {best.number}, "
    return Explanation(f"{reason}; {there}{moving(space, best.unit, record.unit)}")
