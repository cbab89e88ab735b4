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


def cholesky_of_what_shrinks(**options):
    """w falls by lr a step; at lr = 0.5 the matrix of step 2, diag(w, 1) - ones, is no longer positive definite."""
    eye = np.eye(2)

    def inner_loss(p, h, b):
        a = p["w"][0] * eye[:1] * eye[:1].T + eye[1:] * eye[1:].T
        return np.sum(p["w"]) + 0.0 * np.sum(np.linalg.cholesky(a - 0.5))

    options = {"outer_loss": lambda p, h, v: np.sum(p["w"] ** 2), **options}
    return hg.BilevelProblem(
        init=lambda h, rng: {"w": np.array([2.0, 3.0])},
        inner_loss=inner_loss,
        train=None,
        valid=None,
        optimizer=hg.optim.Momentum("lr", 0.1),
        steps=12,
        **options,
    )


EVERY = [
    hg.Reverse(),
    hg.Reverse(checkpoints=1),
    hg.Reverse(checkpoints=3),
    hg.Forward(),
    hg.Truncated(2),
    hg.DrMAD(),
    hg.DrMAD(knots=4),
    hg.Reversible(),
    hg.Auto(),
    hg.Evolution(pairs=2),
]


@pytest.mark.parametrize("method", EVERY, ids=str)
@pytest.mark.parametrize("blind", [False, True])
def test_a_singular_matrix_within_training(method, blind):
    outer = (
        {"outer_loss": lambda p, h, v: h["lr"] ** 2} if blind else {}
    )  # an outer loss that sees nothing of it
    problem = cholesky_of_what_shrinks(**outer)
    result, trained = (
        hg.hypergradient(problem, {"lr": 0.5}, method=method),
        hg.train(problem, {"lr": 0.5}),
    )
    for found in (result, trained):
        assert np.isnan(found.value)
        np.testing.assert_allclose(found.curve[:2], [5.0, 4.0])
        assert np.isnan(found.curve[2:]).all()
        assert found.stats["finite"] is False


@pytest.mark.parametrize("method", EVERY, ids=str)
@pytest.mark.parametrize("where", ["init", "step"])
def test_a_singular_matrix_before_training(method, where):
    problem = hg.BilevelProblem(
        init=lambda h, rng: {"w": np.linalg.inv(h["a"])[0] if where == "init" else np.ones(2)},
        inner_loss=lambda p, h, b: np.sum((np.linalg.inv(h["a"]) @ p["w"]) ** 2 * b["label"][0]),
        outer_loss=lambda p, h, v: np.sum(p["w"]),
        train={"label": np.ones(3, int)},  # integers, so that the functions also run on plain arrays
        valid=None,
        optimizer=hg.optim.Momentum("lr", 0.1),
        steps=3,
    )
    hparams = {"lr": 0.1, "a": np.zeros((2, 2))}
    for found in (hg.hypergradient(problem, hparams, method=method), hg.train(problem, hparams)):
        assert np.isnan(found.value)
        assert np.isnan(found.curve).all()


def test_a_singular_matrix_on_the_line_of_drmad():
    """Training jumps from -1 to 1 and back; the line between its ends passes through 0."""

    def step(s, h, b, t):
        return -s * h["a"] + 0.0 * np.sum(np.linalg.cholesky(s[0] ** 2 * np.eye(2) - 0.3 * np.eye(2)))

    problem = hg.UnrolledProblem(
        init=lambda h, rng: -np.ones(1), step=step, outer_loss=lambda s, h, v: np.sum(s), steps=3
    )
    exact = hg.hypergradient(problem, {"a": 1.0})
    along = hg.hypergradient(problem, {"a": 1.0}, method=hg.DrMAD())
    assert exact.value == along.value == 1.0
    assert exact.hypergradient["a"] == 3.0
    assert np.isnan(along.hypergradient["a"])
    assert not along.stats["trusted"]


@pytest.mark.parametrize("method", EVERY, ids=str)
def test_the_curve_ends_where_training_stops(method):
    problem = quadratic(hg.optim.Momentum("lr", 0.5), stop=lambda params, hparams, t: t >= 7)
    result, trained = (
        hg.hypergradient(problem, {"lr": 0.01}, method=method),
        hg.train(problem, {"lr": 0.01}),
    )
    for found in (result, trained):
        assert found.stats["steps"] == 7
        assert (found.curve[:7] > 0).all()
        assert np.isnan(found.curve[7:]).all()
    np.testing.assert_allclose(result.curve, trained.curve, rtol=1e-9)


@pytest.mark.parametrize("method", EVERY, ids=str)
def test_nothing_to_differentiate(method, capsys):
    problem = quadratic(hg.optim.Momentum(0.01, 0.5))
    plan = method.explain(problem, {"n": 3})
    result = hg.hypergradient(problem, {"n": 3}, method=method)
    assert result.hypergradient == {"n": None}
    np.testing.assert_allclose(result.value, hg.train(problem, {"n": 3}).value, rtol=1e-9)
    assert plan.step_evaluations == result.stats["step_evaluations"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_derivatives_whose_squares_overflow(dtype):
    """No warning, and standard errors and checks of what the dtype itself holds."""
    large = 1e25 if dtype == np.float32 else 1e200
    problem = hg.UnrolledProblem(
        init=lambda h, rng: rng.standard_normal(3).astype(dtype),
        step=lambda s, h, b, t: s * h["b"],
        outer_loss=lambda s, h, v: large * np.sum(s),
        steps=1,
    )
    hparams = {"b": np.ones(3, dtype)}
    with np.errstate(all="raise"):
        several = hg.hypergradient(problem, hparams, seed=[0, 1])
        check = hg.check_hypergradient(problem, hparams)
    assert several.stats["trusted"]
    assert several.stats["hypergradient_error"][0] > large / 10
    assert check.result.stats["finite"]
