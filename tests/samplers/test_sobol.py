import numpy as np
import pytest

from hypergrad.errors import SpaceError
from hypergrad.samplers import Record, Sobol
from hypergrad.space import Float, Space

SPACE = Space(x=Float(0.0, 1.0, shape=(4,)))
BARE = Sobol(defaults_first=False)


def points(numbers, seed=0):
    return np.array([BARE.ask(SPACE, (), seed=seed, number=n).unit for n in numbers])


def test_points_fill_the_cube_evenly():
    """Of 256 points, each of 256 equal slices of each coordinate holds one; so does each of 16 x 16 squares."""
    found = points(range(256))
    for column in found.T:
        assert sorted(np.floor(256 * column).astype(int)) == list(range(256))
    squares = np.floor(16 * found[:, 0]).astype(int) * 16 + np.floor(16 * found[:, 1]).astype(int)
    assert sorted(squares) == list(range(256))


def test_point_n_is_point_n_of_one_sequence():
    from scipy.stats import qmc

    numbers = [0, 1, 255, 256, 257, 700, 1023]
    found = points(numbers)
    assert len({tuple(row) for row in found}) == len(numbers)
    whole = points(range(1024))
    np.testing.assert_array_equal(whole[numbers], found)
    drawn = np.random.default_rng(0).random((1024, 4))
    assert qmc.discrepancy(whole) < 0.1 * qmc.discrepancy(drawn)


def test_the_seed_scrambles():
    assert not np.array_equal(points(range(4), seed=0), points(range(4), seed=1))


def test_points_handed_out_are_not_shared():
    first = BARE.ask(SPACE, (), seed=0, number=3).unit
    first[:] = 9.0
    assert points([3]).max() <= 1.0


def test_the_defaults_take_the_place_of_the_first_point():
    assert Sobol().ask(SPACE, (), seed=0, number=0).unit.tolist() == [0.5] * 4
    tried = (Record(0, np.full(4, 0.5), "complete", 1.0),)
    np.testing.assert_array_equal(Sobol().ask(SPACE, tried, seed=0, number=1).unit, points([1])[0])


def test_too_many_dimensions_are_refused():
    space = Space(x=Float(0.0, 1.0, shape=(22000,)))
    with pytest.raises(SpaceError, match="22000 dimensions, more than the 21201 of Sobol; use Random"):
        BARE.ask(space, (), seed=0, number=0)
