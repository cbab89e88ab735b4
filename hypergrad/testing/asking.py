"""A sampler asked, driven and watched: the means of its conformance suite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from hypergrad.errors import ExhaustedError, HypergradError
from hypergrad.samplers import Proposal, Record, Sampler
from hypergrad.space import Space
from hypergrad.study.codec import decode, encode
from hypergrad.testing.examples import SPACES, Objective, bowl

__all__ = ["Watched", "draws", "told"]


class Watched:
    """A sampler under test, and what it claims; see `hypergrad.testing.SamplerSuite`."""

    sampler: Callable[[], Sampler]
    learns: ClassVar[bool] = False
    defaults_first: ClassVar[bool] = False
    repeats: ClassVar[bool] = False
    dimensions: ClassVar[tuple[int, ...]] = (1, 50)
    trials: ClassVar[int] = 16
    spaces: ClassVar[Mapping[str, Space]] = SPACES

    _runs: ClassVar[dict[tuple, tuple[Record, ...]]] = {}

    def require(self, condition: Any, case: str, expected: str) -> None:
        """Fail unless `condition` holds, in a sentence."""
        __tracebackhide__ = True
        if not condition:
            raise AssertionError(f"{self.sampler()!r}, {case}: expected {expected}")

    def ask(
        self,
        space: Space,
        history: Sequence[Record],
        case: str,
        *,
        seed: int = 0,
        number: int | None = None,
        sampler: Sampler | None = None,
        may_raise: tuple[type[Exception], ...] = (),
    ) -> Proposal:
        """A proposal, checked; its note has been through the store's text, as a study does it."""
        __tracebackhide__ = True
        sampler = self.sampler() if sampler is None else sampler
        number = len(history) if number is None else number
        case = f"{case}, trial {number}"
        try:
            found = sampler.ask(space, history, seed=seed, number=number)
        except may_raise:
            raise
        except Exception as error:
            raise AssertionError(
                f"{sampler!r}, {case}: expected a proposal, got {type(error).__name__}: {error}"
            ) from error
        return self.checked(found, space, case)

    def checked(self, found: Any, space: Space, case: str) -> Proposal:
        """`found`, if it is a proposal for `space`."""
        __tracebackhide__ = True
        self.require(isinstance(found, Proposal), case, f"a Proposal, got {type(found).__name__}")
        unit = found.unit
        self.require(
            isinstance(unit, np.ndarray) and unit.dtype == np.float64 and unit.shape == (space.dimension,),
            case,
            f"a unit point of float64 of shape ({space.dimension},), got "
            f"{getattr(unit, 'dtype', type(unit).__name__)} of shape {np.shape(unit)}",
        )
        self.require(
            ((unit >= 0.0) & (unit <= 1.0)).all(),
            case,
            f"coordinates in [0, 1], got {unit[~((unit >= 0.0) & (unit <= 1.0))][:3]}",
        )
        hparams = space.from_unit(space.snap(unit))
        violated = space.violated(hparams)
        self.require(
            violated is None, case, f"hparams that the constraint {violated!r} allows, got {hparams!r}"
        )
        self.require(
            type(found.wants_gradient) is bool,
            case,
            f"True or False in wants_gradient, got {found.wants_gradient!r}",
        )
        self.require(isinstance(found.note, Mapping), case, f"a dict as note, got {found.note!r}")
        try:
            text = encode(dict(found.note), "the note")
        except HypergradError as error:
            raise AssertionError(
                f"{self.sampler()!r}, {case}: expected a note that JSON holds, but {error}"
            ) from None
        note = decode(text)
        self.require(
            encode(note) == text, case, f"a note that a store returns unchanged, got {dict(found.note)!r}"
        )
        return Proposal(unit, found.wants_gradient, note)

    def drive(
        self,
        space: Space,
        objective: Objective,
        trials: int,
        case: str,
        *,
        seed: int = 0,
        history: Sequence[Record] = (),
        enqueued: Callable[[int], bool] = lambda number: False,
    ) -> list[Record]:
        """The records of a study of one worker that holds `trials` trials in the end.

        Args:
            enqueued: which trials are a user's own, drawn at random.
        """
        __tracebackhide__ = True
        records = list(history)
        while len(records) < trials:
            number = len(records)
            if enqueued(number):
                wants = self.sampler().wants_gradient(space, tuple(records), seed=seed, number=number)
                self.require(type(wants) is bool, case, f"True or False of wants_gradient, got {wants!r}")
                unit = next(iter(draws(space, number)))
                note: Mapping[str, Any] = {"enqueued": True}
            else:
                proposal = self.ask(space, tuple(records), case, seed=seed)
                unit, note = space.snap(proposal.unit), proposal.note
            records.append(told(number, unit, note, objective))
        return records

    def run(self, space: str, trials: int | None = None) -> tuple[Record, ...]:
        """The run on a bowl that several tests look at, made once."""
        __tracebackhide__ = True
        key = (type(self), space, trials)
        if key not in self._runs:
            searched = self.spaces[space]
            length = int(min(self.trials if trials is None else trials, searched.size))
            self._runs[key] = tuple(self.drive(searched, bowl(searched), length, f"a bowl in {space!r}"))
        return self._runs[key]

    def same(self, found: Proposal, expected: Proposal | Record, case: str, what: str) -> None:
        """Fail unless two proposals are equal bit for bit."""
        __tracebackhide__ = True
        gap = np.abs(found.unit - expected.unit).max(initial=0.0)
        self.require(found.unit.tobytes() == expected.unit.tobytes(), case, f"{what}, got one {gap:.1e} away")
        notes = [encode(dict(each.note), sort=True) for each in (found, expected)]
        self.require(notes[0] == notes[1], case, f"{what}, got the note {notes[0]} and not {notes[1]}")
        if isinstance(expected, Proposal):
            self.require(
                found.wants_gradient == expected.wants_gradient, case, f"{what}, got another wants_gradient"
            )

    def distinct(self, space: Space, records: Sequence[Record], case: str) -> None:
        """Fail unless no two records are at one point; where the sampler may repeat itself, a third of them."""
        __tracebackhide__ = True
        found, total = len({record.unit.tobytes() for record in records}), len(records)
        if self.repeats and not math.isfinite(space.size):
            self.require(3 * found >= total, case, f"{-(-total // 3)} or more different points, got {found}")
        else:
            self.require(found == total, case, f"{total} different points in as many trials, got {found}")

    def elsewhere(self, space: Space, found: Proposal, unit: np.ndarray, case: str) -> None:
        """Fail where the proposal is the point that was tried, unless the sampler may repeat itself."""
        __tracebackhide__ = True
        again = np.array_equal(space.snap(found.unit), unit)
        allowed = self.repeats and not math.isfinite(space.size)
        self.require(allowed or not again, case, "another point than the one tried")

    def exhausted(self, space: Space, records: Sequence[Record], case: str) -> None:
        """Fail unless there is nothing left to ask for."""
        __tracebackhide__ = True
        try:
            self.ask(space, records, case, may_raise=(ExhaustedError,))
        except ExhaustedError:
            return
        self.require(False, case, "an ExhaustedError")


def told(number: int, unit: np.ndarray, note: Mapping[str, Any], objective: Objective) -> Record:
    """A complete trial as a study hands it to samplers: read-only arrays."""
    value, gradient = objective(number, unit)
    unit = unit.copy()
    unit.flags.writeable = False
    if gradient is not None and np.isnan(gradient).all():
        gradient = None
    if gradient is not None:
        gradient = gradient.copy()
        gradient.flags.writeable = False
    return Record(number, unit, "complete", value, gradient, note, 1.0)


def draws(space: Space, number: int) -> Iterator[np.ndarray]:
    """Snapped points of the space, drawn at random."""
    rng = np.random.default_rng([number, 11])
    while True:
        unit = space.snap(rng.random(space.dimension))
        if space.violated(space.from_unit(unit)) is None:
            yield unit
