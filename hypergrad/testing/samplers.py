"""What every sampler must do, as a pytest class."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hypergrad.errors import HypergradError, SpaceError
from hypergrad.samplers import Proposal, Random, Record, Sampler
from hypergrad.study import Study
from hypergrad.study.checks import described
from hypergrad.study.codec import decode, encode
from hypergrad.testing import examples, surroundings
from hypergrad.testing.asking import Watched, draws, told
from hypergrad.testing.examples import GRID, HOSTILE, ONLY, SPACES, bowl, cube, hostile

__all__ = ["SamplerSuite"]

_LARGEST_SEED = 2**63 - 1  # that a store can keep
_FOREIGN = {
    "phase": "of another sampler",
    "parent": 3,
    "start": 1,
    "skipped": 2,
    "nested": {"list": [1, None]},
}


class SamplerSuite(Watched):
    """Tests of a sampler; subclass it and say how the sampler is made.

    Each proposal of each test is checked against the contract of `hypergrad.samplers.Sampler`: a float64 point of
    the unit cube that the constraints allow, a bool, and a note that a store can keep. What fails is one sentence
    that names the sampler, the case and what was expected.

    Attributes:
        sampler: makes a sampler: ``sampler = staticmethod(lambda: MySampler())``.
        learns: claim that on a bowl of 4 dimensions, told values and gradients, the median of the best value
            after 15 trials is below that of random search.
        defaults_first: claim that the first proposal is the defaults of the space.
        repeats: it may propose a point of an infinite space again, as samplers for noisy objectives do.
        dimensions: numbers of dimensions that it must master; add 5000 if it claims so many.
        trials: length of the runs that most tests watch; fewer for a slow sampler.
        spaces: what is searched, by name.
    """

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test a space, an evil or a dimension, without importing pytest."""
        for name, values in (("space", self.spaces), ("evil", HOSTILE), ("dimension", self.dimensions)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, list(values))

    # --- settings

    def test_settings_are_a_frozen_dataclass_that_a_store_can_describe(self) -> None:
        one, two = self.sampler(), self.sampler()
        case = "made twice"
        self.require(
            isinstance(one, Sampler), case, f"a hypergrad.samplers.Sampler, got {type(one).__name__}"
        )
        frozen = dataclasses.is_dataclass(one) and type(one).__dataclass_params__.frozen
        self.require(frozen, case, "a class decorated with @dataclass(frozen=True)")
        self.require(one == two and hash(one) == hash(two), case, "two equal samplers of equal hashes")
        try:
            found = described(one)
        except HypergradError as error:
            raise AssertionError(
                f"{one!r}, {case}: expected settings that a store keeps, but {error}"
            ) from None
        self.require(
            encode(decode(encode(found))) == encode(found), case, "settings that a store returns unchanged"
        )

    # --- pure functions of (history, seed, number)

    def test_the_same_question_has_the_same_answer(self, space: str) -> None:
        case, searched, past = f"asked again in {space!r}", self.spaces[space], self.run(space)[:-1]
        old = self.sampler()
        first = self.ask(searched, past, case, sampler=old)
        self.ask(searched, past[: len(past) // 2], case, sampler=old, seed=5)
        self.same(
            self.ask(searched, list(past), case, sampler=old), first, case, "the answer that it gave before"
        )
        self.same(self.ask(searched, past, case), first, case, "the answer of another object")
        self.require(old == self.sampler(), case, "settings that asking does not change")
        made = self.run(space)[-1]  # at the same place of a run, by yet another object
        self.same(
            replace(first, unit=searched.snap(first.unit)), made, case, "the answer in the middle of a run"
        )

    def test_another_process_has_the_same_answer(self) -> None:
        case = "asked in another process, where strings have other hashes"
        cases: list[surroundings.Case] = [
            (space, self.run(name)[:-1], 0, len(self.run(name)) - 1) for name, space in self.spaces.items()
        ]
        cases += [(space, (), _LARGEST_SEED, 0) for space in self.spaces.values()]
        here = surroundings.answers(self.sampler(), cases)
        try:
            there = surroundings.elsewhere(self.sampler(), cases)
        except (TypeError, RuntimeError) as error:
            raise AssertionError(f"{self.sampler()!r}, {case}: expected an answer, but {error}") from None
        for one, two, name in zip(there, here, [*self.spaces] * 2, strict=True):
            self.same(one, two, f"{case}, in {name!r}", "the answer of this process")

    def test_no_global_random_state_is_used_or_touched(self, space: str) -> None:
        case, searched, past = (
            f"the global random state, in {space!r}",
            self.spaces[space],
            self.run(space)[:-1],
        )
        found = []
        for seed in (1, 2):
            surroundings.disturb_random_states(seed)
            before = surroundings.random_states()
            found.append(self.ask(searched, past, case))
            self.require(surroundings.random_states() == before, case, "that it is left as it was")
        self.same(found[0], found[1], case, "the same answer whatever it is")

    def test_no_clock_is_read_for_a_decision(self, space: str) -> None:
        case, searched, past = f"a clock that jumps, in {space!r}", self.spaces[space], self.run(space)[:-1]
        plain = self.ask(searched, past, case)
        with surroundings.strange_clocks(type(self.sampler()).__module__.partition(".")[0]):
            jumped = self.ask(searched, past, case)
        self.same(jumped, plain, case, "the answer that it gives by a clock that goes right")

    def test_the_history_is_left_as_it_was(self, space: str) -> None:
        case, searched = f"the history, in {space!r}", self.spaces[space]
        past = [
            replace(r, unit=r.unit.copy(), gradient=None if r.gradient is None else r.gradient.copy())
            for r in self.run(space)[:-1]
        ]
        before, objects = [_text(record) for record in past], list(past)
        self.ask(searched, past, case)
        unchanged = len(past) == len(objects) and all(a is b for a, b in zip(past, objects, strict=True))
        self.require(unchanged, case, "a list of the same records after asking")
        self.require(
            [_text(record) for record in past] == before, case, "records that asking does not change"
        )

    def test_seeds_differ(self) -> None:
        space = self.spaces["mixed"] if "mixed" in self.spaces else next(iter(self.spaces.values()))
        case = "two seeds, a constant objective"
        runs = [self.drive(space, HOSTILE["a constant value"](bowl(space)), 8, case, seed=s) for s in (0, 1)]
        alike = all(a.unit.tobytes() == b.unit.tobytes() for a, b in zip(*runs, strict=True))
        self.require(not alike, case, "that not all 8 points are alike")
        self.ask(space, runs[0], "the largest seed", seed=_LARGEST_SEED)

    def test_twelve_and_twelve_resumed_trials_are_twenty_four(self, tmp_path: Path) -> None:
        """Through a study whose store is closed and opened again."""
        name = "mixed" if "mixed" in self.spaces else next(iter(self.spaces))
        case, space = f"12 + 12 trials of a study on {name!r}", self.spaces[name]
        whole, path = Study("whole", space, self.sampler(), seed=3), tmp_path / "runs.db"
        total = int(min(24, space.size))
        _tell(whole, total)
        for trials in (total // 2, total):
            part = Study("parts", space, self.sampler(), seed=3, store=path)
            _tell(part, trials)
            resumed = part.trials
            part.close()
        for one, two in zip(resumed, whole.trials, strict=True):
            self.same(
                Proposal(one.unit, one.wants_gradient, one.note),
                Proposal(two.unit, two.wants_gradient, two.note),
                f"{case}, trial {one.number}",
                "the trial of a study that was not interrupted",
            )
        whole.close()

    # --- spaces

    def test_a_run_stays_in_the_space_and_does_not_repeat_itself(self, space: str) -> None:
        records = self.run(space)
        self.distinct(self.spaces[space], records, f"a bowl in {space!r}")

    def test_the_first_point_is_the_defaults(self, space: str) -> None:
        if not self.defaults_first:
            return
        case, searched = f"the first trial in {space!r}", self.spaces[space]
        expected = searched.to_unit(searched.defaults())
        self.require(np.array_equal(self.ask(searched, (), case).unit, expected), case, "the defaults")
        others = (point for point in draws(searched, 0) if not np.array_equal(point, expected))
        enqueued = told(0, next(others), {"enqueued": True}, bowl(searched))
        found = self.ask(searched, (enqueued,), f"{case} after an enqueued one").unit
        self.require(
            np.array_equal(found, expected), case, "the defaults although another trial was enqueued"
        )

    def test_a_finite_space_is_tried_once_and_whole(self) -> None:
        case = "36 trials on a grid of 36 points"
        records = self.drive(GRID, bowl(GRID), 36, case)
        self.distinct(GRID, records, case)
        self.exhausted(GRID, records, "the 37th trial on a grid of 36 points")

    def test_a_space_of_one_configuration_is_tried_once(self) -> None:
        records = self.drive(ONLY, bowl(ONLY), 1, "a space of one configuration")
        self.exhausted(ONLY, records, "the second trial in a space of one configuration")

    def test_enqueued_failed_and_running_trials_count_as_tried(self) -> None:
        case = "a grid of 36 points, of which 30 were enqueued, failed or are running"
        assert GRID.configurations is not None
        states = ("complete", "failed", "running")
        past = [
            replace(told(n, unit, {"enqueued": True}, bowl(GRID)), state=states[n % 3])
            for n, unit in enumerate(GRID.configurations[:30])
        ]
        past = [r if r.state == "complete" else replace(r, value=math.nan, gradient=None) for r in past]
        records = self.drive(GRID, bowl(GRID), 36, case, history=past)
        self.distinct(GRID, records, case)
        self.exhausted(GRID, records, case)

    def test_constraints_that_leave_nothing_are_an_error(self) -> None:
        case = "constraints that refuse everything"
        try:
            self.ask(examples.nothing_left, (), case, may_raise=(SpaceError,))
        except SpaceError:
            return
        self.require(False, case, "a SpaceError")

    def test_dimensions(self, dimension: int) -> None:
        case, space = f"{dimension} dimensions", cube(dimension)
        records = self.drive(
            space,
            bowl(space),
            10 if dimension <= 50 else 7,
            case,
            enqueued=lambda number: number in (1, 2, 3),
        )
        self.distinct(space, records, case)

    # --- histories

    def test_what_objectives_answer_is_survived(self, evil: str) -> None:
        for name, space in (("a cube", cube(4)), ("a space of every kind", SPACES["conditional"])):
            records = self.drive(space, hostile(evil, space), self.trials, f"{evil} in {name}")
            self.distinct(space, records, f"{evil} in {name}")

    def test_no_trial_has_finished(self, space: str) -> None:
        searched = self.spaces[space]
        for state in ("failed", "running"):
            case = f"all trials {state} in {space!r}"
            records: list[Record] = []
            while len(records) < min(8, searched.size):
                proposal = self.ask(searched, tuple(records), case)
                records.append(Record(len(records), searched.snap(proposal.unit), state, note=proposal.note))
            self.distinct(searched, records, case)

    def test_every_other_trial_fails(self) -> None:
        for name, space in self.spaces.items():
            case = f"every other trial failed in {name!r}"
            records: list[Record] = []
            while len(records) < min(10, space.size):
                proposal = self.ask(space, tuple(records), case)
                record = told(len(records), space.snap(proposal.unit), proposal.note, bowl(space))
                if len(records) % 2:
                    record = replace(record, state="failed", value=math.nan, gradient=None)
                records.append(record)
            self.distinct(space, records, case)

    def test_one_trial_is_a_history(self, space: str) -> None:
        searched = self.spaces[space]
        unit = next(iter(draws(searched, 0)))
        for note in ({}, {"enqueued": True}, _FOREIGN):
            case = f"one trial in {space!r}"
            found = self.ask(searched, (told(0, unit, note, bowl(searched)),), case)
            self.elsewhere(searched, found, unit, case)

    def test_workers_beside_one_another_get_different_points(self) -> None:
        """Four workers; the trials end in an order of their own."""
        for name in ("one", "mixed"):
            if name not in self.spaces:
                continue
            case, space = f"four workers in {name!r}", self.spaces[name]
            objective, rng = bowl(space), np.random.default_rng(0)
            history: dict[int, Record] = {}
            for number in range(self.trials):
                running = [n for n, record in history.items() if record.state == "running"]
                if len(running) == 4:
                    ends = history[running[rng.integers(4)]]
                    history[ends.number] = told(ends.number, ends.unit, ends.note, objective)
                proposal = self.ask(space, tuple(history.values()), case)
                history[number] = Record(number, space.snap(proposal.unit), "running", note=proposal.note)
            points = {record.unit.tobytes() for record in history.values()}
            self.require(
                len(points) == self.trials, case, f"{self.trials} different points, got {len(points)}"
            )

    def test_a_trial_that_died_while_running_is_asked_again_alike(self, space: str) -> None:
        case, searched, past = (
            f"asked for a trial that is running, in {space!r}",
            self.spaces[space],
            self.run(space),
        )
        last = past[-1]
        dead = Record(last.number, last.unit, "running", note=last.note)
        found = self.ask(searched, (*past[:-1], dead), case, number=last.number)
        self.same(
            replace(found, unit=searched.snap(found.unit)), last, case, "the answer without its own record"
        )

    def test_a_history_that_goes_beyond_the_trial_asked_for(self, space: str) -> None:
        """As when a lost trial is asked for anew while others have ended since."""
        past = self.run(space)
        number = len(past) // 2
        case = f"asked for trial {number} of {len(past)} in {space!r}"
        lost = Record(number, past[number].unit, "running", note=past[number].note)
        history = (*past[:number], lost, *past[number + 1 :])
        first = self.ask(self.spaces[space], history, case, number=number)
        again = self.ask(self.spaces[space], history, case, number=number)
        self.same(again, first, case, "the same answer twice")

    def test_trials_of_another_origin(self, space: str) -> None:
        """Enqueued ones among the sampler's own, and such as another sampler noted."""
        searched = self.spaces[space]
        length = int(min(10, searched.size))
        case = f"every third trial enqueued in {space!r}"
        self.drive(searched, bowl(searched), length, case, enqueued=lambda number: number % 3 == 1)
        foreign = [replace(r, note=_FOREIGN if r.number % 2 else {}) for r in self.run(space)[: length - 1]]
        self.ask(searched, foreign, f"notes of another sampler in {space!r}")

    def test_a_point_tried_many_times(self) -> None:
        for name, space in self.spaces.items():
            case = f"one point tried six times, with different values, in {name!r}"
            unit, objective = space.to_unit(space.defaults()), bowl(space)
            past = [told(n, unit, {"enqueued": True}, objective) for n in range(6)]
            past = [replace(r, value=r.value + 0.1 * r.number) for r in past]
            self.elsewhere(space, self.ask(space, past, case), unit, case)

    def test_a_thousand_trials(self) -> None:
        space, case = SPACES["shaped"], "1,000 trials"
        objective, rng = bowl(space), np.random.default_rng(0)
        past = [
            told(n, rng.random(space.dimension), {"enqueued": True} if n % 2 else {}, objective)
            for n in range(1000)
        ]
        past = [replace(r, gradient=None) if r.number % 3 else r for r in past]
        self.ask(space, tuple(past), case)

    # --- claims

    def test_it_learns(self) -> None:
        if not self.learns:
            return
        space, seeds = cube(4), range(3)
        case = "best of 15 trials on a bowl of 4 dimensions"

        def best(suite: SamplerSuite, seed: int) -> float:
            return min(r.value for r in suite.drive(space, bowl(space, seed), 15, case, seed=seed))

        rival = _RandomSuite()
        found = float(np.median([best(self, seed) for seed in seeds]))
        drawn = float(np.median([best(rival, seed) for seed in seeds]))
        self.require(found < drawn, case, f"less than the {drawn:.3g} of random search, got {found:.3g}")


class _RandomSuite(SamplerSuite):
    sampler = staticmethod(lambda: Random(defaults_first=False))


def _text(record: Record) -> tuple:
    gradient = None if record.gradient is None else record.gradient.tobytes()
    return (
        record.number,
        record.unit.tobytes(),
        record.state,
        repr(record.value),
        gradient,
        encode(dict(record.note)),
    )


def _tell(study: Study, trials: int) -> None:
    """Go on with a bowl until the study holds so many trials."""
    space, objective = study.space, bowl(study.space)
    while study.finished < trials:
        trial = study.ask()
        value, slope = objective(trial.number, trial.unit)
        assert slope is not None
        gradient = {
            name: slope[space.columns[name]].reshape(parameter.shape)
            for name, parameter in space.parameters.items()
            if "/" not in name and name in trial.hparams and parameter.continuous
        }
        study.tell(trial, value, gradient)  # a slope of its own: what matters is that it is always the same
