"""Acquisition functions: exact where plain formulas cancel, and differentiated right."""

import mpmath as mp
import numpy as np
import pytest

from hypergrad.bayesopt.acquisition import LogEI, LowerBound, log_h, log_h_slope

POINTS = [
    *(-1e9, -1e8, -7e7, -6e7, -1e5, -300.0, -200.0, -199.0, -40.0, -10.0, -3.0),
    *(-1.1, -1.0, -0.9, -0.1, 0.0, 0.5, 3.0, 40.0, 1e6),
]


def reference(z):
    """(log h, Φ / h) to 60 digits."""
    with mp.workdps(60):
        z = mp.mpf(float(z))
        if z < -1e4:  # h = φ z^-2 (1 - 3 z^-2 + 15 z^-4 ...), Φ = φ |z|^-1 (1 - z^-2 + 3 z^-4 ...)
            h = 1 - 3 / z**2 + 15 / z**4
            tail = 1 - 1 / z**2 + 3 / z**4
            return -(z**2) / 2 - mp.log(2 * mp.pi) / 2 - 2 * mp.log(-z) + mp.log(h), -z * tail / h
        density, below = mp.npdf(z), mp.erfc(-z / mp.sqrt(2)) / 2
        h = density + z * below
        return mp.log(h), below / h


@pytest.mark.parametrize("z", POINTS)
def test_log_h_and_its_slope_are_right_to_rounding(z):
    value, slope = reference(z)
    assert float(log_h(np.array(z))) == pytest.approx(float(value), rel=1e-12, abs=1e-13)
    assert float(log_h_slope(np.array(z))) == pytest.approx(float(slope), rel=1e-10)


@pytest.mark.parametrize("acquisition", [LogEI(0.3), LowerBound(1.5)])
def test_derivatives_are_finite_differences(acquisition):
    mean, deviation, step = np.linspace(-2.0, 3.0, 11), np.geomspace(0.05, 3.0, 11), 1e-6
    _, by_mean, by_deviation = acquisition(mean, deviation)
    numeric = (acquisition(mean + step, deviation)[0] - acquisition(mean - step, deviation)[0]) / (2 * step)
    np.testing.assert_allclose(by_mean, numeric, rtol=1e-6, atol=1e-8)
    numeric = (acquisition(mean, deviation + step)[0] - acquisition(mean, deviation - step)[0]) / (2 * step)
    np.testing.assert_allclose(by_deviation, numeric, rtol=1e-5, atol=1e-7)


def test_log_ei_is_the_expected_improvement_by_sampling():
    mean, deviation = np.array([0.2, 0.9]), np.array([0.5, 0.3])
    draws = mean + deviation * np.random.default_rng(0).standard_normal((400_000, 2))
    sampled = np.maximum(0.4 - draws, 0.0).mean(0)
    np.testing.assert_allclose(np.exp(LogEI(0.4)(mean, deviation)[0]), sampled, rtol=0.02)
