"""The public contract's example, as it is written there."""

from __future__ import annotations

import numpy as np

import hypergrad as hg


def init(hparams, rng):
    return {"w": np.zeros((64, 10)), "b": np.zeros(10)}


def inner_loss(params, hparams, batch):
    logits = batch["x"] @ params["w"] + params["b"]
    return hg.nn.softmax_cross_entropy(logits, batch["y"]).mean() + 0.5 * np.sum(
        hparams["l2"] * params["w"] ** 2
    )


def outer_loss(params, hparams, batch):
    logits = batch["x"] @ params["w"] + params["b"]
    return hg.nn.softmax_cross_entropy(logits, batch["y"]).mean()


def test_softmax_regression_with_a_penalty_a_feature(differences, close):
    rng = np.random.default_rng(0)
    x, centres = rng.random((500, 64)), rng.standard_normal((64, 10))
    y = np.argmax(x @ centres + rng.standard_normal((500, 10)), axis=1)
    problem = hg.BilevelProblem(
        init=init,
        inner_loss=inner_loss,
        outer_loss=outer_loss,
        train={"x": x[:400], "y": y[:400]},
        valid={"x": x[400:], "y": y[400:]},
        test=None,
        metrics=None,
        optimizer=hg.optim.Momentum(lr="lr", momentum="momentum"),
        steps=1000,
        batch_size=64,
    )
    hparams = {"lr": 0.1, "momentum": 0.9, "l2": np.full((64, 1), 1e-4)}
    r = hg.hypergradient(problem, hparams, method=hg.Reverse(), seed=0, wrt=None)
    assert r.stats["finite"]
    assert r.disconnected == ()
    assert r.params["w"].shape == (64, 10)
    assert r.hypergradient["l2"].shape == (64, 1)
    assert np.nanmean(r.curve[-100:]) < np.nanmean(r.curve[:10])
    for key in ("lr", "momentum"):
        close(r.hypergradient[key], differences(problem, hparams, key), 1e-6)
    direction = np.random.default_rng(1).standard_normal((64, 1))
    sides = [hg.train(problem, {**hparams, "l2": hparams["l2"] + e * direction}).value for e in (1e-6, -1e-6)]
    close(np.sum(r.hypergradient["l2"] * direction), (sides[0] - sides[1]) / 2e-6, 1e-6)
    one_hot = hg.BilevelProblem(
        init=init,
        inner_loss=inner_loss,
        outer_loss=outer_loss,
        train={"x": x[:400], "y": np.eye(10)[y[:400]]},
        valid={"x": x[400:], "y": np.eye(10)[y[400:]]},
        optimizer=hg.optim.Momentum(lr="lr", momentum="momentum"),
        steps=1000,
        batch_size=64,
    )
    again = hg.hypergradient(one_hot, hparams)
    np.testing.assert_allclose(again.value, r.value, rtol=1e-10)
    close(again.hypergradient["l2"], r.hypergradient["l2"], 1e-8)
