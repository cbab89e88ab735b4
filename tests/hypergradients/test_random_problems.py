"""The compiled step and its adjoint equal one derivative of the whole training loop, on problems drawn at random."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.unroll.batches import generator
from hypergrad.unroll.layout import Layout

ROWS, FEATURES, HIDDEN, CLASSES = 19, 4, 5, 3
LAYERS = ("w1", "b1", "w2", "b2", "s")


def logits(p, x):
    return np.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]


LOSSES = {
    "network": lambda p, h, b: (
        hg.nn.softmax_cross_entropy(logits(p, b["x"]), b["y"]).mean()
        + 0.5 * np.sum(h["l2"] * p["w1"] ** 2)
        + h["c"] * np.sum(p["w2"] ** 2)
    ),
    "smoothed and sparse": lambda p, h, b: (
        -np.mean(hg.nn.log_softmax(hg.nn.relu(b["x"] @ p["w1"] + p["b1"]) @ p["w2"])[:, 1]) * (1 - h["c"])
        + h["c"] * np.sum(np.abs(p["b1"]))
        + np.sum(h["l2"] * np.abs(p["w1"]))
    ),
    "weighted rows": lambda p, h, b: (
        np.mean(hg.nn.sigmoid(h["rows"])[b["i"]] * hg.nn.softmax_cross_entropy(logits(p, b["x"]), b["y"]))
        + h["c"] * np.linalg.norm(p["w2"]) ** 2
    ),
    "linear system": lambda p, h, b: (
        np.sum(np.linalg.solve(p["w2"].T @ p["w2"] + np.exp(h["c"]) * np.eye(CLASSES), p["b2"]) ** 2)
        + np.mean((b["x"] @ p["w1"] - 1.0) ** 2)
        + np.sum(h["l2"] * p["w1"] ** 2)
    ),
    "joined and reduced": lambda p, h, b: (
        np.mean(np.concatenate([b["x"] @ p["w1"], np.stack([p["b1"], p["b1"] * h["c"]])], 0) ** 2)
        + np.sum(np.where(p["w2"] > 0, p["w2"], 0.1 * p["w2"]) ** 2)
        + np.prod(p["b2"] + 1.0)
        + np.var(p["w1"])
        + np.max(p["w2"])
    ),
    "scalars and slices": lambda p, h, b: (
        (p["s"] * np.mean(b["x"] @ p["w1"]) - h["c"]) ** 2
        + 0.1 * p["s"] ** 2
        + np.mean(p["w2"][::2, ::-1] * h["c"])
        + np.sum(np.exp(-(p["b2"] ** 2)))
        + 0.01 * np.sum(p["w1"].T @ p["w1"])
    ),
}


def init(hparams, rng):
    return {
        "w1": hparams["scale"]["w1"] * rng.standard_normal((FEATURES, HIDDEN)),
        "b1": rng.normal(0.0, hparams["scale"]["w2"], HIDDEN),
        "w2": rng.standard_normal((HIDDEN, CLASSES)) * hparams["scale"]["w2"],
        "b2": np.full(CLASSES, 0.1),
        "s": 0.3,
    }


def outer_loss(params, hparams, batch):
    losses = hg.nn.softmax_cross_entropy(logits(params, batch["x"]), batch["y"])
    return losses.mean() * (1.0 + hparams["scale"]["w1"]) + params["s"] ** 2


def drawn(number):
    """A problem and its hyperparameters, drawn from the seed `number`."""
    rng = np.random.default_rng(number)
    steps = int(rng.integers(1, 7))

    def rates(*shape):
        return 0.1 + 0.05 * rng.random(shape)

    def layered(*shape):
        return {k: rates(*shape) for k in LAYERS}

    key = hg.optim.PerStep, hg.optim.PiecewiseLinear
    lr, value = [
        ("lr", float(rates())),
        (key[0]("lr"), rates(steps)),
        (key[1]("lr", log=True), rates(3)),
        ("lr", layered()),
        (key[0]("lr"), layered(steps)),
        (key[1]("lr"), layered(2)),
    ][number % 6]
    optimizer = [hg.optim.SGD(lr), hg.optim.Momentum(lr, "mu"), hg.optim.Adam(lr, ("mu", 0.99), "eps")][
        int(rng.integers(3))
    ]
    x, y = rng.standard_normal((ROWS, FEATURES)), rng.integers(0, CLASSES, ROWS)
    problem = hg.BilevelProblem(
        init=init,
        inner_loss=list(LOSSES.values())[number // 6 % len(LOSSES)],
        outer_loss=outer_loss,
        train={"x": x, "y": y, "i": np.arange(ROWS)},
        valid={"x": 0.9 * x[::-1], "y": y[::-1]},
        optimizer=optimizer,
        steps=steps,
        batch_size=[None, 5, ROWS, 8][int(rng.integers(4))],
    )
    shape = [(), (FEATURES, 1), (FEATURES, HIDDEN)][int(rng.integers(3))]
    return problem, {
        "lr": value,
        "mu": 0.8,
        "eps": 1e-3,
        "l2": 0.1 * rng.random(shape),
        "c": 0.2,
        "rows": rng.standard_normal(ROWS),
        "scale": {"w1": 0.5, "w2": 0.4},
    }


def whole_loop(problem, seed):
    """Training and the outer loss as one plain function of the hyperparameters."""

    def run(hparams):
        params = problem.init(hparams, generator(seed, "init", 0))
        layout = Layout.of_state(params, "init")
        rates = problem.rates(hparams)
        state = problem.start(hg.tree.leaves(params), problem.state(layout), layout, hparams)
        for t in range(problem.steps):
            rows = np.arange(ROWS) if problem.batches.full else problem.batches.at(seed, t)
            batch = {k: v[rows] for k, v in problem.train.items()}
            now = hg.tree.map(lambda row, t=t: row[t], rates)
            state, _ = problem.advance(state, layout, hparams, now, batch, t, None)
        return problem.outer_loss(problem.params(state, layout), hparams, problem.valid)

    return run


@pytest.mark.parametrize("number", range(36))
def test_a_random_problem(number):
    problem, hparams = drawn(number)
    value, gradient = hg.value_and_grad(whole_loop(problem, number))(hparams)
    result = hg.hypergradient(problem, hparams, seed=number)
    np.testing.assert_allclose(result.value, value, rtol=1e-12)
    assert hg.train(problem, hparams, seed=number).value == result.value
    leaves = zip(hg.tree.leaves(result.hypergradient), hg.tree.leaves(gradient), strict=True)
    for found, expected in leaves:
        assert np.linalg.norm(found - expected) <= 1e-10 * max(np.linalg.norm(expected), 1e-4)
