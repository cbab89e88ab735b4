"""Implicit differentiation against JAX's Hessian at the same trained weights."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg

RNG = np.random.default_rng(21)
TRAIN = {"x": RNG.standard_normal((60, 5)), "y": np.eye(3)[RNG.integers(0, 3, 60)]}
VALID = {"x": RNG.standard_normal((30, 5)), "y": np.eye(3)[RNG.integers(0, 3, 30)]}
HPARAMS = {"l2": RNG.uniform(0.02, 0.2, (5, 3)), "weight": RNG.uniform(0.5, 1.5, 60)}


def inner(xp, log_softmax, w, h):
    """Weighted cross-entropy, one weight an example, and a penalty for each weight."""
    rows = -xp.sum(log_softmax(TRAIN["x"] @ w) * TRAIN["y"], axis=1)
    return xp.mean(h["weight"] * rows) + xp.sum(h["l2"] * w**2)


def outer(xp, log_softmax, w):
    return -xp.mean(xp.sum(log_softmax(VALID["x"] @ w) * VALID["y"], axis=1))


@pytest.mark.parametrize("solver", ["cg", "dense"])
def test_example_weights_and_weight_penalties(jax, solver):
    jnp = jax.numpy
    problem = hg.BilevelProblem(
        init=lambda h, rng: {"w": np.zeros((5, 3))},
        inner_loss=lambda p, h, b: inner(np, hg.nn.log_softmax, p["w"], h),
        outer_loss=lambda p, h, v: outer(np, hg.nn.log_softmax, p["w"]),
        train=TRAIN,
        valid=VALID,
        optimizer=hg.optim.Momentum(0.3, 0.9),
        steps=1200,
    )
    r = hg.hypergradient(problem, HPARAMS, hg.Implicit(solver))
    w = jnp.asarray(r.params["w"])

    def gradient(flat, h):
        return jax.grad(lambda v: inner(jnp, jax.nn.log_softmax, v.reshape(5, 3), h))(flat)

    hessian = jax.jacobian(gradient)(w.ravel(), HPARAMS)
    mixed = jax.jacobian(gradient, 1)(w.ravel(), HPARAMS)
    slope = jax.grad(lambda v: outer(jnp, jax.nn.log_softmax, v))(w).ravel()
    q = jnp.linalg.solve(hessian, slope)
    for key, block in mixed.items():
        expected = np.asarray(-jnp.tensordot(q, block, 1))
        error = np.linalg.norm(r.hypergradient[key] - expected) / np.linalg.norm(expected)
        assert error < 1e-11, key
    assert r.warnings == ()
