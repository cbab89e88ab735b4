"""Training run backwards against JAX, which differentiates through a scan with all states kept."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg

T, B = 150, 10
RNG = np.random.default_rng(17)
TRAIN = {"x": RNG.standard_normal((40, 6)), "y": np.eye(3)[RNG.integers(0, 3, 40)]}
VALID = {"x": RNG.standard_normal((20, 6)), "y": np.eye(3)[RNG.integers(0, 3, 20)]}
BATCHES = RNG.integers(0, 40, (T, B))
FIRST = {"a": 0.5 * RNG.standard_normal((6, 8)), "b": 0.5 * RNG.standard_normal((8, 3))}
HPARAMS = {
    "lr": np.linspace(0.2, 0.05, T),
    "momentum": np.linspace(0.5, 0.93, T),
    "l2": np.full((6, 1), 1e-2),
}


@pytest.mark.parametrize("kind", ["Momentum", "Nesterov"])
def test_a_network_with_schedules(jax, close_leaves, kind):
    jnp = jax.numpy

    def loss(xp, softmax_loss, params, rows):
        return softmax_loss(xp.tanh(rows["x"] @ params["a"]) @ params["b"], rows["y"])

    def theirs(logits, y):
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(logits) * y, axis=1))

    def outer(hparams):
        def inner(params, rows):
            return loss(jnp, theirs, params, rows) + jnp.sum(hparams["l2"] * params["a"] ** 2)

        def step(state, given):
            w, m = state
            index, lr, momentum = given
            g = jax.grad(inner)(w, {key: jnp.asarray(leaf)[index] for key, leaf in TRAIN.items()})
            m = {key: momentum * m[key] + g[key] for key in m}
            ahead = m if kind == "Momentum" else {key: g[key] + momentum * m[key] for key in m}
            return ({key: w[key] - lr * ahead[key] for key in w}, m), None

        zero = {key: jnp.zeros_like(leaf) for key, leaf in FIRST.items()}
        given = (jnp.asarray(BATCHES), hparams["lr"], hparams["momentum"])
        (w, _), _ = jax.lax.scan(step, (FIRST, zero), given)
        return loss(jnp, theirs, w, VALID)

    mine = lambda logits, y: hg.nn.softmax_cross_entropy(logits, y).mean()
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: FIRST,
        inner_loss=lambda p, h, b: loss(np, mine, p, b) + np.sum(h["l2"] * p["a"] ** 2),
        outer_loss=lambda p, h, b: loss(np, mine, p, b),
        train=TRAIN,
        valid=VALID,
        optimizer=getattr(hg.optim, kind)(hg.optim.PerStep("lr"), hg.optim.PerStep("momentum")),
        steps=T,
        batches=BATCHES,
    )
    found = hg.hypergradient(problem, HPARAMS, method=hg.Reversible())
    value, expected = jax.jit(jax.value_and_grad(outer))(HPARAMS)
    np.testing.assert_allclose(found.value, value, rtol=1e-12)
    close_leaves(found.hypergradient, expected, 1e-10)
