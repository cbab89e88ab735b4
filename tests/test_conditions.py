"""Conditions, constants, constraints and the size of a space."""

import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypergrad.errors import SpaceError
from hypergrad.space import Categorical, Float, Int, Ordinal, Space

TREE = Space(
    {
        "opt": {
            "kind": Categorical(["sgd", "momentum", "adam"]),
            "momentum": Float(0.5, 0.999, logit=True, active_if={"opt/kind": "momentum"}),
            "beta": Float(0.5, 0.999, logit=True, shape=(2,), active_if={"opt/kind": ["adam"]}),
        },
        "layers": Int(1, 3),
        "widths": {
            "second": Int(8, 64, step=8, active_if={"layers": [2, 3]}),
            "third": Int(8, 64, step=8, log=True, active_if={"layers": 3}),
        },
        "wide": {"skip": Categorical([True, False], active_if={"widths/third": 64, "opt/kind": "adam"})},
        "lr": Float(1e-4, 1.0, log=True),
        "seed": 3,
        "knots": np.array([1.0, 2.0]),
    }
)


def flat(tree, prefix=""):
    found = {}
    for key, node in tree.items():
        found |= flat(node, f"{prefix}{key}/") if isinstance(node, dict) else {prefix + key: node}
    return found


def expected(h):
    """The paths that exist where the roots have these values, by hand."""
    names = {"opt/kind", "layers", "lr", "seed", "knots"}
    names |= {"momentum": {"opt/momentum"}, "adam": {"opt/beta"}}.get(h["opt/kind"], set())
    names |= {"widths/second"} if h["layers"] >= 2 else set()
    names |= {"widths/third"} if h["layers"] == 3 else set()
    names |= {"wide/skip"} if h.get("widths/third") == 64 and h["opt/kind"] == "adam" else set()
    return names


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_only_active_hyperparameters_exist_and_points_stand_for_configurations(seed):
    unit = np.random.default_rng(seed).random(TREE.dimension)
    hparams = TREE.from_unit(unit)
    values = flat(hparams)
    assert set(values) == expected(values)
    assert hparams in TREE
    point, snapped = TREE.to_unit(hparams), TREE.snap(unit)
    np.testing.assert_allclose(point, snapped, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(TREE.snap(snapped), snapped)
    again = flat(TREE.from_unit(snapped))
    assert set(again) == set(values)
    assert all(np.array_equal(again[name], values[name]) for name in values)
    other = np.where(TREE.active(unit), unit, np.random.default_rng(seed + 1).random(TREE.dimension))
    np.testing.assert_array_equal(TREE.snap(other), snapped)  # inactive coordinates mean nothing
    rows = TREE.active(np.stack([unit, other]))
    assert rows.shape == (2, TREE.dimension)
    np.testing.assert_array_equal(rows[0], TREE.active(unit))


def test_groups_of_which_nothing_is_left_are_absent():
    assert TREE.from_unit(np.zeros(TREE.dimension)).keys() == {"opt", "layers", "lr", "seed", "knots"}
    assert "wide" not in TREE.defaults()
    assert {**TREE.from_unit(np.zeros(TREE.dimension)), "widths": {}} in TREE


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_chain_rule_agrees_with_differences_where_active(seed):
    rng = np.random.default_rng(seed)
    unit = TREE.snap(rng.uniform(0.05, 0.95, TREE.dimension))

    def value(u):
        h = flat(TREE.from_unit(u))
        return sum(float(np.sum(np.sin(h[name]))) for name in ("opt/momentum", "opt/beta", "lr") if name in h)

    hparams = TREE.from_unit(unit)
    gradient = {
        "opt": {"momentum": math.cos(flat(hparams).get("opt/momentum", 0.0)), "kind": None},
        "lr": math.cos(hparams["lr"]),
        "seed": 1.0,
    }
    gradient["opt"]["beta"] = np.cos(flat(hparams).get("opt/beta", np.zeros(2)))
    found = TREE.gradient_to_unit(hparams, gradient)
    known = TREE.continuous & TREE.active(unit)
    assert np.isnan(found[~known]).all()
    for i in np.flatnonzero(known):
        step = np.zeros(TREE.dimension)
        step[i] = 1e-5
        slope = (value(unit + step) - value(unit - step)) / 2e-5
        assert found[i] == pytest.approx(slope, rel=1e-6, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-12, 0.4), st.floats(1e-12, 0.4), st.floats(0.0, 1.0))
def test_logit_survives_the_way_and_back(low, below, u):
    space = Space(x=Float(low, 1.0 - below, logit=True))
    x = space.from_unit([u])["x"]
    assert low <= x <= 1.0 - below
    assert space.to_unit({"x": x})[0] == pytest.approx(u, abs=2e-4 if below < 1e-10 else 1e-5)
    assert space.from_unit(space.to_unit({"x": x}))["x"] == pytest.approx(x, rel=1e-12)
    for corner, end in ((0.0, low), (1.0, 1.0 - below)):
        assert space.from_unit([corner])["x"] == end
        assert space.to_unit({"x": end})[0] == corner
    assert space.from_unit(space.to_unit(space.defaults())) == space.defaults()


def test_logit_is_symmetric():
    assert Float(0.001, 0.999, logit=True).default == pytest.approx(0.5, rel=1e-15)
    space = Space(x=Float(0.1, 0.9, logit=True))
    assert space.from_unit([0.25])["x"] + space.from_unit([0.75])["x"] == pytest.approx(1.0, rel=1e-15)
    assert space.from_unit([0.75])["x"] == pytest.approx(0.75, rel=1e-15)  # odds 9, 3, 1


@pytest.mark.parametrize("parameter", [Int(-3, 18, step=3), Ordinal([1, 4, 16, "all"]), Int(8, 64, step=8)])
def test_every_value_has_the_same_share(parameter):
    space = Space(k=parameter)
    cells = 100 * parameter.count
    found = [space.from_unit([(i + 0.5) / cells])["k"] for i in range(cells)]
    assert found == [parameter.value(i) for i in range(parameter.count) for _ in range(100)]


def test_steps_on_a_logarithmic_scale():
    parameter = Int(16, 1024, step=16, log=True)
    values = [parameter.from_unit(parameter.to_unit(v)) for v in range(16, 1025, 16)]
    assert values == list(range(16, 1025, 16))
    assert parameter.default % 16 == 0
    drawn = [parameter.from_unit(np.array([(i + 0.5) / 2000])) for i in range(2000)]
    assert drawn == sorted(drawn)
    assert drawn.count(16) > 5 * drawn.count(512) > 0


def test_ordinal_starts_in_the_middle_and_keeps_its_order():
    assert Ordinal([32, 64, 128, 256]).default == 64
    assert Space(b=Ordinal(["s", "m", "l"])).defaults() == {"b": "m"}
    assert Space(b=Ordinal(["s", "m", "l"])) != Space(b=Categorical(["s", "m", "l"], default="m"))
    assert Space(b=Ordinal(["s", "m", "l"])).continuous.tolist() == [False]


def test_constants_are_in_all_hparams_and_have_no_coordinate():
    assert "seed" not in TREE.names
    found = TREE.from_unit(np.full(TREE.dimension, 0.5))
    assert found["seed"] == 3
    found["knots"][:] = 0.0
    assert TREE.defaults()["knots"].tolist() == [1.0, 2.0]
    assert {**TREE.defaults(), "seed": 4} not in TREE
    assert {**TREE.defaults(), "knots": np.ones(2)} not in TREE
    without = TREE.defaults()
    del without["seed"]
    np.testing.assert_array_equal(TREE.to_unit(without), TREE.to_unit(TREE.defaults()))


def test_a_constant_settles_conditions():
    def space(kind):
        return Space(kind=kind, m=Float(0, 1, active_if={"kind": "momentum"}), n=Int(1, 4))

    assert space("sgd").size == 4
    assert space("sgd").from_unit([0.5, 0.5]) == {"kind": "sgd", "n": 3}
    assert space("momentum").size == math.inf
    assert space("momentum").from_unit([0.5, 0.5]) == {"kind": "momentum", "m": 0.5, "n": 3}
    assert space(True).size == 4


def grid(parents):
    """A random finite space whose conditions point to earlier parameters."""
    tree = {}
    for i, (kind, picks) in enumerate(parents):
        active = {f"p{j}": values for j, values in picks.items() if j < i} or None
        tree[f"p{i}"] = Int(0, 2, active_if=active) if kind else Categorical([0, 1, 2], active_if=active)
    return Space(tree)


picks = st.dictionaries(
    st.integers(0, 4), st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True), max_size=2
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), picks), min_size=1, max_size=6))
def test_the_size_counts_distinct_configurations(parents):
    space = grid(parents)
    corners = product([1 / 6, 0.5, 5 / 6], repeat=space.dimension)
    seen = {json.dumps(space.from_unit(np.array(corner)), sort_keys=True) for corner in corners}
    assert space.size == len(seen)
    listed = {json.dumps(space.from_unit(point), sort_keys=True) for point in space.configurations}
    assert listed == seen
    np.testing.assert_array_equal(space.snap(space.configurations), space.configurations)
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space


def test_sizes():
    assert Space(x=Float(0, 1)).size == math.inf
    assert Space(a=Int(1, 2**40), b=Int(1, 2**40)).size == 2**80
    assert Space(a=Int(1, 2**40), b=Int(1, 2**40)).configurations is None
    assert Space(a=Int(1, 2**40), b=Int(1, 3, active_if={"a": [5, 6]})).size == 2**40 - 2 + 6
    assert Space(c=Categorical(["a"])).size == 1
    below = Space(a=Int(1, 6), b=Int(1, 6), constraints=[lambda h: h["a"] <= h["b"]])
    assert below.size == 21
    assert below.configurations.shape == (21, 2)
    with pytest.raises(SpaceError, match="refuse every configuration"):
        _ = Space(a=Int(1, 6), constraints=[lambda h: False]).size


def test_constraints_decide_what_is_in_a_space():
    def ordered(h):
        return h["a"] <= h["b"]

    space = Space(a=Float(0, 1), b=Float(0, 1), constraints=[ordered])
    assert {"a": 0.2, "b": 0.3} in space
    assert {"a": 0.3, "b": 0.2} not in space
    assert space.violated({"a": 0.3, "b": 0.2}) == "ordered"
    assert space != Space(a=Float(0, 1), b=Float(0, 1))
    assert space == Space(a=Float(0, 1), b=Float(0, 1), constraints=[ordered])
    stored = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert stored.to_json() == space.to_json()
    with pytest.raises(SpaceError, match="'ordered' is known by name only"):
        stored.violated({"a": 0.2, "b": 0.3})


def test_json_of_a_space_with_everything():
    text = json.dumps(TREE.to_json(), sort_keys=True)
    again = Space.from_json(json.loads(text))
    assert again == TREE
    assert hash(again) == hash(TREE)
    assert json.dumps(again.to_json(), sort_keys=True) == text
    assert again.conditions == TREE.conditions
    assert flat(again.defaults()).keys() == flat(TREE.defaults()).keys()


def test_json_of_old_kinds_is_what_older_stores_hold():
    space = Space(a=Float(1e-4, 1.0, log=True), b=Int(1, 9), c=Categorical(["x", "y"]))
    assert json.dumps(space.to_json()) == (
        '{"parameters": [{"path": ["a"], "kind": "float", "low": 0.0001, "high": 1.0, "log": true, '
        '"default": 0.010000000000000004, "shape": []}, {"path": ["b"], "kind": "int", "low": 1, "high": 9, '
        '"log": false, "default": 5}, {"path": ["c"], "kind": "categorical", "choices": ["x", "y"], "default": "x"}]}'
    )


BAD_SPACES = [
    (lambda: Float(0.0, 0.5, logit=True), "0 < low and high < 1"),
    (lambda: Float(0.1, 0.5, logit=True, log=True), "log and logit"),
    (lambda: Int(1, 10, step=2), "choose high=9"),
    (lambda: Int(1, 3, step=0), "at least 1"),
    (lambda: Int(1, 9, step=2, log=True), "low > step / 2 = 1"),
    (lambda: Int(1, 9, step=2, default=4), "such as 3"),
    (lambda: Ordinal([]), "choices of an Ordinal is empty"),
    (lambda: Float(0, 1, active_if="a"), "expected a dict such as"),
    (lambda: Float(0, 1, active_if={}), "is empty"),
    (lambda: Float(0, 1, active_if={"a": []}), "allows no value of 'a'"),
    (lambda: Float(0, 1, active_if={1: 2}), "has the key 1"),
    (lambda: Float(0, 1, active_if={"a": np.tanh}), "give one value or a list"),
    (
        lambda: Space(a=Float(0, 1, active_if={"bb": 1}), b=Int(1, 2)),
        "unknown parent: no hyperparameter 'bb'",
    ),
    (lambda: Space(a=Float(0, 1), b=Int(1, 2, active_if={"a": 0.5})), "names 'a', a Float"),
    (lambda: Space(a=Int(1, 3), b=Int(1, 2, active_if={"a": 4})), "'a' is 4, outside its bounds"),
    (lambda: Space(a=Int(1, 2, active_if={"a": 1})), "'a' needs 'a'"),
    (
        lambda: Space(
            a=Int(1, 2, active_if={"b": 1}), b=Int(1, 2, active_if={"c": 1}), c=Int(1, 2, active_if={"a": 1})
        ),
        "'a' needs 'b' needs 'c' needs 'a'",
    ),
    (lambda: Space(a=Int(1, 2), b=math.nan), "'b' is nan"),
    (lambda: Space(a=Int(1, 2), b=np.array(["x"])), "a fixed value"),
    (lambda: Space(a=Int(1, 2), constraints=[3]), "a constraint is 3"),
    (lambda: Space(a=Int(1, 2), constraints=Int(1, 2)), 'Space({"constraints": ...})'),
]


@pytest.mark.parametrize(("make", "says"), BAD_SPACES, ids=[says for _, says in BAD_SPACES])
def test_spaces_that_contradict_themselves_are_refused(make, says):
    with pytest.raises(SpaceError) as caught:
        make()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"opt": {"kind": "adam"}}, "lacks the hyperparameter 'opt/beta'"),
        ({"opt": {"kind": "sgd", "momentum": 0.9}}, "'opt/momentum', which is inactive here"),
        ({"opt": {"kind": "sgd", "momentum": None}}, "needs that 'opt/kind' is 'momentum'"),
        ({"layers": 3}, "'widths/third'"),
        ({"widths": {}}, "'widths/second'"),
        ({"seed": True}, "differs from 3"),
    ],
)
def test_points_that_break_the_conditions_are_refused(changes, says):
    hparams = {**TREE.defaults(), **changes}
    assert hparams not in TREE
    with pytest.raises(SpaceError) as caught:
        TREE.to_unit(hparams)
    assert says in str(caught.value)


def test_a_constraint_answers_yes_or_no():
    space = Space(a=Int(1, 3), constraints=[lambda h: h["a"]])
    with pytest.raises(SpaceError, match="expected True or False"):
        space.violated({"a": 1})
