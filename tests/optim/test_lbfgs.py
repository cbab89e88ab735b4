"""L-BFGS: the two loops written with lists, its derivative, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg


def by_hand(gradient, w, steps, lr, history):
    """PyTorch's iteration with max_iter=1, its history a list of pairs."""
    pairs, old, moved = [], None, None
    for t in range(steps):
        g = gradient(w)
        if np.abs(g).max() <= 1e-7:
            return w
        if t == 0:
            scale = 1.0
        else:
            y = g - old
            if y @ moved > 1e-10:
                pairs = [*pairs, (moved, y)][-history:]
                scale = (y @ moved) / (y @ y)
        q, alphas = -g, []
        for s, y in pairs[::-1]:
            alphas.insert(0, (s @ q) / (y @ s))
            q = q - alphas[0] * y
        d = scale * q
        for (s, y), alpha in zip(pairs, alphas, strict=True):
            d = d + s * (alpha - (y @ d) / (y @ s))
        old, moved = g, (lr * min(1.0, 1.0 / np.abs(g).sum()) if t == 0 else lr) * d
        if g @ d > -1e-9:
            return w
        w = w + moved
    return w


@pytest.mark.parametrize("history", [1, 2, 10])
@pytest.mark.parametrize("lr", [1.0, 0.4])
@pytest.mark.parametrize("steps", [1, 2, 5, 60])
def test_the_rule_is_the_one_written_with_lists(regression, steps, lr, history):
    found = regression.train(hg.optim.LBFGS("lr", history), {"lr": lr}, steps)
    expected = by_hand(regression.gradient, regression.first, steps, lr, history)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def ridge(steps, **options):
    """Ridge regression and the closed form of its penalty's hypergradient."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((30, 6)), rng.standard_normal(30)
    valid = {"x": rng.standard_normal((20, 6)), "y": rng.standard_normal(20)}

    def outer(params, hparams, batch):
        return 0.5 * np.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)

    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(6)},
        inner_loss=lambda p, h, batch: outer(p, h, batch) + 0.5 * h["l2"] * np.sum(p["w"] ** 2),
        outer_loss=outer,
        train={"x": x, "y": y},
        valid=valid,
        optimizer=hg.optim.LBFGS(**options),
        steps=steps,
    )
    curvature = x.T @ x / 30 + 0.1 * np.eye(6)
    w = np.linalg.solve(curvature, x.T @ y / 30)
    slope = valid["x"].T @ (valid["x"] @ w - valid["y"]) / 20
    return problem, w, -slope @ np.linalg.solve(curvature, w)


def test_it_solves_ridge_regression_and_its_derivative_is_that_of_the_solution():
    problem, w, expected = ridge(30, tolerance_grad=0.0, tolerance_change=0.0)
    result = hg.hypergradient(problem, {"l2": 0.1})
    np.testing.assert_allclose(result.params["w"], w, rtol=1e-13)
    np.testing.assert_allclose(result.hypergradient["l2"], expected, rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 4, 9])
def test_its_derivative_is_the_central_difference_before_and_after_the_history_is_full(differences, steps):
    problem, _, _ = ridge(steps, lr="lr", history=3)
    hparams = {"lr": 0.8, "l2": 0.1}
    result = hg.hypergradient(problem, hparams)
    for key, found in result.hypergradient.items():
        expected = differences(problem, hparams, key, step=1e-4, order=4)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-11)


def test_at_rate_zero_its_derivative_is_that_of_gradient_descent(regression):
    steps, w = 6, regression.first
    g = regression.gradient(w)
    found = hg.hypergradient(regression.problem(hg.optim.LBFGS("lr"), steps), {"lr": 0.0})
    length = min(1.0, 1.0 / np.abs(g).sum()) + steps - 1
    np.testing.assert_allclose(found.hypergradient["lr"], -length * (g @ g), rtol=1e-13)


@pytest.mark.parametrize("more", [{"batch_size": 5}, {"batches": np.zeros((25, 30), int)}])
def test_minibatches_are_refused(more):
    with pytest.raises(
        hg.errors.ProblemError, match=r"LBFGS needs every step .*; leave out batch_size and batches"
    ):
        hg.BilevelProblem(
            init=lambda hparams, rng: np.zeros(2),
            inner_loss=lambda params, hparams, batch: np.sum(params**2),
            outer_loss=lambda params, hparams, batch: np.sum(params**2),
            train=np.zeros((30, 2)),
            valid=None,
            optimizer=hg.optim.LBFGS(),
            steps=25,
            **more,
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hg.optim.LBFGS(history=0), r"LBFGS\(history=\.\.\.\) takes a positive int, got 0"),
        (lambda: hg.optim.LBFGS(history=2.0), r"takes a positive int, got 2\.0"),
        (lambda: hg.optim.LBFGS(tolerance_grad="tol"), r"takes a number, 0 or more, got 'tol'"),
        (lambda: hg.optim.LBFGS(tolerance_change=-1.0), r"LBFGS\(tolerance_change=\.\.\.\) takes a number"),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises(hg.errors.ProblemError, match=message):
        make()
