"""Trees: round trips, order, structures, vectors of views, sentences."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypergrad import tree
from hypergrad.errors import ShapeError, TreeError


class Point(NamedTuple):
    x: Any
    y: Any = 1.0


Old = namedtuple("Old", ["a"])


@dataclass(frozen=True)
class Model:
    w: Any
    b: Any = None
    derived: Any = field(default=0, init=False)


@dataclass
class Empty:
    pass


class Column(list):
    pass


def nest(children: st.SearchStrategy) -> st.SearchStrategy:
    keys = st.one_of(st.text(max_size=3), st.integers(-3, 3), st.booleans(), st.tuples(st.integers(0, 2)))
    return st.one_of(
        st.dictionaries(keys, children, max_size=4),
        st.lists(children, max_size=3),
        st.lists(children, max_size=3).map(tuple),
        st.lists(children, max_size=2).map(Column),
        st.builds(Point, children, children),
        st.builds(Old, children),
        st.builds(Model, children, children),
        st.just(Empty()),
    )


LEAVES = st.one_of(
    st.floats(allow_nan=False),
    st.integers(),
    st.text(max_size=2),
    st.none(),
    st.booleans(),
    st.sets(st.integers(), max_size=2),
)
TREES = st.recursive(LEAVES, nest, max_leaves=12)


@settings(deadline=None, derandomize=True)
@given(TREES)
def test_round_trip(t):
    leaves, structure = tree.flatten(t)
    again = structure.unflatten(leaves)
    assert again == t
    assert type(again) is type(t)
    assert len(leaves) == structure.count == len(structure.paths()) == len(tree.leaves(t))
    assert tree.structure(again) == structure
    assert hash(tree.structure(again)) == hash(structure)
    assert tree.map(lambda leaf: leaf, t) == t
    assert str(structure).count("*") >= structure.count


@settings(deadline=None, derandomize=True)
@given(TREES, TREES)
def test_map_of_two(a, b):
    """map of two trees needs one structure, and says so."""
    if tree.structure(a) == tree.structure(b):
        pairs = tree.map(lambda x, y: (x, y), a, b)
        assert len(tree.leaves(tree.map(id, a))) == len(tree.leaves(a))
        assert type(pairs) is type(a) or not tree.structure(a).children
    else:
        with pytest.raises(TreeError, match="tree 2 has the structure"):
            tree.map(lambda x, y: x, a, b)


@settings(deadline=None, derandomize=True)
@given(
    st.dictionaries(st.one_of(st.text(max_size=2), st.integers(0, 9)), st.integers(), max_size=5),
    st.randoms(),
)
def test_order_of_keys_does_not_matter(d, random):
    keys = list(d)
    random.shuffle(keys)
    other = {key: d[key] for key in keys}
    assert tree.flatten(d)[0] == tree.flatten(other)[0]
    assert tree.structure(d) == tree.structure(other)
    assert tree.paths(d) == tree.paths(other)
    assert list(tree.map(lambda x: x, other)) == keys


def test_paths_and_text():
    t = {"opt": {"lr": 1.0, "b": [2, (3,)]}, "p": Point(4, None), "m": Model(w=5)}
    assert tree.paths(t) == ["m/w", "m/b", "opt/b/0", "opt/b/1/0", "opt/lr", "p/x", "p/y"]
    assert tree.leaves(t) == [5, None, 2, 3, 1.0, 4, None]
    text = "{'m': Model(w=*, b=*), 'opt': {'b': [*, (*,)], 'lr': *}, 'p': Point(x=*, y=*)}"
    assert str(tree.structure(t)) == text
    assert tree.paths(3.0) == [""]
    assert str(tree.structure(None)) == "*"


def test_kinds_are_told_apart():
    kinds = [[1], (1,), Old(1), {"a": 1}, {0: 1}, Column([1]), 1, [[1]], Model(1), []]
    structures = [tree.structure(kind) for kind in kinds]
    assert len(set(structures)) == len(kinds)
    assert (
        tree.structure(OrderedDict(a=1)) == tree.structure({"a": 1}) == tree.structure(defaultdict(int, a=1))
    )


def test_classes_are_leaves():
    """A class, an array, a set and a generator are leaves."""
    for leaf in (Model, Point, np.zeros((2, 2)), {1, 2}, iter([1])):
        assert (
            tree.leaves(leaf) == [leaf] if not isinstance(leaf, np.ndarray) else tree.leaves(leaf)[0] is leaf
        )


def test_namedtuple_with_its_own_constructor():
    class Sorted(Point):
        def __new__(cls, x, y=0):
            return super().__new__(cls, min(x, y), max(x, y))

    assert tree.map(lambda x: -x, Sorted(1, 2)) == (-1, -2)


@settings(deadline=None, derandomize=True)
@given(
    st.recursive(
        st.lists(st.integers(0, 3), max_size=3).map(
            lambda shape: np.arange(float(np.prod(shape))).reshape(shape)
        ),
        lambda children: st.one_of(
            st.dictionaries(st.text(max_size=2), children, max_size=3), st.lists(children, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_ravel_round_trip(t):
    vector, unravel = tree.ravel(t)
    assert vector.flags.c_contiguous
    assert vector.shape == (sum(leaf.size for leaf in tree.leaves(t)),)
    for leaf, again in zip(tree.leaves(t), tree.leaves(unravel(vector)), strict=True):
        np.testing.assert_array_equal(leaf, again)
        assert again.size == 0 or np.shares_memory(again, vector)


def test_ravel_dtypes():
    assert tree.ravel({"a": np.ones(2, np.float32), "b": np.float32(1)})[0].dtype == np.float32
    assert tree.ravel({"a": np.ones(2, np.float32), "b": 1.0})[0].dtype == np.float64
    assert tree.ravel([np.ones(2)], dtype=np.float32)[0].dtype == np.float32
    assert tree.ravel({})[0].shape == (0,)
    vector, unravel = tree.ravel({"a": np.ones((2, 2), order="F"), "b": 3.0})
    assert vector.tolist() == [1.0, 1.0, 1.0, 1.0, 3.0]
    again = unravel(np.arange(5.0))
    assert again["a"].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    again["b"][...] = 7.0
    assert again["b"].base is not None


def test_sentences():
    with pytest.raises(TreeError, match=r"leaf 'a/0' is no array of numbers: got <U1"):
        tree.ravel({"a": ["x"]})
    with pytest.raises(TreeError, match=r"expected 2 leaves for the tree \[\*, \*\], got 3"):
        tree.structure([1, 2]).unflatten([1, 2, 3])
    with pytest.raises(
        TreeError, match=r"tree 3 has the structure \{'b': \*\}, expected \{'a': \*\} as in tree 1"
    ):
        tree.map(max, {"a": 1}, {"a": 2}, {"b": 3})
    vector, unravel = tree.ravel({"a": np.ones(3)})
    for wrong in (np.ones(2), np.ones(4), np.ones((3, 1))):
        with pytest.raises(ShapeError, match=r"needs a vector of shape \(3,\), got"):
            unravel(wrong)
    assert vector.shape == (3,)
    assert tree.spans([(2, 3), (), (0, 4)]) == [(0, 6), (6, 7), (7, 7)]
