"""Hypergradients of training: 1e-10 of JAX and 1e-6 of central differences, relative to each leaf's norm.

The oracle unrolls the same updates in JAX, written from the optimisers' definitions:

    SGD       w' = w - lr g
    Momentum  m' = momentum m + g,                   w' = w - lr m'
    Adam      m' = b1 m + (1-b1) g, v' = b2 v + (1-b2) g^2,
              w' = w - lr (m' / (1-b1^t)) / (sqrt(v' / (1-b2^t)) + 1e-8),   t = 1, 2, ...
"""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
import pytest

import hypergrad as hg

T, B, CLASSES = 12, 6, 3
RNG = np.random.default_rng(7)
TRAIN = {"x": RNG.standard_normal((30, 5)), "y": RNG.integers(0, CLASSES, 30)}
VALID = {"x": RNG.standard_normal((20, 5)), "y": RNG.integers(0, CLASSES, 20)}
BATCHES = RNG.integers(0, 30, (T, B))
SIZES = {"softmax": (5, CLASSES), "network": (5, 4, CLASSES)}
DRAWS = {
    model: {
        f"layer{i}": {"w": RNG.standard_normal((p, q)), "b": 0.1 * RNG.standard_normal(q)}
        for i, (p, q) in enumerate(pairwise(sizes), start=1)
    }
    for model, sizes in SIZES.items()
}


def per_weight(model, low, high):
    """One penalty a weight, between `low` and `high`."""
    rng = np.random.default_rng(len(model))
    return {layer: rng.uniform(low, high, leaves["w"].shape) for layer, leaves in DRAWS[model].items()}


RATES = {
    "constant": np.array(0.15),
    "per step": np.linspace(0.05, 0.3, T),
    "knots": np.array([0.05, 0.3, 0.2, 0.1]),
}
SCHEDULES = {
    "constant": lambda: "lr",
    "per step": lambda: hg.optim.PerStep("lr"),
    "knots": lambda: hg.optim.PiecewiseLinear("lr"),
}
REST = {
    "SGD": {},
    "Momentum": {"momentum": np.array(0.8)},
    "Adam": {"b1": np.array(0.8), "b2": np.array(0.95)},
}


def optimizer(name, rate):
    """The optimiser under test; hparams "lr" is read through the schedule `rate`."""
    lr = SCHEDULES[rate]()
    if name == "SGD":
        return hg.optim.SGD(lr=lr)
    if name == "Momentum":
        return hg.optim.Momentum(lr=lr, momentum="momentum")
    return hg.optim.Adam(lr=lr, betas=("b1", "b2"))


def settings(model, name, rate, penalty="per weight"):
    """Every hyperparameter of a case at once."""
    l2 = per_weight(model, 0.01, 0.2) if penalty == "per weight" else np.array(0.05)
    return {"lr": RATES[rate], "l2": l2, "scale": np.array(0.7), **REST[name]}


def init(draws):
    """Fixed draws times the scale, in the dtype of the draws whatever that of the scale."""
    return lambda hparams, rng: {
        layer: {"w": (hparams["scale"] * leaves["w"]).astype(leaves["w"].dtype), "b": leaves["b"]}
        for layer, leaves in draws.items()
    }


def logits(xp, params, x):
    layers = list(params)
    for layer in layers[:-1]:
        x = xp.tanh(x @ params[layer]["w"] + params[layer]["b"])
    return x @ params[layers[-1]]["w"] + params[layers[-1]]["b"]


def penalty(xp, params, l2):
    strength = l2 if isinstance(l2, dict) else dict.fromkeys(params, l2)
    return 0.5 * sum(xp.sum(strength[layer] * params[layer]["w"] ** 2) for layer in params)


def cross_entropy(params, batch):
    return hg.nn.softmax_cross_entropy(logits(np, params, batch["x"]), batch["y"]).mean()


def problem(model, optimiser, dtype=np.float64, **options):
    """The case as a BilevelProblem; batches are explicit unless `options` say otherwise."""
    cast = lambda data: {"x": data["x"].astype(dtype), "y": data["y"]}
    draws = {layer: {k: v.astype(dtype) for k, v in leaves.items()} for layer, leaves in DRAWS[model].items()}
    return hg.BilevelProblem(
        **{
            "init": init(draws),
            "inner_loss": lambda params, hparams, batch: (
                cross_entropy(params, batch) + penalty(np, params, hparams["l2"])
            ),
            "outer_loss": lambda params, hparams, batch: cross_entropy(params, batch),
            "train": cast(TRAIN),
            "valid": cast(VALID),
            "optimizer": optimiser,
            "steps": T,
            "batches": BATCHES,
        }
        | options
    )


@functools.cache
def unrolled(model, name):
    """JAX's value and gradient of the same training, by one learning rate a step and one penalty a weight."""
    import jax
    import jax.numpy as jnp

    def cross(params, x, y):
        rows = jax.nn.log_softmax(logits(jnp, params, x))
        return -jnp.mean(jnp.sum(jax.nn.one_hot(y, CLASSES, dtype=x.dtype) * rows, axis=1))

    def loss(params, hparams, x, y):
        return cross(params, x, y) + penalty(jnp, params, hparams["l2"])

    def update(hparams, lr, t, params, slots, g):
        of = jax.tree.map
        if name == "SGD":
            return of(lambda w, d: w - lr * d, params, g), slots
        if name == "Momentum":
            m = of(lambda m, d: hparams["momentum"] * m + d, slots, g)
            return of(lambda w, m: w - lr * m, params, m), m
        b1, b2 = hparams["b1"], hparams["b2"]
        m = of(lambda m, d: b1 * m + (1 - b1) * d, slots[0], g)
        v = of(lambda v, d: b2 * v + (1 - b2) * d**2, slots[1], g)
        step = lambda w, m, v: w - lr * (m / (1 - b1**t)) / (jnp.sqrt(v / (1 - b2**t)) + 1e-8)
        return of(step, params, m, v), (m, v)

    def outer(hparams):
        params = init(DRAWS[model])(hparams, None)
        zeros = jax.tree.map(jnp.zeros_like, params)
        slots = {"SGD": (), "Momentum": zeros, "Adam": (zeros, zeros)}[name]
        rows = (hparams["lr"], jnp.arange(1.0, T + 1), jnp.asarray(BATCHES))

        def step(carry, row):
            params, slots = carry
            lr, t, index = row
            g = jax.grad(loss)(
                params, hparams, jnp.asarray(TRAIN["x"])[index], jnp.asarray(TRAIN["y"])[index]
            )
            return update(hparams, lr, t, params, slots, g), None

        (params, _), _ = jax.lax.scan(step, (params, slots), rows)
        return cross(params, jnp.asarray(VALID["x"]), jnp.asarray(VALID["y"]))

    return jax.jit(jax.value_and_grad(outer))


def by_jax(jax, model, name, rate, hparams):
    """(value, gradient) of any schedule and penalty: the chain rule through `unrolled`."""
    jnp = jax.numpy

    def expand(hparams):
        lr, l2 = hparams["lr"], hparams["l2"]
        if rate == "knots":
            lr = jnp.interp(jnp.arange(float(T)), jnp.linspace(0.0, T - 1.0, len(lr)), lr)
        if not isinstance(l2, dict):
            l2 = {k: jnp.broadcast_to(l2, leaves["w"].shape) for k, leaves in DRAWS[model].items()}
        return {**hparams, "lr": jnp.broadcast_to(lr, (T,)), "l2": l2}

    full, pullback = jax.vjp(expand, hparams)
    value, gradient = unrolled(model, name)(full)
    return float(value), pullback(gradient)[0]


CASES = [(model, name, rate) for model in SIZES for name in REST for rate in RATES]


@pytest.mark.parametrize(("model", "name", "rate"), CASES)
def test_all_hyperparameters_at_once_equal_jax(model, name, rate, jax, close_leaves):
    """lr, momentum or betas, one penalty a weight, and the initial scale."""
    hparams = settings(model, name, rate)
    found = hg.hypergradient(problem(model, optimizer(name, rate)), hparams)
    value, gradient = by_jax(jax, model, name, rate, hparams)
    assert found.value == pytest.approx(value, rel=1e-12)
    close_leaves(found.hypergradient, gradient, 1e-10)


@pytest.mark.parametrize(("model", "name", "rate"), CASES)
def test_all_hyperparameters_at_once_equal_central_differences(
    model, name, rate, central_differences, close_leaves
):
    hparams = settings(model, name, rate)
    case = problem(model, optimizer(name, rate))
    found = hg.hypergradient(case, hparams)
    leaves = {key: leaf for key, leaf in hparams.items() if key != "l2"}
    value = lambda h: hg.train(case, {**hparams, **h}).value
    expected = {key: central_differences(value, leaves, key) for key in leaves}
    layers = hparams["l2"]
    value_l2 = lambda l2: hg.train(case, {**hparams, "l2": l2}).value
    expected["l2"] = {layer: central_differences(value_l2, layers, layer) for layer in layers}
    close_leaves(found.hypergradient, expected, 1e-6)


@pytest.mark.parametrize("model", SIZES)
@pytest.mark.parametrize("name", REST)
def test_one_scalar_penalty(model, name, jax, close_leaves, central_differences):
    hparams = settings(model, name, "constant", penalty="scalar")
    case = problem(model, optimizer(name, "constant"))
    found = hg.hypergradient(case, hparams)
    value, gradient = by_jax(jax, model, name, "constant", hparams)
    assert found.value == pytest.approx(value, rel=1e-12)
    close_leaves(found.hypergradient, gradient, 1e-10)
    outcome = lambda h: hg.train(case, h).value
    differences = {key: central_differences(outcome, hparams, key) for key in hparams}
    close_leaves(found.hypergradient, differences, 1e-6)


@pytest.mark.parametrize("model", SIZES)
@pytest.mark.parametrize("name", REST)
def test_single_precision(model, name, jax, close_leaves):
    """float32 training stays within 1e-4 of the float64 derivative, in the dtypes of the hyperparameters."""
    double = settings(model, name, "per step")
    single = {
        key: {k: v.astype(np.float32) for k, v in leaf.items()}
        if isinstance(leaf, dict)
        else leaf.astype(np.float32)
        for key, leaf in double.items()
    }
    _, gradient = by_jax(jax, model, name, "per step", double)
    case = problem(model, optimizer(name, "per step"), np.float32)
    for hparams, dtype in ((single, np.float32), (double, np.float64)):
        found = hg.hypergradient(case, hparams)
        assert all(leaf.dtype == dtype for leaf in hg.tree.leaves(found.hypergradient))
        assert all(leaf.dtype == np.float32 for leaf in hg.tree.leaves(found.params))
        close_leaves(found.hypergradient, gradient, 1e-4)


def test_a_learning_rate_a_step_and_layer(jax, close_leaves):
    """PerStep reads a dict over the top-level keys of params; momentum a step at the same time."""
    jnp = jax.numpy
    layers = ["layer1", "layer2"]
    hparams = {
        "lr": {"layer1": np.linspace(0.1, 0.3, T), "layer2": np.linspace(0.2, 0.05, T)},
        "momentum": np.linspace(0.5, 0.9, T),
        "l2": np.array(0.05),
        "scale": np.array(0.7),
    }
    case = problem(
        "network",
        hg.optim.Momentum(lr=hg.optim.PerStep("lr"), momentum=hg.optim.PerStep("momentum")),
    )

    def cross(params, x, y):
        rows = jax.nn.log_softmax(logits(jnp, params, x))
        return -jnp.mean(jnp.sum(y * rows, axis=1))

    def outer(hparams):
        params = init(DRAWS["network"])(hparams, None)

        def step(carry, row):
            params, m = carry
            lr, momentum, x, y = row
            loss = lambda p: cross(p, x, y) + penalty(jnp, p, hparams["l2"])
            m = jax.tree.map(lambda m, d: momentum * m + d, m, jax.grad(loss)(params))
            update = lambda layer: jax.tree.map(lambda w, v: w - lr[layer] * v, params[layer], m[layer])
            return ({layer: update(layer) for layer in layers}, m), None

        rows = (hparams["lr"], hparams["momentum"], TRAIN["x"][BATCHES], np.eye(CLASSES)[TRAIN["y"]][BATCHES])
        (params, _), _ = jax.lax.scan(step, (params, jax.tree.map(jnp.zeros_like, params)), rows)
        return cross(params, VALID["x"], np.eye(CLASSES)[VALID["y"]])

    value, gradient = jax.jit(jax.value_and_grad(outer))(hparams)
    found = hg.hypergradient(case, hparams)
    assert found.value == pytest.approx(float(value), rel=1e-12)
    close_leaves(found.hypergradient, gradient, 1e-10)


def test_batches_drawn_by_the_problem(central_differences, close_leaves):
    """batch_size: the same seed draws the same batches, another seed others; the derivative holds for all."""
    case = problem("softmax", optimizer("Momentum", "per step"), batches=None, batch_size=B)
    hparams = settings("softmax", "Momentum", "per step", penalty="scalar")
    first = hg.hypergradient(case, hparams, seed=3)
    again = hg.hypergradient(case, hparams, seed=3)
    other = hg.hypergradient(case, hparams, seed=4)
    assert first.value == again.value != other.value
    hg.tree.map(np.testing.assert_array_equal, first.hypergradient, again.hypergradient)
    for seed, result in ((3, first), (4, other)):
        outcome = lambda h, seed=seed: hg.train(case, h, seed=seed).value
        expected = {key: central_differences(outcome, hparams, key) for key in hparams}
        close_leaves(result.hypergradient, expected, 1e-6)


def test_the_whole_batch_ignores_the_order_of_rows():
    """batch_size=None trains on all rows: the seed changes nothing when init draws nothing."""
    case = problem("softmax", optimizer("SGD", "constant"), batches=None)
    hparams = settings("softmax", "SGD", "constant")
    assert hg.train(case, hparams, seed=0).value == hg.train(case, hparams, seed=1).value


@pytest.mark.parametrize("name", REST)
def test_an_initial_scale_of_random_draws(name, central_differences, close_leaves):
    """init may draw from its generator: keyed by the seed, so that differences see the same draws."""

    def drawn(hparams, rng):
        return {"layer1": {"w": hparams["scale"] * rng.standard_normal((5, CLASSES)), "b": np.zeros(CLASSES)}}

    case = problem("softmax", optimizer(name, "constant"), init=drawn)
    hparams = settings("softmax", name, "constant", penalty="scalar")
    found = hg.hypergradient(case, hparams, seed=5)
    outcome = lambda h: hg.train(case, h, seed=5).value
    expected = {key: central_differences(outcome, hparams, key) for key in hparams}
    close_leaves(found.hypergradient, expected, 1e-6)
    assert hg.train(case, hparams, seed=6).value != found.value


def test_wrt_leaves_the_rest_out():
    hparams = settings("softmax", "Momentum", "constant", penalty="scalar")
    case = problem("softmax", optimizer("Momentum", "constant"))
    whole = hg.hypergradient(case, hparams)
    part = hg.hypergradient(case, hparams, wrt=["lr", "l2"])
    assert part.value == whole.value
    for key in ("lr", "l2"):
        assert abs(part.hypergradient[key] - whole.hypergradient[key]) <= 1e-12 * abs(
            whole.hypergradient[key]
        )
    assert part.hypergradient["momentum"] is None
    assert part.hypergradient["scale"] is None


def test_static_and_disconnected_hyperparameters():
    """int, bool, str and None have no derivative; a float that nothing reads has a zero and is named."""
    hparams = settings("softmax", "SGD", "constant", penalty="scalar")
    case = problem("softmax", optimizer("SGD", "constant"))
    result = hg.hypergradient(
        case,
        {**hparams, "unused": np.array([1.0, 2.0]), "depth": 3, "kind": "tanh", "flag": True, "no": None},
    )
    assert result.disconnected == ("unused",)
    np.testing.assert_array_equal(result.hypergradient["unused"], [0.0, 0.0])
    assert [result.hypergradient[key] for key in ("depth", "kind", "flag", "no")] == [None] * 4


def test_training_only_returns_the_same_value_and_no_hypergradient():
    hparams = settings("network", "Adam", "knots")
    case = problem("network", optimizer("Adam", "knots"))
    trained, derived = hg.train(case, hparams), hg.hypergradient(case, hparams)
    assert trained.hypergradient is None
    assert trained.value == derived.value
    assert trained.curve.shape == derived.curve.shape == (T,)
    hg.tree.map(np.testing.assert_array_equal, trained.params, derived.params)


def test_a_hyperparameter_of_the_outer_loss(close_leaves, central_differences):
    """Direct dependence and dependence through training add up."""
    case = problem(
        "softmax",
        optimizer("SGD", "constant"),
        outer_loss=lambda params, hparams, batch: (
            cross_entropy(params, batch) + hparams["l2"] ** 2 * np.sum(params["layer1"]["w"] ** 2)
        ),
    )
    hparams = settings("softmax", "SGD", "constant", penalty="scalar")
    found = hg.hypergradient(case, hparams)
    outcome = lambda h: hg.train(case, h).value
    close_leaves(
        found.hypergradient, {key: central_differences(outcome, hparams, key) for key in hparams}, 1e-6
    )


def test_a_diverged_run_is_data():
    """A learning rate of 1e200 ends without an exception: the value is not finite and the record says so."""
    hparams = settings("network", "SGD", "constant") | {"lr": np.array(1e200)}
    result = hg.hypergradient(problem("network", optimizer("SGD", "constant")), hparams)
    assert not np.isfinite(result.value)
    assert result.stats["finite"] is False


def test_draws_inside_the_loss(central_differences, close_leaves):
    """A fourth argument rng: noise keyed by seed and step, so that differences see the same noise."""

    def noisy(params, hparams, batch, rng):
        x = batch["x"] + hparams["noise"] * rng.standard_normal(batch["x"].shape)
        return cross_entropy(params, {"x": x, "y": batch["y"]})

    case = problem("softmax", optimizer("SGD", "constant"), inner_loss=noisy)
    hparams = {"lr": np.array(0.2), "noise": np.array(0.3), "scale": np.array(0.7)}
    found = hg.hypergradient(case, hparams, seed=1)
    outcome = lambda h: hg.train(case, h, seed=1).value
    expected = {key: central_differences(outcome, hparams, key) for key in hparams}
    close_leaves(found.hypergradient, expected, 1e-6)
    assert hg.train(case, hparams, seed=2).value != found.value
