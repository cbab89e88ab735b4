"""Whether gradients describe ripples: when it is asked, what is found, and what follows."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.samplers import Bayes, Hybrid, Record
from hypergrad.samplers.ripples import looks, verdict
from hypergrad.space import Categorical, Float, Int, Space

ROWS = 400


def ackley(x):
    y = 60.0 * x - 12.0 - np.arange(len(x))
    r = np.sqrt(np.mean(y**2))
    return -20.0 * np.exp(-0.2 * r) - np.exp(np.mean(np.cos(2.0 * np.pi * y)))


def rastrigin(x):
    y = 10.0 * x - 4.0
    return np.sum(y**2 - 10.0 * np.cos(2.0 * np.pi * y))


def bowl(x):
    return np.sum((1.0 + np.arange(len(x))) * (x - 0.3) ** 2)


def valley(x):
    y = 4.0 * x - 1.5
    return np.sum(100.0 * (y[1:] - y[:-1] ** 2) ** 2 + (1.0 - y[:-1]) ** 2)


RIPPLED = {"ackley": (ackley, 10), "rastrigin": (rastrigin, 8)}
SMOOTH = {"bowl": (bowl, 6), "valley": (valley, 4), "one": (bowl, 1)}


def searched(function, dimension, seed, trials, sampler=None, **parameter):
    study = hg.Study(
        "s", Space(x=Float(0.0, 1.0, shape=(dimension,), **parameter)), sampler=sampler, seed=seed
    )
    of = hg.value_and_grad(function)
    for _ in range(trials):
        trial = study.ask()
        value, slope = of(trial.hparams["x"])
        study.tell(trial, value, {"x": slope} if trial.wants_gradient else None)
    return study


def phases(study):
    return [trial.note["phase"] for trial in study.trials]


@pytest.mark.parametrize("seed", [0, 1, 3])  # of 2 the first three points agree on a trend
@pytest.mark.parametrize("name", RIPPLED)
def test_ripples_are_searched_as_without_gradients(name, seed):
    function, dimension = RIPPLED[name]
    found = searched(function, dimension, seed, 14)
    plain = searched(function, dimension, seed, 14, Bayes(gradients=False))
    assert phases(found) == ["start"] + ["look"] * 8 + ["values"] * 5
    assert [t.wants_gradient for t in found.trials] == [True] * 9 + [False] * 5
    np.testing.assert_array_equal(
        [t.hparams["x"] for t in found.trials], [t.hparams["x"] for t in plain.trials]
    )
    assert "ripples" in found.why(12).text
    assert "ripples" in found.why(4).text


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_function_is_looked_at_and_then_descended_from_the_defaults(name, seed):
    function, dimension = SMOOTH[name]
    study = searched(function, dimension, seed, 8)
    looked = phases(study).count("look")
    assert 2 <= looked <= 3
    assert phases(study)[: 1 + looked] == ["start"] + ["look"] * looked
    assert set(phases(study)[1 + looked :]) <= {"start", "descent", "model"}
    step = next(trial for trial in study.trials if trial.note["phase"] == "descent")
    assert step.note["parent"] == 0
    assert study.best.value < min(trial.value for trial in study.trials[:3])


def test_nobody_looks_where_a_start_is_given():
    assert "look" not in phases(searched(rastrigin, 8, 0, 6, default=0.4))
    study = hg.Study("s", Space(x=Float(0.0, 1.0, shape=(8,))))
    study.enqueue({"x": np.full(8, 0.4)})
    for _ in range(4):
        trial = study.ask()
        value, slope = hg.value_and_grad(rastrigin)(trial.hparams["x"])
        study.tell(trial, value, {"x": slope})
    assert "look" not in [trial.note.get("phase") for trial in study.trials]


@pytest.mark.parametrize(
    "space",
    [
        Space(x=Float(0.0, 1.0), n=Int(1, 9)),
        Space(x=Float(0.0, 1.0), kind=Categorical(["a", "b"])),
        Space(x=Float(0.0, 1.0, shape=(16,))),
    ],
    ids=["integer", "choice", "many"],
)
def test_nobody_looks_where_correlations_say_little(space):
    first = Record(0, np.full(space.dimension, 0.5), "complete", 1.0, np.ones(space.dimension))
    assert not looks(space, [first], ROWS)


def record(number, state="complete", value=1.0, **note):
    return Record(number, np.full(2, 0.1 * number), state, value, np.ones(2), note)


def test_workers_look_side_by_side_until_enough_have_ended():
    space = Space(x=Float(0.0, 1.0, shape=(2,)))
    running = [
        record(0, "running", phase="start"),
        *(record(n, "running", phase="look") for n in range(1, 6)),
    ]
    assert looks(space, running, ROWS)
    assert not looks(space, [*running, *(record(n, "running", phase="look") for n in range(6, 9))], ROWS)
    assert verdict(space, running, ROWS) is False
    assert verdict(space, running[:1], ROWS) is None


def test_trials_that_diverged_do_not_count_as_ripples():
    space = Space(x=Float(0.0, 1.0, shape=(2,)))
    past = [record(0, phase="start"), *(record(n, value=np.nan, phase="look") for n in range(1, 9))]
    assert verdict(space, past, ROWS) is False
    assert not looks(space, past[:5], ROWS)


def test_the_verdict_is_that_of_the_first_trial_after_the_looks():
    space = Space(x=Float(0.0, 1.0, shape=(2,)))
    past = [record(0, phase="start"), record(1, phase="look"), record(2, phase="values", ripples=True)]
    assert verdict(space, past, ROWS) is True


def test_a_first_trial_that_diverged_leaves_the_search_to_the_others():
    space = Space(x=Float(0.0, 1.0, shape=(3,)))
    study = hg.Study("s", space, sampler=Hybrid())
    of = hg.value_and_grad(bowl)
    for number in range(12):
        trial = study.ask()
        value, slope = of(trial.hparams["x"])
        study.tell(trial, *((np.nan, None) if number == 0 else (value, {"x": slope})))
    assert study.best.value < 1e-3
