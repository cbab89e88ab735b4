"""Layouts place the leaves of a tree in one vector, and say what is no state."""

from __future__ import annotations

import numpy as np
import pytest

from hypergrad import tree
from hypergrad.errors import ProblemError, TreeError
from hypergrad.unroll.layout import Layout, freeze, is_constant

STATE = {"w": np.arange(6.0).reshape(2, 3), "b": (np.array(7.0), np.zeros((0, 2)), np.array([8.0]))}


def test_a_layout_goes_to_a_vector_and_back():
    layout = Layout.of_state(STATE, "init")
    assert layout.size == 8
    assert layout.shapes == ((), (0, 2), (1,), (2, 3))
    vector = layout.vector(tree.leaves(STATE))
    np.testing.assert_array_equal(vector, [7.0, 8.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    back = layout.tree(vector)
    for leaf, expected in zip(tree.leaves(back), tree.leaves(STATE), strict=True):
        np.testing.assert_array_equal(leaf, expected)


def test_leaves_are_broadcast_and_cast():
    layout = Layout(tree.structure({"a": 0}), ((2, 2),), np.dtype(np.float32))
    vector = layout.vector([np.array([1, 2])])
    assert vector.dtype == np.float32
    np.testing.assert_array_equal(vector, [1, 2, 1, 2])


def test_a_layout_without_leaves():
    layout = Layout(tree.structure({}), (), np.dtype(float))
    assert layout.size == 0
    assert layout.leaves(np.zeros(0)) == []
    assert layout.vector([]).shape == (0,)


@pytest.mark.parametrize(
    ("state", "dtype"),
    [
        ({"w": np.zeros(2, np.float32), "b": 0.0}, np.float32),
        ({"w": 1.0, "b": 0.0}, np.float64),
        (0.5, np.float64),
        (np.float32(0.5), np.float32),
        ({"w": np.zeros(2), "b": np.float64(0.0)}, np.float64),
    ],
)
def test_python_floats_take_the_dtype_of_the_arrays(state, dtype):
    layout = Layout.of_state(state, "init")
    assert layout.dtype == dtype
    assert layout.vector(tree.leaves(state)).dtype == dtype


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"w": np.zeros(2, int)}, r"init returned int64 at 'w'; .* write \.astype\(float\)"),
        ({"w": np.zeros(2, bool)}, "init returned bool at 'w'"),
        ({"w": 3}, "init returned 3 at 'w'; the state holds float arrays only"),
        ({"w": None}, "init returned None at 'w'"),
        (None, "init returned None; the state holds"),
        ({}, "init returned no arrays"),
        (
            {"w": np.zeros(2, np.float32), "b": np.zeros(2)},
            "init returned 'b' in float64 and 'w' in float32; a state has one dtype, so cast its arrays to one",
        ),
    ],
)
def test_what_is_no_state_is_named(state, message):
    with pytest.raises(ProblemError, match=message):
        Layout.of_state(state, "init")


def test_objects_are_no_state():
    with pytest.raises(TreeError, match="what init returned at 'w' must be an array of real numbers"):
        Layout.of_state({"w": np.array([object()])}, "init")


def test_constants_are_what_has_no_derivative():
    assert all(map(is_constant, [1, True, "a", None, np.int64(1), np.arange(2), np.array(True)]))
    assert not any(map(is_constant, [1.0, np.float32(1), np.ones(2)]))


def test_constants_freeze_by_value_and_type():
    assert freeze(np.arange(3)) == freeze(np.arange(3))
    assert freeze(np.arange(3)) != freeze(np.arange(1, 4))
    assert freeze(1) != freeze(True)
    assert freeze("a") == freeze("a")
    assert hash(freeze(np.arange(3))) == hash(freeze(np.arange(3)))
