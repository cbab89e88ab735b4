"""Noise, black-box constraints and outcomes: told, kept, read back, and what the best trial then is."""

import math
import sqlite3
from importlib.resources import files

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import StoreError, StudyError
from hypergrad.samplers import Random
from hypergrad.samplers.base import Proposal, Sampler, generator
from hypergrad.space import Categorical, Float, Space
from hypergrad.study import Outcome, Study, load_study, studies
from hypergrad.study.codec import encode, pack

SPACE = Space(lr=Float(1e-4, 1.0, log=True), w=Float(0.0, 2.0, shape=(2,)), kind=Categorical(["a", "b"]))


class Watch(Sampler):
    """Random points; keeps what it was told."""

    def __init__(self):
        self.seen = []

    def ask(self, space, history, *, seed, number):
        self.seen.append(tuple(history))
        return Proposal(generator(seed, number).random(space.dimension), False)


def new(**settings):
    return Study("s", SPACE, **{"sampler": Random(), **settings})


def test_noise_reaches_samplers_by_the_chain_rule():
    watch = Watch()
    study = new(sampler=watch)
    trial = study.ask()
    told = study.tell(
        trial, 1.0, {"lr": 3.0, "w": [1.0, 2.0]}, noise=0.5, gradient_noise={"lr": 2.0, "w": [0.1, 0.2]}
    )
    assert (told.noise, told.gradient_noise["lr"], told.gradient_noise["kind"]) == (0.5, 2.0, None)
    study.ask()
    (record,) = watch.seen[-1]
    lr = trial.hparams["lr"]
    expected = dict(zip(SPACE.names, [math.nan, 2.0 * lr * math.log(1e4), 0.1 * 2.0, 0.2 * 2.0], strict=True))
    np.testing.assert_allclose(record.gradient_noise, [expected[n] for n in SPACE.names], rtol=1e-14)
    assert record.noise == 0.5
    np.testing.assert_array_equal(record.gradient_noise, told.unit_gradient_noise)


def test_without_noise_there_is_none():
    study = new()
    told = study.tell(study.ask(), 1.0, noise=math.nan)
    assert (told.noise, told.gradient_noise, told.unit_gradient_noise) == (0.0, None, None)
    assert (told.constraints, told.margins, told.feasible) == ({}, None, True)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"noise": -1.0}, r"the noise of trial 0 is -1\.0, expected a standard error >= 0"),
        ({"noise": "big"}, r"the noise of trial 0 is 'big', expected one real number"),
        (
            {"gradient_noise": {"lr": -1.0}},
            r"gradient noise of trial 0 is negative at 'lr', expected standard errors",
        ),
        ({"gradient_noise": {"z": 1.0}}, r"the gradient noise of trial 0 names no hyperparameter 'z'"),
        (
            {"constraints": {"latancy": 1.0}},
            r"the constraints of trial 0 name no constraint 'latancy'; did you mean",
        ),
        ({"constraints": 3.0}, r"the constraints of trial 0 are 3\.0, expected a dict"),
        (
            {"constraints": {"latency": "slow"}},
            r"the constraint 'latency' of trial 0 is 'slow', expected one real",
        ),
        (
            {"constraint_gradients": {"latency": {"z": 1.0}}},
            r"constraint 'latency' of trial 0 names no hyperparameter",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_stored(more, words):
    study = new(constraints=["latency"])
    trial = study.ask()
    with pytest.raises(StudyError, match=words):
        study.tell(trial, 1.0, **more)
    assert study.tell(trial, 2.0).value == 2.0


def test_a_constraint_that_the_study_does_not_have():
    study = new()
    with pytest.raises(
        StudyError, match=r"no constraints; make it with Study\(\.\.\., constraints=\['latency'\]\)"
    ):
        study.tell(study.ask(), 1.0, constraints={"latency": 1.0})


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        ("latency", "are 'latency', expected a list of names"),
        ([3], "hold 3, expected a name"),
        (["a", "a"], "hold 'a' twice"),
        ({"a": math.inf}, "bound of the constraint 'a' is inf, expected a finite number"),
        ({"a": "b"}, "bound of the constraint 'a' is 'b', expected one real number"),
    ],
)
def test_constraints_of_a_study_are_checked(constraints, words):
    with pytest.raises(StudyError, match=words):
        new(constraints=constraints)


def test_the_best_trial_is_feasible():
    study = new(constraints={"latency": 0.3, "valid/error": 0.1})
    with pytest.raises(StudyError, match="no trial with a finite value among its 0 finished"):
        _ = study.best
    outcomes = [
        (1.0, {"latency": 0.4}, {"valid": {"error": 0.05}}),  # too slow
        (2.0, {"latency": 0.1}, {}),  # error not known
        (3.0, {"latency": math.nan}, {"valid": {"error": 0.05}}),
        (4.0, {"latency": 0.3}, {"valid": {"error": 0.1}}),  # at its bounds
        (5.0, {"latency": -1.0}, {"valid/error": 0.0}),
        (math.nan, {"latency": -1.0}, {"valid/error": 0.0}),
    ]
    for number, (value, constraints, metrics) in enumerate(outcomes):
        study.tell(study.ask(), value, constraints=constraints, metrics=metrics)
        if number == 2:
            with pytest.raises(
                StudyError, match="no feasible trial among its 3 finished ones: none is known to keep"
            ):
                _ = study.best
    assert [t.feasible for t in study.trials] == [False, False, False, True, True, True]
    assert (study.best.number, study.best.value) == (3, 4.0)
    assert study.trials[3].constraints == {"latency": 0.3, "valid/error": 0.1}
    np.testing.assert_array_equal(study.trials[3].margins, [0.0, 0.0])
    assert "constraints/latency" in study.dataframe()


def test_everything_told_is_read_back(tmp_path):
    path = tmp_path / "runs.db"
    study = new(store=path, constraints={"latency": 0.3, "size": 2.0})
    told = study.tell(
        study.ask(),
        1.0,
        {"w": [1.0, 1.0]},
        noise=0.1,
        gradient_noise={"w": [0.5, 0.5]},
        constraints={"latency": 0.5},
        constraint_gradients={"latency": {"lr": 2.0}},
    )
    study.close()
    loaded = load_study(path)
    (read,) = loaded.trials
    assert loaded.constraints == {"latency": 0.3, "size": 2.0}
    for name in ("noise", "gradient_noise", "constraints", "constraint_gradients", "value", "gradient"):
        assert encode(getattr(read, name)) == encode(getattr(told, name)), name
    for name in ("unit_gradient_noise", "margins", "margin_gradients"):
        assert pack(getattr(read, name)) == pack(getattr(told, name)), name
        assert not getattr(read, name).flags.writeable
    assert read.margins[0] == 0.5 - 0.3
    assert np.isnan(read.margins[1])
    assert studies(path)[0].best is None  # not feasible


def test_a_study_continues_with_its_own_constraints_only(tmp_path):
    new(store=tmp_path / "runs.db", constraints={"latency": 0.3}).close()
    new(store=tmp_path / "runs.db", constraints={"latency": 0.3}).close()
    for other in ({}, {"latency": 0.4}, ["latency"]):
        with pytest.raises(StudyError, match=r"has the constraints latency <= 0\.3, not "):
            new(store=tmp_path / "runs.db", constraints=other)


def test_an_objective_returns_an_outcome():
    study = new(constraints={"size": 1.0})

    def objective(hparams):
        return Outcome(
            hparams["lr"],
            {"lr": 1.0},
            noise=0.1,
            constraints={"size": hparams["w"].sum()},
            cost=7.0,
            seconds=2.0,
        )

    study.optimize(objective, trials=3)
    trial = study.trials[1]
    assert (trial.cost, trial.seconds, trial.noise, trial.gradient["lr"]) == (7.0, 2.0, 0.1, 1.0)
    assert trial.constraints["size"] == trial.hparams["w"].sum()
    assert hg.Outcome is Outcome


def old_store(path):
    """A file as the first format had it, with one study of two trials."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(files("hypergrad.study").joinpath("schema.sql").read_text(encoding="utf-8"))
    connection.execute("PRAGMA application_id = 1752786802")
    connection.execute("PRAGMA user_version = 1")
    sampler = encode({"name": "Random", "fields": {"defaults_first": True}})
    connection.execute(
        "INSERT INTO studies (key, name, created, space, sampler, seed, info) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ("s", "s", "2026-01-01T00:00:00.000+00:00", encode(SPACE.to_json()), sampler, 0, "{}"),
    )
    whole = new()
    whole.optimize(lambda hparams: float(hparams["lr"]), trials=5)
    names = (
        "number, state, unit, unit_gradient, value, cost, note, wants_gradient, seed, started, seconds, error, "
        "versions, hparams, gradient, metrics, stats, curve"
    )
    rows = whole._store.query(f"SELECT {names} FROM trials WHERE number < 3")
    marks = ", ".join("?" * (1 + len(rows[0])))
    connection.executemany(
        f"INSERT INTO trials (study, {names}) VALUES ({marks})", [(1, *row) for row in rows]
    )
    connection.close()
    return whole


def test_a_file_of_the_first_format_goes_on(tmp_path):
    path = tmp_path / "old.db"
    whole = old_store(path)
    (summary,) = studies(path)
    assert (summary.complete, summary.name) == (3, "s")
    study = new(store=path)
    assert (study.constraints, study.finished) == ({}, 3)
    study.optimize(lambda hparams: float(hparams["lr"]), trials=5)
    assert [pack(t.unit) for t in study.trials] == [pack(t.unit) for t in whole.trials]
    assert study.best.number == whole.best.number
    study.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()


def test_a_file_of_the_first_format_that_cannot_be_written(tmp_path):
    path = tmp_path / "old.db"
    old_store(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    from hypergrad.study.store import Store

    with pytest.raises(
        StoreError, match=r"format of an earlier hypergrad .*locked.*; use a copy that can be written"
    ):
        Store(path, timeout=0.01)
    other.execute("ROLLBACK")
    other.close()
    Store(path).close()
