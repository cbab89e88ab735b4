"""Hypergradients through every optimiser: 1e-10 of JAX, which unrolls the update rules as they are defined."""

from __future__ import annotations

import numpy as np
import pytest
from optimizer_rows import CASES, ROWS

import hypergrad as hg

STEPS, CLASSES = 12, 3
RNG = np.random.default_rng(9)
TRAIN = {"x": RNG.standard_normal((24, 4)), "y": RNG.integers(0, CLASSES, 24)}
VALID = {"x": RNG.standard_normal((15, 4)), "y": RNG.integers(0, CLASSES, 15)}
BATCHES = RNG.integers(0, 24, (STEPS, 8))
SHAPES = {"w1": (4, 5), "b1": (5,), "w2": (5, CLASSES), "b2": (CLASSES,)}
DRAWS = {name: RNG.standard_normal(shape) for name, shape in SHAPES.items()}


def sgd(np, w, g, s, h, t):
    return w - h["lr"] * (g + h["weight_decay"] * w), s


def momentum(np, w, g, s, h, t):
    m = h["momentum"] * s["m"] + g + h["weight_decay"] * w
    return w - h["lr"] * m, {**s, "m": m}


def nesterov(np, w, g, s, h, t):
    g = g + h["weight_decay"] * w
    m = h["momentum"] * s["m"] + g
    return w - h["lr"] * (g + h["momentum"] * m), {**s, "m": m}


def rmsprop(np, w, g, s, h, t):
    g = g + h["weight_decay"] * w
    a = h["alpha"] * s["a"] + (1 - h["alpha"]) * g
    v = h["alpha"] * s["v"] + (1 - h["alpha"]) * g**2
    m = h["momentum"] * s["m"] + g / (np.sqrt(v - h["centered"] * a**2) + h["eps"])
    return w - h["lr"] * m, {"a": a, "v": v, "m": m}


def adagrad(np, w, g, s, h, t):
    g = g + h["weight_decay"] * w
    v = s["v"] + g**2
    return w - h["lr"] / (1 + (t - 1) * h["lr_decay"]) * g / (np.sqrt(v) + h["eps"]), {**s, "v": v}


def adam(np, w, g, s, h, t, decay=0.0):
    b1, b2 = h["betas/0"], h["betas/1"]
    m = b1 * s["m"] + (1 - b1) * g
    v = b2 * s["v"] + (1 - b2) * g**2
    step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + h["eps"])
    return w - h["lr"] * step, {**s, "m": m, "v": v}


RULES = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "adam": lambda np, w, g, s, h, t: adam(np, w, g + h["weight_decay"] * w, s, h, t),
    "adamw": lambda np, w, g, s, h, t: adam(np, w * (1 - h["lr"] * h["weight_decay"]), g, s, h, t),
}


def init(hparams, rng=None):
    return {name: hparams["scale"] * draw for name, draw in DRAWS.items()}


def logits(np, params, x):
    return np.tanh(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]


def inner_loss(params, hparams, batch):
    cross = hg.nn.softmax_cross_entropy(logits(np, params, batch["x"]), batch["y"]).mean()
    return cross + 0.5 * np.sum(hparams["l2"] * params["w1"] ** 2)


def outer_loss(params, hparams, batch):
    return hg.nn.softmax_cross_entropy(logits(np, params, batch["x"]), batch["y"]).mean()


def by_jax(jax, name, optimizer, hparams):
    jnp, rule = jax.numpy, RULES[name]

    def cross(params, x, y):
        rows = jax.nn.log_softmax(logits(jnp, params, x))
        return -jnp.mean(rows[jnp.arange(len(y)), y])

    def loss(params, hparams, x, y):
        return cross(params, x, y) + 0.5 * jnp.sum(hparams["l2"] * params["w1"] ** 2)

    def outer(hparams):
        rates = {k: hparams[r] if isinstance(r, str) else r for k, r in optimizer.rates().items()}
        rates["centered"] = float(getattr(optimizer, "centered", False))
        first = {"a": 0.0, "m": 0.0, "v": rates.get("initial_accumulator_value", 0.0)}
        slots = {k: {s: jnp.full(shape, v) for s, v in first.items()} for k, shape in SHAPES.items()}

        def step(carry, row):
            params, slots = carry
            t, x, y = row
            g = jax.grad(loss)(params, hparams, x, y)
            new = {k: rule(jnp, params[k], g[k], slots[k], rates, t) for k in SHAPES}
            return ({k: v[0] for k, v in new.items()}, {k: v[1] for k, v in new.items()}), None

        rows = (jnp.arange(1.0, STEPS + 1.0), TRAIN["x"][BATCHES], TRAIN["y"][BATCHES])
        (params, _), _ = jax.lax.scan(step, (init(hparams), slots), rows)
        return cross(params, VALID["x"], VALID["y"])

    return jax.jit(jax.value_and_grad(outer))(hparams)


@pytest.mark.parametrize(("name", "case"), [case for case in CASES if case[0] in RULES])
def test_a_hypergradient_equals_jax(jax, close_leaves, name, case):
    row = ROWS[name][case]
    hparams = {**row.hparams, "scale": 0.6, "l2": np.full((4, 1), 0.05)}
    problem = hg.BilevelProblem(
        init=init,
        inner_loss=inner_loss,
        outer_loss=outer_loss,
        train=TRAIN,
        valid=VALID,
        optimizer=row.optimizer,
        steps=STEPS,
        batches=BATCHES,
    )
    found = hg.hypergradient(problem, hparams)
    value, gradient = by_jax(jax, name, row.optimizer, hparams)
    assert found.value == pytest.approx(float(value), rel=1e-13)
    close_leaves(found.hypergradient, {k: np.asarray(v) for k, v in gradient.items()}, 1e-10)
