"""Finite, conditional and constrained spaces, searched by each sampler through a study."""

import json
import re

import numpy as np
import pytest

from hypergrad import samplers
from hypergrad.errors import ExhaustedError, SpaceError, StudyError
from hypergrad.space import Categorical, Float, Int, Ordinal, Space
from hypergrad.study import Study, load_study

every = pytest.mark.parametrize(
    "sampler", [kind() for kind in samplers.SAMPLERS.values()], ids=samplers.SAMPLERS
)


def ordered(h):
    return h["a"] <= h["b"]


def inside(h):
    return h["x"] + h["y"] <= 0.8


GRID = Space(a=Int(1, 6, log=True), b=Ordinal([1, 2, 4]), c=Categorical(["x", "y"]))
TREE = Space(
    kind=Categorical(["sgd", "momentum", "adam"]),
    nesterov=Categorical([False, True], active_if={"kind": "momentum"}),
    beta=Int(1, 7, step=2, active_if={"kind": "adam"}),
    layers=Int(1, 3),
    steps=10,
)
BELOW = Space(a=Int(1, 6), b=Int(1, 6), constraints=[ordered])
MIXED = Space(
    x=Float(0.0, 1.0),
    y=Float(0.0, 1.0),
    k=Int(1, 4),
    kind=Categorical(["sgd", "momentum"]),
    momentum=Float(0.5, 0.99, logit=True, active_if={"kind": "momentum"}),
    constraints=[inside],
)
SPACES = {"grid": (GRID, 36), "tree": (TREE, 21), "below": (BELOW, 21)}


def objective(h):
    """Smooth where there is something to differentiate; knows the gradient of what is there."""
    value = sum(v for v in h.values() if isinstance(v, int | float)) + (h.get("kind") == "adam")
    gradient = {}
    for name, center in (("x", 0.7), ("y", 0.4), ("momentum", 0.9)):
        if name in h:
            value += 10.0 * (h[name] - center) ** 2 - h[name]
            gradient[name] = 20.0 * (h[name] - center)
    return value, gradient


def texts(study):
    return [json.dumps(trial.hparams, sort_keys=True) for trial in study.trials]


@every
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_finite_space_is_tried_once_and_whole(sampler, name, seed):
    space, size = SPACES[name]
    study = Study("finite", space, sampler=sampler, seed=seed)
    study.optimize(objective, trials=size - 1)
    assert not study.exhausted
    study.optimize(objective, trials=1000)
    assert study.exhausted
    assert study.finished == space.size == size
    assert len(set(texts(study))) == size
    assert all(trial.hparams in space for trial in study.trials)
    with pytest.raises(ExhaustedError, match=re.escape(f"tried all {size} configurations")):
        study.ask()
    study.optimize(objective, trials=1000)
    assert study.finished == size


@every
def test_enqueued_failed_and_running_trials_count_as_tried(sampler):
    study = Study("finite", GRID, sampler=sampler)
    study.enqueue({"a": 3, "b": 4, "c": "y"})
    first, second = study.ask(), study.ask()
    study.fail(second, "no luck")
    study.optimize(lambda h: 1.0 / 0.0, trials=5, on_error="continue")
    study.tell(first, 1.0)
    study.optimize(objective, trials=1000)
    assert len(study.trials) == len(set(texts(study))) == 36
    study.enqueue({"a": 3, "b": 4, "c": "y"})
    assert study.exhausted


@every
def test_constraints_hold_in_every_trial(sampler):
    study = Study("constrained", MIXED, sampler=sampler)
    study.optimize(objective, trials=40)
    assert study.finished == 40
    for trial in study.trials:
        assert trial.hparams in MIXED
        assert ("momentum" in trial.hparams) == (trial.hparams["kind"] == "momentum")
        np.testing.assert_array_equal(trial.unit, MIXED.snap(trial.unit))
        known = np.isfinite(trial.unit_gradient)
        np.testing.assert_array_equal(known, MIXED.continuous & MIXED.active(trial.unit))
    kinds = {trial.hparams["kind"] for trial in study.trials}
    assert kinds == {"sgd", "momentum"}
    assert study.best.value < 2.5


def test_a_descent_reaches_the_edge_of_what_is_allowed():
    space = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0, default=0.2), constraints=[inside])
    study = Study("edge", space)
    study.optimize(lambda h: ((h["x"] - 0.9) ** 2 + 0.1 * h["y"], {"x": 2 * (h["x"] - 0.9), "y": 0.1}), 40)
    assert study.best.hparams["x"] == pytest.approx(0.8, abs=1e-2)


@every
@pytest.mark.parametrize("space", [GRID, TREE, BELOW, MIXED], ids=["grid", "tree", "below", "mixed"])
def test_a_resumed_study_goes_on_with_the_same_bits(sampler, space, tmp_path, bits):
    whole = Study("s", space, sampler=sampler, seed=5)
    whole.optimize(objective, trials=20)
    path = tmp_path / "runs.db"
    for trials in (7, 13, 20):
        part = Study("s", space, sampler=sampler, seed=5, store=path)
        part.optimize(objective, trials=trials)
        found = bits(part)
        part.close()
    assert found == bits(whole)


def test_constraints_that_leave_nothing_are_one_sentence():
    space = Space(x=Float(0.0, 1.0), constraints=[lambda h: h["x"] > 2.0])
    for sampler in (samplers.Random(), samplers.Sobol(), samplers.Gradient()):
        with pytest.raises(SpaceError, match=r"found no point .* in 10000 draws; loosen"):
            sampler.ask(space, (), seed=0, number=0)


def test_enqueued_points_that_violate_a_constraint_are_refused():
    study = Study("s", BELOW)
    with pytest.raises(SpaceError, match="violates the constraint 'ordered'"):
        study.enqueue({"a": 3, "b": 2})
    with pytest.raises(SpaceError, match="is inactive here"):
        Study("s", TREE).enqueue({"kind": "sgd", "nesterov": True, "layers": 1})
    study.enqueue({"a": 2, "b": 3})
    assert study.ask().hparams == {"a": 2, "b": 3}


def test_enqueued_points_get_the_constants():
    study = Study("s", TREE)
    study.enqueue({"kind": "sgd", "layers": 1})
    assert study.ask().hparams == {"kind": "sgd", "layers": 1, "steps": 10}


def test_gradients_at_constants_and_inactive_hyperparameters_are_left_out():
    space = Space(
        lr=Float(0.0, 1.0), l2=0.5, on=Categorical([False, True]), m=Float(0.0, 1.0, active_if={"on": True})
    )
    study = Study("s", space)
    trial = study.tell(study.ask(), 1.0, {"lr": 2.0, "l2": 3.0, "m": 4.0})
    assert trial.hparams == {"lr": 0.5, "l2": 0.5, "on": False}
    assert trial.gradient == {"lr": 2.0, "l2": None, "on": None}
    assert np.isfinite(trial.unit_gradient).tolist() == [True, False, False]  # lr, m, on
    study.enqueue({"lr": 0.1, "l2": 0.5, "on": True, "m": 0.3})
    trial = study.tell(study.ask(), 1.0, {"m": 4.0})
    assert trial.gradient == {"lr": None, "l2": None, "on": None, "m": 4.0}
    assert {"hparams/m", "gradient/m"} <= set(study.dataframe().columns)


class Careless(samplers.Sampler):
    """Does not look at constraints."""

    def ask(self, space, history, *, seed, number):
        return samplers.Proposal(np.array([0.9, 0.1]), wants_gradient=False)


def test_a_sampler_that_ignores_constraints_is_found_out():
    with pytest.raises(StudyError, match="Careless proposed hparams that violate the constraint 'ordered'"):
        Study("s", BELOW, sampler=Careless()).ask()


def test_a_store_keeps_names_of_constraints_only(tmp_path):
    path = tmp_path / "runs.db"
    with_constraint = Study("s", BELOW, sampler=samplers.Random(), store=path)
    with_constraint.optimize(objective, trials=3)
    with_constraint.close()
    loaded = load_study(path)
    assert loaded.finished == 3
    with pytest.raises(SpaceError, match="make the space anew"):
        loaded.ask()
    loaded.close()
    with pytest.raises(StudyError, match="the constraints ordered, not none"):
        Study("s", Space(a=Int(1, 6), b=Int(1, 6)), sampler=samplers.Random(), store=path)
    again = Study("s", BELOW, sampler=samplers.Random(), store=path)
    again.optimize(objective, trials=5)
    assert again.finished == 5


def test_a_store_tells_constants_and_conditions_apart(tmp_path):
    path = tmp_path / "runs.db"
    Study("s", Space(a=Int(1, 6), b=2), store=path).close()
    for space, says in (
        (Space(a=Int(1, 6), b=3), "'b' fixed at 2, not 3"),
        (Space(a=Int(1, 6), b=Int(1, 3)), "'b' as int, not Int"),
        (Space(a=Int(1, 6)), "'b', which is not in the space given"),
        (Space(a=Int(1, 6, active_if={"b": 2}), b=2), "active_if=None of 'a'"),
    ):
        with pytest.raises(StudyError, match=re.escape(says)):
            Study("s", space, store=path)
    Study("s", Space(a=Int(1, 6), b=2), store=path).close()
    loaded = load_study(path)
    assert loaded.space.constants == {"b": 2}
    loaded.close()
