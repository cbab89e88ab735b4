"""The suite for samplers finds each flaw, says which, and lets a good sampler of any module pass."""

import random
import re
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from hypergrad.errors import ExhaustedError
from hypergrad.samplers import Admission, Proposal, Random, Sampler
from hypergrad.samplers.base import generator, others
from hypergrad.testing import SamplerSuite


@dataclass(frozen=True)
class Good(Sampler):
    """Draws, and half of the time near the best: a plugin as its author would write it."""

    width: float = 0.2

    def ask(self, space, history, *, seed, number):
        past, rng = others(history, number), generator(seed, number)
        told = [r for r in past if r.state == "complete" and np.isfinite(r.value)]
        best = min(told, key=lambda r: (r.value, r.number), default=None)

        def candidates():
            while True:
                unit = rng.random(space.dimension)
                if best is not None and rng.random() < 0.7:
                    unit = np.clip(best.unit + self.width * (unit - 0.5), 0.0, 1.0)
                yield self.made(unit, best, past)

        return Admission(space, past).first(candidates(), rng)

    def made(self, unit, best, past):
        return Proposal(unit, best is None, {"from": None if best is None else best.number})


class TestGood(SamplerSuite):
    sampler = staticmethod(Good)
    learns = True


class TestSettings(SamplerSuite):
    sampler = staticmethod(lambda: Good(width=0.05))
    trials = 6
    dimensions = (2,)


# --- one flaw each


@dataclass(frozen=True)
class Remembers(Good):
    seen: list = field(default_factory=list, compare=False, hash=False)

    def made(self, unit, best, past):
        self.seen.append(1)
        return Proposal(unit * 0.5**(len(self.seen) / 100), False)  # fmt: skip


class Mutable(Sampler):
    def ask(self, space, history, *, seed, number):
        return Random().ask(space, history, seed=seed, number=number)


@dataclass(frozen=True)
class Unequal(Good):
    token: Any = field(default_factory=object)


@dataclass(frozen=True)
class Unstorable(Good):
    function: Any = max


@dataclass(frozen=True)
class Hashes(Good):
    def made(self, unit, best, past):
        return Proposal(np.roll(unit, hash("a name") % 7) * (1.0 - (hash("a name") % 97) / 1000.0), False)


@dataclass(frozen=True)
class Draws(Good):
    def made(self, unit, best, past):
        return Proposal(np.full(unit.shape, random.random()), False)


@dataclass(frozen=True)
class Reseeds(Good):
    def made(self, unit, best, past):
        np.random.seed(3)  # noqa: NPY002
        return Proposal(np.random.random(unit.shape), False)  # noqa: NPY002


@dataclass(frozen=True)
class Hurries(Good):
    def made(self, unit, best, past):
        started = time.monotonic()
        return Proposal(unit if time.monotonic() - started < 60.0 else 0.5 * unit, False)


@dataclass(frozen=True)
class Sorts(Good):
    def ask(self, space, history, *, seed, number):
        if isinstance(history, list):
            history.sort(key=lambda r: r.value)
        return super().ask(space, history, seed=seed, number=number)


@dataclass(frozen=True)
class Writes(Good):
    def made(self, unit, best, past):
        for record in past:
            if record.unit.flags.writeable:
                record.unit[:] = 0.5
        return super().made(unit, best, past)


@dataclass(frozen=True)
class Seedless(Good):
    def ask(self, space, history, *, seed, number):
        return super().ask(space, history, seed=0, number=number)


@dataclass(frozen=True)
class Counts(Good):
    """The trial depends on how often this very object was asked."""

    asked: list = field(default_factory=list, compare=False, hash=False)

    def made(self, unit, best, past):
        self.asked.append(0)
        return Proposal(unit, len(self.asked) % 5 in (0, 3), {})


@dataclass(frozen=True)
class Unaware(Good):
    """Knows no constraints and no finite spaces."""

    def ask(self, space, history, *, seed, number):
        return Proposal(generator(seed, number).random(space.dimension), False)


@dataclass(frozen=True)
class Outside(Good):
    def ask(self, space, history, *, seed, number):
        found = super().ask(space, history, seed=seed, number=number)
        return replace(found, unit=found.unit + 1.0)


@dataclass(frozen=True)
class Flat(Good):
    def ask(self, space, history, *, seed, number):
        return replace(super().ask(space, history, seed=seed, number=number), unit=[0.5] * space.dimension)


@dataclass(frozen=True)
class Bare(Good):
    def ask(self, space, history, *, seed, number):
        return super().ask(space, history, seed=seed, number=number).unit


@dataclass(frozen=True)
class Perhaps(Good):
    def made(self, unit, best, past):
        return Proposal(unit, np.bool_(True))


@dataclass(frozen=True)
class Notes(Good):
    def made(self, unit, best, past):
        return Proposal(unit, True, {"rng": generator(0, 0)})


@dataclass(frozen=True)
class Stubborn(Good):
    """Proposes the same point until it is told."""

    def ask(self, space, history, *, seed, number):
        done = [r for r in history if r.state != "running"]
        return super().ask(space, done, seed=seed, number=len(done))


@dataclass(frozen=True)
class Fragile(Good):
    def made(self, unit, best, past):
        if any(np.isnan(r.value) for r in past if r.state == "complete"):
            raise ZeroDivisionError("no mean")
        return super().made(unit, best, past)


@dataclass(frozen=True)
class Trusting(Good):
    """Cannot do without gradients."""

    def made(self, unit, best, past):
        return Proposal(unit if best is None else np.clip(best.unit - 0.01 * best.gradient, 0.0, 1.0), True)


@dataclass(frozen=True)
class Selfish(Good):
    """Believes that all notes are its own."""

    def made(self, unit, best, past):
        return Proposal(unit, True, {"depth": 1 + max((r.note["depth"] for r in past), default=0)})


@dataclass(frozen=True)
class Endless(Good):
    """Never says that a finite space is exhausted."""

    def ask(self, space, history, *, seed, number):
        try:
            return super().ask(space, history, seed=seed, number=number)
        except ExhaustedError:
            return Proposal(np.full(space.dimension, 0.5), False)


@dataclass(frozen=True)
class Elsewhere(Good):
    """Never begins at the defaults, learns nothing, though its suite claims both."""

    def made(self, unit, best, past):
        return Proposal(0.1 * unit**4, False)


FLAWS = [
    (Remembers, "test_the_same_question_has_the_same_answer", ["shaped"], "the answer that it gave before"),
    (
        Mutable,
        "test_settings_are_a_frozen_dataclass_that_a_store_can_describe",
        [],
        "@dataclass(frozen=True)",
    ),
    (Unequal, "test_settings_are_a_frozen_dataclass_that_a_store_can_describe", [], "two equal samplers"),
    (
        Unstorable,
        "test_settings_are_a_frozen_dataclass_that_a_store_can_describe",
        [],
        "settings that a store keeps",
    ),
    (Hashes, "test_another_process_has_the_same_answer", [], "the answer of this process"),
    (Draws, "test_no_global_random_state_is_used_or_touched", ["one"], "that it is left as it was"),
    (Reseeds, "test_no_global_random_state_is_used_or_touched", ["one"], "that it is left as it was"),
    (Hurries, "test_no_clock_is_read_for_a_decision", ["one"], "by a clock that goes right"),
    (Sorts, "test_the_history_is_left_as_it_was", ["one"], "a list of the same records"),
    (Writes, "test_the_history_is_left_as_it_was", ["one"], "records that asking does not change"),
    (Seedless, "test_seeds_differ", [], "that not all 8 points are alike"),
    (Counts, "test_twelve_and_twelve_resumed_trials_are_twenty_four", ["tmp_path"], "not interrupted"),
    (Counts, "test_the_same_question_has_the_same_answer", ["one"], "another wants_gradient"),
    (
        Unaware,
        "test_a_run_stays_in_the_space_and_does_not_repeat_itself",
        ["conditional"],
        "constraint 'inside'",
    ),
    (Unaware, "test_a_finite_space_is_tried_once_and_whole", [], "36 different points in as many trials"),
    (Unaware, "test_enqueued_failed_and_running_trials_count_as_tried", [], "36 different points"),
    (Unaware, "test_a_space_of_one_configuration_is_tried_once", [], "an ExhaustedError"),
    (Endless, "test_a_finite_space_is_tried_once_and_whole", [], "an ExhaustedError"),
    (Outside, "test_one_trial_is_a_history", ["mixed"], "coordinates in [0, 1]"),
    (Flat, "test_one_trial_is_a_history", ["mixed"], "a unit point of float64 of shape (5,), got list"),
    (Bare, "test_one_trial_is_a_history", ["mixed"], "a Proposal, got ndarray"),
    (Perhaps, "test_one_trial_is_a_history", ["mixed"], "True or False in wants_gradient"),
    (
        Notes,
        "test_one_trial_is_a_history",
        ["mixed"],
        "a note that JSON holds, but the note/rng is a Generator",
    ),
    (Stubborn, "test_workers_beside_one_another_get_different_points", [], "16 different points"),
    (Stubborn, "test_no_trial_has_finished", ["mixed"], "8 different points"),
    (
        Fragile,
        "test_what_objectives_answer_is_survived",
        ["all values nan"],
        "got ZeroDivisionError: no mean",
    ),
    (
        Trusting,
        "test_what_objectives_answer_is_survived",
        ["no gradient"],
        "expected a proposal, got TypeError",
    ),
    (
        Trusting,
        "test_what_objectives_answer_is_survived",
        ["gradients nan"],
        "expected a proposal, got TypeError",
    ),
    (
        Trusting,
        "test_what_objectives_answer_is_survived",
        ["gradients known in part"],
        "got SpaceError: the unit coordinate of 'x[0]' is nan",
    ),
    (Selfish, "test_trials_of_another_origin", ["mixed"], "got KeyError: 'depth'"),
    (Selfish, "test_one_trial_is_a_history", ["mixed"], "got KeyError: 'depth'"),
    (Selfish, "test_a_thousand_trials", [], "got KeyError: 'depth'"),
    (Elsewhere, "test_it_learns", [], "less than the"),
    (Elsewhere, "test_the_first_point_is_the_defaults", ["one"], "expected the defaults"),
]


@pytest.mark.parametrize(
    ("kind", "test", "arguments", "says"), FLAWS, ids=[f"{k.__name__}-{t}" for k, t, *_ in FLAWS]
)
def test_a_flaw_is_found_and_named(kind, test, arguments, says, tmp_path):
    body = {"sampler": staticmethod(kind), "learns": True, "defaults_first": True}
    suite = type("Suite", (SamplerSuite,), body)()
    with pytest.raises(AssertionError) as found:
        getattr(suite, test)(*(tmp_path if each == "tmp_path" else each for each in arguments))
    text = str(found.value)
    assert re.search(rf"^[\w.<>]*{kind.__name__}\b", text) or kind is Mutable, text
    assert says in text, text


def test_a_sampler_that_cannot_be_sent_to_another_process_is_told_why():
    @dataclass(frozen=True)
    class Hidden(Good):
        pass

    suite = type("Suite", (SamplerSuite,), {"sampler": staticmethod(Hidden)})()
    with pytest.raises(AssertionError, match="is not at the top of a module; move it there"):
        suite.test_another_process_has_the_same_answer()


def test_a_sampler_may_repeat_itself_if_it_says_so():
    suite = type("Suite", (SamplerSuite,), {"sampler": staticmethod(Good), "repeats": True})()
    with pytest.raises(AssertionError, match="different points"):
        type("Strict", (SamplerSuite,), {"sampler": staticmethod(Stubborn)})().test_no_trial_has_finished(
            "one"
        )
    assert suite.repeats


def test_the_suite_imports_without_pytest():
    import subprocess
    import sys

    code = "import sys, hypergrad.testing; sys.exit(any(m.split('.')[0] in ('pytest', '_pytest') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
