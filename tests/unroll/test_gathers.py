"""Hyperparameters that a step reads by rows: the same hypergradient as by whole arrays, without their cost."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.unroll import gathers
from hypergrad.unroll.trajectory import Trajectory

ROWS, FEATURES, STEPS = 1500, 3, 6
RNG = np.random.default_rng(4)
DATA = {
    "x": RNG.standard_normal((ROWS, FEATURES)),
    "y": RNG.standard_normal(ROWS),
    "i": np.arange(ROWS),
    "back": np.arange(ROWS) - ROWS,  # the same rows, counted from the end
    "group": RNG.integers(0, 40, ROWS),
}


def errors(params, x, y):
    return (np.tanh(x @ params["w"]) - y) ** 2


def weights(params, h, batch):
    return np.mean(hg.nn.sigmoid(h["weight"])[batch["i"]] * errors(params, batch["x"], batch["y"]))


def counted_from_the_end(params, h, batch):
    return np.mean(h["weight"][batch["back"]] * errors(params, batch["x"], batch["y"]))


def read_twice(params, h, batch):
    first = np.mean(h["weight"][batch["i"]] * errors(params, batch["x"], batch["y"]))
    return first + np.mean(h["weight"][batch["group"]] ** 2 * errors(params, batch["x"], 0.0))


def with_other_rates(params, h, batch):
    """One hyperparameter read by rows between two that are not, and one that is read both ways."""
    by_row = np.mean(h["weight"][batch["i"]] * errors(params, batch["x"], batch["y"]))
    both = np.mean(np.tanh(h["z"] * params["w"][0])) * np.mean(h["z"][batch["i"]])
    return by_row + h["a"] * np.sum(params["w"] ** 2) + both


def data(params, h, batch):
    return np.mean(errors(params, h["x"][batch["i"]], h["y"][batch["i"]]))


def pairs(params, h, batch):
    """An index of two arrays."""
    return np.mean(h["table"][batch["group"], batch["i"] % 40] * errors(params, batch["x"], batch["y"]))


CASES = {
    "weights": (weights, {"weight": RNG.standard_normal(ROWS)}, 1),
    "counted from the end": (counted_from_the_end, {"weight": RNG.standard_normal(ROWS)}, 1),
    "read twice": (read_twice, {"weight": RNG.standard_normal(ROWS)}, 2),
    "with other rates": (
        with_other_rates,
        {"a": 0.1, "weight": RNG.standard_normal(ROWS), "z": RNG.standard_normal(ROWS), "lr": 0.2},
        1,
    ),
    "data": (data, {"x": DATA["x"], "y": DATA["y"]}, 2),
    "a table": (pairs, {"table": RNG.standard_normal((40, 40))}, 1),
}
DRAWN = {"batch_size": 25}
REPEATED = {"batches": RNG.integers(0, 30, (STEPS, 20))}  # the same row twice in a batch
BATCHES = {"drawn": DRAWN, "repeated": REPEATED, "all": {}}


def build(inner_loss, hparams, batches, dtype=float, **more):
    def init(h, rng):
        return {"w": np.linspace(-1.0, 1.0, FEATURES).astype(dtype)}

    def outer(params, h, valid):
        return np.sum((params["w"] - 0.5) ** 2)

    optimizer = hg.optim.Momentum("lr" if "lr" in hparams else 0.2, 0.5)
    options = {"train": DATA, "valid": None, "optimizer": optimizer, "steps": STEPS, **batches, **more}
    return hg.BilevelProblem(init=init, inner_loss=inner_loss, outer_loss=outer, **options)


def count(problem, hparams):
    return len(Trajectory(problem, hparams, 0).code.gathers)


@pytest.fixture
def whole(monkeypatch):
    """``whole()``: from now on every hyperparameter is read as a whole array."""
    return lambda: monkeypatch.setattr(gathers, "_LARGE", 1 << 40)


@pytest.mark.parametrize("batches", BATCHES)
@pytest.mark.parametrize("name", CASES)
def test_the_hypergradient_is_that_of_whole_arrays(whole, name, batches):
    inner_loss, hparams, expected_count = CASES[name]
    problem = build(inner_loss, hparams, BATCHES[batches])
    assert count(problem, hparams) == expected_count
    methods = [hg.Reverse(), hg.Reverse(checkpoints=2), hg.Truncated(steps=2), hg.DrMAD()]
    found = [hg.hypergradient(problem, hparams, method=method, seed=3) for method in methods]
    whole()
    problem = build(inner_loss, hparams, BATCHES[batches])
    assert count(problem, hparams) == 0
    for method, result in zip(methods, found, strict=True):
        expected = hg.hypergradient(problem, hparams, method=method, seed=3)
        assert result.value == expected.value
        for a, b in zip(
            hg.tree.leaves(result.hypergradient), hg.tree.leaves(expected.hypergradient), strict=True
        ):
            assert np.linalg.norm(b) > 0
            assert np.linalg.norm(a - b) <= 1e-13 * np.linalg.norm(b)


@pytest.mark.parametrize("batches", BATCHES)
@pytest.mark.parametrize("name", CASES)
def test_the_hypergradient_is_the_central_difference_along_a_direction(name, batches):
    inner_loss, hparams, _ = CASES[name]
    problem = build(inner_loss, hparams, BATCHES[batches])
    gradient = hg.hypergradient(problem, hparams, seed=3).hypergradient
    rng = np.random.default_rng(0)
    towards = {key: rng.standard_normal(np.shape(value)) for key, value in hparams.items()}

    def value(step):
        moved = {key: value + step * towards[key] for key, value in hparams.items()}
        return hg.train(problem, moved, seed=3).value

    h = 1e-4
    expected = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    found = sum(np.sum(gradient[key] * towards[key]) for key in hparams)
    assert abs(found - expected) <= 1e-8 * abs(expected)


def test_single_precision_and_its_dtype():
    inner_loss, hparams, _ = CASES["data"]
    double = hg.hypergradient(build(inner_loss, hparams, DRAWN), hparams).hypergradient
    single = {key: value.astype(np.float32) for key, value in hparams.items()}
    found = hg.hypergradient(build(inner_loss, single, DRAWN, np.float32), single).hypergradient
    for key, value in found.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, double[key], rtol=1e-3, atol=1e-5)


def test_an_index_that_depends_on_the_state_is_read_as_a_whole():
    def inner_loss(params, h, batch):
        row = np.argmax(params["w"])
        return np.mean(h["weight"][batch["i"] * 0 + row] * errors(params, batch["x"], batch["y"]))

    hparams = {"weight": RNG.standard_normal(ROWS)}
    problem = build(inner_loss, hparams, DRAWN)
    assert count(problem, hparams) == 0
    found = hg.hypergradient(problem, hparams).hypergradient["weight"]
    assert np.count_nonzero(found) == 1


def test_few_entries_are_read_as_a_whole():
    hparams = {"weight": np.ones(40)}
    problem = build(
        lambda p, h, b: np.mean(h["weight"][b["group"]] * errors(p, b["x"], b["y"])), hparams, DRAWN
    )
    assert count(problem, hparams) == 0


@pytest.mark.parametrize("index", [[3, 1, 4], [3, 1, 3], [-1, 4, 0]])
def test_rows_are_added_one_after_the_other(index):
    rows, total = RNG.standard_normal((3, 2)), np.ones((5, 2))
    expected = total.copy()
    for i, row in zip(index, rows, strict=True):
        expected[i] += row
    gathers.add_rows(total, ("array",), [np.array(index)], rows)
    np.testing.assert_allclose(total, expected, rtol=1e-15)


def test_forward_mode_agrees():
    inner_loss, hparams, _ = CASES["with other rates"]
    problem = build(inner_loss, hparams, REPEATED)
    reverse = hg.hypergradient(problem, hparams).hypergradient
    forward = hg.hypergradient(problem, hparams, method=hg.Forward(), wrt=["a", "lr"]).hypergradient
    for key in ("a", "lr"):
        np.testing.assert_allclose(forward[key], reverse[key], rtol=1e-12)
