import itertools

import numpy as np
import pytest

from hypergrad.errors import StudyError
from hypergrad.samplers import Random
from hypergrad.space import Float, Space
from hypergrad.study import Study, study, tune

SPACE = Space(x=Float(-1.0, 1.0, default=0.5), y=Float(-1.0, 1.0, shape=(2,)))


def new():
    return Study("run", SPACE, Random())


def value(hparams):
    return hparams["x"] ** 2 + float(np.sum(hparams["y"] ** 2))


def value_and_gradient(hparams):
    return value(hparams), {"x": 2 * hparams["x"], "y": 2 * hparams["y"]}


def test_an_objective_that_returns_a_number():
    run = new()
    assert run.optimize(value, trials=3) is None
    assert [t.value for t in run.trials] == [value(t.hparams) for t in run.trials]
    assert all(t.gradient is None and t.seconds >= 0.0 for t in run.trials)


def test_an_objective_that_returns_its_gradient_too():
    run = new()
    run.optimize(value_and_gradient, trials=3)
    for trial in run.trials:
        np.testing.assert_array_equal(trial.gradient["y"], 2 * trial.hparams["y"])
        np.testing.assert_array_equal(trial.unit_gradient[1:], 4 * trial.hparams["y"])


def test_an_objective_may_spoil_its_hparams():
    def spoil(hparams):
        result = value(hparams)
        hparams["y"][:] = 9.0
        del hparams["x"]
        return result

    run, plain = new(), new()
    run.optimize(spoil, trials=3)
    plain.optimize(value, trials=3)
    assert [t.hparams["x"] for t in run.trials] == [t.hparams["x"] for t in plain.trials]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            None,
            r"the objective returned None, expected a number, \(number, gradient\), an Outcome or a problem",
        ),
        ((1.0, {}, 3), "the objective returned a tuple of 3 for trial 0"),
        ("low", "the value of trial 0 is 'low'"),
        ((1.0, {"z": 1.0}), "the gradient of trial 0 names no hyperparameter 'z'"),
    ],
)
def test_an_objective_that_returns_something_else(answer, words):
    run = new()
    with pytest.raises(StudyError, match=words):
        run.optimize(lambda hparams: answer, trials=3)
    assert [t.state for t in run.trials] == ["failed"]
    assert words.split(",")[0].replace("\\", "") in run.trials[0].error


def test_an_objective_that_raises():
    def broken(hparams):
        raise ZeroDivisionError("no rows")

    run = new()
    with pytest.raises(ZeroDivisionError, match="no rows"):
        run.optimize(broken, trials=3)
    (trial,) = run.trials
    assert (trial.state, trial.error) == ("failed", "ZeroDivisionError: no rows")
    run.optimize(value, trials=3)
    assert [t.state for t in run.trials] == ["failed", "complete", "complete"]


def test_continue_after_errors_ends_with_the_budget():
    calls = itertools.count()

    def flaky(hparams):
        if next(calls) % 2:
            raise ValueError("odd")
        return 1.0

    run, seen = new(), []
    run.optimize(flaky, trials=5, on_error="continue", callback=lambda trial, study: seen.append(trial.state))
    assert seen == ["complete", "failed", "complete", "failed", "complete"]


def test_the_budget_counts_finished_trials_of_all_calls():
    run = new()
    for trials, finished in ((2, 2), (2, 2), (0, 2), (5, 5)):
        run.optimize(value, trials=trials)
        assert run.finished == len(run.trials) == finished


def test_seconds_are_looked_at_between_trials(monkeypatch):
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr(study, "monotonic", lambda: next(clock))
    run = new()
    run.optimize(value, trials=50, seconds=35.0)
    assert run.finished == 3
    run.optimize(value, trials=50, seconds=0.0)
    assert run.finished == 3


def test_callback():
    run, seen = new(), []
    run.optimize(value, trials=4, callback=lambda trial, study: seen.append((trial.number, study.best.value)))
    assert seen == [(n, min(t.value for t in run.trials[: n + 1])) for n in range(4)]

    def stop(trial, study):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run.optimize(value, trials=9, callback=stop)
    assert [t.state for t in run.trials] == ["complete"] * 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"trials": -1}, "trials is -1, expected at least 0"),
        ({"trials": 2.5}, "trials is 2.5, expected an integer"),
        ({"seconds": "5"}, "seconds is '5', expected one real number"),
        ({"seconds": float("nan")}, "seconds is nan, expected a number >= 0"),
        ({"on_error": "ignore"}, "on_error is 'ignore', expected 'raise' or 'continue'"),
        ({"objective": 3}, "the objective is 3, expected a function of hparams or a problem"),
    ],
)
def test_arguments_of_optimize(arguments, words):
    with pytest.raises(StudyError, match=words):
        new().optimize(**{"objective": value, **arguments})


def test_an_objective_may_look_at_its_study():
    run = new()

    def nosy(hparams):
        assert [t.state for t in run.trials][-1] == "running"
        return float(run.finished)

    run.optimize(nosy, trials=3)
    assert [t.value for t in run.trials] == [0.0, 1.0, 2.0]


def test_tune(tmp_path):
    found = tune(value, SPACE, trials=4, sampler=Random(), store=tmp_path / "runs.db", name="short", seed=3)
    assert isinstance(found, Study)
    assert (found.name, found.seed, found.finished) == ("short", 3, 4)
    found.close()
    again = tune(value, SPACE, trials=6, sampler=Random(), store=tmp_path / "runs.db", name="short", seed=3)
    whole = tune(value, SPACE, trials=6, sampler=Random(), seed=3)
    assert [t.value for t in again.trials] == [t.value for t in whole.trials]
    again.close()
