"""Schedules are the rows that their formulas say, also per layer."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg


@pytest.mark.parametrize(
    ("knots", "steps"), [(1, 5), (2, 5), (3, 5), (5, 5), (7, 5), (4, 1), (4, 2), (5, 97)]
)
@pytest.mark.parametrize("log", [False, True])
def test_piecewise_linear_interpolates_equally_spaced_knots(knots, steps, log):
    value = np.random.default_rng(knots).uniform(0.1, 2.0, knots)
    rows = hg.optim.PiecewiseLinear("lr", log=log).rows(value, steps)
    expected = []
    for t in range(steps):
        position = t * (knots - 1) / (steps - 1) if steps > 1 else 0.0
        i = min(int(position), max(knots - 2, 0))
        a, low, high = position - i, value[i], value[min(i + 1, knots - 1)]
        expected.append(low ** (1 - a) * high**a if log else (1 - a) * low + a * high)
    np.testing.assert_allclose(rows, expected, rtol=1e-13)


def test_per_step_is_the_hyperparameter_itself():
    value = np.arange(4.0)
    assert hg.optim.PerStep("lr").rows(value, 4) is value


@pytest.mark.parametrize(
    ("schedule", "shape", "message"),
    [
        (
            hg.optim.PerStep("lr"),
            (4,),
            r"one entry for each of the 5 steps, got hparams\['lr'\] of shape \(4,\)",
        ),
        (hg.optim.PerStep("lr"), (5, 1), r"of shape \(5, 1\)"),
        (hg.optim.PerStep("lr"), (), r"of shape \(\)"),
        (hg.optim.PiecewiseLinear("lr"), (), r"knots of shape \(K,\) with K >= 1, .* of shape \(\)"),
        (hg.optim.PiecewiseLinear("lr"), (0,), r"of shape \(0,\)"),
        (hg.optim.PiecewiseLinear("lr"), (2, 2), r"of shape \(2, 2\)"),
    ],
)
def test_a_wrong_shape_is_named(regression, schedule, shape, message):
    with pytest.raises(hg.errors.ProblemError, match=message):
        hg.train(regression.problem(hg.optim.SGD(schedule), 5), {"lr": np.ones(shape)})


def test_logarithmic_knots_must_be_positive(regression):
    problem = regression.problem(hg.optim.SGD(hg.optim.PiecewiseLinear("lr", log=True)), 5)
    with pytest.raises(hg.errors.ProblemError, match=r"positive knots, got hparams\['lr'\] = -0\.5"):
        hg.hypergradient(problem, {"lr": np.array([0.1, -0.5])})
    with pytest.raises(hg.errors.ProblemError, match=r"got hparams\['lr/v'\] = 0\.0"):
        hg.train(problem, {"lr": {"u": np.array([0.1, 0.5]), "v": np.array([0.1, 0.0])}})


@pytest.mark.parametrize("make", [hg.optim.PerStep, hg.optim.PiecewiseLinear])
def test_a_schedule_takes_a_key(make):
    with pytest.raises(hg.errors.ProblemError, match=r"takes a key of hparams, got 0\.1"):
        make(0.1)


def test_a_list_of_knots_is_one_array(regression):
    problem = regression.problem(hg.optim.SGD(hg.optim.PiecewiseLinear("lr")), 6)
    listed = hg.hypergradient(problem, {"lr": [0.1, 0.2, 0.05]})
    array = hg.hypergradient(problem, {"lr": np.array([0.1, 0.2, 0.05])})
    assert listed.value == array.value
    np.testing.assert_array_equal(listed.hypergradient["lr"], array.hypergradient["lr"])


@pytest.mark.parametrize("kind", ["number", "per step", "knots"])
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_a_rate_a_layer(regression, loop, kind, name):
    steps = 100
    numbers = {"u": 0.02, "v": 0.11}
    if kind == "number":
        lr, value, rows = "lr", numbers, {k: np.full(steps, v) for k, v in numbers.items()}
    elif kind == "per step":
        value = rows = {k: np.linspace(v, v / 3, steps) for k, v in numbers.items()}
        lr = hg.optim.PerStep("lr")
    else:
        value = {k: np.array([v, v / 3]) for k, v in numbers.items()}
        rows = {k: np.linspace(v, v / 3, steps) for k, v in numbers.items()}
        lr = hg.optim.PiecewiseLinear("lr")
    layers = np.concatenate([np.tile(rows["u"], (3, 1)), np.tile(rows["v"], (2, 1))]).T  # (steps, 5)

    def rule(w, g, slots, t):
        if name == "sgd":
            return w - layers[t - 1] * g, []
        if name == "momentum":
            m = 0.9 * slots[0] + g
            return w - layers[t - 1] * m, [m]
        m, v = 0.9 * slots[0] + 0.1 * g, 0.999 * slots[1] + 0.001 * g**2
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        return w - layers[t - 1] * step, [m, v]

    expected = loop(rule, {"sgd": 0, "momentum": 1, "adam": 2}[name], steps)
    found = regression.train(hg.optim.OPTIMIZERS[name](lr), {"lr": value}, steps)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_every_rate_may_be_a_layers(regression, loop):
    value = {"mu": {"u": 0.5, "v": 0.9}, "lr": {"u": np.full(20, 0.1), "v": np.full(20, 0.03)}}
    optimizer = hg.optim.Momentum(hg.optim.PerStep("lr"), "mu")
    mu, lr = np.repeat([0.5, 0.9], [3, 2]), np.repeat([0.1, 0.03], [3, 2])

    def rule(w, g, slots, t):
        m = mu * slots[0] + g
        return w - lr * m, [m]

    np.testing.assert_allclose(regression.train(optimizer, value, 20), loop(rule, 1, 20), rtol=1e-12)
