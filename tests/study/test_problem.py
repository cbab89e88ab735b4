"""Studies of training problems: values and hypergradients come from hypergrad itself."""

import numpy as np
import pytest

from hypergrad.errors import DerivativeError, ProblemError
from hypergrad.hypergradients import Auto, Reversible, hypergradient, train
from hypergrad.optim import SGD, Momentum
from hypergrad.samplers import Gradient, Hybrid, Random
from hypergrad.samplers.base import Proposal, Sampler, generator
from hypergrad.space import Categorical, Float, Int, Space
from hypergrad.study import Study, load_study, tune
from hypergrad.study.codec import encode
from hypergrad.study.runner import is_problem
from hypergrad.unroll.problem import BilevelProblem

SPACE = Space(lr=Float(1e-3, 10.0, log=True), l2=Float(1e-6, 1.0, log=True, shape=(3, 1)), units=Int(1, 4))


class Alternate(Sampler):
    """Random points; wants the gradient of every other trial."""

    def ask(self, space, history, *, seed, number):
        return Proposal(generator(seed, number).random(space.dimension), number % 2 == 0)


def regression(steps=250, scale=1.0):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 3)) * scale
    y = x @ np.array([1.0, -2.0, 0.5]) + 0.1 * rng.standard_normal(20)

    def loss(params, batch):
        return ((batch["x"] @ params["w"])[:, 0] - batch["y"]) ** 2

    return BilevelProblem(
        init=lambda hparams, rng: {"w": 0.1 * rng.standard_normal((3, 1))},
        inner_loss=lambda params, hparams, batch: (
            loss(params, batch).mean() + np.sum(hparams["l2"] * params["w"] ** 2)
        ),
        outer_loss=lambda params, hparams, batch: loss(params, batch).mean(),
        train={"x": x[:12], "y": y[:12]},
        valid={"x": x[12:], "y": y[12:]},
        metrics={"mse": lambda params, hparams, data: loss(params, data).mean()},
        optimizer=SGD(lr="lr"),
        steps=steps,
        batch_size=5,
    )


@pytest.fixture(scope="module")
def problem():
    return regression()


def test_what_is_a_problem(problem):
    assert is_problem(problem)
    assert not is_problem(BilevelProblem)
    assert not is_problem(regression)


def test_a_problem_as_objective(problem):
    study = Study("problem", SPACE, Alternate(), seed=11)
    study.optimize(problem, trials=6)
    assert any(trial.finite for trial in study.trials)
    for trial in study.trials:
        assert (trial.state, trial.seed) == ("complete", 11)
        if trial.wants_gradient:
            expected = hypergradient(problem, trial.hparams, method=Auto(), seed=11)
            assert trial.gradient["units"] is None
            for name in ("lr", "l2"):
                np.testing.assert_array_equal(trial.gradient[name], expected.hypergradient[name])
            unit = SPACE.gradient_to_unit(trial.hparams, expected.hypergradient)
            np.testing.assert_array_equal(trial.unit_gradient, unit)
        else:
            expected = train(problem, trial.hparams, seed=11)
            assert trial.gradient is None
        assert encode(trial.value) == encode(expected.value)
        assert trial.cost == expected.stats["step_evaluations"] >= 250
        np.testing.assert_array_equal(trial.curve, expected.curve[trial.curve_steps])
        assert trial.curve.size == 200
        assert trial.metrics.keys() == {"train", "valid"}
        assert encode(trial.metrics) == encode(expected.metrics)
        assert trial.stats["finite"] == expected.stats["finite"]
        assert trial.stats["disconnected"] == list(expected.disconnected) == []
        assert trial.seconds >= trial.stats["seconds_training"]


def test_a_factory_of_problems(problem):
    def factory(hparams):
        return regression(steps=20 * hparams["units"])

    study = Study("factory", SPACE, Alternate())
    study.optimize(factory, trials=4)
    assert [t.stats["steps"] for t in study.trials] == [20 * t.hparams["units"] for t in study.trials]
    assert [t.gradient is None for t in study.trials] == [False, True, False, True]


def test_diverged_training_is_a_complete_trial():
    space = Space(lr=Float(50.0, 100.0), l2=Float(0.0, 1.0, shape=(3, 1)), units=Int(1, 4))
    study = tune(regression(scale=10.0), space, trials=2, sampler=Alternate())
    assert [(t.state, t.finite, t.stats["finite"]) for t in study.trials] == [("complete", False, False)] * 2
    assert np.isnan(study.trials[0].unit_gradient).all()


def test_a_problem_is_resumed_bit_for_bit(tmp_path, problem, bits):
    whole = tune(problem, SPACE, trials=6, sampler=Alternate(), seed=3)
    path = tmp_path / "runs.db"
    for trials in (1, 2, 4, 6):
        study = tune(problem, SPACE, trials=trials, sampler=Alternate(), seed=3, store=path, name="tuned")
        study.close()
    assert bits(load_study(path)) == bits(whole)


def test_the_default_sampler_descends_along_hypergradients(tmp_path, problem, bits):
    space = Space(lr=Float(1e-3, 10.0, log=True, default=2e-3), l2=Float(1e-6, 1.0, log=True, shape=(3, 1)))
    whole = Study("default", space)
    assert whole.sampler == Hybrid()
    whole.optimize(problem, trials=8)
    assert sum(trial.wants_gradient for trial in whole.trials) >= 4
    assert whole.best.value < 0.5 * whole.trials[0].value
    path = tmp_path / "runs.db"
    for trials in range(1, 9):
        study = load_study(path) if trials > 1 else Study("default", space, store=path)
        study.optimize(problem, trials=trials)
        study.close()
    assert bits(load_study(path)) == bits(whole)


def test_a_problem_that_does_not_fit_its_space():
    study = Study("misfit", Space(rate=Float(0.1, 1.0), kind=Categorical(["a"])), Random())
    with pytest.raises(ProblemError, match="lr"):
        study.optimize(regression(), trials=2)
    assert [trial.state for trial in study.trials] == ["failed"]
    assert study.trials[0].error.startswith("ProblemError: ")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_method_that_leaves_its_range_costs_a_gradient_and_not_the_study(momentum):
    """Below 2^-32 a momentum cannot be undone, and a rate far too large takes the numbers beyond 2^10."""
    problem = regression(steps=40)
    problem.optimizer = Momentum("lr", "mu")
    space = Space(lr=Float(1e-3, 10.0, log=True), l2=Float(1e-6, 1.0, log=True), mu=Float(0.0, 1.0))
    study = Study("range", space, Gradient(), seed=0)
    study.enqueue({"lr": 10.0 if momentum else 1e-2, "l2": 1e-3, "mu": momentum})
    study.enqueue({"lr": 1e-2, "l2": 1e-3, "mu": 0.5})
    study.optimize(problem, trials=2, method=Reversible())
    left, held = study.trials
    assert left.state == "complete"
    assert left.gradient is None
    assert encode(left.value) == encode(train(problem, left.hparams).value)
    assert "Reversible()" in left.stats["warnings"][0]
    assert held.gradient["lr"] != 0.0


def test_a_method_that_fits_no_trial_ends_the_study():
    study = Study("misfit", SPACE, Gradient(), seed=0)
    with pytest.raises(DerivativeError, match="not of SGD"):
        study.optimize(regression(steps=5), trials=2, method=Reversible())
