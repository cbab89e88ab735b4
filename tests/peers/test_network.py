r"""The gradient of a two-layer binary classifier equals the formula derived by hand.

Notation
    X (n, p) rows        y (n,) in {0, 1}
    A = X W1 + 1 b1^T    H = relu(A)    z = H w2 + b2    q = sigmoid(z)
    L = -1/n sum_i [ y_i log q_i + (1 - y_i) log(1 - q_i) ]

Since dq/dz = q (1 - q),

    dL/dz_i = -1/n [ y_i (1 - q_i) - (1 - y_i) q_i ] = (q_i - y_i) / n =: d_i,

which gives, layer by layer (the chain rule through z = H w2 + b2 and H = relu(A)),

    dL/dw2 = H^T d,    dL/db2 = sum_i d_i,
    dL/dA  = (d w2^T) * [A > 0] =: D,
    dL/dW1 = X^T D,    dL/db1 = sum_i D_i.
"""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg

ROWS, COLUMNS, HIDDEN = 40, 6, 16


def data():
    rng = np.random.default_rng(11)
    x = rng.standard_normal((ROWS, COLUMNS))
    y = (rng.random(ROWS) < 0.5).astype(float)
    params = {
        "dense1": {"w": rng.standard_normal((COLUMNS, HIDDEN)) / 2, "b": 0.1 * rng.standard_normal(HIDDEN)},
        "dense2": {"w": rng.standard_normal((HIDDEN, 1)) / 4, "b": np.array([0.1])},
    }
    return params, x, y


def by_hand(params, x, y):
    """Loss and gradient by the formulas above."""
    w1, b1, w2, b2 = (params[layer][name] for layer in ("dense1", "dense2") for name in ("w", "b"))
    a = x @ w1 + b1
    h = np.where(a > 0, a, 0.0)
    q = 1.0 / (1.0 + np.exp(-(h @ w2 + b2)[:, 0]))
    loss = -np.mean(y * np.log(q) + (1 - y) * np.log(1 - q))
    d = ((q - y) / len(y))[:, None]
    below = (d @ w2.T) * (a > 0)
    return loss, {
        "dense1": {"w": x.T @ below, "b": below.sum(axis=0)},
        "dense2": {"w": h.T @ d, "b": d.sum(axis=0)},
    }


def hidden(params, x):
    return (
        hg.nn.relu(x @ params["dense1"]["w"] + params["dense1"]["b"]) @ params["dense2"]["w"]
        + params["dense2"]["b"]
    )


def with_library_losses(params, x, y):
    return hg.nn.binary_cross_entropy(hg.nn.sigmoid(hidden(params, x)[:, 0]), y).mean()


def with_plain_numpy(params, x, y):
    a = np.maximum(x @ params["dense1"]["w"] + params["dense1"]["b"], 0.0)
    q = 1.0 / (1.0 + np.exp(-(a @ params["dense2"]["w"] + params["dense2"]["b"])[:, 0]))
    return -np.mean(y * np.log(q) + (1 - y) * np.log(1 - q))


@pytest.mark.parametrize("loss", [with_library_losses, with_plain_numpy])
def test_gradient_equals_the_formula_by_hand(loss, close):
    params, x, y = data()
    value, gradient = hg.value_and_grad(loss)(params, x, y)
    expected, by_formula = by_hand(params, x, y)
    assert abs(value - expected) <= 1e-12 * expected
    for layer, leaves in by_formula.items():
        for name, leaf in leaves.items():
            close(gradient[layer][name], leaf, 1e-12, f"{layer}/{name}")


def test_compiled_gradient_equals_the_formula_by_hand(close):
    params, x, y = data()
    gradient = hg.compile(hg.grad(with_library_losses))(params, x, y)
    _, by_formula = by_hand(params, x, y)
    for layer, leaves in by_formula.items():
        for name, leaf in leaves.items():
            close(gradient[layer][name], leaf, 1e-12, f"{layer}/{name}")


def test_hypergradient_of_its_learning_rate(central_differences, close):
    params, x, y = data()
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: params,
        inner_loss=lambda params, hparams, batch: with_library_losses(params, batch["x"], batch["y"]),
        outer_loss=lambda params, hparams, batch: with_library_losses(params, batch["x"], batch["y"]),
        train={"x": x[:30], "y": y[:30]},
        valid={"x": x[30:], "y": y[30:]},
        optimizer=hg.optim.SGD(lr="lr"),
        steps=10,
    )
    found = hg.hypergradient(problem, {"lr": 0.1}).hypergradient["lr"]
    expected = central_differences(lambda h: hg.train(problem, h).value, {"lr": 0.1}, "lr", step=1e-4)
    close(found, expected, 1e-6, "learning rate")
