"""Every kind of hyperparameter: the hypergradient is the central difference, relative to the norm of the leaf."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import hypergrad as hg

RNG = np.random.default_rng(11)
ROWS, FEATURES, HIDDEN, CLASSES, STEPS = 17, 3, 4, 3, 9
X, Y = RNG.standard_normal((ROWS, FEATURES)), RNG.integers(0, CLASSES, ROWS)
VALID = {"x": RNG.standard_normal((11, FEATURES)), "y": RNG.integers(0, CLASSES, 11)}
LAYERS = ("w1", "b1", "w2", "b2")
Penalty = namedtuple("Penalty", ["first", "second"])


def forward(params, x):
    return np.tanh(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]


def init(hparams, rng):
    scale = hparams.get("scale", 0.7)
    of = scale if isinstance(scale, dict) else dict.fromkeys(LAYERS, scale)
    return {
        "w1": of["w1"] * rng.standard_normal((FEATURES, HIDDEN)),
        "b1": of["b1"] * rng.standard_normal(HIDDEN),
        "w2": rng.normal(0.0, of["w2"], (HIDDEN, CLASSES)),
        "b2": of["b2"] * rng.uniform(-1.0, 1.0, CLASSES),
    }


def cross_entropy(params, hparams, batch):
    return hg.nn.softmax_cross_entropy(forward(params, batch["x"]), batch["y"]).mean()


def decayed(params, hparams, batch):
    l2 = hparams["l2"]
    if isinstance(l2, dict):
        decay = sum(np.sum(l2[k] * params[k] ** 2) for k in l2)
    elif isinstance(l2, tuple):
        decay = np.sum(l2.first * params["w1"] ** 2) + np.sum(l2[1] * params["w2"] ** 2)
    elif isinstance(l2, list):
        decay = sum(np.sum(h * params[k] ** 2) for h, k in zip(l2, LAYERS, strict=True))
    else:
        decay = np.sum(l2 * params["w1"] ** 2)
    return cross_entropy(params, hparams, batch) + 0.5 * decay


def smoothed(params, hparams, batch):
    target = (batch["y"][:, None] == np.arange(CLASSES)).astype(float)
    target = (1.0 - hparams["smooth"]) * target + hparams["smooth"] / CLASSES
    return hg.nn.softmax_cross_entropy(forward(params, batch["x"]), target).mean()


def weighted(params, hparams, batch):
    losses = hg.nn.softmax_cross_entropy(forward(params, batch["x"]), batch["y"])
    return np.mean(hg.nn.sigmoid(hparams["weights"])[batch["i"]] * losses)


def distilled(params, hparams, batch):
    return hg.nn.softmax_cross_entropy(forward(params, hparams["x"]), np.arange(CLASSES)).mean()


def some_rows_learned(params, hparams, batch):
    return hg.nn.softmax_cross_entropy(forward(params, hparams["x"][batch["i"]]), batch["y"]).mean()


def sloped(params, hparams, batch):
    z = batch["x"] @ params["w1"] + params["b1"]
    z = np.where(z > 0, z, hparams["slope"] * z) @ params["w2"] + params["b2"]
    return hg.nn.softmax_cross_entropy(z * hparams["temperature"], batch["y"]).mean()


def outer_with_penalty(params, hparams, batch):
    return cross_entropy(params, hparams, batch) + hparams["lr"] ** 2 + hparams["only"] * np.sum(params["b2"])


def layers(value):
    return {k: value * (1.0 + 0.3 * i) for i, k in enumerate(LAYERS)}


SGD, MOMENTUM, ADAM = hg.optim.SGD, hg.optim.Momentum, hg.optim.Adam
per_step, knots = hg.optim.PerStep, hg.optim.PiecewiseLinear
RATES = np.linspace(0.5, 0.1, STEPS)
ROUGH = {"b1": 0.8, "b2": 0.9, "eps": 1e-2, "lr": 0.1}  # an Adam whose eps is felt

# name: (optimizer, hparams, what else differs)
KINDS = {
    "lr": (SGD("lr"), {"lr": 0.4}, {}),
    "lr, momentum": (MOMENTUM("lr", "mu"), {"lr": 0.2, "mu": 0.7}, {}),
    "lr, betas, eps": (ADAM("lr", ("b1", "b2"), "eps"), ROUGH, {}),
    "nested keys": (MOMENTUM("opt/lr", "opt/mu"), {"opt": {"lr": 0.2, "mu": 0.7}}, {}),
    "lr a step": (SGD(per_step("lr")), {"lr": RATES}, {}),
    "lr and momentum a step": (
        MOMENTUM(per_step("lr"), per_step("mu")),
        {"lr": RATES / 2, "mu": RATES},
        {},
    ),
    "everything a step": (
        ADAM(per_step("lr"), (per_step("b1"), per_step("b2")), per_step("eps")),
        {"lr": RATES / 5, "b1": 1.5 * RATES, "b2": 0.95 - RATES / 4, "eps": RATES / 50},
        {},
    ),
    "lr of knots": (SGD(knots("lr")), {"lr": np.array([0.5, 0.1, 0.3])}, {}),
    "lr of logarithmic knots": (ADAM(knots("lr", log=True), eps=0.01), {"lr": np.array([0.5, 0.01])}, {}),
    "lr of one knot": (SGD(knots("lr", log=True)), {"lr": np.array([0.4])}, {}),
    "lr a listed knot": (SGD(knots("lr")), {"lr": [0.5, 0.1]}, {}),
    "lr a layer": (SGD("lr"), {"lr": layers(0.2)}, {}),
    "lr a layer, Adam": (ADAM("lr", ("b1", "b2"), "eps"), {**ROUGH, "lr": layers(0.1)}, {}),
    "lr a layer and step": (MOMENTUM(per_step("lr"), 0.5), {"lr": layers(RATES / 3)}, {}),
    "lr a layer of knots": (
        ADAM(knots("lr", log=True), eps=0.01),
        {"lr": layers(np.array([0.3, 0.05]))},
        {},
    ),
    "momentum and betas a layer": (MOMENTUM("lr", "mu"), {"lr": 0.2, "mu": layers(0.3)}, {}),
    "eps a layer": (ADAM(0.1, (0.8, 0.9), "eps"), {"eps": layers(0.01)}, {}),
    "l2": (SGD(0.3), {"l2": 0.1}, {"inner_loss": decayed}),
    "l2 a weight": (
        MOMENTUM(0.2, 0.5),
        {"l2": np.full((FEATURES, HIDDEN), 0.1)},
        {"inner_loss": decayed},
    ),
    "l2 a row": (ADAM(0.1), {"l2": np.linspace(0.05, 0.2, FEATURES)[:, None]}, {"inner_loss": decayed}),
    "l2 a layer": (SGD(0.3), {"l2": layers(0.1)}, {"inner_loss": decayed}),
    "l2 in a named tuple": (SGD(0.3), {"l2": Penalty(0.1, np.full(CLASSES, 0.2))}, {"inner_loss": decayed}),
    "l2 in a list": (SGD(0.3), {"l2": [0.1, 0.2, 0.05, 0.3]}, {"inner_loss": decayed}),
    "init scale": (SGD(0.3), {"scale": 0.6}, {}),
    "init scale a layer": (ADAM(0.05), {"scale": layers(0.5)}, {}),
    "init values": (
        MOMENTUM(0.2, 0.5),
        {"start": init({}, np.random.default_rng(3))},
        {"init": lambda hparams, rng: hparams["start"]},
    ),
    "label smoothing": (SGD(0.3), {"smooth": 0.1}, {"inner_loss": smoothed}),
    "example weights": (
        MOMENTUM(0.3, 0.5),
        {"weights": RNG.standard_normal(ROWS)},
        {"inner_loss": weighted},
    ),
    "training data": (
        SGD(0.3),
        {"x": RNG.standard_normal((CLASSES, FEATURES))},
        {"inner_loss": distilled},
    ),
    "training rows": (SGD(0.3), {"x": X.copy()}, {"inner_loss": some_rows_learned}),
    "slope and temperature": (SGD(0.2), {"slope": 0.2, "temperature": 1.3}, {"inner_loss": sloped}),
    "read by the outer loss": (
        SGD("lr"),
        {"lr": 0.3, "only": 0.5},
        {"outer_loss": outer_with_penalty},
    ),
    "everything at once": (
        MOMENTUM(knots("lr"), "mu"),
        {"lr": np.array([0.3, 0.1]), "mu": 0.6, "l2": np.full((FEATURES, 1), 0.1), "scale": layers(0.5)},
        {"inner_loss": decayed},
    ),
}


def build(optimizer, changes, **more):
    return hg.BilevelProblem(
        **{
            "init": init,
            "inner_loss": cross_entropy,
            "outer_loss": cross_entropy,
            "train": {"x": X, "y": Y, "i": np.arange(ROWS)},
            "valid": VALID,
            "optimizer": optimizer,
            "steps": STEPS,
            "batch_size": 5,
            **changes,
            **more,
        }
    )


@pytest.mark.parametrize("name", KINDS)
def test_a_hypergradient_is_the_central_difference(differences, close, name):
    optimizer, hparams, changes = KINDS[name]
    problem = build(optimizer, changes)
    result = hg.hypergradient(problem, hparams, seed=1)
    assert result.disconnected == ()
    structure = hg.tree.structure(hparams)
    assert hg.tree.structure(result.hypergradient) == structure
    for path, found in zip(structure.paths(), hg.tree.leaves(result.hypergradient), strict=True):
        assert np.linalg.norm(found) > 1e-6
        close(found, differences(problem, hparams, path, seed=1), 1e-6)


@pytest.mark.parametrize("batch_size", [None, 1, 8, ROWS])
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("optimizer", [SGD("lr"), MOMENTUM("lr"), ADAM("lr", eps=0.1)], ids=str)
def test_any_number_of_steps_and_rows(differences, close, optimizer, steps, batch_size):
    problem = build(optimizer, {"inner_loss": decayed}, steps=steps, batch_size=batch_size)
    hparams = {"lr": 0.1, "l2": 0.2}
    result = hg.hypergradient(problem, hparams, seed=4)
    for path in ("lr", "l2"):
        close(result.hypergradient[path], differences(problem, hparams, path, seed=4), 1e-6)


def test_more_steps_than_an_epoch_see_new_permutations(differences, close):
    problem = build(SGD("lr"), {}, steps=20, batch_size=6)  # two batches an epoch, ten epochs
    result = hg.hypergradient(problem, {"lr": 0.2}, seed=4)
    close(result.hypergradient["lr"], differences(problem, {"lr": 0.2}, "lr", seed=4), 1e-6)
    seen = {tuple(sorted(problem.batches.at(4, t).tolist())) for t in range(20)}
    assert len(seen) == 20


def test_explicit_batches(differences, close):
    index = np.random.default_rng(0).integers(0, ROWS, (STEPS, 3))
    problem = build(SGD("lr"), {}, batch_size=None, batches=index)
    result = hg.hypergradient(problem, {"lr": 0.2})
    close(result.hypergradient["lr"], differences(problem, {"lr": 0.2}, "lr"), 1e-6)
    fixed = build(
        SGD("lr"),
        {"init": lambda hparams, rng: init(hparams, np.random.default_rng(0))},
        batch_size=None,
        batches=index,
    )
    assert hg.train(fixed, {"lr": 0.2}, seed=9).value == hg.train(fixed, {"lr": 0.2}, seed=1).value
