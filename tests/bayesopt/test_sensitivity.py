"""Sobol indices and their derivative-based bound against functions whose indices have a closed form."""

from __future__ import annotations

import numpy as np
import pytest

from hypergrad.bayesopt import fit, make_kernel, observe
from hypergrad.bayesopt.sensitivity import poincare, sobol_indices, uniform

PI = np.pi


def singles(d):
    return [np.array([i]) for i in range(d)]


def ishigami(u, a=7.0, b=0.1):
    x = PI * (2.0 * u - 1.0)
    return np.sin(x[:, 0]) + a * np.sin(x[:, 1]) ** 2 + b * x[:, 2] ** 4 * np.sin(x[:, 0])


def ishigami_indices(a=7.0, b=0.1):
    """Closed form: V1, V2, V13 and their sum."""
    v1, v2, v13 = 0.5 * (1 + b * PI**4 / 5) ** 2, a * a / 8, b * b * PI**8 * (1 / 18 - 1 / 50)
    v = v1 + v2 + v13
    return np.array([v1, v2, 0.0]) / v, np.array([v1 + v13, v2, v13]) / v, v


A = np.array([0.0, 0.5, 3.0, 9.0, 99.0, 99.0])


def product(u):
    """Sobol's g-function."""
    return np.prod((np.abs(4.0 * u - 2.0) + A) / (1.0 + A), axis=1)


def product_indices():
    parts = 1.0 / (3.0 * (1.0 + A) ** 2)
    v = np.prod(1.0 + parts) - 1.0
    return parts / v, parts * (v + 1.0) / (1.0 + parts) / v, v


def test_ishigami():
    first, total, variance = ishigami_indices()
    found = sobol_indices(ishigami, 3, singles(3), points=4096)
    assert found.first == pytest.approx(first, abs=0.005)
    assert found.total == pytest.approx(total, abs=0.005)
    assert found.variance == pytest.approx(variance, rel=2e-3)
    assert found.mean == pytest.approx(3.5, abs=0.01)
    assert found.evaluations == 8 * 4096 * 5


def test_the_g_function():
    first, total, variance = product_indices()
    found = sobol_indices(product, 6, singles(6))
    assert found.first == pytest.approx(first, abs=0.005)
    assert found.total == pytest.approx(total, abs=0.005)
    assert found.variance == pytest.approx(variance, rel=2e-3)


def test_a_sum_has_no_interactions():
    weights = np.array([3.0, -2.0, 1.0, 0.0])
    found = sobol_indices(lambda u: 1e6 + u @ weights, 4, singles(4))
    exact = weights**2 / (weights @ weights)
    assert found.first == pytest.approx(exact, abs=1e-3)
    assert found.total == pytest.approx(exact, abs=1e-3)
    assert found.total[3] == 0.0


def test_a_group_has_the_closed_index_of_its_coordinates():
    first = ishigami_indices()[0]
    found = sobol_indices(ishigami, 3, [np.array([0, 2]), np.array([1]), np.array([0, 1, 2])])
    assert found.first == pytest.approx([1.0 - first[1], first[1], 1.0], abs=0.005)
    assert found.total == pytest.approx([1.0 - first[1], first[1], 1.0], abs=0.005)


def test_the_standard_errors_are_as_large_as_the_errors():
    """Of 40 estimates, the root mean square of error / standard error is near 1 (a t distribution: 1.18)."""
    first, total, _ = ishigami_indices()
    away = []
    for seed in range(40):
        found = sobol_indices(ishigami, 3, singles(3), points=128, seed=seed)
        away.append((found.total[:2] - total[:2]) / found.total_error[:2])
        away.append((found.first[:2] - first[:2]) / found.first_error[:2])
    assert 0.7 < np.sqrt(np.mean(np.square(away))) < 1.7


def test_the_bound_is_above_the_total_index_and_sharp_for_the_slowest_sine():
    u = uniform(4096, 3, 0)
    x = PI * (2.0 * u - 1.0)
    slopes = np.stack(
        [
            np.cos(x[:, 0]) * (1 + 0.1 * x[:, 2] ** 4),
            7.0 * np.sin(2 * x[:, 1]),
            0.4 * x[:, 2] ** 3 * np.sin(x[:, 0]),
        ],
        axis=1,
    )
    _, total, variance = ishigami_indices()
    assert (poincare(np.mean((2 * PI * slopes) ** 2, axis=0), variance) >= total).all()
    u = uniform(4096, 1, 1)[:, 0]  # cos(π u): ν = π² / 2, V = 1 / 2
    assert poincare(np.mean((PI * np.sin(PI * u)) ** 2), 0.5) == pytest.approx(1.0, rel=1e-3)


def test_a_constant_has_no_indices():
    found = sobol_indices(lambda u: np.full(len(u), 0.1), 2, singles(2))
    assert np.isnan(found.first).all()
    assert np.isnan(found.total).all()
    assert np.isnan(poincare(np.zeros(2), 0.0)).all()


def test_the_same_seed_gives_the_same_bits():
    one, two = (sobol_indices(ishigami, 3, singles(3), seed=3) for _ in range(2))
    assert (one.total == two.total).all()
    assert (one.total != sobol_indices(ishigami, 3, singles(3), seed=4).total).any()


def test_the_mean_alone_is_the_mean_of_the_prediction():
    rng = np.random.default_rng(0)
    kernel = make_kernel("matern52", ["continuous", "hamming", "conditional"])
    x = rng.random((9, 3))
    x[:, 1] = rng.integers(0, 2, 9)
    active = np.ones((9, 3), bool)
    active[::2, 2] = False
    data = observe(kernel, x, rng.standard_normal(9), rng.standard_normal((9, 3)), active=active)
    posterior = fit(kernel, data).posterior
    at = rng.random((5, 3))
    at[:, 1] = [0, 1, 0, 1, 1]
    on = np.array([[True, True, i % 2 == 0] for i in range(5)])
    assert posterior.mean(at, on) == pytest.approx(posterior.predict(at, on)[0], rel=1e-12)
