"""Proximal maps minimise what they should; ISTA and FISTA arrive at scikit-learn's minimisers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import ElasticNet, Lasso

import hypergrad as hg
from hypergrad.errors import ProblemError

RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((40, 8)), RNG.standard_normal(40)
Y = Y + X[:, :3] @ np.array([2.0, -1.5, 1.0])
LR = 0.9 / np.linalg.eigvalsh(X.T @ X / 40)[-1]


def problem(optimizer, steps=600, **changes):
    """½ mean (x w + b − y)², the penalty in the optimiser."""
    return hg.BilevelProblem(
        **{
            "init": lambda h, rng: {"b": np.zeros(()), "w": np.zeros(8)},
            "inner_loss": lambda p, h, b: 0.5 * np.mean((b["x"] @ p["w"] + p["b"] - b["y"]) ** 2),
            "outer_loss": lambda p, h, b: 0.5 * np.mean((b["x"] @ p["w"] + p["b"] - b["y"]) ** 2),
            "train": {"x": X, "y": Y},
            "valid": {"x": X[:10] + 0.1, "y": Y[:10]},
            "optimizer": optimizer,
            "steps": steps,
            **changes,
        }
    )


RULES = {
    "ista": lambda penalty: hg.optim.ISTA(LR, penalty),
    "fista": lambda penalty: hg.optim.FISTA(LR, penalty),
    "coordinate_descent": lambda penalty: hg.optim.CoordinateDescent(penalty=penalty),
}


def test_every_proximal_rule_is_tested():
    proximal = [name for name, kind in hg.optim.OPTIMIZERS.items() if issubclass(kind, hg.optim.Proximal)]
    assert set(RULES) == set(proximal)


@pytest.mark.parametrize("rule", RULES)
def test_lasso_is_that_of_scikit_learn(rule):
    optimizer = RULES[rule](hg.optim.L1("alpha", on="w"))
    r = hg.train(problem(optimizer), {"alpha": 0.3})
    peer = Lasso(alpha=0.3, tol=1e-14, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(r.params["w"], peer.coef_, atol=1e-9)
    np.testing.assert_array_equal(r.params["w"] == 0, peer.coef_ == 0)
    assert r.params["b"] == pytest.approx(peer.intercept_, abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_elastic_net_is_that_of_scikit_learn(rule):
    optimizer = RULES[rule](hg.optim.ElasticNet("l1", "l2", on="w"))
    r = hg.train(problem(optimizer), {"l1": 0.3, "l2": 0.2})
    peer = ElasticNet(alpha=0.5, l1_ratio=0.6, tol=1e-14, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(r.params["w"], peer.coef_, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_non_negative_lasso_is_that_of_scikit_learn(rule):
    optimizer = RULES[rule](hg.optim.NonNegative("alpha", on="w"))
    r = hg.train(problem(optimizer), {"alpha": 0.1})
    peer = Lasso(alpha=0.1, tol=1e-14, max_iter=100_000, positive=True).fit(X, Y)
    np.testing.assert_allclose(r.params["w"], peer.coef_, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_group_lasso_fulfils_its_optimality_conditions(rule):
    """g + α w_g / |w_g| = 0 for groups that are not zero, |g| <= α for those that are."""
    optimizer = RULES[rule](hg.optim.GroupLasso("alpha", on="w", size=2))
    r = hg.train(problem(optimizer, 2000), {"alpha": 0.6})
    w = r.params["w"].reshape(4, 2)
    g = (X.T @ (X @ r.params["w"] + r.params["b"] - Y) / 40).reshape(4, 2)
    zero = np.linalg.norm(w, axis=1) == 0
    assert 0 < zero.sum() < 4
    assert (np.linalg.norm(g[zero], axis=1) <= 0.6).all()
    np.testing.assert_allclose(
        g[~zero], -0.6 * w[~zero] / np.linalg.norm(w[~zero], axis=1, keepdims=True), atol=1e-9
    )


class Start:
    """The layout of {"v": (3, 2)}."""

    def __new__(cls):
        from hypergrad.unroll.layout import Layout

        return Layout.of_state({"v": np.zeros((3, 2))}, "init")


PENALTIES = {
    "l1": (hg.optim.L1(0.7), lambda w: 0.7 * np.abs(w).sum()),
    "elastic_net": (hg.optim.ElasticNet(0.4, 0.8), lambda w: 0.4 * np.abs(w).sum() + 0.4 * (w**2).sum()),
    "non_negative": (hg.optim.NonNegative(0.2), None),
    "group_lasso": (
        hg.optim.GroupLasso(0.9),
        lambda w: 0.9 * np.linalg.norm(w.reshape(3, 2), axis=1).sum(),
    ),
}


def test_every_penalty_is_tested():
    assert set(PENALTIES) == set(hg.optim.PENALTIES)


@pytest.mark.parametrize("name", PENALTIES)
def test_the_proximal_map_is_the_minimiser(name):
    penalty, value = PENALTIES[name]
    v, step = np.array([1.4, -0.3, 0.2, 0.1, -2.0, 0.9]), 0.6
    found = penalty.prox(v, step, penalty.bind({}, Start()))

    def objective(w):
        return 0.5 * np.sum((w - v) ** 2) + step * value(w)

    if value is None:
        np.testing.assert_allclose(found, np.maximum(v - 0.2 * step, 0.0), rtol=1e-15)
        return
    best = minimize(
        objective,
        found + 0.1,
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20000},
    )
    assert objective(found) <= best.fun + 1e-10
    for direction in np.random.default_rng(1).standard_normal((50, 6)):
        assert objective(found) <= objective(found + 1e-4 * direction)


def test_a_weight_for_each_entry_and_each_layer():
    weights = np.linspace(0.05, 1.0, 8)
    one = hg.train(problem(hg.optim.FISTA(LR, hg.optim.L1("alpha", on="w"))), {"alpha": weights})
    two = hg.train(
        problem(hg.optim.FISTA(LR, hg.optim.L1("alpha"))), {"alpha": {"w": weights, "b": np.float64(0.0)}}
    )
    np.testing.assert_array_equal(one.params["w"], two.params["w"])
    scaled = Lasso(alpha=0.1, tol=1e-14, max_iter=100_000).fit(X * 0.1 / weights, Y).coef_ * 0.1 / weights
    np.testing.assert_allclose(one.params["w"], scaled, atol=1e-8)


def test_errors():
    with pytest.raises(ProblemError, match=r"L1\(weight=...\) takes a number or a key"):
        hg.optim.L1([1.0])
    with pytest.raises(ProblemError, match="must be 0 or more"):
        hg.optim.ElasticNet(-1.0)
    with pytest.raises(ProblemError, match=r"ISTA\(penalty=...\) takes a penalty of hg.optim"):
        hg.optim.ISTA(0.1, penalty="l1")
    for penalty, alpha, sentence in (
        (hg.optim.L1("alpa"), 0.1, "did you mean 'alpha'"),
        (hg.optim.L1("alpha", on="u"), 0.1, r"names 'u', but params has 'b', 'w'"),
        (hg.optim.L1("alpha", on="w"), np.ones(3), r"of shape \(3,\), which does not broadcast to \(8,\)"),
        (hg.optim.L1("alpha", on="w"), {"b": 0.1}, "has no entry 'w'"),
        (hg.optim.L1("alpha", on="w"), 1, "which is 1; write a float"),
        (hg.optim.GroupLasso("alpha", on="w", size=3), 0.1, "does not divide the 8 entries"),
    ):
        with pytest.raises(ProblemError, match=sentence):
            hg.train(problem(hg.optim.ISTA(LR, penalty)), {"alpha": alpha})


def test_one_sweep_is_that_of_coordinate_descent_by_hand():
    """w_j' = S(w_j − g_j / H_jj, α / H_jj), g that of the weights so far; with a ridge in the inner loss."""

    def inner_loss(p, h, b):
        return 0.5 * np.mean((b["x"] @ p["w"] - b["y"]) ** 2) + 0.5 * np.sum(h["l2"] * p["w"] ** 2)

    l2 = np.linspace(0.0, 0.7, 8)
    sweep = problem(
        hg.optim.CoordinateDescent(penalty=hg.optim.L1("alpha")),
        steps=2,
        init=lambda h, rng: {"w": np.linspace(-1.0, 1.0, 8)},
        inner_loss=inner_loss,
        outer_loss=lambda p, h, b: np.sum(p["w"]),
    )
    found = hg.train(sweep, {"alpha": 0.3, "l2": l2}).params["w"]
    w, hessian = np.linspace(-1.0, 1.0, 8), X.T @ X / 40 + np.diag(l2)
    for _ in range(2):
        for j in range(8):
            v = w[j] - (hessian[j] @ w - X[:, j] @ Y / 40) / hessian[j, j]
            w[j] = np.sign(v) * max(abs(v) - 0.3 / hessian[j, j], 0.0)
    np.testing.assert_allclose(found, w, rtol=1e-12)


def test_coordinate_descent_computes_the_hessian_of_a_quadratic_once():
    """The step of a least-squares loss reads it as a constant, or beside the other invariants; any other recomputes."""

    def equations(inner_loss, **h):
        one = problem(
            hg.optim.CoordinateDescent(penalty=hg.optim.L1("alpha", on="w")), 3, inner_loss=inner_loss
        )
        hg.train(one, {"alpha": 0.3, **h})
        (code,) = one.compiled.values()
        return len(code.step.equations)

    def squares(p, h, b):
        return np.mean((b["x"] @ p["w"] + p["b"] - b["y"]) ** 2)

    def cosh(p, h, b):
        r = b["x"] @ p["w"] + p["b"] - b["y"]
        return np.mean(np.logaddexp(r, -r))

    def ridge(p, h, b):
        return squares(p, h, b) + np.sum(h["l2"] * p["w"] ** 2)

    assert equations(squares) + 10 < equations(cosh)
    assert equations(ridge, l2=np.ones(8)) + 10 < equations(cosh)


@pytest.mark.parametrize("penalty", [hg.optim.L1("alpha", on="w"), hg.optim.GroupLasso("alpha", on="w")])
def test_coordinate_descent_on_folds_of_a_logistic_loss_is_that_of_fista(penalty):
    """Data are constants of its step: each fold has programs of its own."""
    y = (Y > 0).astype(float)

    def loss(p, h, b):
        z = b["x"] @ p["w"] + p["b"]
        return np.mean(np.logaddexp(0.0, z) - b["y"] * z)

    def run(optimizer, steps):
        make = problem(
            optimizer, steps, inner_loss=loss, outer_loss=loss, train={"x": X, "y": y}, valid=None, folds=4
        )
        return hg.hypergradient(make, {"alpha": 0.05}, hg.Implicit())

    one = run(hg.optim.CoordinateDescent(penalty=penalty), 60)
    two = run(hg.optim.FISTA(4 * LR, penalty), 3000)
    assert one.warnings == ()
    for a, b in zip(one.params, two.params, strict=True):
        np.testing.assert_allclose(a["w"], b["w"], atol=1e-8)
    assert one.value == pytest.approx(two.value, rel=1e-8)
    assert one.hypergradient["alpha"] == pytest.approx(two.hypergradient["alpha"], rel=1e-6)


def test_coordinate_descent_skips_what_the_loss_does_not_read():
    def half(p, h, b):
        return 0.5 * np.mean((b["x"] @ (p["w"] * (np.arange(8) < 4)) - b["y"]) ** 2)

    one = problem(hg.optim.CoordinateDescent(penalty=hg.optim.L1("alpha", on="w")), inner_loss=half)
    found = hg.hypergradient(one, {"alpha": 0.1}).params["w"]
    peer = Lasso(alpha=0.1, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(X[:, :4], Y)
    np.testing.assert_allclose(found, np.r_[peer.coef_, np.zeros(4)], atol=1e-9)


def test_coordinate_descent_refuses_minibatches_and_draws():
    cd = hg.optim.CoordinateDescent(penalty=hg.optim.L1("alpha", on="w"))
    with pytest.raises(ProblemError, match="CoordinateDescent needs every step to see the same rows"):
        problem(cd, batch_size=10)

    def noisy(p, h, b, rng):
        return np.mean((b["x"] @ p["w"] + rng.normal(size=40) - b["y"]) ** 2)

    with pytest.raises(ProblemError, match="CoordinateDescent needs the same inner_loss at every step"):
        hg.train(problem(cd, inner_loss=noisy), {"alpha": 0.1})
