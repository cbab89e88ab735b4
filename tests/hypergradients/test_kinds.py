"""Every kind of hyperparameter: central differences to seven digits, and closed forms.

Notation of the closed forms: w parameters, η the learning rate, ē the slope of the outer loss at the trained w.
"""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg

RNG = np.random.default_rng(21)
ROWS, FEATURES, HIDDEN, CLASSES = 12, 3, 4, 3
X, Y = RNG.standard_normal((ROWS, FEATURES)), RNG.integers(0, CLASSES, ROWS)
VALID = {"x": RNG.standard_normal((10, FEATURES)), "y": RNG.integers(0, CLASSES, 10)}
FIRST = {
    "w1": RNG.standard_normal((FEATURES, HIDDEN)),
    "b1": 0.1 * RNG.standard_normal(HIDDEN),
    "w2": RNG.standard_normal((HIDDEN, CLASSES)),
    "b2": np.zeros(CLASSES),
}
cross_entropy = hg.nn.softmax_cross_entropy


def network(params, x):
    return np.tanh(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]


def losses(params, batch):
    return cross_entropy(network(params, batch["x"]), batch["y"])


def per_weight_l1(params, hparams, batch):
    return losses(params, batch).mean() + np.sum(hparams["l1"] * np.abs(params["w1"]))


def per_weight_l2(params, hparams, batch):
    return losses(params, batch).mean() + 0.5 * sum(np.sum(hparams[k] * params[k] ** 2) for k in hparams)


def relaxed_dropout(params, hparams, batch, rng):
    h = np.tanh(batch["x"] @ params["w1"] + params["b1"])
    h = hg.nn.relaxed_dropout(h, hparams["rate"], rng, temperature=0.5)
    return cross_entropy(h @ params["w2"] + params["b2"], batch["y"]).mean()


def label_smoothing(params, hparams, batch):
    return cross_entropy(network(params, batch["x"]), batch["y"], hparams["smoothing"]).mean()


def input_noise(params, hparams, batch, rng):
    x = batch["x"] + hparams["noise"] * rng.standard_normal(batch["x"].shape)
    return losses(params, {**batch, "x": x}).mean()


def mixed_up(params, hparams, batch, rng):
    """Each row mixed with the next one of the batch, by a uniform part of the strength."""
    part = hparams["strength"] * rng.random((len(batch["x"]), 1))
    x = (1.0 - part) * batch["x"] + part * np.roll(batch["x"], 1, axis=0)
    y = (batch["y"][:, None] == np.arange(CLASSES)).astype(float)
    y = (1.0 - part) * y + part * np.roll(y, 1, axis=0)
    return cross_entropy(network(params, x), y).mean()


def rotated(params, hparams, batch, rng):
    """The first two features turned by a random angle of the given spread."""
    angle = hparams["spread"] * rng.standard_normal(len(batch["x"]))
    a, b = batch["x"][:, 0], batch["x"][:, 1]
    turned = [a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle), batch["x"][:, 2]]
    return losses(params, {**batch, "x": np.stack(turned, axis=1)}).mean()


def class_weights(params, hparams, batch):
    return np.mean(hg.nn.softmax(hparams["weights"])[batch["y"]] * losses(params, batch))


def example_weights(params, hparams, batch):
    return np.mean(hg.nn.sigmoid(hparams["weights"])[batch["i"]] * losses(params, batch))


def training_data(params, hparams, batch):
    return losses(params, {"x": hparams["x"][batch["i"]], "y": batch["y"]}).mean()


def soft_labels(params, hparams, batch):
    return cross_entropy(network(params, batch["x"]), hg.nn.softmax(hparams["labels"])[batch["i"]]).mean()


def task_mixing(params, hparams, batch):
    """Two tasks beside the first: to reconstruct the inputs' sum, and to keep the hidden layer small."""
    h = np.tanh(batch["x"] @ params["w1"] + params["b1"])
    tasks = [
        losses(params, batch).mean(),
        np.mean((h @ params["w2"][:, 0] - batch["x"].sum(axis=1)) ** 2),
        np.mean(h**2),
    ]
    return np.sum(hg.nn.softmax(hparams["mix"]) * np.stack(tasks))


def plain(params, hparams, batch):
    return losses(params, batch).mean()


# name: (inner loss, hyperparameters, what else differs)
KINDS = {
    "per-weight l1": (per_weight_l1, {"l1": RNG.uniform(0.01, 0.1, (FEATURES, HIDDEN))}, {}),
    "per-weight l2": (
        per_weight_l2,
        {k: RNG.uniform(0.01, 0.1, v.shape) for k, v in FIRST.items() if k[0] == "w"},
        {},
    ),
    "relaxed dropout": (relaxed_dropout, {"rate": 0.3}, {}),
    "relaxed dropout a unit": (relaxed_dropout, {"rate": np.linspace(0.1, 0.5, HIDDEN)}, {}),
    "label smoothing": (label_smoothing, {"smoothing": 0.1}, {}),
    "input noise": (input_noise, {"noise": 0.2}, {}),
    "input noise a feature": (input_noise, {"noise": np.array([0.1, 0.2, 0.3])}, {}),
    "augmentation by mixing": (mixed_up, {"strength": 0.4}, {}),
    "augmentation by rotation": (rotated, {"spread": 0.3}, {}),
    "class weights": (class_weights, {"weights": np.array([0.2, -0.3, 0.5])}, {}),
    "example weights": (example_weights, {"weights": RNG.standard_normal(ROWS)}, {}),
    "training inputs": (training_data, {"x": X.copy()}, {}),
    "training labels": (soft_labels, {"labels": RNG.standard_normal((ROWS, CLASSES))}, {}),
    "initial weights": (plain, FIRST, {"init": lambda hparams, rng: hparams}),
    "task mixing": (task_mixing, {"mix": np.array([0.5, -0.5, 0.1])}, {}),
}


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("name", KINDS)
def test_a_hypergradient_is_the_central_difference(differences, name, batch_size):
    inner_loss, hparams, changes = KINDS[name]
    options = {"init": lambda hparams, rng: FIRST, "batch_size": batch_size, **changes}
    problem = hg.BilevelProblem(
        inner_loss=inner_loss,
        outer_loss=plain,
        train={"x": X, "y": Y, "i": np.arange(ROWS)},
        valid=VALID,
        optimizer=hg.optim.Momentum(0.2, 0.5),
        steps=6,
        **options,
    )
    result = hg.hypergradient(problem, hparams, seed=2)
    assert result.disconnected == ()
    for path, found in zip(hg.tree.paths(hparams), hg.tree.leaves(result.hypergradient), strict=True):
        expected = differences(problem, hparams, path, seed=2, step=1e-4, order=4)
        assert np.linalg.norm(found) > 1e-6
        assert np.linalg.norm(found - expected) <= 1e-7 * np.linalg.norm(expected)


# Closed forms: one step of gradient descent from w, w' = w - η g(w, h), gives dF/dh = -η (∂g/∂h)ᵀ ē ---------------
W = RNG.standard_normal(FEATURES)
TARGET, RATE = RNG.standard_normal(ROWS), 0.1


def half_square(params, batch):
    return 0.5 * (batch["x"] @ params["w"] - batch["t"]) ** 2


def one_step(inner_loss, hparams, **changes):
    """dF/dh after one step of a linear regression, F = half the squared distance of w' to 1; and ē."""
    problem = hg.BilevelProblem(
        **{
            "init": lambda hparams, rng: {"w": W},
            "inner_loss": inner_loss,
            "outer_loss": lambda params, hparams, valid: 0.5 * np.sum((params["w"] - 1.0) ** 2),
            "train": {"x": X, "t": TARGET, "i": np.arange(ROWS), "y": Y},
            "valid": None,
            "optimizer": hg.optim.SGD(RATE),
            "steps": 1,
            **changes,
        }
    )
    result = hg.hypergradient(problem, hparams)
    return result.hypergradient, result.params["w"] - 1.0


def exact(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_per_weight_l1_is_minus_the_sign():
    loss = lambda p, h, batch: half_square(p, batch).mean() + np.sum(h["l1"] * np.abs(p["w"]))
    found, slope = one_step(loss, {"l1": np.full(FEATURES, 0.1)})
    exact(found["l1"], -RATE * np.sign(W) * slope)


def test_per_weight_l2_is_minus_the_weight():
    loss = lambda p, h, batch: half_square(p, batch).mean() + 0.5 * np.sum(h["l2"] * p["w"] ** 2)
    found, slope = one_step(loss, {"l2": np.full(FEATURES, 0.1)})
    exact(found["l2"], -RATE * W * slope)


def test_example_weights_are_minus_the_gradient_of_their_example():
    loss = lambda p, h, batch: np.mean(h["weights"][batch["i"]] * half_square(p, batch))
    found, slope = one_step(loss, {"weights": np.ones(ROWS)})
    exact(found["weights"], -RATE / ROWS * (X @ slope) * (X @ W - TARGET))


def test_class_weights_are_the_sums_of_the_weights_of_their_examples():
    loss = lambda p, h, batch: np.mean(h["weights"][batch["y"]] * half_square(p, batch))
    found, slope = one_step(loss, {"weights": np.ones(CLASSES)})
    rows = -RATE / ROWS * (X @ slope) * (X @ W - TARGET)
    exact(found["weights"], np.bincount(Y, rows, CLASSES))


def test_training_data():
    loss = lambda p, h, batch: np.mean(half_square(p, {"x": h["x"], "t": h["t"]}))
    found, slope = one_step(loss, {"x": X, "t": TARGET})
    exact(found["t"], RATE / ROWS * X @ slope)
    exact(found["x"], -RATE / ROWS * (np.outer(X @ W - TARGET, slope) + np.outer(X @ slope, W)))


def test_input_noise_averages_to_weight_decay():
    """For a linear model noise of scale s adds s²|w|²/2 to the mean loss (Bishop 1995): dF/ds = -2 η s wᵀē / 2."""
    many = {"x": np.tile(X, (4000, 1)), "t": np.tile(TARGET, 4000)}
    loss = lambda p, h, batch, rng: np.mean(
        half_square(p, {**batch, "x": batch["x"] + h["scale"] * rng.standard_normal(batch["x"].shape)})
    )
    found, slope = one_step(loss, {"scale": 0.3}, train=many)
    np.testing.assert_allclose(found["scale"], -2.0 * RATE * 0.3 * (W @ slope), rtol=0.1)


def test_label_smoothing_moves_the_targets():
    """dF/ds = -η Σ (∂g/∂s) ē with g = xᵀ(p - y), y = (1 - s) onehot + s / K: ∂g/∂s = xᵀ(onehot - 1 / K) / B."""
    first = {"w": RNG.standard_normal((FEATURES, CLASSES))}
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: first,
        inner_loss=lambda p, h, batch: cross_entropy(batch["x"] @ p["w"], batch["y"], h["s"]).mean(),
        outer_loss=lambda p, h, valid: 0.5 * np.sum((p["w"] - 1.0) ** 2),
        train={"x": X, "y": Y},
        valid=None,
        optimizer=hg.optim.SGD(RATE),
        steps=1,
    )
    result = hg.hypergradient(problem, {"s": 0.2})
    moved = X.T @ (np.eye(CLASSES)[Y] - 1.0 / CLASSES) / ROWS
    exact(result.hypergradient["s"], -RATE * np.sum(moved * (result.params["w"] - 1.0)))


def test_task_mixing_weighs_the_gradients_of_the_tasks():
    ends = np.stack([np.zeros(FEATURES), np.ones(FEATURES), X[0]])

    def loss(p, h, batch):
        return np.sum(h["mix"] * 0.5 * np.sum((p["w"] - ends) ** 2, axis=1))

    found, slope = one_step(loss, {"mix": np.array([0.5, 0.3, 0.2])})
    exact(found["mix"], -RATE * (W - ends) @ slope)


def test_relaxed_dropout_of_a_linear_model():
    """kept = σ(-(logit p + logit u) / τ) / (1 - p): the derivative of one step by the rule of the product."""
    temperature, p = 0.5, 0.3
    drawn = {}

    class Recorder:  # the same draw, seen from outside
        def random(self, shape):
            drawn["u"] = np.random.default_rng(0).random(shape)
            return drawn["u"]

    def mask(p):
        return hg.nn.relaxed_dropout(np.ones(FEATURES), p, Recorder(), temperature)

    loss = lambda params, h, batch: 0.5 * np.sum((params["w"] * mask(h["p"]) - 2.0) ** 2)
    found, slope = one_step(loss, {"p": p})
    k = mask(p)
    kept = k * (1 - p)
    change = -kept * (1 - kept) / (temperature * p * (1 - p)) / (1 - p) + k / (1 - p)
    exact(found["p"], -RATE * np.sum(slope * (2.0 * W * k - 2.0) * change))


def test_initial_weights_of_several_tasks():
    """MAML (Finn et al. 2017): T steps on each task's quadratic a/2 |w - c|² leave w_T - c = (1 - η a)^T (w - c)."""
    steps, a, ends = 4, np.array([0.5, 1.0, 2.0]), RNG.standard_normal((3, FEATURES))
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.ones((3, 1)) * hparams["w"]},  # one copy a task
        inner_loss=lambda p, h, batch: 0.5 * np.sum(a[:, None] * (p["w"] - ends) ** 2),
        outer_loss=lambda p, h, valid: 0.5 * np.mean(np.sum((p["w"] - ends) ** 2, axis=1)),
        train=None,
        valid=None,
        optimizer=hg.optim.SGD("lr"),
        steps=steps,
    )
    found = hg.hypergradient(problem, {"w": W, "lr": RATE}).hypergradient
    left = 1.0 - RATE * a
    exact(found["w"], np.mean(left[:, None] ** (2 * steps) * (W - ends), axis=0))
    distance = np.sum((W - ends) ** 2, axis=1)
    exact(found["lr"], np.mean(-steps * a * left ** (2 * steps - 1) * distance))


def test_proximal_l1_of_an_orthonormal_design():
    """ISTA: w = S(z, l1) with z = Xᵀt, where S moves z towards 0 by l1: dF/dl1 = -sign(z) ē on the support, else 0."""
    q, _ = np.linalg.qr(RNG.standard_normal((ROWS, FEATURES)))
    z, l1 = q.T @ TARGET, np.array([0.01, 0.05, 100.0])

    def step(state, hparams, batch, t):
        w = state["w"] - q.T @ (q @ state["w"] - TARGET)
        return {"w": np.sign(w) * np.maximum(np.abs(w) - hparams["l1"], 0.0)}

    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: {"w": np.zeros(FEATURES)},
        step=step,
        outer_loss=lambda state, hparams, valid: 0.5 * np.sum((state["w"] - 1.0) ** 2),
        steps=3,
    )
    result = hg.hypergradient(problem, {"l1": l1})
    w = result.params["w"]
    exact(w, np.sign(z) * np.maximum(np.abs(z) - l1, 0.0))
    exact(result.hypergradient["l1"], np.where(w != 0.0, -np.sign(z) * (w - 1.0), 0.0))


def test_augmentation_by_mixing():
    """x' = (1 - λ) x + λ x⁺: ∂g/∂λ of g = xᵀ(x w - t) / B by the rule of the product."""
    after = np.roll(X, 1, axis=0)
    loss = lambda p, h, batch: half_square(
        p, {**batch, "x": (1.0 - h["part"]) * batch["x"] + h["part"] * np.roll(batch["x"], 1, axis=0)}
    ).mean()
    found, slope = one_step(loss, {"part": 0.3})
    x, dx = 0.7 * X + 0.3 * after, after - X
    exact(found["part"], -RATE / ROWS * ((dx @ slope) @ (x @ W - TARGET) + (x @ slope) @ (dx @ W)))
