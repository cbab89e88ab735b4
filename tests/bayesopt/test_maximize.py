"""The maximum of a surface over a cube of continuous and discrete coordinates."""

import itertools

import numpy as np
import pytest

from hypergrad.bayesopt.maximize import Cube, maximize


def bumps(centres, widths, heights):
    """A sum of Gaussian bumps."""

    def surface(x):
        d = x[:, None, :] - centres
        terms = heights * np.exp(-0.5 * np.sum((d / widths[:, None]) ** 2, axis=2))
        slope = np.sum(terms[..., None] * -d / widths[:, None] ** 2, axis=1)
        return terms.sum(1), slope

    return surface


@pytest.mark.parametrize("d", [1, 2, 5, 10])
def test_the_highest_of_several_bumps(d):
    rng = np.random.default_rng(d)
    centres = rng.uniform(0.1, 0.9, (4, d))
    surface = bumps(centres, np.full(4, 0.25), np.array([1.0, 2.0, 0.5, 1.5]))
    found, value = maximize(surface, Cube.of([None] * d), np.zeros((0, d)), np.random.default_rng(0))
    grid = np.concatenate([rng.random((20_000, d)), centres])
    assert value >= surface(grid)[0].max() - 1e-9
    assert float(surface(found[None])[0][0]) == value


def test_candidates_scored_in_parts_give_the_same(monkeypatch):
    surface = bumps(np.array([[0.3, 0.6], [0.8, 0.1]]), np.array([0.2, 0.3]), np.array([1.0, 0.9]))
    asked = []

    def score(x):
        asked.append(len(x))
        return surface(x)[0]

    def found():
        return maximize(surface, Cube.of([None] * 2), np.zeros((0, 2)), np.random.default_rng(0), score=score)

    (whole, value), counts = found(), list(asked)
    asked.clear()
    monkeypatch.setattr("hypergrad.bayesopt.maximize._SCORED", 20)
    (parts, other), parted = found(), list(asked)
    assert counts == [512]
    assert max(parted) == 10
    assert sum(parted) == 512
    np.testing.assert_array_equal(whole, parts)
    assert value == other


def test_a_maximum_at_the_wall_of_the_cube():
    def surface(x):
        return x @ np.array([1.0, -2.0]), np.tile([1.0, -2.0], (len(x), 1))

    found, value = maximize(surface, Cube.of([None, None]), np.zeros((0, 2)), np.random.default_rng(0))
    np.testing.assert_allclose(found, [1.0, 0.0], atol=1e-12)
    assert value == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(8))
def test_discrete_coordinates_take_their_values(seed):
    rng = np.random.default_rng(seed)
    choices = [np.linspace(0.05, 0.95, 5), None, np.array([0.25, 0.75]), np.linspace(0.0, 1.0, 7)]
    surface = bumps(rng.random((3, 4)), np.full(3, 0.5), np.array([1.0, 1.3, 0.7]))
    found, value = maximize(surface, Cube.of(choices), np.zeros((0, 4)), np.random.default_rng(seed))
    best = -np.inf
    for a, c, e in itertools.product(choices[0], choices[2], choices[3]):
        line = np.linspace(0.0, 1.0, 400)
        points = np.column_stack([np.full(400, a), line, np.full(400, c), np.full(400, e)])
        best = max(best, surface(points)[0].max())
    assert value >= best - 1e-6
    for x, values in zip(found, choices, strict=True):
        assert values is None or x in values


def test_fixed_coordinates_and_the_same_answer_every_time():
    surface = bumps(np.array([[0.3, 0.6, 0.2]]), np.array([0.4]), np.array([1.0]))
    cube = Cube.of([None] * 3, np.array([np.nan, 0.9, np.nan]))
    runs = [maximize(surface, cube, np.full((1, 3), 0.5), np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_allclose(runs[0][0], [0.3, 0.9, 0.2], atol=1e-4)
    np.testing.assert_array_equal(runs[0][0], runs[1][0])


def test_regions_without_a_number_are_avoided():
    def surface(x):
        value = np.where(x[:, 0] > 0.5, np.nan, x[:, 0])
        return value, np.ones_like(x)

    found, value = maximize(surface, Cube.of([None]), np.zeros((0, 1)), np.random.default_rng(0))
    assert 0.45 < value <= 0.5
    assert found[0] <= 0.5


def test_the_edge_of_what_is_allowed_is_found():
    """The bump is at (0.8, 0.8); x + y < 1 allows (0.5, 0.5) at best."""
    surface = bumps(np.array([[0.8, 0.8]]), np.array([0.5]), np.array([1.0]))
    found, value = maximize(
        surface,
        Cube.of([None, None]),
        np.zeros((0, 2)),
        np.random.default_rng(0),
        allowed=lambda x: bool(x.sum() < 1.0),
    )
    assert found.sum() < 1.0
    assert value > surface(np.array([[0.5, 0.5]]))[0][0] - 0.02
    far, _ = maximize(
        surface, Cube.of([None, None]), np.zeros((0, 2)), np.random.default_rng(0), allowed=lambda x: False
    )
    np.testing.assert_allclose(far, [0.8, 0.8], atol=0.05)


@pytest.mark.parametrize("seed", range(6))
def test_few_combinations_without_continuous_coordinates_are_searched_exactly(seed):
    rng = np.random.default_rng(seed)
    choices = [
        np.linspace(0.0, 1.0, 8),
        np.linspace(0.1, 0.9, 9),
        np.array([0.25, 0.75]),
        np.linspace(0, 1, 20),
    ]
    surface = bumps(rng.random((30, 4)), np.full(30, 0.08), rng.random(30))
    found, value = maximize(surface, Cube.of(choices), np.zeros((0, 4)), np.random.default_rng(seed))
    every = np.array(list(itertools.product(*choices)))
    scores = surface(every)[0]
    assert value == scores.max()
    np.testing.assert_array_equal(found, every[np.argmax(scores)])


def test_moves_of_two_discrete_coordinates_at_once():
    """From either side a change of one coordinate loses, and the better side has the narrower slope."""
    choices = [np.array([0.25, 0.75]), np.array([0.25, 0.75]), None]

    def surface(x):
        together = np.where(x[:, 0] == x[:, 1], 0.0, -5.0)
        corner = np.where(x[:, 0] > 0.5, 1.0, 0.0)
        return together + corner - (x[:, 2] - 0.3) ** 2, np.stack(
            [0 * x[:, 0]] * 2 + [-2 * (x[:, 2] - 0.3)], 1
        )

    found, _ = maximize(
        surface, Cube.of(choices), np.zeros((0, 3)), np.random.default_rng(0), candidates=4, starts=1
    )
    np.testing.assert_allclose(found, [0.75, 0.75, 0.3], atol=1e-5)
