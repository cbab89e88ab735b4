"""Random draws inside a step: keyed by (seed, t), differentiated pathwise, and frozen under differences."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.unroll.batches import generator

X = np.random.default_rng(0).standard_normal((20, 4))
Y = X @ np.array([1.0, -2.0, 0.5, 0.0])
STEPS = 5


def problem(noise, outer=None, **options):
    """Linear regression whose predictions pass through ``noise(prediction, hparams, rng)``."""

    def inner_loss(params, hparams, batch, rng):
        return np.mean((noise(batch["x"] @ params["w"], hparams, rng) - batch["y"]) ** 2)

    return hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.full(4, 0.1)},
        inner_loss=inner_loss,
        outer_loss=lambda params, hparams, valid: np.mean((valid["x"] @ params["w"] - valid["y"]) ** 2),
        train={"x": X, "y": Y},
        valid={"x": X, "y": Y},
        optimizer=hg.optim.Momentum("lr", 0.5),
        steps=STEPS,
        **{"batch_size": 6, **options},
    )


NOISES = {
    "normal": lambda z, h, rng: z + rng.normal(0.0, h["a"], z.shape),
    "normal, shape from its scale": lambda z, h, rng: z + rng.normal(scale=h["a"] * np.ones(z.shape)),
    "standard normal": lambda z, h, rng: z + h["a"] * rng.standard_normal(z.shape[0]),
    "uniform": lambda z, h, rng: z * rng.uniform(-h["a"], h["a"] + 1.0, z.shape),
    "one uniform": lambda z, h, rng: z * rng.uniform(0.0, h["a"]),
    "random": lambda z, h, rng: z + h["a"] * rng.random((6,)),
    "exponential": lambda z, h, rng: z + rng.exponential(h["a"], 6),
    "standard exponential": lambda z, h, rng: z * (1 + h["a"] * rng.standard_exponential()),
    "dropout": lambda z, h, rng: z * rng.binomial(1, 0.7, z.shape) / 0.7 + h["a"],
    "mask": lambda z, h, rng: np.where(rng.random(z.shape) < 0.7, z, 0.0) * h["a"],
    "several": lambda z, h, rng: (
        z + h["a"] * (rng.standard_normal(6) * rng.random() + rng.standard_normal(6))
    ),
}


@pytest.mark.parametrize("name", NOISES)
def test_the_hypergradient_is_the_difference_with_the_same_draws(name):
    made = problem(NOISES[name])
    hparams = {"lr": 0.05, "a": 0.3}
    found = hg.hypergradient(made, hparams, seed=3).hypergradient
    for key in hparams:
        step = 1e-6
        up, down = (hg.train(made, {**hparams, key: hparams[key] + e}, seed=3).value for e in (step, -step))
        np.testing.assert_allclose(found[key], (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


def test_draws_are_those_of_seed_and_step():
    made = problem(lambda z, h, rng: z + h["a"] * rng.standard_normal(z.shape))
    a, lr, momentum = 0.3, 0.05, np.zeros(4)
    w = np.full(4, 0.1)
    order = np.concatenate([generator(3, "batches", epoch).permutation(20)[:18] for epoch in range(2)])
    for t in range(STEPS):
        rows = order[6 * t : 6 * t + 6]
        noise = generator(3, "draws", t).standard_normal(6)
        residual = X[rows] @ w + a * noise - Y[rows]
        momentum = 0.5 * momentum + 2 * X[rows].T @ residual / 6
        w = w - lr * momentum
    found = hg.train(made, {"lr": lr, "a": a}, seed=3).params["w"]
    np.testing.assert_allclose(found, w, rtol=1e-12)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    made = problem(NOISES["dropout"])
    runs = [hg.hypergradient(made, {"lr": 0.05, "a": 0.3}, seed=seed) for seed in (1, 2, 1)]
    assert runs[0].value == runs[2].value
    assert runs[0].hypergradient == runs[2].hypergradient
    assert runs[0].value != runs[1].value


def test_draws_have_the_dtype_of_the_state():
    kinds = []

    def noise(z, h, rng):
        kinds.extend([rng.standard_normal(6).dtype, rng.binomial(1, 0.5, 6).dtype])
        return z + rng.normal(0.0, h["a"], 6)

    made = problem(noise)
    made.init = lambda hparams, rng: {"w": np.full(4, 0.1, np.float32)}
    result = hg.hypergradient(made, {"lr": 0.05, "a": 0.3})
    assert result.params["w"].dtype == np.float32
    assert set(kinds) == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda rng: rng.integers(3),
            r"rng\.integers is not available inside a traced loss, at .*test_draws",
        ),
        (lambda rng: rng.choice(3), r"rng\.choice"),
        (lambda rng: rng.permutation(3), r"use rng\.standard_normal, normal"),
        (lambda rng: rng.binomial(2, 0.5), "takes n=1, got 2"),
    ],
)
def test_a_draw_without_a_rule_is_named(draw, message):
    with pytest.raises(hg.errors.TracingError, match=message):
        hg.train(problem(lambda z, h, rng: z * draw(rng)), {"lr": 0.05})


def test_numpys_global_state_is_refused_in_a_loss():
    made = problem(lambda z, h, rng: z * np.random.rand())  # noqa: NPY002
    with pytest.raises(hg.errors.TracingError, match="inner_loss draws from NumPy's global random state"):
        hg.train(made, {"lr": 0.05})


@pytest.mark.parametrize(
    "loss",
    [
        lambda params, hparams, batch, rng: np.sum((params["w"] - rng.normal(size=4)) ** 2),
        lambda params, hparams, batch, rng=None: np.sum((params["w"] - rng.normal(size=4)) ** 2),
        lambda params, hparams, batch, *, rng: np.sum((params["w"] - rng.normal(size=4)) ** 2),
        lambda params, hparams, batch, source: np.sum((params["w"] - source.normal(size=4)) ** 2),
        lambda params, hparams, batch, scale=1.0, *, rng: np.sum(
            (params["w"] - scale * rng.normal(size=4)) ** 2
        ),
    ],
    ids=["positional", "default", "keyword", "another name", "after a default"],
)
def test_a_loss_asks_for_draws_by_its_arguments(loss):
    made = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(4)},
        inner_loss=loss,
        outer_loss=lambda params, hparams, valid: np.sum(params["w"]),
        train=None,
        valid=None,
        optimizer=hg.optim.SGD(0.5),
        steps=1,
    )
    expected = generator(0, "draws", 0).standard_normal(4).sum()
    np.testing.assert_allclose(hg.train(made, {}).value, expected, rtol=1e-12)


def test_a_general_step_may_draw():
    made = hg.UnrolledProblem(
        init=lambda hparams, rng: np.zeros(2),
        step=lambda state, hparams, batch, t, rng: state + hparams["a"] * rng.standard_normal(2),
        outer_loss=lambda state, hparams, valid: np.sum(state),
        steps=3,
    )
    total = sum(generator(5, "draws", t).standard_normal(2).sum() for t in range(3))
    result = hg.hypergradient(made, {"a": 2.0}, seed=5)
    np.testing.assert_allclose(result.value, 2.0 * total, rtol=1e-12)
    np.testing.assert_allclose(result.hypergradient["a"], total, rtol=1e-12)


@pytest.mark.parametrize(
    ("draw", "plain"),
    [
        (lambda rng, a: rng.normal(0.5, a, 3), lambda rng: rng.normal(0.5, 0.3, 3)),
        (lambda rng, a: rng.normal(a, a * np.ones((2, 3))), lambda rng: rng.normal(0.3, 0.3, (2, 3))),
        (lambda rng, a: rng.uniform(-a, a, 3), lambda rng: rng.uniform(-0.3, 0.3, 3)),
        (lambda rng, a: rng.normal(0.0, 0.3, 3) * (a / 0.3), lambda rng: rng.normal(0.0, 0.3, 3)),
    ],
)
def test_init_may_draw_with_traced_scales(draw, plain):
    made = hg.UnrolledProblem(
        init=lambda hparams, rng: draw(rng, hparams["a"]),
        step=lambda state, hparams, batch, t: state,
        outer_loss=lambda state, hparams, valid: np.sum(state**2),
        steps=1,
    )
    result = hg.hypergradient(made, {"a": 0.3}, seed=8)
    np.testing.assert_allclose(result.params, plain(generator(8, "init", 0)), rtol=1e-13)
    step = 1e-6
    up, down = (hg.train(made, {"a": 0.3 + e}, seed=8).value for e in (step, -step))
    np.testing.assert_allclose(result.hypergradient["a"], (up - down) / (2 * step), rtol=1e-7)


def test_the_generator_of_init_is_numpys():
    ours = generator(0, "init", 0)
    assert isinstance(ours, np.random.Generator)
    numpys = np.random.default_rng(np.random.SeedSequence([0, 0, 0]))
    np.testing.assert_array_equal(ours.normal(1.0, 2.0, 5), numpys.normal(1.0, 2.0, 5))
    np.testing.assert_array_equal(ours.uniform(size=3), numpys.uniform(size=3))
    np.testing.assert_array_equal(copy.deepcopy(ours).integers(9, size=3), ours.integers(9, size=3))
