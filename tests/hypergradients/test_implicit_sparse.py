"""Sparse models: Implicit on the support, Reverse through the proximal steps, differences and closed forms agree."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import ProblemError

RNG = np.random.default_rng(11)
TRUE = np.r_[2.0, -1.5, 1.0, 0.8, np.zeros(8)]
X, VX = RNG.standard_normal((50, 12)), RNG.standard_normal((30, 12))
Y, VY = X @ TRUE + RNG.standard_normal(50), VX @ TRUE + RNG.standard_normal(30)
CD = "CoordinateDescent"
LR = 0.9 / np.linalg.eigvalsh(X.T @ X / 50)[-1]
CASES = {
    "l1": (hg.optim.L1("alpha", on="w"), {"alpha": 0.3}),
    "l1 each": (hg.optim.L1("alpha", on="w"), {"alpha": np.linspace(0.1, 0.4, 12)}),
    "elastic net": (hg.optim.ElasticNet("l1", "l2", on="w"), {"l1": 0.25, "l2": 0.3}),
    "elastic net each": (
        hg.optim.ElasticNet("l1", "l2", on="w"),
        {"l1": np.linspace(0.1, 0.4, 12), "l2": np.linspace(0.5, 0.1, 12)},
    ),
    "non-negative": (hg.optim.NonNegative("alpha", on="w"), {"alpha": 0.1}),
    "group lasso": (hg.optim.GroupLasso("alpha", on="w", size=2), {"alpha": 0.5}),
    "group lasso each": (
        hg.optim.GroupLasso("alpha", on="w", size=3),
        {"alpha": np.array([0.3, 0.4, 0.5, 0.6])},
    ),
}


def problem(optimizer, steps):
    def loss(p, h, b):
        return 0.5 * np.mean((b["x"] @ p["w"] + p["b"] - b["y"]) ** 2)

    return hg.BilevelProblem(
        init=lambda h, rng: {"b": np.zeros(()), "w": np.zeros(12)},
        inner_loss=loss,
        outer_loss=loss,
        train={"x": X, "y": Y},
        valid={"x": VX, "y": VY},
        optimizer=optimizer,
        steps=steps,
    )


def off(found, expected):
    return np.linalg.norm(np.subtract(found, expected)) / np.linalg.norm(expected)


@pytest.mark.parametrize(("rule", "lr", "steps"), [("ISTA", LR, 1200), ("FISTA", LR, 1200), (CD, 0.9, 150)])
@pytest.mark.parametrize("name", CASES)
def test_implicit_reverse_and_differences_agree(rule, lr, steps, name):
    penalty, h = CASES[name]
    make = problem(getattr(hg.optim, rule)("lr", penalty), steps)
    h = {**h, "lr": lr}
    r = hg.hypergradient(make, h, hg.Implicit())
    long = hg.hypergradient(make, h)
    assert r.warnings == ()
    assert r.stats["stationarity"] == "fixed point"
    assert 1 < r.stats["support"] < 13
    assert r.stats["support"] == 1 + np.count_nonzero(r.params["w"])
    assert r.hypergradient["lr"] is None
    assert r.stats["without_derivative"] == ["lr"]
    direction = {k: np.random.default_rng(3).standard_normal(np.shape(v)) for k, v in h.items() if k != "lr"}
    sides = [
        hg.train(make, {**h, **{k: h[k] + e * d for k, d in direction.items()}}).value for e in (1e-6, -1e-6)
    ]
    slope = sum(np.sum(r.hypergradient[k] * d) for k, d in direction.items())
    assert slope == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6)
    for key in direction:
        assert off(r.hypergradient[key], long.hypergradient[key]) < 1e-6


def test_lasso_on_its_support_in_closed_form():
    """dw_S/dα = −(X_SᵀX_S / n)⁻¹ sign(w_S), with centred columns for the intercept."""
    make = problem(hg.optim.FISTA(LR, hg.optim.L1("alpha", on="w")), 2000)
    for solver in (None, "cg", "minres", "gmres", "fixed_point", "neumann", "dense"):
        r = hg.hypergradient(make, {"alpha": 0.3}, hg.Implicit(solver))
        w = r.params["w"]
        on = w != 0
        centred = (X - X.mean(0))[:, on]
        change = -np.linalg.solve(centred.T @ centred / 50, np.sign(w[on]))
        error = VX @ w + r.params["b"] - VY
        moved = (VX - X.mean(0))[:, on] @ change
        assert r.hypergradient["alpha"] == pytest.approx(np.mean(error * moved), rel=1e-10), solver
        assert r.warnings == ()
    assert hg.hypergradient(make, {"alpha": 0.3}, hg.Implicit()).stats["solver"] == "cg"


def test_a_solver_where_the_map_is_not_symmetric():
    make = problem(hg.optim.FISTA(LR, hg.optim.GroupLasso("alpha", on="w", size=2)), 1200)
    assert hg.hypergradient(make, {"alpha": 0.5}, hg.Implicit()).stats["solver"] == "gmres"


@pytest.mark.parametrize("steps", [40, 60, 90])
def test_the_error_before_convergence_is_estimated(steps):
    exact = hg.hypergradient(
        problem(hg.optim.ISTA(LR, hg.optim.L1("alpha", on="w")), 3000), {"alpha": 0.3}, hg.Implicit()
    )
    r = hg.hypergradient(
        problem(hg.optim.ISTA(LR, hg.optim.L1("alpha", on="w")), steps), {"alpha": 0.3}, hg.Implicit()
    )
    assert r.stats["support"] == exact.stats["support"]
    error = abs(r.hypergradient["alpha"] - exact.hypergradient["alpha"])
    assert 0.9 * error <= r.stats["error"] <= 1.1 * error


def test_a_proximal_step_written_by_hand_as_an_unrolled_problem():
    """The support is found from the map alone; its step size has the derivative 0 at the fixed point."""

    def step(s, h, b, t):
        g = b["x"].T @ (b["x"] @ s["w"] - b["y"]) / 50
        v = s["w"] - h["lr"] * g
        return {"w": np.where(np.abs(v) > h["lr"] * h["alpha"], v - h["lr"] * h["alpha"] * np.sign(v), 0.0)}

    make = hg.UnrolledProblem(
        init=lambda h, rng: {"w": np.zeros(12)},
        step=step,
        outer_loss=lambda s, h, v: 0.5 * np.mean((v["x"] @ s["w"] - v["y"]) ** 2),
        steps=2000,
        train={"x": X, "y": Y},
        valid={"x": VX, "y": VY},
    )
    h = {"lr": LR, "alpha": 0.3}
    r = hg.hypergradient(make, h, hg.Implicit())
    w = r.params["w"]
    on = w != 0
    change = -np.linalg.solve(X[:, on].T @ X[:, on] / 50, np.sign(w[on]))
    expected = np.mean((VX @ w - VY) * (VX[:, on] @ change))
    assert r.stats["support"] == on.sum() < 12
    assert r.hypergradient["alpha"] == pytest.approx(expected, rel=1e-10)
    assert abs(r.hypergradient["lr"]) < 1e-11
    assert r.warnings == ()


def test_coordinate_descent_written_by_hand():
    """One sweep of coordinate descent as the step: its derivative at the fixed point is no symmetric matrix."""
    gram, moments = X.T @ X / 50, X.T @ Y / 50

    def step(s, h, b, t):
        w = [s["w"][j] for j in range(12)]
        for j in range(12):
            v = moments[j] - sum(gram[j, k] * w[k] for k in range(12) if k != j)
            w[j] = np.where(np.abs(v) > h["alpha"], v - h["alpha"] * np.sign(v), 0.0) / gram[j, j]
        return {"w": np.stack(w)}

    make = hg.UnrolledProblem(
        init=lambda h, rng: {"w": np.zeros(12)},
        step=step,
        outer_loss=lambda s, h, v: 0.5 * np.mean((v["x"] @ s["w"] - v["y"]) ** 2),
        steps=100,
        valid={"x": VX, "y": VY},
    )
    r = hg.hypergradient(make, {"alpha": 0.3}, hg.Implicit())
    w = r.params["w"]
    on = w != 0
    change = -np.linalg.solve(gram[np.ix_(on, on)], np.sign(w[on]))
    assert r.stats["solver"] == "gmres"
    assert r.stats["support"] <= on.sum()
    assert r.hypergradient["alpha"] == pytest.approx(np.mean((VX @ w - VY) * (VX[:, on] @ change)), rel=1e-10)
    assert r.warnings == ()


def test_nothing_is_active():
    make = problem(hg.optim.ISTA(LR, hg.optim.L1("alpha", on="w")), 300)
    r = hg.hypergradient(make, {"alpha": 50.0}, hg.Implicit())
    assert r.stats["support"] == 1
    assert r.hypergradient["alpha"] == 0.0
    assert r.warnings == ()


def test_the_length_of_the_last_step_does_not_matter():
    """Schedules end at a learning rate of 0, where a step changes nothing; the fixed point is that of any step."""
    lasso = hg.optim.L1("alpha", on="w")
    lr = np.r_[np.full(1199, LR), 0.0]
    r = hg.hypergradient(
        problem(hg.optim.ISTA(hg.optim.PerStep("lr"), lasso), 1200), {"alpha": 0.3, "lr": lr}, hg.Implicit()
    )
    constant = hg.hypergradient(problem(hg.optim.ISTA(LR, lasso), 1199), {"alpha": 0.3}, hg.Implicit())
    assert r.warnings == ()
    assert r.hypergradient["alpha"] == pytest.approx(constant.hypergradient["alpha"], rel=1e-12)
    still = hg.hypergradient(problem(hg.optim.ISTA(0.0, lasso), 5), {"alpha": 0.3}, hg.Implicit())
    assert np.isfinite(still.stats["inner_gradient_norm"])
    assert still.stats["inner_gradient_norm"] > 0.1
    assert not still.stats["trusted"]


@pytest.mark.parametrize("alpha", [-0.1, np.nan, np.r_[np.ones(11), -1.0], {"w": -0.1}])
def test_a_weight_that_is_negative_or_nan_is_refused(alpha):
    make = problem(hg.optim.ISTA(LR, hg.optim.L1("alpha", on="w")), 5)
    with pytest.raises(
        ProblemError, match=r"L1 reads its weight from hparams\['alpha(/w)?'\], which must be 0 or more, got"
    ):
        hg.hypergradient(make, {"alpha": alpha})
