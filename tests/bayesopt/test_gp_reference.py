"""Mean, variance, log marginal likelihood and their gradients against 80 digits."""

from __future__ import annotations

import gp_reference
import mpmath as mp
import numpy as np
import pytest

from hypergrad.bayesopt import KERNELS, Hyperparameters, Likelihood, condition, make_kernel, observe

EPS = np.finfo(float).eps

# d, points, factor on the length-scales, noise, gradient noise; the condition numbers run from 10 to 1e12.
CASES = {
    "tame": (2, 4, 0.5, 1e-2, 1e-2),
    "one dimension": (1, 6, 1.0, 1e-4, 1e-4),
    "smooth": (2, 4, 2.0, 1e-4, 1e-3),
    "given noise": (3, 3, 1.0, 1e-3, 1e-2),
    "nearly noiseless": (2, 4, 1.5, 1e-8, 1e-8),
    "ill-conditioned": (2, 4, 4.0, 1e-11, 1e-11),
}


def case(name, profile):
    d, n, factor, noise, gradient_noise = CASES[name]
    rng = np.random.default_rng(list(CASES).index(name))
    kernel = make_kernel(profile, d)
    x = rng.random((n, d))
    theta = Hyperparameters(factor * (0.5 + rng.random(d)), 1.7, noise, gradient_noise, 0.3)
    data = observe(
        kernel,
        x,
        np.sin(3.0 * x).sum(axis=1),
        3.0 * np.cos(3.0 * x),
        known=rng.random((n, d)) < 0.7,
        value_noise=rng.random(n) * 1e-2 if name == "given noise" else 0.0,
        gradient_noise=rng.random((n, d)) if name == "given noise" else 0.0,
    )
    # The vector's exponentials are what both sides read, so that neither sees a rounding of the other's.
    return kernel, data, theta.vector, rng.random((2, d))


def away(found, exact, scale=None):
    found, exact = np.asarray(found, dtype=float), np.array([float(e) for e in np.atleast_1d(exact)])
    return np.max(np.abs(found - exact)) / (np.max(np.abs(exact)) if scale is None else scale)


@pytest.mark.parametrize("profile", KERNELS)
@pytest.mark.parametrize("name", CASES)
def test_against_80_digits(name, profile):
    with mp.workdps(80):
        kernel, data, vector, queries = case(name, profile)
        posterior = condition(kernel, Hyperparameters.of(vector), data)
        reference = gp_reference.Reference(profile, data, vector)
        kappa = reference.condition
        allowed = 1e-8 if kappa <= 1e6 else 100.0 * kappa * EPS
        assert posterior.jitter == 0.0
        moments = posterior.moments(queries)
        for q, x in enumerate(queries):
            mean, variance, mean_slope, variance_slope = reference.predict(x)
            assert away(moments.mean[q], mean) <= allowed
            # Above 1e6 relative to the prior's variance: what is left of it can be below rounding.
            assert away(moments.variance[q], variance, None if kappa <= 1e6 else 1.7) <= allowed
            assert away(moments.mean_gradient[q], mean_slope) <= allowed
            assert (
                away(moments.variance_gradient[q], variance_slope, None if kappa <= 1e6 else 1.7) <= allowed
            )
        density, gradient = Likelihood(kernel, data)(vector)
        exact = reference.log_density()
        assert away(density, exact) <= allowed
        assert away(posterior.log_density, exact) <= allowed
        assert away(gradient, gp_reference.log_density_gradient(profile, data, vector)) <= allowed
        assert 0.02 * kappa <= posterior.condition_number <= 50.0 * kappa


def test_the_cases_reach_what_they_are_for():
    with mp.workdps(80):
        found = []
        for name in CASES:
            _, data, vector, _ = case(name, "squared_exponential")
            found.append(gp_reference.Reference("squared_exponential", data, vector).condition)
    assert min(found) < 1e3
    assert max(found) > 1e10
    assert sum(1e4 < kappa <= 1e6 for kappa in found) >= 1
