"""Labels and row numbers out of range are found before training, wherever they lie in the data."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import ProblemError, ShapeError

X = np.random.default_rng(0).standard_normal((30, 2))
Y = np.arange(30) % 3


def classifier(train_labels, valid_labels, **options):
    def loss(params, hparams, batch):
        return hg.nn.softmax_cross_entropy(batch["x"] @ params["w"], batch["y"]).mean()

    return hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros((2, 3))},
        inner_loss=loss,
        outer_loss=loss,
        train={"x": X, "y": train_labels},
        valid={"x": X, "y": valid_labels},
        optimizer=hg.optim.SGD("lr"),
        **{"steps": 2, "batch_size": 4, **options},
    )


def changed(row, label):
    labels = Y.copy()
    labels[row] = label
    return labels


@pytest.mark.parametrize("batch_size", [None, 1, 4, 30])
@pytest.mark.parametrize("label", [3, -1])
@pytest.mark.parametrize("row", [0, 17, 29])
def test_a_label_out_of_range_is_named(batch_size, label, row):
    made = classifier(changed(row, label), Y, batch_size=batch_size)
    with pytest.raises(ShapeError, match=r"labels run from .* but there are 3 classes, at .*test_rehearsal"):
        hg.train(made, {"lr": 0.1})
    with pytest.raises(ShapeError, match="there are 3 classes"):
        hg.hypergradient(made, {"lr": 0.1})


def test_a_validation_label_out_of_range_is_named():
    with pytest.raises(ShapeError, match="labels run from 0 to 7, but there are 3 classes"):
        hg.train(classifier(Y, changed(9, 7)), {"lr": 0.1})


def test_rows_that_no_explicit_batch_holds_do_not_count():
    used = np.array([[0, 1, 2], [3, 4, 5]])
    made = classifier(changed(17, -1), Y, batch_size=None, batches=used)
    assert np.isfinite(hg.train(made, {"lr": 0.1}).value)
    with pytest.raises(ShapeError):
        hg.train(classifier(changed(4, -1), Y, batch_size=None, batches=used), {"lr": 0.1})


@pytest.mark.parametrize("index", [30, -31])
def test_a_row_number_out_of_range_is_named(index):
    made = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(2)},
        inner_loss=lambda p, h, b: np.mean(np.exp(h["weights"])[b["i"]] * (b["x"] @ p["w"] - 1.0) ** 2),
        outer_loss=lambda p, h, v: np.sum(p["w"] ** 2),
        train={"x": X, "i": np.where(np.arange(30) == 11, index, np.arange(30))},
        valid=None,
        optimizer=hg.optim.SGD("lr"),
        steps=2,
        batch_size=4,
    )
    with pytest.raises(
        ProblemError, match=f"an integer of train is out of range .* {index} is out of bounds"
    ):
        hg.hypergradient(made, {"lr": 0.1, "weights": np.zeros(30)})


def test_the_rehearsal_leaves_data_and_results_as_they_are():
    x, y = X.copy(), Y.copy()

    def greedy(params, hparams, batch):
        z = batch["x"]
        z -= 1.0  # in place on plain arrays, a new value when traced
        return hg.nn.softmax_cross_entropy(z @ params["w"], batch["y"]).mean()

    made = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros((2, 3)), "s": 1.0},
        inner_loss=greedy,
        outer_loss=greedy,
        train={"x": x, "y": y},
        valid={"x": x, "y": y},
        optimizer=hg.optim.SGD("lr"),
        steps=2,
    )
    values = [hg.train(made, {"lr": 0.1}).value for _ in range(2)]
    assert values[0] == values[1]
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


def test_the_functions_run_once_more_a_signature_only_where_there_are_integers():
    calls = []

    def loss(params, hparams, batch):
        calls.append(type(params["w"]).__name__)
        return np.mean((batch["x"] @ params["w"]) ** 2)

    def made(train):
        return hg.BilevelProblem(
            init=lambda hparams, rng: {"w": np.ones(2)},
            inner_loss=loss,
            outer_loss=lambda p, h, v: np.sum(p["w"] ** 2),
            train=train,
            valid=None,
            optimizer=hg.optim.SGD("lr"),
            steps=2,
        )

    hg.train(made({"x": X}), {"lr": 0.1})
    assert "ndarray" not in calls
    problem = made({"x": X, "i": Y})
    for seed in range(3):
        hg.train(problem, {"lr": 0.1}, seed=seed)
    assert calls.count("ndarray") == 1
