"""The rows of cross-validation: scikit-learn's where it has them, and sentences where they contradict."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedKFold

import hypergrad as hg
from hypergrad.errors import ProblemError
from hypergrad.unroll.folds import fold_rows

X, Y = np.arange(22.0).reshape(11, 2), np.array([0, 1] * 5 + [0])


def init(hparams, rng):
    return {"w": np.zeros(2)}


def error(params, hparams, batch):
    return np.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)


def bilevel(**changes):
    return hg.BilevelProblem(
        **{
            "init": init,
            "inner_loss": error,
            "outer_loss": error,
            "train": {"x": X, "y": Y},
            "optimizer": hg.optim.SGD("lr"),
            "steps": 4,
            **changes,
        }
    )


@pytest.mark.parametrize("folds", [2, 3, 5, 11, np.int64(4)])
@pytest.mark.parametrize("seed", [None, 0, 7])
def test_k_folds_are_those_of_scikit_learn(folds, seed):
    theirs = KFold(int(folds), shuffle=seed is not None, random_state=seed).split(X)
    ours = fold_rows(folds, seed, 11, None)
    for (train, valid), (their_train, their_valid) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(valid, their_valid)


def test_a_splitter_sees_the_labels():
    splitter = StratifiedKFold(3, shuffle=True, random_state=1)
    problem = bilevel(folds=splitter)
    for one, (train, valid) in zip(problem.folds, splitter.split(X, Y), strict=True):
        np.testing.assert_array_equal(one.train["x"], X[train])
        np.testing.assert_array_equal(one.valid["y"], Y[valid])


def test_pairs_of_indices_or_masks_need_not_be_even():
    mask = np.arange(11) < 3
    problem = bilevel(folds=[([0, 1, 2, 2], [5]), (~mask, mask)])
    assert [len(one.train["y"]) for one in problem.folds] == [4, 8]
    assert [len(one.valid["y"]) for one in problem.folds] == [1, 3]
    assert problem.valid is None
    again = pickle.loads(pickle.dumps(problem))
    np.testing.assert_array_equal(again.folds[1].train["x"], X[3:])


def test_without_folds_there_are_none():
    assert bilevel(valid={"x": X, "y": Y}).folds == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "give valid, the data of outer_loss, or folds=K to hold out rows of train"),
        ({"folds": 1}, "folds must be 2 to 11, the number of training rows, got 1"),
        ({"folds": 12}, "folds must be 2 to 11, the number of training rows, got 12"),
        ({"folds": 3, "valid": {"x": X, "y": Y}}, "give valid or folds, not both"),
        ({"folds": 3, "train": None}, "folds divide the rows of train, but there are no training data"),
        ({"folds": 3, "batches": np.zeros((4, 2), int)}, "batches name rows of train, which folds divide"),
        ({"folds": 3, "batch_size": 8}, "batch_size 8 is more than the 7 training rows of fold 0"),
        ({"folds": 3, "fold_seed": -1}, "fold_seed must be an int, 0 or more, or None, got -1"),
        ({"folds": 2.5}, r"folds must be an int K, a splitter such as scikit-learn's KFold\(5\), or pairs .* got 2.5"),
        ({"folds": True}, "folds must be an int K"),
        ({"folds": "five"}, "folds must be an int K"),
        ({"folds": KFold}, "folds must be an int K"),
        ({"folds": [([0], [1])]}, "folds must be 2 or more, got 1; for one split give train and valid"),
        ({"folds": [([0], [1]), [2]]}, r"folds\[1\] must be a pair \(training rows, held out rows\), got \[2\]"),
        ({"folds": [([0], [1]), ([2], [])]}, r"the held out rows of folds\[1\] must be row indices, one or more"),
        ({"folds": [([0.0], [1])]}, r"the training rows of folds\[0\] must be row indices, .* got float64"),
        ({"folds": [([0], [11])]}, r"the held out rows of folds\[0\] are 11 to 11, but train has rows 0 to 10"),
        ({"folds": [([0], [-1])]}, r"the held out rows of folds\[0\] are -1 to -1"),
        ({"folds": [([0, 3], [1, 3])]}, r"folds\[0\] both trains on row 3 and holds it out"),
    ],
)  # fmt: skip
def test_contradictions_are_sentences(changes, message):
    with pytest.raises(ProblemError, match=message):
        bilevel(**changes)


def test_one_run_of_a_problem_with_folds_is_no_run():
    from hypergrad.hypergradients.prepare import unrolled

    with pytest.raises(ProblemError, match=r"the problem has 3 folds; give one of problem\.folds"):
        unrolled(bilevel(folds=3), {"lr": 0.1}, 0)


def test_folds_of_one_shape_share_their_programs():
    problem, hparams = bilevel(folds=3, fold_seed=None), {"lr": 1e-3}
    hg.hypergradient(problem, hparams)
    first, second, third = (next(iter(one.compiled.values())) for one in problem.folds)
    assert first.step is second.step
    assert first.step is not third.step  # 7, 7 and 8 rows
    np.testing.assert_array_equal(second.train[0], problem.folds[1].train["x"])
