"""A state has the dtype that init gives it; gradients come back in the dtype of the hyperparameters."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import ProblemError

SCHEDULES = {
    "a number": ("lr", 0.2),
    "a step": (hg.optim.PerStep("lr"), np.linspace(0.3, 0.1, 12)),
    "knots": (hg.optim.PiecewiseLinear("lr", log=True), np.array([0.3, 0.1])),
    "a layer": ("lr", {"w": 0.2, "b": 0.1}),
}


def cast(tree, dtype):
    return hg.tree.map(lambda leaf: np.asarray(leaf, dtype)[()], tree)


def single(classifier, **changes):
    problem = classifier(**changes)
    problem.init = lambda hparams, rng: {
        "w": (hparams["scale"] * rng.standard_normal((3, 3))).astype(np.float32),
        "b": np.zeros(3, np.float32),
    }
    return problem


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_a_single_precision_state_stays_single_whatever_the_hyperparameters(classifier, hparams, name, kind):
    schedule, lr = SCHEDULES[kind]
    optimizer = hg.optim.OPTIMIZERS[name](schedule)
    seen = set()

    def loss(params, h, batch):
        seen.update({params["w"].dtype, batch["x"].dtype, h["l2"].dtype, h["scale"].dtype})
        z = batch["x"] @ params["w"] + params["b"]
        return hg.nn.softmax_cross_entropy(z, batch["y"]).mean() + np.sum(h["l2"] * params["w"] ** 2)

    made = single(classifier, optimizer=optimizer, inner_loss=loss)
    given = {**hparams, "lr": lr}
    result = hg.hypergradient(made, given)
    assert {leaf.dtype for leaf in hg.tree.leaves(result.params)} == {np.dtype(np.float32)}
    assert {leaf.dtype for leaf in hg.tree.leaves(result.hypergradient)} == {np.dtype(float)}
    assert seen == {np.dtype(np.float32)}
    double = hg.hypergradient(classifier(optimizer=optimizer, inner_loss=loss), given)
    np.testing.assert_allclose(result.value, double.value, rtol=1e-5)
    for found, expected in zip(
        hg.tree.leaves(result.hypergradient), hg.tree.leaves(double.hypergradient), strict=True
    ):
        assert np.linalg.norm(found - expected) <= 1e-3 * np.linalg.norm(expected) + 1e-6


@pytest.mark.parametrize("state", [np.float32, np.float64])
@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_gradients_have_the_dtype_of_their_hyperparameters(classifier, hparams, state, given):
    problem = classifier()
    problem.init = lambda h, rng: {"w": (h["scale"] * np.ones((3, 3))).astype(state), "b": np.zeros(3, state)}
    result = hg.hypergradient(problem, cast(hparams, given))
    assert {leaf.dtype for leaf in hg.tree.leaves(result.hypergradient)} == {np.dtype(given)}
    assert {leaf.dtype for leaf in hg.tree.leaves(result.params)} == {np.dtype(state)}
    double = hg.hypergradient(
        classifier(init=lambda h, rng: {"w": h["scale"] * np.ones((3, 3)), "b": np.zeros(3)}), hparams
    )
    for key, expected in double.hypergradient.items():
        np.testing.assert_allclose(result.hypergradient[key], expected, rtol=1e-3, atol=1e-5)


def test_python_floats_do_not_widen_a_first_state(classifier, hparams):
    problem = classifier()
    problem.init = lambda h, rng: {
        "w": h["scale"] * np.ones((3, 3), np.float32),
        "b": 0.0 * np.ones(3, np.float32),
    }
    assert hg.train(problem, hparams).params["w"].dtype == np.float32


NUMPY_NUMBERS = [
    np.float64(0.5),
    np.array(0.5),
]  # such as ``hparams[key] -= rate * gradient[key]`` leaves behind


@pytest.mark.parametrize("number", NUMPY_NUMBERS, ids=["scalar", "array"])
def test_a_number_of_numpy_does_not_widen_one_leaf(classifier, hparams, number):
    problem = classifier()
    problem.init = lambda h, rng: {
        "w": h["scale"] * np.ones((3, 3), np.float32),
        "b": np.zeros(3, np.float32),
    }
    assert hg.train(problem, {**hparams, "scale": number}).params["w"].dtype == np.float32


@pytest.mark.parametrize("number", NUMPY_NUMBERS, ids=["scalar", "array"])
def test_a_number_of_numpy_does_not_widen_every_leaf(number):
    problem = hg.UnrolledProblem(
        init=lambda h, rng: h["scale"] * np.ones(3, np.float32),
        step=lambda s, h, b, t: s,
        outer_loss=lambda s, h, v: np.sum(s),
        steps=1,
    )
    assert hg.train(problem, {"scale": number}).params.dtype == np.float32


def test_python_floats_in_a_first_state_take_the_dtype_of_the_arrays(classifier, hparams):
    problem = classifier()
    problem.init = lambda h, rng: {"w": np.ones((3, 3), np.float32), "b": 0.0}
    result = hg.train(problem, hparams)
    assert result.params["b"].dtype == np.float32
    assert result.params["b"].shape == ()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {"w": np.ones((3, 3), np.float32), "b": np.zeros(3)},
            "init returned 'b' in float64 and 'w' in float32",
        ),
        (
            {"w": np.ones((3, 3), int), "b": np.zeros(3)},
            "init returned int64 at 'w'; the state holds float arrays",
        ),
        ({"w": np.ones((3, 3)), "b": 0}, "init returned 0 at 'b'"),
    ],
)
def test_a_first_state_of_mixed_dtypes_is_named(classifier, hparams, state, message):
    with pytest.raises(ProblemError, match=message):
        hg.train(classifier(init=lambda h, rng: state), hparams)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, bool, np.float16])
def test_data_of_any_number_dtype(classifier, hparams, dtype):
    x = np.random.default_rng(0).integers(0, 2, (20, 3))
    made = {
        kind: classifier(train={"x": x.astype(kind), "y": (np.arange(20) % 3)}) for kind in (dtype, float)
    }
    found, expected = (hg.hypergradient(made[kind], hparams) for kind in (dtype, float))
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-12)
    np.testing.assert_allclose(found.hypergradient["l2"], expected.hypergradient["l2"], rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint16])
def test_labels_of_any_integer_dtype(classifier, hparams, dtype):
    problem = classifier()
    expected = hg.train(problem, hparams).value
    problem = classifier(train={**problem.train, "y": problem.train["y"].astype(dtype)})
    assert hg.train(problem, hparams).value == expected
