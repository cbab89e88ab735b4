"""The warp of values: forth and back, its slope, and what becomes of a normal distribution on the way back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from hypergrad.samplers.warping import Warp, warp

RNG = np.random.default_rng(0)
SETS = {
    "wide": 3.0 * RNG.standard_normal(50) ** 3,
    "huge": np.array([1.0, 2.0, 3.0, 1e80]),
    "tiny": 1e-90 * RNG.random(7),
    "negative": -5.0 - RNG.random(8),
    "two": np.array([1.0, 2.0]),
}


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_forth_and_back(values):
    found = Warp.of(values)
    t, rate = found.forward(values)
    assert np.all(np.diff(t[np.argsort(values)]) >= 0.0)
    assert found.backward(t) == pytest.approx(values, rel=1e-9, abs=1e-13 * np.abs(values).max())
    assert found.unit / rate == pytest.approx(found.slope(t), rel=1e-9)


def test_the_value_is_as_it_is_below_the_median():
    found = Warp.of(SETS["wide"])
    below = SETS["wide"][SETS["wide"] <= np.median(SETS["wide"])]
    assert found.unit * found.forward(below)[0] == pytest.approx(below, rel=1e-14)


@pytest.mark.parametrize("values", [np.full(4, 2.5), np.zeros(3), np.array([-7.0])])
def test_values_that_are_all_equal_are_not_bent(values):
    found = Warp.of(values)
    assert found.scale == 0.0
    t, _ = found.forward(values)
    assert found.backward(t) == pytest.approx(values)
    mean, deviation = found.moments(t, np.full(len(t), 0.5))
    assert mean == pytest.approx(values)
    assert deviation == pytest.approx(0.5 * found.unit)


@pytest.mark.parametrize(
    ("away", "width"),
    [
        (0.0, 0.3),
        (-0.5, 0.1),
        (0.4, 1e-3),
        (1.0, 2.0),
        (-3.0, 0.2),
        (0.5, 1e-7),
        (0.5, 1e-5),
        (0.5, 2e-5),
        (1e-6, 1e-5),
    ],
)
def test_moments_equal_quadrature(away, width):
    found = Warp.of(SETS["wide"])
    center, deviation = found.middle + away * found.scale, width * found.scale
    mean, spread = found.moments(np.array([center]), np.array([deviation]))

    def expected(function):
        density = lambda z: np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        kink = (found.middle - center) / deviation
        cuts = sorted({-12.0, float(np.clip(kink, -12.0, 12.0)), 12.0})
        parts = pairwise(cuts)
        whole = lambda z: function(float(found.backward(center + deviation * z))) * density(z)
        return sum(quad(whole, low, high, epsabs=0.0, epsrel=1e-11, limit=400)[0] for low, high in parts)

    first = expected(lambda y: y)
    second = expected(lambda y: (y - first) ** 2)
    assert mean[0] == pytest.approx(first, rel=1e-9, abs=1e-10 * found.scale)
    assert spread[0] == pytest.approx(np.sqrt(second), rel=1e-5)


def test_no_deviation_and_far_too_much():
    found = Warp.of(SETS["wide"])
    t = np.array([found.middle - 0.1, found.middle + 0.1])
    mean, deviation = found.moments(t, np.zeros(2))
    assert mean == pytest.approx(found.backward(t))
    assert (deviation == 0.0).all()
    mean, deviation = found.moments(t, np.full(2, 100.0 * found.scale))
    assert np.isposinf(mean).all()
    assert np.isposinf(deviation).all()


def test_the_function_is_the_map():
    values = SETS["wide"]
    t, rate = warp(values)
    step = 1e-6
    ends = warp(values + step * (np.arange(50) == 3))[0][3], warp(values - step * (np.arange(50) == 3))[0][3]
    assert values[3] > np.median(values)
    assert rate[3] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)
    assert t == pytest.approx(Warp.of(values).unit * Warp.of(values).forward(values)[0])
