"""The general form: any iteration, differentiated like one written by hand."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg


def test_proximal_gradient_is_its_tangent_written_by_hand():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((30, 8)), rng.standard_normal(30)
    valid_a, valid_b = rng.standard_normal((20, 8)), rng.standard_normal(20)
    rate, steps, penalty = 0.01, 60, 3.0

    def step(state, hparams, batch, t):
        w = state["w"] - rate * batch["a"].T @ (batch["a"] @ state["w"] - batch["b"])
        return {"w": np.sign(w) * np.maximum(np.abs(w) - rate * hparams["penalty"], 0.0)}

    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: {"w": np.zeros(8)},
        step=step,
        outer_loss=lambda s, h, v: 0.5 * np.sum((v["a"] @ s["w"] - v["b"]) ** 2),
        steps=steps,
        train={"a": a, "b": b},
        valid={"a": valid_a, "b": valid_b},
    )
    w, tangent = np.zeros(8), np.zeros(8)
    for _ in range(steps):
        z, dz = w - rate * a.T @ (a @ w - b), tangent - rate * a.T @ (a @ tangent)
        active = np.abs(z) > rate * penalty
        w = np.sign(z) * np.maximum(np.abs(z) - rate * penalty, 0.0)
        tangent = active * (dz - rate * np.sign(z))
    assert 0 < np.count_nonzero(w) < 8
    result = hg.hypergradient(problem, {"penalty": penalty})
    np.testing.assert_allclose(result.params["w"], w, rtol=1e-12, atol=1e-14)
    expected = (valid_a.T @ (valid_a @ w - valid_b)) @ tangent
    np.testing.assert_allclose(result.hypergradient["penalty"], expected, rtol=1e-10)
    assert np.isnan(result.curve).all()


def test_temporal_difference_learning_on_integer_transitions(differences, close):
    states, count, rng = 5, 40, np.random.default_rng(2)
    train = {
        "s": rng.integers(0, states, count),
        "next": rng.integers(0, states, count),
        "r": rng.standard_normal(count),
    }
    truth = rng.standard_normal(states)

    def step(state, hparams, batch, t):
        v = state["v"]
        error = batch["r"] + hparams["gamma"] * v[batch["next"]] - v[batch["s"]]
        rate = hparams["rate"] / (1.0 + t) ** hparams["decay"]
        visits = (batch["s"][:, None] == np.arange(states)).astype(float)
        return {"v": v + rate * error @ visits}

    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: {"v": np.zeros(states)},
        step=step,
        outer_loss=lambda s, h, valid: np.mean((s["v"] - truth) ** 2),
        steps=25,
        train=train,
        batch_size=8,
    )
    hparams = {"gamma": 0.8, "rate": 0.3, "decay": 0.4}
    result = hg.hypergradient(problem, hparams, seed=2)
    v = np.zeros(states)
    for t in range(25):
        rows = problem.batches.at(2, t)
        error = train["r"][rows] + 0.8 * v[train["next"][rows]] - v[train["s"][rows]]
        v = v + 0.3 / (1.0 + t) ** 0.4 * np.bincount(train["s"][rows], error, states)
    np.testing.assert_allclose(result.params["v"], v, rtol=1e-12)
    for key in hparams:
        close(result.hypergradient[key], differences(problem, hparams, key, seed=2), 1e-6)


def test_the_step_number_indexes_a_hyperparameter():
    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: 1.0,
        step=lambda s, h, b, t: s * h["a"][t],
        outer_loss=lambda s, h, v: s,
        steps=4,
    )
    a = np.array([0.5, 2.0, 3.0, 0.25])
    result = hg.hypergradient(problem, {"a": a})
    assert result.value == np.prod(a)
    np.testing.assert_allclose(result.hypergradient["a"], np.prod(a) / a, rtol=1e-14)


def test_a_scalar_iteration_has_the_derivative_of_a_power():
    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: hparams["first"],
        step=lambda s, h, b, t: s * h["a"],
        outer_loss=lambda s, h, v: s,
        steps=5,
    )
    result = hg.hypergradient(problem, {"a": 0.9, "first": 2.0})
    np.testing.assert_allclose(result.hypergradient["a"], 2.0 * 5 * 0.9**4, rtol=1e-14)
    np.testing.assert_allclose(result.hypergradient["first"], 0.9**5, rtol=1e-14)
    assert result.params.shape == ()


def test_a_step_may_differentiate_and_solve(differences, close):
    """Damped Newton: w' = w - d (∇²f)⁻¹ ∇f."""
    b = np.array([0.4, -1.1, 0.6])

    def f(w, scale):
        return np.sum(np.exp(scale * w) - b * w)

    def step(state, hparams, batch, t):
        g = hg.grad(f)(state, hparams["scale"])
        return state - hparams["d"] * np.linalg.solve(hg.hessian(f)(state, hparams["scale"]), g)

    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: np.zeros(3),
        step=step,
        outer_loss=lambda s, h, v: np.sum(s**2) + h["d"],
        steps=3,
    )
    hparams = {"d": 0.6, "scale": 0.7}
    result = hg.hypergradient(problem, hparams)
    for key in hparams:
        close(result.hypergradient[key], differences(problem, hparams, key), 1e-6)


STRUCTURES = {
    "swapped leaves": (
        lambda h, rng: {"u": h["a"] * np.ones(3), "v": np.zeros(3)},
        lambda s, h, b, t: {"u": s["v"], "v": s["u"]},
        lambda s, h, v: np.sum(s["u"]) + 2.0 * np.sum(s["v"]),
    ),
    "a transpose": (
        lambda h, rng: np.arange(9.0).reshape(3, 3),
        lambda s, h, b, t: s.T * h["a"],
        lambda s, h, v: np.sum(s * np.arange(9.0).reshape(3, 3) ** 2),
    ),
    "a reversal": (
        lambda h, rng: h["a"] * np.arange(4.0),
        lambda s, h, b, t: s[::-1],
        lambda s, h, v: np.sum(s * np.arange(4)),
    ),
    "the same state": (
        lambda h, rng: {"w": h["a"] * np.ones(3)},
        lambda s, h, b, t: s,
        lambda s, h, v: np.sum(s["w"] ** 2),
    ),
    "a constant": (
        lambda h, rng: {"w": h["a"] * np.ones(3)},
        lambda s, h, b, t: {"w": np.ones(3)},
        lambda s, h, v: np.sum(s["w"] ** 2) + h["a"],
    ),
    "an empty leaf": (
        lambda h, rng: {"w": np.ones(2), "none": np.zeros((0, 3))},
        lambda s, h, b, t: {"w": s["w"] * h["a"], "none": s["none"]},
        lambda s, h, v: np.sum(s["w"]),
    ),
    "half a state": (
        lambda h, rng: (np.ones(2), np.ones((2, 2))),
        lambda s, h, b, t: (s[1][0] * h["a"], np.stack([s[0], s[0] * s[1][1]])),
        lambda s, h, v: np.sum(s[0]) + np.sum(s[1] ** 2),
    ),
    "a function of the hyperparameter alone": (
        lambda h, rng: np.ones(3),
        lambda s, h, b, t: h["a"] * np.ones(3),
        lambda s, h, v: np.sum(s**2),
    ),
}


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_step_may_rearrange_its_state(differences, close, name, steps):
    init, step, outer = STRUCTURES[name]
    problem = hg.UnrolledProblem(init=init, step=step, outer_loss=outer, steps=steps)
    result = hg.hypergradient(problem, {"a": 0.9})
    state = init({"a": 0.9}, None)
    for t in range(steps):
        state = step(state, {"a": 0.9}, None, t)
    np.testing.assert_allclose(result.value, outer(state, {"a": 0.9}, None), rtol=1e-13)
    close(result.hypergradient["a"], differences(problem, {"a": 0.9}, "a"), 1e-7)


def test_a_step_may_return_a_hyperparameter():
    problem = hg.UnrolledProblem(
        init=lambda h, rng: np.ones(3),
        step=lambda s, h, b, t: h["a"],
        outer_loss=lambda s, h, v: np.sum(s**2),
        steps=2,
    )
    result = hg.hypergradient(problem, {"a": np.array([1.0, 2.0, 3.0])})
    assert result.value == 14.0
    np.testing.assert_array_equal(result.hypergradient["a"], [2.0, 4.0, 6.0])
    assert result.disconnected == ()


def test_a_single_precision_state_stays_single(differences, close):
    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: np.ones(3, np.float32),
        step=lambda s, h, b, t: (s * h["a"] / (1.0 + t) + b["x"].sum(0)).astype(float),
        outer_loss=lambda s, h, v: np.sum(s**2),
        steps=3,
        train={"x": np.ones((4, 3))},
    )
    result = hg.hypergradient(problem, {"a": np.float64(0.5)})
    assert result.params.dtype == np.float32
    assert result.hypergradient["a"].dtype == np.float64
    close(result.hypergradient["a"], differences(problem, {"a": 0.5}, "a", step=1e-2), 1e-3)
