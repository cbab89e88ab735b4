"""Stop rules: what each of them waits for, and that interruptions do not change the trial at which they stop."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import StudyError
from hypergrad.samplers import Bayes, Gradient, Random, Record
from hypergrad.study.stopping import reason_to_stop

SPACE = hg.Space(x=hg.Float(0.0, 1.0), y=hg.Float(0.0, 1.0))


def records(*values):
    """Finished trials of these values; None: failed, a string: running."""
    found = []
    for number, value in enumerate(values):
        state = {type(None): "failed", str: "running"}.get(type(value), "complete")
        unit = np.random.default_rng(number).random(2)
        found.append(Record(number, unit, state, value if state == "complete" else math.nan))
    return found


def stops_after(rule, *values):
    """How many trials the rule lets pass; None: all of them."""
    history = records(*values)
    for count in range(len(history) + 1):
        if rule.reason(SPACE, history[:count]) is not None:
            return count
    return None


def bowl(hparams):
    x, y = hparams["x"], hparams["y"]
    value = (x - 0.3) ** 2 + 4.0 * (y - 0.6) ** 2
    return value, {"x": 2.0 * (x - 0.3), "y": 8.0 * (y - 0.6)}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((3.0, 2.0, 1.0), 2),
        ((2.5, 2.0000001), None),
        ((math.nan, -math.inf, None, 1.0), 4),
        ((2.0,), 1),
        ((), None),
    ],
)
def test_target(values, expected):
    assert stops_after(hg.Target(2.0), *values) == expected


@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        (hg.Patience(2), (3.0, 3.0, 3.0), 3),
        (hg.Patience(2), (3.0, 3.0, 2.0, 2.0, 1.0, 5.0, 4.0), 7),
        (hg.Patience(2), (3.0, None, math.nan), 3),
        (hg.Patience(3), (math.nan, None, math.inf, 1.0), 3),
        (hg.Patience(1), (1.0, 1.0 - 1e-12), None),
        (hg.Patience(2, tolerance=0.5), (3.0, 2.6, 2.5, 1.0), 3),
        (hg.Patience(3, tolerance=0.5), (3.0, 2.8, 2.6, 2.4, 2.3), None),  # small steps count together
    ],
)
def test_patience(rule, values, expected):
    assert stops_after(rule, *values) == expected


def test_running_trials_are_not_counted_and_the_first_rule_with_a_reason_speaks():
    history = records(3.0, "running", 3.0, "running")
    assert reason_to_stop([hg.Patience(2)], SPACE, history) is None
    rules = [hg.Target(0.0), hg.Patience(1), hg.Target(5.0)]
    said = "the last trial did not improve on the value 3 of trial 0"
    assert reason_to_stop(rules, SPACE, history) == said


def test_expected_improvement_stops_near_the_optimum_and_not_before():
    rule = hg.ExpectedImprovementBelow(1e-4)
    study = hg.tune(bowl, SPACE, trials=60, sampler=Bayes(), stop=rule)
    assert 10 <= study.finished < 40
    assert study.best.value < 1e-4
    assert "expects improvements of" in study.stopped
    strict = hg.tune(
        bowl, SPACE, trials=study.finished, sampler=Bayes(), stop=hg.ExpectedImprovementBelow(1e-15)
    )
    assert strict.stopped is None


def test_expected_improvement_says_nothing_of_few_or_equal_values():
    rule = hg.ExpectedImprovementBelow(1e9, trials=4)
    assert stops_after(rule, 3.0, 2.0, 1.0, math.nan) is None
    assert stops_after(rule, 1.0, 1.0, 1.0, 1.0, 1.0) is None
    assert stops_after(rule, 3.0, 2.0, 1.0, math.nan, 2.0) == 5


@pytest.mark.parametrize("sampler", [Gradient(), Bayes(), Random()])
def test_a_resumed_study_stops_at_the_same_trial(tmp_path, sampler, bits):
    rules = [hg.Patience(6, tolerance=1e-3), hg.ExpectedImprovementBelow(1e-3)]
    whole = hg.tune(bowl, SPACE, trials=60, sampler=sampler, stop=rules)
    assert whole.finished < 60
    for until in (1, 7, 60, 60):
        part = hg.tune(bowl, SPACE, trials=until, sampler=sampler, stop=rules, store=tmp_path / "runs.db")
        part.close()
    reopened = hg.Study("tune", SPACE, sampler, store=tmp_path / "runs.db")
    assert bits(reopened) == bits(whole)
    assert (reopened.stopped, part.stopped) == (None, whole.stopped)


def test_an_interrupted_trial_is_run_again_before_the_rule_speaks(tmp_path):
    def interrupted(hparams):
        if study.finished == 3:
            raise KeyboardInterrupt
        return bowl(hparams)

    study = hg.Study("s", SPACE, Random(), store=tmp_path / "runs.db")
    with pytest.raises(KeyboardInterrupt):
        study.optimize(interrupted, trials=9, stop=hg.Patience(3))
    whole = hg.tune(bowl, SPACE, trials=30, sampler=Random(), stop=hg.Patience(3))
    study.optimize(bowl, trials=30, stop=hg.Patience(3))
    assert study.finished == whole.finished
    assert study.stopped == whole.stopped


def test_a_target_that_was_reached_runs_nothing():
    study = hg.tune(bowl, SPACE, trials=30, stop=hg.Target(1e-3))
    held = study.finished
    assert held < 30
    assert study.trials[-1].value <= 1e-3 < min(trial.value for trial in study.trials[:-1])
    study.optimize(lambda hparams: pytest.fail("one more trial"), trials=60, stop=[hg.Target(1e-3)])
    assert study.finished == held
    assert study.stopped == f"trial {held - 1} reached {study.best.value:.6g}, and the target is 0.001"
    study.optimize(bowl, trials=held + 1)
    assert (study.finished, study.stopped) == (held + 1, None)


def test_what_stopped_says_without_rules():
    finite = hg.tune(lambda h: float(h["n"]), hg.Space(n=hg.Int(1, 3)), trials=9, sampler=Random())
    assert finite.stopped == "every configuration of the space has been tried"
    study = hg.tune(bowl, SPACE, trials=5, seconds=0.0)
    assert study.stopped == "0 s were spent"


def test_a_rule_of_ones_own():
    class Few(hg.StopRule):
        def reason(self, space, history):
            return "that will do" if len(history) == 4 else None

    assert hg.tune(bowl, SPACE, stop=Few()).stopped == "that will do"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hg.Target(math.nan), "the value of Target is nan, expected a finite number"),
        (lambda: hg.Target("low"), "the value of Target is 'low', expected one real number"),
        (lambda: hg.Patience(0), "trials of Patience is 0, expected at least 1"),
        (lambda: hg.Patience(2.5), "trials of Patience is 2.5, expected an integer"),
        (lambda: hg.Patience(2, -1.0), "tolerance of Patience is -1.0, expected a number >= 0"),
        (lambda: hg.ExpectedImprovementBelow(0.0), "ExpectedImprovementBelow is 0.0, expected a number > 0"),
        (lambda: hg.ExpectedImprovementBelow(trials=1), "trials of ExpectedImprovementBelow is 1, expected at least 2"),
        (lambda: hg.tune(bowl, SPACE, stop=0.1), "stop is 0.1, expected a rule such as"),
        (lambda: hg.tune(bowl, SPACE, stop=[0.1]), "stop holds 0.1, expected rules such as"),
        (lambda: hg.tune(bowl, SPACE, stop=[hg.Patience]), "write Patience() with its settings"),
    ],
)  # fmt: skip
def test_misuse_is_one_sentence(make, message):
    with pytest.raises(StudyError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
