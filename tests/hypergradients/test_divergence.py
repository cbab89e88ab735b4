"""A run that diverges is a result, without warnings and without errors."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg


def quadratic(optimizer, dtype=float, **options):
    return hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.ones(3, dtype)},
        inner_loss=lambda p, h, b: 0.5 * np.sum(p["w"] ** 2) + np.sum(p["w"] ** 4),
        outer_loss=lambda p, h, v: np.sum(p["w"] ** 2),
        train=None,
        valid=None,
        optimizer=optimizer,
        steps=30,
        **options,
    )


@pytest.mark.parametrize("lr", [1e6, 1e300, np.inf, np.nan, -1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [hg.optim.SGD, hg.optim.Momentum, hg.optim.Adam])
def test_a_rate_far_too_large(make, dtype, lr):
    for call in (hg.hypergradient, hg.train):
        result = call(quadratic(make("lr"), dtype), {"lr": lr})
        finite = make is hg.optim.Adam and abs(lr) == 1e6  # whose steps are bounded by lr
        assert np.isfinite(result.value) == finite
        assert isinstance(result.value, float)
        if not finite:
            assert result.stats["finite"] is False
        assert result.curve.shape == (30,)
        assert result.params["w"].dtype == dtype
    assert result.stats["step_evaluations"] == 30


def test_the_gradient_of_a_diverged_run_has_the_usual_tree():
    hparams = {"lr": np.full(30, 1e6), "n": 3, "float": np.float32(1.0)}
    result = hg.hypergradient(quadratic(hg.optim.SGD(hg.optim.PerStep("lr"))), hparams)
    assert result.hypergradient["lr"].shape == (30,)
    assert np.isnan(result.hypergradient["lr"]).all()
    assert result.hypergradient["n"] is None
    assert result.hypergradient["float"].dtype == np.float32
    assert result.stats["finite"] is False


def test_a_finite_value_with_an_infinite_gradient_is_not_finite():
    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: hparams["a"] * np.ones(2),
        step=lambda s, h, b, t: s * 1e200,
        outer_loss=lambda s, h, v: np.sum(1.0 / (1.0 + s * 1e-200)) + 1e200 * np.sum(s),
        steps=1,
    )
    result = hg.hypergradient(problem, {"a": 0.0})
    assert result.value == 2.0
    assert not np.isfinite(result.hypergradient["a"])
    assert result.stats["finite"] is False


def test_metrics_of_a_diverged_run_are_nan():
    def strict(params, hparams, data):
        if not np.isfinite(params["w"]).all():
            raise ValueError("input contains NaN")
        return 1.0

    problem = quadratic(hg.optim.SGD("lr"), metrics={"strict": strict})
    problem.valid = {"x": np.ones(1)}
    assert np.isnan(hg.train(problem, {"lr": 1e6}).metrics["valid"]["strict"])
    assert hg.train(problem, {"lr": 1e-3}).metrics["valid"]["strict"] == 1.0


@pytest.mark.parametrize(
    "init",
    [
        lambda h, rng: {"w": np.exp(h["lr"] * 1e4) * np.ones(3)},
        lambda h, rng: {"w": np.log(-h["lr"]) * np.ones(3)},
        lambda h, rng: {"w": np.ones(3) / (h["lr"] - 0.5)},
    ],
    ids=["overflow", "domain", "division by zero"],
)
def test_a_first_state_that_is_not_finite(init):
    problem = quadratic(hg.optim.SGD("lr"))
    problem.init = init
    result = hg.hypergradient(problem, {"lr": 0.5})
    assert result.stats["finite"] is False


def test_a_singular_system_is_a_result():
    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: np.ones(2),
        step=lambda s, h, b, t: np.linalg.solve(h["a"] * np.ones((2, 2)), s),
        outer_loss=lambda s, h, v: np.sum(s),
        steps=2,
    )
    assert hg.hypergradient(problem, {"a": 1.0}).stats["finite"] is False


def test_a_problem_works_after_a_diverged_run():
    problem = quadratic(hg.optim.Momentum("lr"))
    before = hg.hypergradient(problem, {"lr": 1e-3})
    hg.hypergradient(problem, {"lr": 1e6})
    after = hg.hypergradient(problem, {"lr": 1e-3})
    assert after.stats["finite"] is True
    assert after.value == before.value
    assert after.hypergradient == before.hypergradient
