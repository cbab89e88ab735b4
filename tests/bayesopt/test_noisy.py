"""Noisy expected improvement: by sampling, without noise, and its gradient."""

import numpy as np
import pytest

from hypergrad.bayesopt import Hyperparameters, condition, make_kernel, observe
from hypergrad.bayesopt.acquisition import LogEI
from hypergrad.bayesopt.noisy import NoisyLogEI


def posterior(noise, gradients, seed=0, n=12, d=3):
    rng = np.random.default_rng(seed)
    x = rng.random((n, d))
    values = np.sin(5.0 * x).sum(axis=1) + np.sqrt(noise) * rng.standard_normal(n)
    slopes = 5.0 * np.cos(5.0 * x) + np.sqrt(noise) * rng.standard_normal((n, d))
    kernel = make_kernel("matern52", ["continuous"] * d)
    known = rng.random((n, d)) < 0.6
    data = observe(kernel, x, values, slopes, known=known) if gradients else observe(kernel, x, values)
    theta = Hyperparameters(np.full(d, 0.6), 1.5, noise, noise, 0.2)
    return condition(kernel, theta, data)


@pytest.mark.parametrize("gradients", [False, True])
def test_it_is_the_expected_improvement_on_the_least_value_by_sampling(gradients):
    model = posterior(0.09, gradients)
    x = np.random.default_rng(1).random((5, 3))
    mean, covariance = model.joint(np.concatenate([model.data.points.x, x]))
    root = np.linalg.cholesky(covariance + 1e-10 * np.eye(len(mean)))
    draws = mean + np.random.default_rng(2).standard_normal((200_000, len(mean))) @ root.T
    sampled = np.maximum(draws[:, :12].min(axis=1)[:, None] - draws[:, 12:], 0.0).mean(axis=0)
    found, _ = NoisyLogEI.of(model, draws=2048)(x)
    np.testing.assert_allclose(np.exp(found), sampled, rtol=0.05, atol=1e-4)


@pytest.mark.parametrize("gradients", [False, True])
def test_its_gradient_is_the_finite_difference(gradients):
    surface = NoisyLogEI.of(posterior(0.04, gradients))
    x, step = np.random.default_rng(3).random((6, 3)), 1e-6
    _, slope = surface(x)
    for i in range(3):
        move = step * np.eye(3)[i]
        numeric = (surface(x + move)[0] - surface(x - move)[0]) / (2.0 * step)
        np.testing.assert_allclose(slope[:, i], numeric, rtol=1e-4, atol=1e-5)


def test_without_noise_it_is_log_ei():
    model = posterior(1e-9, False)
    x = np.random.default_rng(4).random((8, 3))
    moments = model.moments(x)
    expected, _, _ = LogEI(float(model.data.values.min()))(moments.mean, np.sqrt(moments.variance))
    found, _ = NoisyLogEI.of(model)(x)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_a_lucky_value_is_not_what_is_improved_on():
    """Two values at the same place, one of them lucky: what is improved on is nearer to their mean."""
    kernel = make_kernel("matern52", ["continuous"])
    data = observe(kernel, [[0.3], [0.3], [0.8]], [-2.0, 0.0, 0.5])
    model = condition(kernel, Hyperparameters(np.array([0.3]), 1.0, 0.5), data)
    at = np.array([[0.5]])
    noisy, _ = NoisyLogEI.of(model)(at)
    mean, variance = model.predict(at)
    by_value, _, _ = LogEI(-2.0)(mean, np.sqrt(variance))
    assert noisy[0] > by_value[0]


def test_the_same_posterior_gives_the_same_bits():
    x = np.random.default_rng(5).random((4, 3))
    one, other = (NoisyLogEI.of(posterior(0.04, True))(x) for _ in range(2))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
