"""Each update rule is the one written by hand and PyTorch's, over 100 steps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import hypergrad as hg

STEPS = 100
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}


def sgd(lr):
    return lambda w, g, slots, t: (w - lr(t) * g, [])


def momentum(lr, mu):
    def rule(w, g, slots, t):
        m = mu(t) * slots[0] + g
        return w - lr(t) * m, [m]

    return rule


def nesterov(lr, mu):
    def rule(w, g, slots, t):
        m = mu(t) * slots[0] + g
        return w - lr(t) * (g + mu(t) * m), [m]

    return rule


def adam(lr, b1, b2, eps):
    def rule(w, g, slots, t):
        m = b1 * slots[0] + (1 - b1) * g
        v = b2 * slots[1] + (1 - b2) * g**2
        return w - lr(t) * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps), [m, v]

    return rule


def constant(value):
    return lambda t: value


RISING = np.linspace(0.01, 0.2, STEPS)
CASES = {
    "sgd": (hg.optim.SGD("lr"), {"lr": 0.3}, sgd(constant(0.3)), 0),
    "sgd, a number": (hg.optim.SGD(0.3), {}, sgd(constant(0.3)), 0),
    "sgd, one rate a step": (
        hg.optim.SGD(hg.optim.PerStep("lr")),
        {"lr": RISING},
        sgd(lambda t: RISING[t - 1]),
        0,
    ),
    "momentum": (
        hg.optim.Momentum("lr", "mu"),
        {"lr": 0.05, "mu": 0.85},
        momentum(constant(0.05), constant(0.85)),
        1,
    ),
    "momentum, both a step": (
        hg.optim.Momentum(hg.optim.PerStep("lr"), hg.optim.PerStep("mu")),
        {"lr": RISING / 10, "mu": 4 * RISING},
        momentum(lambda t: RISING[t - 1] / 10, lambda t: 4 * RISING[t - 1]),
        1,
    ),
    "nesterov": (
        hg.optim.Nesterov("lr", "mu"),
        {"lr": 0.05, "mu": 0.85},
        nesterov(constant(0.05), constant(0.85)),
        1,
    ),
    "adam": (
        hg.optim.Adam("lr", ("b1", "b2"), "eps"),
        {"lr": 0.03, "b1": 0.8, "b2": 0.97, "eps": 1e-5},
        adam(constant(0.03), 0.8, 0.97, 1e-5),
        2,
    ),
    "adam, betas of its own": (
        hg.optim.Adam("lr"),
        {"lr": 0.03},
        adam(constant(0.03), 0.9, 0.999, 1e-8),
        2,
    ),
    "adam, one rate a step": (
        hg.optim.Adam(hg.optim.PerStep("lr")),
        {"lr": RISING},
        adam(lambda t: RISING[t - 1], 0.9, 0.999, 1e-8),
        2,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_is_the_one_written_by_hand(regression, loop, name):
    optimizer, hparams, rule, slots = CASES[name]
    expected = loop(rule, slots, STEPS)
    np.testing.assert_allclose(regression.train(optimizer, hparams, STEPS), expected, **TOLERANCE)


def torch_run(regression, make, rates=None):
    """The parameters after STEPS of a PyTorch optimiser; `rates` sets lr before each step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, at import
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    w = torch.tensor(regression.first, dtype=torch.float64, requires_grad=True)
    optimizer = make(torch.optim, [w])
    for t in range(STEPS):
        if rates is not None:
            optimizer.param_groups[0]["lr"] = float(rates[t])
        w.grad = torch.tensor(regression.gradient(w.detach().numpy()))
        optimizer.step()
    return w.detach().numpy()


@pytest.mark.parametrize(
    ("make", "optimizer", "hparams"),
    [
        (lambda o, w: o.SGD(w, lr=0.3), hg.optim.SGD("lr"), {"lr": 0.3}),
        (
            lambda o, w: o.SGD(w, lr=0.05, momentum=0.9),
            hg.optim.Momentum("lr", "momentum"),
            {"lr": 0.05, "momentum": 0.9},
        ),
        (
            lambda o, w: o.SGD(w, lr=0.05, momentum=0.9, nesterov=True),
            hg.optim.Nesterov("lr", "momentum"),
            {"lr": 0.05, "momentum": 0.9},
        ),
        (
            lambda o, w: o.Adam(w, lr=0.03, betas=(0.8, 0.97), eps=1e-4),
            hg.optim.Adam("lr", ("b1", 0.97), "eps"),
            {"lr": 0.03, "b1": 0.8, "eps": 1e-4},
        ),
        (lambda o, w: o.Adam(w, lr=0.03), hg.optim.Adam(lr=0.03), {}),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "adam, defaults"],
)
def test_a_rule_is_pytorchs(regression, make, optimizer, hparams):
    expected = torch_run(regression, make)
    np.testing.assert_allclose(regression.train(optimizer, hparams, STEPS), expected, **TOLERANCE)


@pytest.mark.parametrize(
    ("make", "optimizer"),
    [
        (lambda o, w: o.SGD(w, lr=1.0, momentum=0.7), hg.optim.Momentum(hg.optim.PerStep("lr"), 0.7)),
        (lambda o, w: o.Adam(w, lr=1.0), hg.optim.Adam(hg.optim.PerStep("lr"))),
    ],
    ids=["momentum", "adam"],
)
def test_a_changing_rate_is_pytorchs(regression, make, optimizer):
    expected = torch_run(regression, make, RISING)
    np.testing.assert_allclose(regression.train(optimizer, {"lr": RISING}, STEPS), expected, **TOLERANCE)


@pytest.mark.parametrize("start", [0.0, 1.0], ids=["gradient zero", "gradient not zero"])
def test_adam_has_a_finite_derivative_at_rate_zero_and_gradient_zero(start):
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.full(3, start) * hparams["scale"]},
        inner_loss=lambda params, hparams, batch: 0.5 * hparams["a"] * np.sum(params["w"] ** 2),
        outer_loss=lambda params, hparams, valid: np.sum((params["w"] - 1.0) ** 2),
        train=None,
        valid=None,
        optimizer=hg.optim.Adam("lr", ("b1", "b2"), "eps"),
        steps=4,
    )
    hparams = {"lr": 0.0, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "a": 1.0, "scale": 1.0}
    result = hg.hypergradient(problem, hparams)
    assert result.stats["finite"]
    # at lr = 0 every step moves by -lr sign(g): dF/dlr = sum_i 2 (w_i - 1) (-4 sign(w_i)) = 0 at w = 0 and w = 1
    np.testing.assert_allclose(result.hypergradient["lr"], 0.0, atol=1e-7)
    assert result.hypergradient["b1"] == 0.0
    assert result.hypergradient["scale"] == 2.0 * 3 * (start - 1.0) * start


def test_momentum_is_differentiable_at_momentum_zero(regression):
    problem = regression.problem(hg.optim.Momentum("lr", "mu"), 5)
    result = hg.hypergradient(problem, {"lr": 0.1, "mu": 0.0})
    step = 1e-6
    values = [hg.train(problem, {"lr": 0.1, "mu": mu}).value for mu in (step, -step)]
    np.testing.assert_allclose(result.hypergradient["mu"], (values[0] - values[1]) / (2 * step), rtol=1e-6)


def test_the_registry_holds_every_optimiser():
    assert {name: kind.__name__ for name, kind in hg.optim.OPTIMIZERS.items()} == {
        "sgd": "SGD",
        "momentum": "Momentum",
        "nesterov": "Nesterov",
        "rmsprop": "RMSProp",
        "adagrad": "Adagrad",
        "adam": "Adam",
        "adamw": "AdamW",
        "lbfgs": "LBFGS",
        "ista": "ISTA",
        "fista": "FISTA",
        "coordinate_descent": "CoordinateDescent",
    }
