import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hypergrad.errors import SpaceError
from hypergrad.space import Categorical, Float, Int, Space

MIXED = Space(
    {
        "opt": {"lr": Float(1e-4, 10.0, log=True, default=0.1), "steps": Int(8, 256, log=True)},
        "l2": Float(1e-8, 1.0, log=True, shape=(3, 1)),
        "shift": Float(-2.0, 3.0, shape=(2,), default=[0.0, 1.0]),
        "layers": Int(1, 4),
        "activation": Categorical(["tanh", "relu", None]),
    }
)

finite = st.floats(-1e12, 1e12)
shapes = st.sampled_from([(), (1,), (3,), (2, 2)])


@st.composite
def floats(draw):
    log = draw(st.booleans())
    if log:
        low = draw(st.floats(1e-12, 1e6))
        high = low * draw(st.floats(1.001, 1e9))
    else:
        low = draw(finite)
        high = low + draw(st.floats(1e-3, 1e12))
        assume(low < high)
    return Float(low, high, log=log, shape=draw(shapes))


@st.composite
def ints(draw):
    log = draw(st.booleans())
    low = draw(st.integers(1, 10**6) if log else st.integers(-(10**6), 10**6))
    return Int(low, low + draw(st.integers(1, 10**6)), log=log)


choices = st.lists(
    st.one_of(st.text(max_size=3), st.integers(2, 9), st.booleans(), st.none()),
    min_size=1,
    max_size=6,
    unique=True,
).map(Categorical)
parameters = st.one_of(floats(), ints(), choices)
names = st.text(st.characters(blacklist_characters="/", blacklist_categories=("Cs",)), min_size=1, max_size=4)
trees = st.recursive(
    st.dictionaries(names, parameters, min_size=1, max_size=4),
    lambda inner: st.dictionaries(names, st.one_of(parameters, inner), min_size=1, max_size=3),
    max_leaves=8,
)
spaces = trees.map(Space)


def equal(one, two):
    """Trees of hyperparameters with the same bits and types."""
    if isinstance(one, dict):
        return set(one) == set(two) and all(equal(one[key], two[key]) for key in one)
    return type(one) is type(two) and np.array_equal(one, two)


# round trips


@settings(max_examples=60, deadline=None)
@given(spaces, st.randoms(use_true_random=False))
def test_points_survive_the_way_to_hparams_and_back(space, random):
    unit = np.array([random.random() for _ in range(space.dimension)])
    hparams = space.from_unit(unit)
    assert hparams in space
    back = space.to_unit(hparams)
    assert back.shape == (space.dimension,)
    assert ((back >= 0.0) & (back <= 1.0)).all()
    again = space.to_unit(space.from_unit(back))
    np.testing.assert_allclose(again[~space.continuous], back[~space.continuous], rtol=0, atol=1e-12)
    for name, parameter in space.parameters.items():
        if isinstance(parameter, Float):
            width = parameter.high - parameter.low
            noise = 1e-13 * (1.0 + max(abs(parameter.low), abs(parameter.high)) / width)
            if parameter.log:
                noise = 1e-13 * (1.0 + abs(math.log(parameter.low)) + abs(math.log(parameter.high)))
                noise /= math.log(parameter.high / parameter.low)
            np.testing.assert_allclose(
                back[space.columns[name]], unit[space.columns[name]], rtol=0, atol=noise
            )


@settings(max_examples=60, deadline=None)
@given(spaces)
def test_defaults_survive_exactly(space):
    assert equal(space.from_unit(space.to_unit(space.defaults())), space.defaults())


@settings(max_examples=60, deadline=None)
@given(spaces)
def test_bounds_are_exact(space):
    for corner in (0.0, 1.0):
        for name, parameter in space.parameters.items():
            value = parameter.from_unit(np.full(parameter.size, corner))
            if isinstance(parameter, Categorical):
                assert value == (parameter.choices[-1] if corner else parameter.choices[0])
            else:
                assert np.all(value == (parameter.high if corner else parameter.low)), name
                if isinstance(parameter, Float):
                    assert (parameter.to_unit(value) == corner).all()


@settings(max_examples=60, deadline=None)
@given(spaces)
def test_json_describes_a_space_whole(space):
    text = json.dumps(space.to_json(), sort_keys=True)
    again = Space.from_json(json.loads(text))
    assert again == space
    assert hash(again) == hash(space)
    assert json.dumps(again.to_json(), sort_keys=True) == text
    assert again.names == space.names


def test_json_does_not_depend_on_the_order_of_writing():
    one, two = Space(a=Float(0, 1), b=Int(1, 3)), Space(b=Int(1, 3), a=Float(0, 1))
    assert json.dumps(one.to_json()) == json.dumps(two.to_json())
    assert one == two
    assert list(two.defaults()) == ["b", "a"]


def test_spaces_that_differ_are_not_equal():
    assert Space(a=Float(0, 1)) != Space(a=Float(0, 2))
    assert Space(a=Float(0, 1)) != Space(b=Float(0, 1))
    assert Space(a=Float(0, 1, default=0.5)) == Space(a=Float(0, 1))
    assert Space(a=Float(0, 1)) != "a"


# coordinates


def test_coordinates_are_named_and_follow_the_sorted_paths():
    assert MIXED.names == (
        *("activation", "l2[0,0]", "l2[1,0]", "l2[2,0]", "layers"),
        *("opt/lr", "opt/steps", "shift[0]", "shift[1]"),
    )
    assert MIXED.dimension == 9
    assert MIXED.continuous.tolist() == [False, True, True, True, False, True, False, True, True]
    assert MIXED.columns["l2"] == slice(1, 4)


def test_defaults_have_the_types_that_training_sees():
    found = MIXED.defaults()
    assert list(found) == ["opt", "l2", "shift", "layers", "activation"]
    assert found["opt"] == {"lr": 0.1, "steps": 45}
    assert type(found["opt"]["lr"]) is float
    np.testing.assert_allclose(found["l2"], np.full((3, 1), 1e-4), rtol=1e-14)
    assert found["l2"].dtype == np.float64
    assert found["shift"].tolist() == [0.0, 1.0]
    assert found["layers"] == 2
    assert found["activation"] == "tanh"


def test_defaults_are_fresh_arrays():
    MIXED.defaults()["shift"][:] = 9.0
    assert MIXED.defaults()["shift"].tolist() == [0.0, 1.0]


def test_a_scalar_default_is_broadcast():
    assert Space(a=Float(0, 1, default=0.25, shape=2)).defaults()["a"].tolist() == [0.25, 0.25]


def test_logarithmic_coordinates_are_geometric():
    space = Space(a=Float(1e-4, 1.0, log=True))
    assert space.from_unit([0.25])["a"] == pytest.approx(1e-3, rel=1e-14)
    assert space.to_unit({"a": 1e-1})[0] == pytest.approx(0.75, rel=1e-14)


@pytest.mark.parametrize("n", [2, 3, 7, 10])
def test_the_bins_of_an_int_have_equal_widths(n):
    space = Space(k=Int(-3, n - 4))
    cells = 1000 * n
    found = [space.from_unit([(i + 0.5) / cells])["k"] for i in range(cells)]
    assert found == sorted(found)
    assert np.bincount(np.array(found) + 3).tolist() == [1000] * n


def test_the_bins_of_choices_have_equal_widths():
    space = Space(c=Categorical(["x", "y", "z"]))
    found = [space.from_unit([(i + 0.5) / 300])["c"] for i in range(300)]
    assert [found.count(c) for c in "xyz"] == [100, 100, 100]


def test_the_bins_of_a_logarithmic_int_shrink():
    space = Space(k=Int(1, 1000, log=True))
    found = [space.from_unit([(i + 0.5) / 5000])["k"] for i in range(5000)]
    assert found == sorted(found)
    assert found.count(1) > 5 * found.count(10) > 0
    assert all(space.from_unit(space.to_unit({"k": k}))["k"] == k for k in range(1, 1001))


def test_the_largest_ints_survive():
    space = Space(a=Int(-(2**40), 2**40), b=Int(1, 2**40, log=True))
    for k in (1, 3, 2**39 + 1, 2**40 - 1, 2**40):
        assert space.from_unit(space.to_unit({"a": k, "b": k})) == {"a": k, "b": k}


def test_choices_of_every_plain_kind_survive():
    space = Space(c=Categorical([None, True, 2, 2.5, "x"], default="x"))
    assert space.defaults() == {"c": "x"}
    for choice in (None, True, 2, 2.5, "x", np.str_("x"), np.int64(2), np.bool_(True)):
        found = space.from_unit(space.to_unit({"c": choice}))["c"]
        assert found == choice
        assert type(found) in (type(None), bool, int, float, str)


def test_wide_bounds_do_not_overflow():
    space = Space(a=Float(-1.7e308, 1.7e308))
    assert space.from_unit([1.0])["a"] == 1.7e308
    assert space.from_unit([0.5])["a"] == 0.0
    assert space.to_unit({"a": 0.85e308})[0] == pytest.approx(0.75)


# the chain rule


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_chain_rule_agrees_with_differences(random):
    rng = np.random.default_rng(random.randrange(2**32))
    unit = np.clip(rng.random(MIXED.dimension), 0.05, 0.95)

    def value(u):
        h = MIXED.from_unit(u)
        return math.sin(3.0 * h["opt"]["lr"]) + float(np.sum(h["l2"] ** 2)) + float(h["shift"] @ [2.0, -1.0])

    hparams = MIXED.from_unit(unit)
    gradient = {
        "opt": {"lr": 3.0 * math.cos(3.0 * hparams["opt"]["lr"]), "steps": None},
        "l2": 2.0 * hparams["l2"],
        "shift": np.array([2.0, -1.0], np.float32),
    }
    found = MIXED.gradient_to_unit(hparams, gradient)
    assert np.isnan(found[~MIXED.continuous]).all()
    for i in np.flatnonzero(MIXED.continuous):
        step = np.zeros(MIXED.dimension)
        step[i] = 1e-6
        expected = (value(unit + step) - value(unit - step)) / 2e-6
        assert found[i] == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_what_is_not_known_of_a_gradient_is_nan():
    h = MIXED.defaults()
    assert np.isnan(MIXED.gradient_to_unit(h, None)).all()
    assert np.isnan(MIXED.gradient_to_unit(h, {})).all()
    found = MIXED.gradient_to_unit(h, {"opt": None, "shift": np.array([1.0, np.nan]), "layers": 3.0})
    assert found[7] == 5.0
    assert np.isnan(np.delete(found, 7)).all()


def test_exploded_gradients_pass_without_a_warning():
    found = MIXED.gradient_to_unit(MIXED.defaults(), {"shift": np.array([1e308, -np.inf])})
    assert found[7:].tolist() == [np.inf, -np.inf]


# errors: one sentence that names the culprit

BAD_SPACES = [
    (lambda: Float(1.0, 1.0), "low < high"),
    (lambda: Float(2, 1), "low=2.0 and high=1.0"),
    (lambda: Float(0.0, 1.0, log=True), "needs low > 0"),
    (lambda: Float(0.0, math.inf), "finite"),
    (lambda: Float(math.nan, 1.0), "finite"),
    (lambda: Float(0, 10**400), "finite"),
    (lambda: Float("0", 1.0), "expected a number"),
    (lambda: Float(True, 2.0), "expected a number"),
    (lambda: Float(0.0, 1.0, log="yes"), "True or False"),
    (lambda: Float(0.0, 1.0, default=2.0), "default of a Float is 2.0, outside"),
    (lambda: Float(0.0, 1.0, default=math.nan), "finite"),
    (lambda: Float(0.0, 1.0, default="half"), "expected a number"),
    (lambda: Float(0.0, 1.0, default=[0.1, 0.2]), "shape (2,), expected ()"),
    (lambda: Float(0.0, 1.0, default=[0.1, 1.2], shape=2), "1.2, outside"),
    (lambda: Float(0.0, 1.0, default=[[1.0], [1.0, 2.0]], shape=2), "no array of numbers"),
    (lambda: Float(0.0, 1.0, shape=(3, 0)), "positive lengths"),
    (lambda: Float(0.0, 1.0, shape=1.5), "expected an integer"),
    (lambda: Int(3, 3), "low < high"),
    (lambda: Int(0, 8, log=True), "low >= 1"),
    (lambda: Int(1, 2.5), "expected an integer"),
    (lambda: Int(True, 3), "expected an integer"),
    (lambda: Int(0, 2**41), "2**40"),
    (lambda: Int(0, 3, default=4), "outside its bounds [0, 3]"),
    (lambda: Categorical([]), "empty"),
    (lambda: Categorical("relu"), "a list of choices"),
    (lambda: Categorical(3), "a list of choices"),
    (lambda: Categorical(["a", "b", "a"]), "equal"),
    (lambda: Categorical([1, True]), "1 and True"),
    (lambda: Categorical([np.tanh]), "name the choices"),
    (lambda: Categorical([math.nan]), "finite"),
    (lambda: Categorical(["a"], default="b"), "one of 'a'"),
    (Space, "empty"),
    (lambda: Space({}), "empty"),
    (lambda: Space({"opt": {}}), "group 'opt'"),
    (lambda: Space([Float(0, 1)]), "a dict of parameters"),
    (lambda: Space(lr=0.1), "the space is empty"),
    (lambda: Space(a=Float(0, 1), lr=(0.1, 1.0)), "'lr' is (0.1, 1.0)"),
    (lambda: Space({"opt": {"lr": Float}}), "'opt/lr'"),
    (lambda: Space({"opt/lr": Float(0, 1)}), "nest dicts"),
    (lambda: Space({3: Float(0, 1)}), "3 is no name"),
    (lambda: Space({"a": Float(0, 1)}, a=Float(0, 1)), "given twice"),
    (lambda: Space.from_json({}), "no space"),
    (lambda: Space.from_json({"parameters": [{"path": ["a"], "kind": "flaot"}]}), "did you mean 'float'?"),
    (lambda: Space.from_json({"parameters": [{"path": ["a"], "kind": "int", "low": 0}]}), "no space"),
]
DEFAULTS = MIXED.defaults()
BAD_POINTS = [
    ({}, "lacks the hyperparameter 'opt'"),
    ({**DEFAULTS, "layesr": 2}, "did you mean 'layers'?"),
    ({**DEFAULTS, "opt": {"lr": 0.1}}, "'opt/steps'"),
    ({**DEFAULTS, "opt": {"lr": 0.1, "stesp": 8}}, "did you mean 'opt/steps'?"),
    ({**DEFAULTS, "opt": 0.1}, "expected a dict with the keys lr, steps"),
    ({**DEFAULTS, "l2": 1e-4}, "'l2' has the shape (), expected (3, 1)"),
    ({**DEFAULTS, "l2": np.full(3, 1e-4)}, "shape (3,)"),
    ({**DEFAULTS, "opt": {"lr": math.nan, "steps": 8}}, "'opt/lr' is nan"),
    ({**DEFAULTS, "opt": {"lr": 11.0, "steps": 8}}, "'opt/lr' is 11.0, outside its bounds"),
    ({**DEFAULTS, "opt": {"lr": "0.1", "steps": 8}}, "'opt/lr' is '0.1'"),
    ({**DEFAULTS, "opt": {"lr": None, "steps": 8}}, "'opt/lr' is None"),
    ({**DEFAULTS, "layers": 2.0}, "'layers' is 2.0, expected an integer"),
    ({**DEFAULTS, "layers": 5}, "outside its bounds [1, 4]"),
    ({**DEFAULTS, "activation": "elu"}, "one of 'tanh', 'relu', None"),
    (0.1, "expected a dict"),
]


@pytest.mark.parametrize(("make", "says"), BAD_SPACES, ids=[says for _, says in BAD_SPACES])
def test_spaces_that_contradict_themselves_are_refused(make, says):
    with pytest.raises(SpaceError) as caught:
        make()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("hparams", "says"), BAD_POINTS, ids=[says for _, says in BAD_POINTS])
def test_points_outside_the_space_are_refused(hparams, says):
    assert hparams not in MIXED
    with pytest.raises(SpaceError) as caught:
        MIXED.to_unit(hparams)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("unit", "says"),
    [
        (np.zeros(3), "shape (3,), expected (9,)"),
        (np.full(9, 1.5), "'activation' is 1.5, outside [0, 1]"),
        (np.full(9, np.nan), "'activation' is nan"),
    ],
)
def test_points_outside_the_cube_are_refused(unit, says):
    with pytest.raises(SpaceError) as caught:
        MIXED.from_unit(unit)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("gradient", "says"),
    [
        ({"shfit": 1.0}, "did you mean 'shift'?"),
        ({"l2": 1.0}, "the gradient of 'l2' has the shape ()"),
        ({"shift": ["a", "b"]}, "expected numbers or None"),
        ({"opt": 3.0}, "gradient at 'opt' is 3.0"),
    ],
)
def test_gradients_that_do_not_fit_are_refused(gradient, says):
    with pytest.raises(SpaceError) as caught:
        MIXED.gradient_to_unit(DEFAULTS, gradient)
    assert says in str(caught.value)
