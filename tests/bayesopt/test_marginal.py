"""The variance with uncertain hyperparameters: its formula computed another way, its limits, and its coverage."""

import numpy as np
import pytest

from hypergrad.bayesopt import (
    Hyperparameters,
    Likelihood,
    Marginal,
    Priors,
    condition,
    fit,
    make_kernel,
    observe,
)

KERNEL = make_kernel("matern52", ["continuous"] * 2)


def surface(x):
    return np.sin(4.0 * x[:, 0]) + 0.5 * x[:, 1] ** 2


def slopes(x):
    return np.stack([4.0 * np.cos(4.0 * x[:, 0]), x[:, 1]], axis=1)


def fitted(n, gradients=False, scale=1.0, shift=0.0):
    x = np.random.default_rng(n).random((n, 2))
    table = scale * slopes(x) if gradients else None
    return fit(KERNEL, observe(KERNEL, x, scale * surface(x) + shift, table))


@pytest.mark.parametrize("gradients", [False, True])
def test_the_formula_by_second_differences_of_the_density(gradients):
    found = fitted(9, gradients)
    x = np.random.default_rng(1).random((20, 2))
    data = found.posterior.data.scaled(found.shift, found.scale)
    priors, theta = Priors.of(KERNEL), found.standard.vector
    likelihood = Likelihood(KERNEL, data)
    free = np.flatnonzero([True, True, True, True, gradients, True])

    def density(vector):
        return likelihood.log_density(Hyperparameters.of(vector))

    h, eye = 1e-3, np.eye(len(theta))
    hessian = np.array(
        [
            [
                sum(a * b * density(theta + h * (a * eye[i] + b * eye[j])) for a in (1, -1) for b in (1, -1))
                for j in free
            ]
            for i in free
        ]
    ) / (-4.0 * h**2)
    deviations = priors.deviation[free]
    sizes, directions = np.linalg.eigh(hessian * np.outer(deviations, deviations))
    curved = (directions * np.maximum(sizes, 0.0)) @ directions.T
    covariance = np.linalg.inv(np.eye(len(free)) + curved) * np.outer(deviations, deviations)

    def moments(vector):
        return np.array(condition(KERNEL, Hyperparameters.of(vector), data).predict(x))

    by = np.array([(moments(theta + h * eye[i]) - moments(theta - h * eye[i])) / (2.0 * h) for i in free])
    variance = moments(theta)[1]
    mean_part = np.einsum("iq,ij,jq->q", by[:, 0], covariance, by[:, 0])
    variance_part = np.einsum("iq,ij,jq->q", by[:, 1], covariance, by[:, 1])
    wanted = found.scale**2 * (4.0 / 3.0 * variance + mean_part + variance_part / (3.0 * variance))
    np.testing.assert_allclose(Marginal.of(found).variance(x), wanted, rtol=2e-2)


def test_it_is_in_the_unit_of_the_values():
    x = np.random.default_rng(1).random((20, 2))
    one = Marginal.of(fitted(9)).variance(x)
    many = Marginal.of(fitted(9, scale=1e5, shift=-1e6)).variance(x)
    np.testing.assert_allclose(many, 1e10 * one, rtol=1e-3)


def test_it_is_never_below_the_variance_at_the_most_probable_hyperparameters():
    x = np.random.default_rng(1).random((50, 2))
    for n in (2, 5, 40):
        found = fitted(n, gradients=True)
        wide = Marginal.of(found).variance(x) / found.posterior.predict(x)[1]
        assert (wide >= 4.0 / 3.0 * (1.0 - 1e-6)).all()


def test_more_trials_leave_less_to_the_hyperparameters():
    x = np.random.default_rng(1).random((200, 2))
    ratios = [
        np.median(Marginal.of(each).variance(x) / each.posterior.predict(x)[1])
        for each in (fitted(5), fitted(60))
    ]
    assert ratios[0] > ratios[1] > 4.0 / 3.0


def test_nothing_is_uncertain_at_a_trial_without_noise():
    found = fitted(15)
    seen = found.posterior.data.points.x
    assert Marginal.of(found).variance(seen).max() < 0.01 * found.scale**2


def test_more_of_unseen_points_are_in_the_interval():
    x = np.random.default_rng(2).random((300, 2))
    plain, wide = [], []
    for n in range(5, 13):
        found = fitted(n)
        mean, variance = found.posterior.predict(x)
        away = np.abs(surface(x) - mean)
        plain.append(np.mean(away <= 1.96 * np.sqrt(variance)))
        wide.append(np.mean(away <= 1.96 * np.sqrt(Marginal.of(found).variance(x))))
    assert np.mean(wide) > np.mean(plain)
    assert np.mean(wide) > 0.9
