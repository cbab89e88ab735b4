"""Hypergradients of gradient descent on quadratics are the ones derived by hand."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg

EXACT = {"rtol": 1e-10, "atol": 1e-13}


def quadratic(optimizer, steps, **options):
    """Inner 0.5 Σ d_i (w_i - c_i)², outer 0.5 Σ (w_i - v_i)² + bonus; curvature d and centre c are hyperparameters."""
    target = np.array([0.3, -0.2, 0.9])
    return target, hg.BilevelProblem(
        init=lambda hparams, rng: {"w": hparams["first"]},
        inner_loss=lambda p, h, b: 0.5 * np.sum(h["d"] * (p["w"] - h["c"]) ** 2),
        outer_loss=lambda p, h, v: 0.5 * np.sum((p["w"] - v["target"][0]) ** 2) + h["bonus"] ** 2,
        train=None,
        valid={"target": target[None]},
        optimizer=optimizer,
        steps=steps,
        **options,
    )


HPARAMS = {
    "lr": 0.2,
    "first": np.array([1.0, -2.0, 0.5]),
    "d": np.array([0.5, 1.5, 3.0]),
    "c": np.array([0.1, 0.4, -0.3]),
    "bonus": 0.7,
}


@pytest.mark.parametrize("steps", [1, 2, 17])
def test_gradient_descent_on_a_quadratic(steps):
    """w_T = c + q^T (w_0 - c), q = 1 - lr d."""
    target, problem = quadratic(hg.optim.SGD("lr"), steps)
    lr, first, d, c, bonus = (HPARAMS[k] for k in ("lr", "first", "d", "c", "bonus"))
    q = 1.0 - lr * d
    w = c + q**steps * (first - c)
    result = hg.hypergradient(problem, HPARAMS)
    e = w - target
    expected = {
        "lr": np.sum(e * steps * q ** (steps - 1) * -d * (first - c)),
        "first": e * q**steps,
        "d": e * steps * q ** (steps - 1) * -lr * (first - c),
        "c": e * (1.0 - q**steps),
        "bonus": 2.0 * bonus,
    }
    np.testing.assert_allclose(result.value, 0.5 * np.sum(e**2) + bonus**2, **EXACT)
    np.testing.assert_allclose(result.params["w"], w, **EXACT)
    for key, value in expected.items():
        np.testing.assert_allclose(result.hypergradient[key], value, err_msg=key, **EXACT)


def test_one_rate_a_step_on_a_quadratic():
    """w_T = c + Π_t (1 - lr_t d) (w_0 - c)."""
    steps = 9
    target, problem = quadratic(hg.optim.SGD(hg.optim.PerStep("lr")), steps)
    lr = np.random.default_rng(5).uniform(0.05, 0.3, steps)
    first, d, c = HPARAMS["first"], HPARAMS["d"], HPARAMS["c"]
    factors = 1.0 - lr[:, None] * d
    e = c + factors.prod(0) * (first - c) - target
    expected = [np.sum(e * np.delete(factors, t, 0).prod(0) * -d * (first - c)) for t in range(steps)]
    result = hg.hypergradient(problem, {**HPARAMS, "lr": lr})
    np.testing.assert_allclose(result.hypergradient["lr"], expected, **EXACT)


@pytest.mark.parametrize("steps", [1, 2, 30])
def test_momentum_on_a_quadratic(steps):
    """z = (w - c, m): z' = B z with B = [[1 - lr d, -lr mu], [d, mu]]; dB^T = Σ_k B^(T-1-k) dB B^k."""
    target, problem = quadratic(hg.optim.Momentum("lr", "mu"), steps)
    lr, mu = 0.1, 0.8
    result = hg.hypergradient(problem, {**HPARAMS, "lr": lr, "mu": mu})
    slopes = {"lr": 0.0, "mu": 0.0}
    for i in range(3):
        d, c = HPARAMS["d"][i], HPARAMS["c"][i]
        b = np.array([[1 - lr * d, -lr * mu], [d, mu]])
        db = {"lr": np.array([[-d, -mu], [0, 0]]), "mu": np.array([[0, -lr], [0, 1]])}
        z0 = np.array([HPARAMS["first"][i] - c, 0.0])
        powers = [np.linalg.matrix_power(b, k) for k in range(steps + 1)]
        w = c + (powers[steps] @ z0)[0]
        np.testing.assert_allclose(result.params["w"][i], w, **EXACT)
        for key, change in db.items():
            moved = sum(powers[steps - 1 - k] @ change @ powers[k] for k in range(steps)) @ z0
            slopes[key] += (w - target[i]) * moved[0]
    np.testing.assert_allclose(result.hypergradient["lr"], slopes["lr"], **EXACT)
    np.testing.assert_allclose(result.hypergradient["mu"], slopes["mu"], **EXACT)


def test_one_step_of_adam_is_the_sign_of_the_gradient():
    """w_1 = w_0 - lr g / (|g| + eps): b1 and b2 cancel out, whatever they are."""
    target, problem = quadratic(hg.optim.Adam("lr", ("b1", "b2"), "eps"), 1)
    lr, eps = 0.05, 0.01
    result = hg.hypergradient(problem, {**HPARAMS, "lr": lr, "b1": 0.7, "b2": 0.95, "eps": eps})
    g = HPARAMS["d"] * (HPARAMS["first"] - HPARAMS["c"])
    e = HPARAMS["first"] - lr * g / (np.abs(g) + eps) - target
    np.testing.assert_allclose(result.hypergradient["lr"], np.sum(e * -g / (np.abs(g) + eps)), **EXACT)
    np.testing.assert_allclose(
        result.hypergradient["eps"], np.sum(e * lr * g / (np.abs(g) + eps) ** 2), **EXACT
    )
    np.testing.assert_allclose(result.hypergradient["b1"], 0.0, atol=1e-14)
    np.testing.assert_allclose(result.hypergradient["b2"], 0.0, atol=1e-14)
    slope = 1.0 - lr * HPARAMS["d"] * eps / (np.abs(g) + eps) ** 2
    np.testing.assert_allclose(result.hypergradient["first"], e * slope, **EXACT)


def ridge(steps, penalty, batches=None):
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((30, 4)), rng.standard_normal(30)
    valid_x, valid_y = rng.standard_normal((20, 4)), rng.standard_normal(20)
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(4)},
        inner_loss=lambda p, h, b: (
            0.5 * np.mean((b["x"] @ p["w"] - b["y"]) ** 2) + 0.5 * np.sum(h["l2"] * p["w"] ** 2)
        ),
        outer_loss=lambda p, h, v: 0.5 * np.mean((v["x"] @ p["w"] - v["y"]) ** 2),
        train={"x": x, "y": y},
        valid={"x": valid_x, "y": valid_y},
        optimizer=hg.optim.SGD("lr"),
        steps=steps,
        batches=batches,
    )
    return problem, (x, y, valid_x, valid_y), {"lr": 0.3, "l2": penalty}


@pytest.mark.parametrize("shape", [(), (4,)])
@pytest.mark.parametrize("batched", [False, True])
def test_ridge_regression_by_its_forward_recursion(shape, batched):
    """w' = w - lr ((A + L) w - b); dw' = (I - lr (A + L)) dw - lr dL w, per entry of the penalty."""
    steps, rng = 40, np.random.default_rng(7)
    index = rng.integers(0, 30, (steps, 7)) if batched else None
    penalty = rng.uniform(0.05, 0.5, shape)
    problem, (x, y, valid_x, valid_y), hparams = ridge(steps, penalty, index)
    full = np.broadcast_to(penalty, 4)
    w, by_rate, by_penalty = np.zeros(4), np.zeros(4), np.zeros((4, 4))
    for t in range(steps):
        rows = index[t] if batched else np.arange(30)
        a = x[rows].T @ x[rows] / len(rows) + np.diag(full)
        g = a @ w - x[rows].T @ y[rows] / len(rows)
        by_rate = by_rate - 0.3 * a @ by_rate - g
        by_penalty = by_penalty - 0.3 * a @ by_penalty - 0.3 * np.diag(w)
        w = w - 0.3 * g
    outer = valid_x.T @ (valid_x @ w - valid_y) / 20
    result = hg.hypergradient(problem, hparams)
    np.testing.assert_allclose(result.params["w"], w, **EXACT)
    np.testing.assert_allclose(result.hypergradient["lr"], outer @ by_rate, **EXACT)
    expected = outer @ by_penalty
    np.testing.assert_allclose(result.hypergradient["l2"], expected if shape else expected.sum(), **EXACT)


def test_converged_ridge_regression_has_the_implicit_derivative():
    """w* = (A + l I)⁻¹ b: dF/dl = -(∇E)ᵀ (A + l I)⁻¹ w*."""
    problem, (x, y, valid_x, valid_y), hparams = ridge(600, 0.3)
    a = x.T @ x / 30 + 0.3 * np.eye(4)
    w = np.linalg.solve(a, x.T @ y / 30)
    result = hg.hypergradient(problem, hparams)
    outer = valid_x.T @ (valid_x @ w - valid_y) / 20
    np.testing.assert_allclose(result.params["w"], w, **EXACT)
    np.testing.assert_allclose(result.hypergradient["l2"], -outer @ np.linalg.solve(a, w), **EXACT)
    np.testing.assert_allclose(result.hypergradient["lr"], 0.0, atol=1e-12)
