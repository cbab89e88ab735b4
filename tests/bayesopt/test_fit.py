"""Maximum a posteriori, noise of gradients, gate and caps."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from hypergrad.bayesopt import (
    Hyperparameters,
    Likelihood,
    Priors,
    condition,
    fit,
    make_kernel,
    observe,
    standardise,
)
from hypergrad.bayesopt.thinning import choose_derivatives, choose_points, promise
from hypergrad.errors import DataError, ShapeError


def wave(x):
    return np.sin(5 * x[:, 0]) + x[:, 1] ** 2 - x[:, 0] * x[:, 2]


def slopes(x):
    return np.stack([5 * np.cos(5 * x[:, 0]) - x[:, 2], 2 * x[:, 1], -x[:, 0]], axis=1)


def told(n, seed=0, gradients=True, **more):
    kernel = make_kernel("matern52", 3)
    x = np.random.default_rng(seed).random((n, 3))
    return kernel, observe(kernel, x, wave(x), slopes(x) if gradients else None, **more)


def held_out(found, seed=99):
    x = np.random.default_rng(seed).random((200, 3))
    return np.sqrt(np.mean((found.posterior.predict(x)[0] - wave(x)) ** 2)) / wave(x).std()


def test_fit_is_a_stationary_point_of_the_posterior_density():
    kernel, data = told(15)
    found = fit(kernel, data)
    standard, shift, scale = standardise(data)
    assert (found.shift, found.scale) == (shift, scale)
    priors, likelihood = Priors.of(kernel), Likelihood(kernel, standard)
    best = found.standard.vector

    def density(vector):
        return likelihood(vector)[0] + priors.log_density(vector)[0]

    gradient = likelihood(best)[1] + priors.log_density(best)[1]
    inside = (best > priors.lower + 1e-9) & (best < priors.upper - 1e-9)
    assert np.abs(gradient[inside]).max() < 0.1
    rng = np.random.default_rng(0)
    assert all(density(best) >= density(best + 0.2 * rng.normal(size=len(best))) for _ in range(50))


def test_prior_is_log_normal_with_the_published_mean_and_spread():
    kernel = make_kernel("matern52", 7)
    priors = Priors.of(kernel)
    mu, sd = np.sqrt(2) + 0.5 * np.log(7), np.sqrt(3)
    base = np.array([*priors.mean])

    def log_normal(log_length):
        return -log_length - 0.5 * ((log_length - mu) / sd) ** 2

    for t in (-2.0, 0.0, 1.5):
        one, two = base.copy(), base.copy()
        one[3], two[3] = t, 0.4
        assert priors.log_density(one)[0] - priors.log_density(two)[0] == pytest.approx(
            log_normal(t) - log_normal(0.4)
        )
    one = base + np.random.default_rng(0).normal(size=len(base))
    numeric = [
        (priors.log_density(one + e)[0] - priors.log_density(one - e)[0]) / 2e-5
        for e in 1e-5 * np.eye(len(base))
    ]
    np.testing.assert_allclose(priors.log_density(one)[1], numeric, atol=1e-8)


def test_gradients_help_where_they_are_right():
    plain, with_them = fit(*told(15, gradients=False)), fit(*told(15))
    assert with_them.used_gradients
    assert not plain.used_gradients
    assert held_out(with_them) < 0.2 * held_out(plain)
    assert with_them.density_with > with_them.density_without
    assert with_them.rows == 60
    assert with_them.left_out == 0


def test_noise_of_gradients_is_learned():
    kernel, data = told(25)
    rng = np.random.default_rng(1)
    noisy = replace(data, gradients=data.gradients + 4.0 * rng.normal(size=data.gradients.shape))
    clean, found = fit(kernel, data), fit(kernel, noisy)
    assert found.standard.gradient_noise > 100.0 * clean.standard.gradient_noise
    assert held_out(found) < 1.2 * held_out(fit(kernel, data.without_derivatives()))
    assert found.used_gradients
    assert found.posterior.theta.gradient_noise == pytest.approx(16.0, rel=0.3)


def ripple(n):
    """A bowl with steep ripples of period 1/40: gradients describe only the ripples."""
    kernel = make_kernel("matern52", 3)
    x = np.random.default_rng(4).random((n, 3))
    k = 80 * np.pi
    values = ((x - 0.4) ** 2).sum(axis=1) + 0.02 * np.sin(k * x).sum(axis=1)
    return kernel, observe(kernel, x, values, 2 * (x - 0.4) + 0.02 * k * np.cos(k * x))


def test_high_noise_starts_keep_length_scales_from_collapsing_onto_ripples():
    kernel, data = ripple(20)
    found = fit(kernel, data)
    assert found.standard.gradient_noise > 1.0
    assert found.posterior.theta.lengthscales.min() > 0.2


def test_gate_drops_derivative_rows_that_hurt():
    kernel, data = ripple(20)
    priors = Priors.of(kernel)
    upper, mean, deviation = priors.upper.copy(), priors.mean.copy(), priors.deviation.copy()
    upper[-2], mean[-2], deviation[-2] = -4.0, -8.0, 1.0
    trusting = replace(priors, upper=upper, mean=mean, deviation=deviation)
    found = fit(kernel, data, priors=trusting)
    assert not found.used_gradients
    assert found.left_out == 60
    assert found.density_with < found.density_without
    assert found.rows == 20
    alone = fit(kernel, data.without_derivatives(), priors=trusting)
    assert found.standard.vector.tolist() == alone.standard.vector.tolist()
    ungated = fit(kernel, data, priors=trusting, gate=False)
    assert ungated.used_gradients
    assert ungated.posterior.theta.lengthscales.min() < 0.1


def test_units_of_f_do_not_matter():
    kernel, data = told(12)
    moved = replace(data, values=1e4 * data.values - 3e5, gradients=1e4 * data.gradients)
    one, two = fit(kernel, data), fit(kernel, moved)
    x = np.random.default_rng(5).random((4, 3))
    (mean, variance), (other, wider) = one.posterior.predict(x), two.posterior.predict(x)
    np.testing.assert_allclose(1e4 * mean - 3e5, other, rtol=1e-5)
    np.testing.assert_allclose(1e8 * variance, wider, rtol=2e-2)
    np.testing.assert_allclose(one.standard.vector, two.standard.vector, atol=2e-2)


def test_the_same_data_give_the_same_bits():
    kernel, data = told(14)
    one, two = fit(kernel, data), fit(kernel, data)
    assert one.standard.vector.tolist() == two.standard.vector.tolist()
    again = fit(kernel, data, start=one.standard)
    assert np.isfinite(again.posterior.log_density)


def test_caps_keep_all_values_and_the_rows_that_tell_most():
    kernel, data = told(30)
    found = fit(kernel, data, rows=50, fit_rows=40)
    assert found.rows == 50
    assert found.left_out == 70
    assert len(found.posterior.data) == 30
    tight = fit(kernel, data, rows=20, fit_rows=30)
    assert tight.rows == 35
    assert tight.used_gradients


def test_rows_are_chosen_where_they_tell_something():
    kernel = make_kernel("matern52", 3)
    x = np.random.default_rng(0).random((8, 3))
    x[7] = x[0]
    theta = Hyperparameters(np.array([0.3, 0.5, 100.0]), 1.0, 1e-6, 1e-6)
    data = observe(kernel, x, wave(x), slopes(x))
    chosen = choose_derivatives(kernel, theta, data, 14)
    assert len(set(chosen.tolist())) == 14
    at, by = data.rows.points[chosen], data.rows.coordinates[chosen]
    assert not (by == 2).any()
    pairs = set(zip(at.tolist(), by.tolist(), strict=True))
    assert not any((0, i) in pairs and (7, i) in pairs for i in (0, 1))
    # The best rows come first, so a smaller cap keeps a part of what a larger one keeps.
    assert choose_derivatives(kernel, theta, data, 5).tolist() == chosen[:5].tolist()
    noisy = replace(data, gradient_noise=np.where(np.arange(3) == 0, 1e6, 0.0) * np.ones((8, 3)))
    assert (noisy.rows.coordinates[choose_derivatives(kernel, theta, noisy, 7)] == 1).all()


def test_promise_and_choice_of_points():
    assert promise(np.array([3.0, 1.0, 2.0])).tolist() == [1 / 16, 1.0, 0.25]
    kernel = make_kernel("matern52", 3)
    x = np.random.default_rng(0).random((40, 3))
    data = observe(kernel, x, wave(x))
    chosen = choose_points(data, 12)
    assert len(set(chosen.tolist())) == 12
    assert set(np.argsort(wave(x))[:3].tolist()) <= set(chosen.tolist())
    assert choose_points(data, 60).tolist() == list(range(40))


def test_small_and_degenerate_data():
    kernel = make_kernel("matern52", 2)
    for values, gradients in [
        ([2.0], None),
        ([2.0], [[1.0, -3.0]]),
        ([2.0, 2.0], None),
        ([0.0, 0.0], np.zeros((2, 2))),
    ]:
        x = np.full((len(values), 2), 0.3)
        found = fit(kernel, observe(kernel, x, values, gradients))
        mean, variance = found.posterior.predict([[0.3, 0.3], [0.9, 0.9]])
        assert np.isfinite(mean).all()
        assert (variance >= 0.0).all()
        assert mean[0] == pytest.approx(values[0], abs=0.1)
    single = fit(kernel, observe(kernel, [[0.3, 0.3]], [2.0], [[1.0, -3.0]]))
    assert single.used_gradients
    assert single.posterior.moments([[0.3, 0.3]]).mean_gradient[0] == pytest.approx([1.0, -3.0], rel=0.1)


def test_given_noise_counts():
    kernel = make_kernel("matern52", 1)
    x = np.linspace(0.0, 1.0, 8)[:, None]
    values = x[:, 0].copy()
    values[4] += 3.0
    noise = np.where(np.arange(8) == 4, 100.0, 1e-4)
    found = fit(kernel, observe(kernel, x, values, value_noise=noise))
    assert found.posterior.predict(x[4:5])[0][0] == pytest.approx(x[4, 0], abs=0.2)


def test_mixed_and_conditional_columns_are_fitted():
    kernel = make_kernel("matern52", ["continuous", "hamming", "conditional"])
    rng = np.random.default_rng(0)
    x = rng.random((40, 3))
    x[:, 1] = rng.integers(0, 2, 40)
    active = np.ones((40, 3), dtype=bool)
    active[:, 2] = x[:, 1] == 1
    values = x[:, 0] + np.where(active[:, 2], np.sin(6 * x[:, 2]), 2.0)
    gradients = np.stack([np.ones(40), np.full(40, np.nan), 6 * np.cos(6 * x[:, 2])], axis=1)
    found = fit(kernel, observe(kernel, x, values, gradients, active=active))
    mean, _ = found.posterior.predict(
        [[0.5, 0, 0.9], [0.5, 1, 0.25]], np.array([[1, 1, 0], [1, 1, 1]], dtype=bool)
    )
    np.testing.assert_allclose(mean, [2.5, 0.5 + np.sin(1.5)], atol=0.05)


def test_errors():
    kernel, data = told(5)
    with pytest.raises(DataError, match="rows must be at least 1"):
        fit(kernel, data, rows=0)
    with pytest.raises(ShapeError, match="3 length-scales"):
        fit(kernel, data, start=Hyperparameters(np.ones(2)))
    with pytest.raises(DataError, match="too large to be squared"), np.errstate(over="ignore"):
        fit(kernel, replace(data, values=np.array([1e300, -1e300, 0.0, 1.0, 2.0])))
    assert condition(kernel, Hyperparameters(np.ones(3)), data).jitter >= 0.0


def test_importing_the_package_loads_no_scipy():
    code = "import sys, hypergrad.bayesopt; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
