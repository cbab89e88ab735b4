"""The comparison of a hypergradient with finite differences, on functions whose derivative is known."""

import numpy as np
import pytest

from hypergrad.errors import UnknownNameError
from hypergrad.hypergradients.differences import central_difference, compare


def value(hparams):
    lr, l2 = hparams["opt"]["lr"], hparams["l2"]
    return float(np.sin(3 * lr) + np.sum(np.exp(l2) * np.arange(1, 7).reshape(6, 1)))


def gradient(hparams):
    lr, l2 = hparams["opt"]["lr"], hparams["l2"]
    return {
        "opt": {"lr": 3 * np.cos(3 * lr)},
        "l2": np.exp(l2) * np.arange(1, 7).reshape(6, 1),
        "hidden": None,
    }


@pytest.fixture
def point():
    return {"opt": {"lr": 0.4}, "l2": np.full((6, 1), 1e-3), "hidden": 16}


def test_a_right_gradient_agrees_everywhere(point):
    found = compare(value, point, gradient(point))
    assert [leaf.path for leaf in found] == ["l2", "opt/lr"]
    assert max(row.relative for leaf in found for row in leaf.directions) < 1e-9


def test_a_large_leaf_is_tried_along_its_steepest_coordinates_and_one_random_direction(point):
    (leaf,) = compare(value, point, gradient(point), wrt=["l2"], coordinates=2)
    assert [row.along for row in leaf.directions] == ["[4,0]", "[5,0]", "random"]
    assert leaf.size == 6
    assert leaf.norm == pytest.approx(np.linalg.norm(gradient(point)["l2"]))


def test_a_wrong_gradient_shows_even_away_from_the_chosen_coordinates(point):
    wrong = gradient(point)
    wrong["l2"][0, 0] += 0.5
    (leaf,) = compare(value, point, wrong, wrt=["l2"])
    assert leaf.directions[0].relative < 1e-9
    assert leaf.directions[-1].relative > 1e-2


def test_a_branch_selects_the_leaves_in_it(point):
    assert [leaf.path for leaf in compare(value, point, gradient(point), wrt=["opt"])] == ["opt/lr"]


@pytest.mark.parametrize(
    ("name", "hint"), [("opt/lt", "did you mean 'opt/lr'"), ("hidden", "choose from l2, opt/lr")]
)
def test_an_unknown_or_static_leaf_is_an_error(point, name, hint):
    with pytest.raises(UnknownNameError, match=hint):
        compare(value, point, gradient(point), wrt=[name])


def test_a_smaller_step_is_tried_where_the_function_bends():
    sharp = 2e4
    assert central_difference(lambda h: np.sin(sharp * h), 1.0) == pytest.approx(sharp, rel=1e-4)


def test_a_value_that_is_not_finite_gives_nan():
    assert np.isnan(central_difference(lambda h: float("nan"), 1.0))
