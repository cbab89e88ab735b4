import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize

from hypergrad.samplers.quadratic import fit, minimize


def bowl(d, seed, condition=100.0):
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (q * np.logspace(0, -np.log10(condition), d)) @ q.T


def pairs_of(hessian, count, seed):
    steps = np.random.default_rng([seed, 1]).standard_normal((count, len(hessian)))
    return [(s, hessian @ s) for s in steps]


def dense(model):
    return np.stack([model.times(row) for row in np.eye(len(model.diagonal))], axis=1)


def bfgs(diagonal, pairs):
    """The textbook recursion: B ← B - B s sᵀB / sᵀB s + y yᵀ / yᵀs."""
    b = np.diag(diagonal)
    for s, y in pairs:
        bs = b @ s
        b = b - np.outer(bs, bs) / (s @ bs) + np.outer(y, y) / (y @ s)
    return b


@pytest.mark.parametrize("count", [0, 1, 2, 5, 9])
def test_the_compact_form_is_the_bfgs_recursion(count):
    pairs = pairs_of(bowl(8, 0), count, 0)
    diagonal = np.random.default_rng(2).uniform(0.1, 3.0, 8)
    found = dense(fit(diagonal, pairs))
    np.testing.assert_allclose(found, bfgs(diagonal, pairs), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found, found.T, atol=1e-10)
    assert np.linalg.eigvalsh(found).min() > 0.0


def test_the_last_pair_is_interpolated():
    pairs = pairs_of(bowl(8, 0), 4, 0)
    s, y = pairs[-1]
    np.testing.assert_allclose(fit(np.ones(8), pairs).times(s), y, rtol=1e-10)


@pytest.mark.parametrize("condition", [1e2, 1e5])
@pytest.mark.parametrize("seed", range(25))
def test_the_least_point_of_a_box_is_found(seed, condition):
    """Also where a Newton step that is cut off by a near bound leads up."""
    d = 12
    rng = np.random.default_rng(seed)
    model = fit(10.0 ** rng.uniform(-3.0, 0.0, d), pairs_of(bowl(d, seed, condition), 6, seed))
    g = rng.standard_normal(d)
    low, high = -(10.0 ** rng.uniform(-4.0, 0.0, (2, d))) * [[1.0], [-1.0]]
    low[:2] = high[:2] = 0.0
    b = dense(model)
    p = minimize(model, g, low, high)
    expected = scipy_minimize(
        lambda p: (g @ p + 0.5 * p @ b @ p, g + b @ p),
        np.zeros(d),
        jac=True,
        bounds=list(zip(low, high, strict=True)),
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000},
    )
    assert ((p >= low) & (p <= high)).all()
    assert g @ p + 0.5 * p @ b @ p <= expected.fun + 1e-4 * abs(expected.fun)


def test_an_unbounded_minimum_is_newtons():
    hessian = bowl(6, 3)
    model = fit(np.ones(6), pairs_of(hessian, 6, 3))
    g = np.random.default_rng(3).standard_normal(6)
    found = minimize(model, g, np.full(6, -1e6), np.full(6, 1e6))
    np.testing.assert_allclose(found, -np.linalg.solve(dense(model), g), rtol=1e-6)


def test_nothing_moves_without_slope_or_room():
    model = fit(np.ones(3), [])
    assert not minimize(model, np.zeros(3), -np.ones(3), np.ones(3)).any()
    assert not minimize(model, np.ones(3), np.zeros(3), np.ones(3)).any()
