"""Implicit differentiation is the closed form at a minimum, agrees with long unrolling, and says how far it is off."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from ridge import Ridge, off

import hypergrad as hg
from hypergrad.errors import DerivativeError, UnknownNameError
from hypergrad.solvers import SOLVERS


@pytest.mark.parametrize("solver", [None, *SOLVERS])
@pytest.mark.parametrize("penalty", [0.3, np.linspace(0.1, 0.6, 6)], ids=["one", "each"])
def test_ridge_in_closed_form(solver, penalty):
    ridge = Ridge(penalty)
    r = hg.hypergradient(ridge.problem(1500), ridge.h, hg.Implicit(solver=solver))
    assert off(r.hypergradient["l2"], ridge.gradient) < 1e-11
    assert r.hypergradient["outer"] == pytest.approx(0.4, rel=1e-14)
    assert r.hypergradient["lr"] is None
    assert r.warnings == ()
    assert r.stats["trusted"]
    assert r.stats["converged"]
    assert r.stats["residual"] <= 1e-12
    assert r.stats["inner_gradient_norm"] < 1e-13
    assert r.stats["relative_error"] < 1e-10
    assert r.stats["without_derivative"] == ["lr"]
    assert "no implicit derivative" in r.stats["note"]


@pytest.mark.parametrize("solver", [None, *SOLVERS])
def test_quadratic_in_closed_form(solver):
    """w* = c whatever d: dF/dc = w* − v, dF/dd = 0."""
    target, h = np.array([0.3, -0.2, 0.9]), {"d": np.array([0.5, 1.5, 2.0]), "c": np.array([0.1, 0.4, -0.3])}
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.ones(3)},
        inner_loss=lambda p, h, b: 0.5 * np.sum(h["d"] * (p["w"] - h["c"]) ** 2),
        outer_loss=lambda p, h, v: 0.5 * np.sum((p["w"] - v["target"][0]) ** 2),
        train=None,
        valid={"target": target[None]},
        optimizer=hg.optim.SGD(0.4),
        steps=400,
    )
    r = hg.hypergradient(problem, h, hg.Implicit(solver=solver))
    assert off(r.hypergradient["c"], h["c"] - target) < 1e-11
    np.testing.assert_allclose(r.hypergradient["d"], 0.0, atol=1e-13)


@pytest.mark.parametrize("steps", [25, 40, 80])
def test_the_error_before_the_minimum_is_estimated(steps):
    """To first order in the distance from the minimum, so within a tenth here."""
    ridge = Ridge(0.2)
    r = hg.hypergradient(ridge.problem(steps), ridge.h, hg.Implicit())
    error = abs(r.hypergradient["l2"] - ridge.gradient)
    assert 0.9 * error <= r.stats["error"] <= 1.1 * error
    assert r.stats["relative_error"] == pytest.approx(
        r.stats["error"] / np.hypot(r.hypergradient["l2"], r.hypergradient["outer"])
    )


def logistic(steps, **changes):
    rng = np.random.default_rng(8)
    x, y, vx, vy = (
        rng.standard_normal((60, 4)),
        rng.integers(0, 3, 60),
        rng.standard_normal((40, 4)),
        rng.integers(0, 3, 40),
    )

    def cross_entropy(p, h, b):
        return hg.nn.softmax_cross_entropy(b["x"] @ p["w"] + p["b"], b["y"]).mean()

    def inner_loss(p, h, b):
        return (
            cross_entropy(p, h, b)
            + 0.5 * np.sum(np.exp(h["log_l2"]) * p["w"] ** 2)
            + 0.01 * np.sum(p["b"] ** 2)
        )

    return hg.BilevelProblem(
        **{
            "init": lambda h, rng: {"w": h["scale"] * rng.standard_normal((4, 3)), "b": np.zeros(3)},
            "inner_loss": inner_loss,
            "outer_loss": cross_entropy,
            "train": {"x": x, "y": y},
            "valid": {"x": vx, "y": vy},
            "optimizer": hg.optim.Momentum("lr", "mu"),
            "steps": steps,
            **changes,
        }
    )


LOGISTIC = {"lr": 0.5, "mu": 0.9, "scale": 0.1, "log_l2": np.log(np.array([[0.02], [0.05], [0.1], [0.2]]))}


@pytest.mark.parametrize("solver", ["cg", "minres", "gmres", "neumann", "dense"])
def test_logistic_regression_agrees_with_long_unrolling(solver):
    problem = logistic(1500)
    long = hg.hypergradient(problem, LOGISTIC)
    r = hg.hypergradient(problem, LOGISTIC, hg.Implicit(solver=solver))
    assert r.warnings == ()
    assert off(r.hypergradient["log_l2"], long.hypergradient["log_l2"]) < 1e-9
    assert r.hypergradient["lr"] is r.hypergradient["mu"] is r.hypergradient["scale"] is None
    assert r.stats["without_derivative"] == ["lr", "mu", "scale"]
    for key in ("lr", "mu", "scale"):
        assert abs(long.hypergradient[key]) < 1e-9
    assert r.value == long.value


def test_logistic_error_before_the_minimum_is_estimated():
    exact = hg.hypergradient(logistic(1500), LOGISTIC, hg.Implicit()).hypergradient["log_l2"]
    for steps in (100, 150):
        r = hg.hypergradient(logistic(steps), LOGISTIC, hg.Implicit())
        error = np.linalg.norm(r.hypergradient["log_l2"] - exact)
        assert 0.8 * error <= r.stats["error"] <= 1.25 * error


def test_minibatches_are_differentiated_on_all_rows():
    ridge = Ridge(0.3)
    optimizer = hg.optim.SGD(hg.optim.PiecewiseLinear("lr"))
    problem = ridge.problem(1500, optimizer, 10)
    h = {**ridge.h, "lr": np.array([0.3, 0.03, 0.0])}
    r = hg.hypergradient(problem, h, hg.Implicit())
    assert r.hypergradient["lr"] is None
    error = abs(r.hypergradient["l2"] - ridge.gradient)
    assert error < 0.1 * abs(ridge.gradient)
    assert 0.8 * error <= r.stats["error"] <= 1.25 * error


def fixed_point_problem(steps, **changes):
    """s' = tanh(m s + c) for a contraction m: no gradient of anything, as m is not symmetric."""
    m = 0.5 * np.random.default_rng(4).standard_normal((5, 5)) / np.sqrt(5)
    return hg.UnrolledProblem(
        **{
            "init": lambda h, rng: {"s": np.zeros(5)},
            "step": lambda s, h, b, t: {"s": np.tanh(h["gain"] * (m @ s["s"]) + h["c"])},
            "outer_loss": lambda s, h, v: np.sum(np.sin(s["s"]) * (1.0 + h["gain"])),
            "steps": steps,
            **changes,
        }
    )


@pytest.mark.parametrize("solver", [None, "gmres", "fixed_point", "dense"])
def test_any_fixed_point_agrees_with_long_unrolling(solver):
    problem, h = fixed_point_problem(200), {"gain": 1.1, "c": np.linspace(-0.4, 0.9, 5)}
    long = hg.hypergradient(problem, h)
    r = hg.hypergradient(problem, h, hg.Implicit(solver=solver))
    assert r.warnings == ()
    assert r.stats["stationarity"] == "fixed point"
    assert r.stats["solver"] == (solver or "gmres")
    for key in h:
        assert off(r.hypergradient[key], long.hypergradient[key]) < 1e-11
    early = hg.hypergradient(fixed_point_problem(6), h, hg.Implicit(solver=solver))
    error = np.sqrt(sum(np.sum((early.hypergradient[k] - long.hypergradient[k]) ** 2) for k in h))
    assert 0.8 * error <= early.stats["error"] <= 1.25 * error


def test_a_warm_start_is_the_callers_dict():
    ridge, kept = Ridge(0.3), {}
    problem = ridge.problem(1500)
    cold = hg.hypergradient(problem, ridge.h, hg.Implicit(estimate=False))
    method = hg.Implicit(estimate=False, warm_start=kept)
    first = hg.hypergradient(problem, ridge.h, method)
    assert len(kept) == 1
    again = hg.hypergradient(problem, ridge.h, method)
    assert again.stats["solver_products"] < first.stats["solver_products"] == cold.stats["solver_products"]
    assert first.hypergradient["l2"] == cold.hypergradient["l2"]
    assert off(again.hypergradient["l2"], cold.hypergradient["l2"]) < 1e-11


def test_calls_without_a_warm_start_have_the_same_bits():
    ridge = Ridge(0.3)
    problem = ridge.problem(50)
    one, two = (hg.hypergradient(problem, ridge.h, hg.Implicit()) for _ in range(2))
    assert one.hypergradient == two.hypergradient
    assert one.stats["error"] == two.stats["error"]


def test_float32():
    ridge = Ridge(0.3, np.float32)
    r = hg.hypergradient(ridge.problem(1500, dtype=np.float32), ridge.h, hg.Implicit())
    assert r.params["w"].dtype == np.float32
    assert r.warnings == ()
    assert off(r.hypergradient["l2"], ridge.gradient) < 1e-5


@pytest.mark.parametrize("name", ["lr", "mu", "scale"])
def test_naming_what_has_no_implicit_derivative_is_an_error(name):
    for wrt in (name, [name, "log_l2"]):
        with pytest.raises(
            DerivativeError, match=rf"'{name}' has no implicit derivative: it decides how training"
        ):
            hg.hypergradient(logistic(5), LOGISTIC, hg.Implicit(), wrt=wrt)


def test_nothing_left_to_differentiate_is_an_error():
    problem = Ridge(0.3).problem(
        5,
        inner_loss=lambda p, h, b: 0.5 * np.mean((b["x"] @ p["w"] - b["y"]) ** 2),
        outer_loss=lambda p, h, v: np.mean((v["x"] @ p["w"] - v["y"]) ** 2),
    )
    with pytest.raises(DerivativeError, match="'lr' has no implicit derivative"):
        hg.hypergradient(problem, {"lr": 0.1}, hg.Implicit())


def test_draws_and_batches_that_forbid_a_stationary_point():
    noisy = logistic(
        5, inner_loss=lambda p, h, b, rng: np.sum((p["w"] - rng.normal(0.0, h["scale"], (4, 3))) ** 2)
    )
    with pytest.raises(DerivativeError, match="inner_loss draws random numbers"):
        hg.hypergradient(noisy, LOGISTIC, hg.Implicit())
    rows = {"x": np.ones((6, 5))}
    batched = fixed_point_problem(5, train=rows, batch_size=2)
    with pytest.raises(DerivativeError, match="another batch each time"):
        hg.hypergradient(batched, {"gain": 1.0, "c": np.zeros(5)}, hg.Implicit())


def test_compiled_conditions_are_freed_with_their_problem():
    ridge = Ridge(0.3)
    problem = ridge.problem(5)
    hg.hypergradient(problem, ridge.h, hg.Implicit())
    (code,) = map(weakref.ref, problem.compiled.values())
    del problem
    gc.collect()
    assert code() is None


def test_arguments():
    with pytest.raises(UnknownNameError, match="no solver 'mires'; did you mean 'minres'"):
        hg.Implicit("mires")
    with pytest.raises(DerivativeError, match="Neumann"):
        hg.Implicit("cg", terms=3)
    with pytest.raises(DerivativeError, match="max_iterations"):
        hg.Implicit(max_iterations=0)
    with pytest.raises(DerivativeError, match="tolerance"):
        hg.Implicit(tolerance=-1.0)
    with pytest.raises(DerivativeError, match="warm_start"):
        hg.Implicit(warm_start=True)


def test_a_run_that_diverges_is_a_result():
    ridge = Ridge(0.3)
    r = hg.hypergradient(ridge.problem(3000), {**ridge.h, "lr": 50.0}, hg.Implicit())
    assert not np.isfinite(r.value)
    assert np.isnan(r.hypergradient["l2"])
    assert not r.stats["finite"]


def test_the_plan_counts_steps_and_products(capsys):
    ridge = Ridge(0.3)
    plan = hg.Implicit().explain(ridge.problem(1500), ridge.h)
    assert "linear system of 6 unknowns" in capsys.readouterr().out
    r = hg.hypergradient(ridge.problem(1500), ridge.h, hg.Implicit())
    assert plan.forward_steps == r.stats["forward_steps"] == 1500
    assert 0.5 * plan.linearised_steps <= r.stats["linearised_steps"] <= plan.linearised_steps + 2


def test_a_symmetric_solver_on_an_asymmetric_fixed_point_is_said():
    h = {"gain": 1.1, "c": np.linspace(-0.4, 0.9, 5)}
    r = hg.hypergradient(fixed_point_problem(200), h, hg.Implicit("cg"))
    assert any('not symmetric, as solver="cg" needs' in sentence for sentence in r.warnings)
