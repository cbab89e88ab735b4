"""Every solver finds what numpy.linalg.solve finds, or says that it did not."""

from __future__ import annotations

import numpy as np
import pytest

from hypergrad.solvers import SOLVERS, cg, dense, fixed_point, gmres, minres, neumann

RNG = np.random.default_rng(3)
Q = np.linalg.qr(RNG.standard_normal((12, 12)))[0]
POSITIVE = Q @ np.diag(np.linspace(0.2, 1.7, 12)) @ Q.T
INDEFINITE = Q @ np.diag(np.r_[-np.linspace(0.5, 1.0, 4), np.linspace(0.2, 1.7, 8)]) @ Q.T
ANY = np.eye(12) - 0.6 * RNG.standard_normal((12, 12)) / np.sqrt(12)
B = RNG.standard_normal(12)


def product(matrix):
    return lambda v: matrix @ v


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("warm", [False, True])
def test_positive_definite(name, warm):
    found = SOLVERS[name](product(POSITIVE), B, B.copy() if warm else None)
    assert found.converged
    assert found.note == ""
    assert found.residual <= 1e-12
    np.testing.assert_allclose(found.x, np.linalg.solve(POSITIVE, B), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", SOLVERS)
def test_the_solution_as_warm_start_takes_at_most_two_products(name):
    if name == "dense":
        pytest.skip("iterates nothing")
    options = {"step": 0.5} if name == "neumann" else {}
    x = np.linalg.solve(POSITIVE, B)
    found = SOLVERS[name](product(POSITIVE), B, x, tolerance=1e-10, **options)
    assert found.iterations <= 2
    np.testing.assert_array_equal(found.x, x)


@pytest.mark.parametrize("name", SOLVERS)
def test_nothing_to_solve(name):
    found = SOLVERS[name](product(POSITIVE), np.zeros(12))
    np.testing.assert_array_equal(found.x, 0.0)
    assert found.converged
    assert found.residual == 0.0


@pytest.mark.parametrize("solver", [minres, gmres, dense])
def test_indefinite(solver):
    found = solver(product(INDEFINITE), B)
    assert found.converged
    np.testing.assert_allclose(found.x, np.linalg.solve(INDEFINITE, B), rtol=0, atol=1e-11)


def test_cg_sees_negative_curvature():
    found = cg(product(INDEFINITE), B)
    assert not found.converged
    assert "negative curvature" in found.note


def test_cg_tells_negative_curvature_from_rounding():
    assert cg(product(INDEFINITE), B).smallest < -0.01
    half = Q[:, :6] @ Q[:, :6].T
    found = cg(product(half), B)
    assert not found.converged
    assert "negative" not in found.note


@pytest.mark.parametrize("tolerance", [1e-6, 1e-12])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("digits", [1, 4, 7])
def test_minres_goes_on_to_its_tolerance(digits, sign, tolerance):
    values = np.logspace(0, -digits, 12)
    values[::3] *= sign
    found = minres(product(Q * values @ Q.T), B, tolerance=tolerance, max_iterations=2000)
    assert found.converged
    assert found.residual <= max(tolerance, 1e-15 * 10.0**digits)


@pytest.mark.parametrize("name", ["minres", "gmres"])
def test_a_solver_never_returns_worse_than_its_start(name):
    nearly = Q @ np.diag(np.r_[np.ones(6), np.full(6, 1e-17)]) @ Q.T
    found = SOLVERS[name](product(nearly), B)
    assert not found.converged
    assert found.residual <= 1.0


@pytest.mark.parametrize("solver", [gmres, dense, fixed_point])
def test_not_symmetric(solver):
    found = solver(product(ANY), B)
    assert found.converged
    np.testing.assert_allclose(found.x, np.linalg.solve(ANY, B), rtol=0, atol=1e-10)


def test_neumann_says_that_it_diverges():
    found = neumann(product(INDEFINITE), B)
    assert not found.converged
    assert "diverges" in found.note


@pytest.mark.parametrize("terms", [1, 2, 7])
def test_a_truncated_series_is_the_sum_of_its_terms(terms):
    found = neumann(product(POSITIVE), B, step=0.5, terms=terms)
    m = np.eye(12) - 0.5 * POSITIVE
    expected = 0.5 * sum(np.linalg.matrix_power(m, k) @ B for k in range(terms))
    np.testing.assert_allclose(found.x, expected, rtol=1e-13)
    assert found.converged
    assert found.iterations == terms
    assert found.residual == pytest.approx(np.linalg.norm(B - POSITIVE @ expected) / np.linalg.norm(B))


def test_the_error_of_a_truncated_series_falls_at_the_rate_of_its_spectral_radius():
    x = np.linalg.solve(POSITIVE, B)
    errors = [np.linalg.norm(neumann(product(POSITIVE), B, step=0.5, terms=k).x - x) for k in (40, 60)]
    radius = 1 - 0.5 * 0.2
    assert (errors[1] / errors[0]) ** (1 / 20) == pytest.approx(radius, rel=5e-3)


def test_smallest_eigenvalue():
    assert cg(product(POSITIVE), B).smallest == pytest.approx(0.2, rel=1e-6)
    assert dense(product(POSITIVE), B).smallest == pytest.approx(0.2, rel=1e-10)


@pytest.mark.parametrize("name", SOLVERS)
def test_too_few_products_are_said(name):
    if name == "dense":
        pytest.skip("iterates nothing")
    found = SOLVERS[name](product(POSITIVE), B, max_iterations=3)
    assert not found.converged
    assert "residual" in found.note
    assert found.residual == pytest.approx(
        np.linalg.norm(B - POSITIVE @ found.x) / np.linalg.norm(B), rel=1e-10
    )


@pytest.mark.parametrize("name", SOLVERS)
def test_a_product_that_is_not_finite_is_data(name):
    with np.errstate(all="ignore"):
        found = SOLVERS[name](lambda v: np.full_like(v, np.nan), B)
    assert not found.converged
    assert found.note


def test_ill_conditioned_up_to_rounding():
    matrix = Q @ np.diag(np.logspace(-9, 0, 12)) @ Q.T
    for name in ("cg", "minres", "gmres", "dense"):
        found = SOLVERS[name](product((matrix + matrix.T) / 2), B)
        assert found.converged == (found.note == "")
        assert found.residual < 1e-5, name


@pytest.mark.parametrize(("name", "condition"), [("cg", 1e4), ("minres", 1e2), ("gmres", 1e4)])
def test_a_hundred_unknowns_to_the_default_tolerance(name, condition):
    q = np.linalg.qr(np.random.default_rng(9).standard_normal((100, 100)))[0]
    signs = np.where(np.arange(100) % 3 == 0, -1.0, 1.0) if name != "cg" else 1.0
    matrix = q @ np.diag(signs * np.geomspace(1.0 / condition, 1.0, 100)) @ q.T
    found = SOLVERS[name](product((matrix + matrix.T) / 2), np.random.default_rng(2).standard_normal(100))
    assert found.converged, found.note


def test_a_singular_system_that_has_solutions():
    matrix = Q[:, :8] @ np.diag(np.linspace(0.5, 1, 8)) @ Q[:, :8].T
    b = matrix @ B
    for name in ("cg", "minres", "dense"):
        found = SOLVERS[name](product(matrix), b)
        assert found.converged, name
        np.testing.assert_allclose(matrix @ found.x, b, atol=1e-11)
    assert not dense(product(matrix), B).converged


def test_minres_gives_up_where_products_are_not_finite():
    found = SOLVERS["minres"](lambda v: np.full(2, np.nan), np.ones(2), None)
    assert not found.converged
    assert found.iterations <= 3
