"""Batches are permutations keyed by (seed, epoch); data are checked and named."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import ProblemError
from hypergrad.unroll.batches import Batches, arrays_of, generator, leaves_of, row_count


@pytest.mark.parametrize(("rows", "size"), [(12, 4), (13, 4), (5, 5), (7, 1), (9, 5)])
def test_an_epoch_is_a_permutation_whose_partial_batch_is_dropped(rows, size):
    batches = Batches(rows, 100, size)
    per_epoch = rows // size
    for epoch in range(3):
        seen = np.concatenate([batches.at(3, epoch * per_epoch + i) for i in range(per_epoch)])
        assert len(seen) == per_epoch * size
        assert len(set(seen.tolist())) == len(seen)
        assert set(seen.tolist()) <= set(range(rows))
        np.testing.assert_array_equal(seen, generator(3, "batches", epoch).permutation(rows)[: len(seen)])


def test_epochs_and_seeds_differ():
    batches = Batches(50, 10, 50)
    orders = [batches.at(seed, epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_any_step_can_be_replayed_in_any_order_and_with_other_seeds_between():
    batches = Batches(23, 40, 5)
    forward = {(seed, t): batches.at(seed, t).copy() for seed in (0, 1) for t in range(40)}
    for t in reversed(range(40)):
        for seed in (1, 0):
            np.testing.assert_array_equal(batches.at(seed, t), forward[seed, t])


def test_streams_of_one_seed_differ():
    draws = {name: generator(0, name, 0).random(4).tolist() for name in ("init", "batches", "draws")}
    assert len({tuple(draw) for draw in draws.values()}) == 3
    assert generator(0, "draws", 1).random() != generator(0, "draws", 2).random()
    assert generator(0, "draws", 1).random() == generator(0, "draws", 1).random()


def test_explicit_batches_are_used_as_given_and_copied():
    index = np.array([[0, 0], [3, 1]])
    batches = Batches(4, 2, None, index)
    index[:] = 0
    np.testing.assert_array_equal(batches.at(9, 1), [3, 1])
    assert batches.length == 2
    assert not batches.full


def test_a_full_batch_has_all_rows():
    batches = Batches(4, 2)
    assert batches.full
    assert batches.length == 4
    with pytest.raises(ProblemError, match="no row indices"):
        batches.at(0, 0)


@pytest.mark.parametrize(
    ("size", "explicit", "message"),
    [
        (0, None, "batch_size must be a positive int or None"),
        (-3, None, "got -3"),
        (2.0, None, r"got 2\.0"),
        (True, None, "got True"),
        (11, None, "batch_size 11 is more than the 10 training rows"),
        (2, np.zeros((3, 2), int), "give batch_size or batches, not both"),
        (None, np.zeros((4, 2), int), r"shape \(steps, B\) = \(3, B\).* got int64 of shape \(4, 2\)"),
        (None, np.zeros((3, 0), int), r"B >= 1, got int64 of shape \(3, 0\)"),
        (None, np.zeros((3, 2)), "integer row indices .* got float64"),
        (None, np.zeros(3, int), r"got int64 of shape \(3,\)"),
        (None, [[1], [1, 2], [3]], "the same number of rows at each step"),
        (None, np.full((3, 2), 10), "batches name rows 10 to 10, but train has rows 0 to 9"),
        (None, np.full((3, 2), -1), "batches name rows -1 to -1"),
    ],
)
def test_what_is_no_batch_is_named(size, explicit, message):
    with pytest.raises(ProblemError, match=message):
        Batches(10, 3, size, explicit)


@pytest.mark.parametrize(("size", "explicit"), [(3, None), (None, [[0], [0], [0]])])
def test_batches_need_data(size, explicit):
    with pytest.raises(ProblemError, match="training data"):
        Batches(None, 3, size, explicit)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"x": np.zeros((3, 2)), "y": np.zeros(2)}, r"train\['x'\] has 3 rows and train\['y'\] has 2 rows"),
        ({"y": np.array(["a", "b"])}, r"train\['y'\] must hold real numbers, got <U1; encode it first"),
        ({"y": np.array([1, None])}, r"train\['y'\] must hold real numbers, got object"),
        ({"y": np.array([1j])}, "got complex128"),
        ({"y": None}, r"train\['y'\] must hold real numbers, got object"),
        ({"n": 3.0}, r"train\['n'\] is one number; data are arrays with one row an example"),
        ({"x": [1.0, 2.0]}, r"train\['x/0'\] is one number; .* np\.asarray of a list"),
        ({"x": np.zeros((0, 2))}, r"train\['x'\] has no rows"),
        (np.zeros(0), "train has no rows"),
        ({"x": np.array([[0.0, 1.0], [np.nan, 2.0]])}, r"train\['x'\] holds nan in row 1; impute or drop it"),
        ({"x": np.array([1.0, -np.inf])}, r"train\['x'\] holds -inf in row 1"),
        (np.array([np.nan]), "train holds nan in row 0"),
    ],
)
def test_what_is_no_data_is_named(data, message):
    with pytest.raises(ProblemError, match=message):
        arrays_of(data, "train")


def test_data_of_any_tree_and_dtype():
    data = {"x": np.ones((3, 2), np.float32), "i": np.arange(3, dtype=np.uint8), "m": (np.ones(3, bool),)}
    arrays = arrays_of(data, "train")
    assert row_count(arrays) == 3
    assert arrays["x"] is data["x"]
    leaves, structure = leaves_of(arrays, np.dtype(float))
    assert [leaf.dtype for leaf in leaves] == [np.uint8, bool, float]
    assert structure.paths() == ["i", "m/0", "x"]
    assert arrays_of(None, "train") is None
    assert row_count(None) is None
    assert row_count(arrays_of({}, "train")) is None


def test_tables_are_taken():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    arrays = arrays_of({"x": frame, "y": frame["a"]}, "train")
    assert isinstance(arrays["x"], np.ndarray)
    np.testing.assert_array_equal(arrays["x"], [[1.0, 3.0], [2.0, 4.0]])
    with pytest.raises(ProblemError, match="must hold real numbers"):
        arrays_of(pandas.DataFrame({"a": ["x"]}), "train")


def rows_seen(**how):
    """The row indices that each step of a problem sees, recorded in its state."""
    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: np.zeros((how.get("steps", 6), 3)),
        step=lambda state, hparams, batch, t: np.where(
            np.arange(state.shape[0])[:, None] == t, batch["i"] * 1.0, state
        ),
        outer_loss=lambda state, hparams, valid: np.sum(state),
        train={"i": np.arange(10)},
        **{"steps": 6, **how},
    )
    return hg.train(problem, {}, seed=4).params.astype(int)


def test_a_run_sees_the_batches_of_its_seed_over_several_epochs():
    expected = [
        generator(4, "batches", e).permutation(10)[3 * k : 3 * k + 3] for e in range(2) for k in range(3)
    ]
    np.testing.assert_array_equal(rows_seen(batch_size=3), expected)


def test_a_run_sees_explicit_batches():
    index = np.random.default_rng(0).integers(0, 10, (6, 3))
    np.testing.assert_array_equal(rows_seen(batches=index), index)
