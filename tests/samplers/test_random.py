import numpy as np

from hypergrad.samplers import Random, Record
from hypergrad.space import Float, Space

SPACE = Space(x=Float(0.0, 1.0, shape=(5,)))


def points(sampler, count, seed=0):
    return np.array([sampler.ask(SPACE, (), seed=seed, number=n).unit for n in range(count)])


def test_points_are_uniform_and_independent():
    found = points(Random(defaults_first=False), 2000)
    for power, expected in ((1, 1 / 2), (2, 1 / 3), (3, 1 / 4)):
        np.testing.assert_allclose((found**power).mean(axis=0), expected, atol=0.03)
    np.testing.assert_allclose(np.corrcoef(found.T), np.eye(5), atol=0.08)
    np.testing.assert_allclose(np.corrcoef(found[:-1, 0], found[1:, 0])[0, 1], 0.0, atol=0.08)


def test_a_point_depends_on_seed_and_number_alone():
    other = (Record(0, np.full(5, 0.2), "complete", 1.0),)
    one = Random().ask(SPACE, other, seed=4, number=7)
    two = Random(defaults_first=False).ask(SPACE, (), seed=4, number=7)
    np.testing.assert_array_equal(one.unit, two.unit)
    assert not one.wants_gradient


def test_seeds_and_numbers_do_not_meet():
    """The stream of (seed, number) is not that of (seed + 1, number - 1)."""
    drawn = [
        tuple(points(Random(defaults_first=False), 20, seed)[n]) for seed in range(20) for n in range(20)
    ]
    assert len(set(drawn)) == 400
