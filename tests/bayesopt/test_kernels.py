"""Conformance of every profile and coordinate: blocks are derivatives of one another and of the log hyperparameters."""

from __future__ import annotations

import gp_reference
import mpmath as mp
import numpy as np
import pytest

from hypergrad.bayesopt.kernels import COORDINATES, KERNELS, Blocks, Rows, make_kernel
from hypergrad.errors import DataError, ShapeError, UnknownNameError

MIXED = ["continuous", "hamming", "conditional", "continuous"]


def mixed_points(kernel, n, seed):
    rng = np.random.default_rng(seed)
    x = rng.random((n, 4))
    x[:, 1] = rng.integers(0, 3, n)
    active = np.ones((n, 4), dtype=bool)
    active[::3, 2] = False
    active[1, 1] = False
    return kernel.points(x, active)


def mixed_rows(points, seed):
    rng = np.random.default_rng(seed)
    can = points.active & np.array([True, False, True, True]) & (rng.random(points.x.shape) < 0.8)
    n = len(points)
    return Rows.of(np.sort(rng.permutation(n)[: n - 1]), np.argwhere(can))


def numbers(kernel):
    return np.random.default_rng(5).uniform(0.4, 1.2, kernel.scales), 1.3


@pytest.mark.parametrize("name", KERNELS)
def test_profile_is_a_correlation_and_its_derivatives_are_right(name):
    profile = KERNELS[name]
    assert profile.name == name
    assert profile.derivatives(np.zeros(1), 0)[0][0] == 1.0
    s = np.array([1e-3, 0.04, 0.7, 3.0, 20.0])
    found = profile.derivatives(s, 3)
    assert [len(profile.derivatives(s, order)) for order in range(4)] == [1, 2, 3, 4]
    with mp.workdps(60):
        for k in range(4):
            exact = [float(mp.diff(lambda v: gp_reference.profile(name, v), mp.mpf(float(v)), k)) for v in s]
            np.testing.assert_allclose(found[k], exact, rtol=1e-13)
    assert all(np.isfinite(value).all() for value in profile.derivatives(np.zeros(2), 3))


@pytest.mark.parametrize("name", KERNELS)
def test_blocks_are_the_definition_in_80_digits(name):
    kernel = make_kernel(name, 3)
    rng = np.random.default_rng(0)
    points, others = kernel.points(rng.random((3, 3))), kernel.points(rng.random((2, 3)))
    others.x[0] = points.x[1]
    rows, columns = (
        Rows.of([0, 1, 2], [(0, 0), (1, 2), (2, 1), (1, 1)]),
        Rows.of([1, 0], [(0, 2), (1, 0), (0, 1)]),
    )
    lengths = np.array([0.5, 0.9, 1.4])
    found = Blocks(kernel, points, rows, others, columns).matrix(lengths, 1.7)
    with mp.workdps(80):
        left, right = gp_reference.functionals(points.x, rows), gp_reference.functionals(others.x, columns)
        exact = mp.matrix(len(left), len(right))
        exactly = [mp.mpf(float(v)) for v in lengths]
        for a, one in enumerate(left):
            for b, two in enumerate(right):
                scale = (1 if one[1] is None else exactly[one[1]]) * (
                    1 if two[1] is None else exactly[two[1]]
                )
                exact[a, b] = scale * gp_reference.entry(name, one, two, exactly, mp.mpf(1.7))
        exact = np.array(exact.tolist(), dtype=float)
    np.testing.assert_allclose(found, exact, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", KERNELS)
def test_blocks_of_mixed_points_are_finite_differences_of_the_value_block(name):
    kernel = make_kernel(name, MIXED)
    points = mixed_points(kernel, 6, 1)
    lengths, signal = numbers(kernel)
    h = 1e-5
    everything = Rows.of(np.arange(6))
    for p, i in [(1, 0), (1, 2), (4, 3)]:
        found = Blocks(kernel, points, Rows.of([], [(p, i)]), points, everything).matrix(lengths, signal)[0]
        sides = []
        for step in (h, -h):
            x = points.x.copy()
            x[p, i] += step
            moved = kernel.points(x, points.active)
            sides.append(Blocks(kernel, moved, Rows.of([p]), points, everything).matrix(lengths, signal)[0])
        scale = lengths[kernel.first[i]]
        np.testing.assert_allclose(found, scale * (sides[0] - sides[1]) / (2 * h), atol=1e-8)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("same", [True, False])
def test_derivatives_by_log_hyperparameters_are_finite_differences(name, same):
    kernel = make_kernel(name, MIXED)
    points = mixed_points(kernel, 7, 2)
    rows = mixed_rows(points, 3)
    if same:
        blocks = Blocks(kernel, points, rows)
    else:
        others = mixed_points(kernel, 5, 4)
        blocks = Blocks(kernel, points, rows, others, mixed_rows(others, 5))
    lengths, signal = numbers(kernel)
    rng = np.random.default_rng(6)
    weights = rng.normal(size=(len(rows), len(blocks.others)))
    weights = weights + weights.T if same else weights
    found = blocks.pull(lengths, signal, weights)
    h = 1e-5
    for m in range(kernel.scales):
        up, down = lengths.copy(), lengths.copy()
        up[m] *= np.exp(h)
        down[m] *= np.exp(-h)
        difference = (blocks.matrix(up, signal) - blocks.matrix(down, signal)) / (2 * h)
        assert found[m] == pytest.approx(np.sum(weights * difference), abs=1e-7 * np.abs(weights).sum() / 50)


@pytest.mark.parametrize("same", [True, False])
def test_distances_made_part_by_part_and_not_kept_are_the_same(same, monkeypatch):
    kernel = make_kernel("matern52", MIXED)
    points, others = mixed_points(kernel, 7, 2), mixed_points(kernel, 5, 4)
    right = () if same else (others, mixed_rows(others, 5))
    rows = mixed_rows(points, 3)
    lengths, signal = numbers(kernel)

    def found():
        blocks = Blocks(kernel, points, rows, *right)
        matrix = blocks.matrix(lengths, signal, keep=True)
        return matrix, blocks.pull(lengths, signal, np.cos(matrix))

    at_once = found()
    monkeypatch.setattr("hypergrad.bayesopt.kernels.blocks._AT_ONCE", 1)
    monkeypatch.setattr("hypergrad.bayesopt.kernels.blocks._KEPT", 0)
    for one, other in zip(at_once, found(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", KERNELS)
def test_each_entry_of_each_block_has_its_derivative(name):
    kernel = make_kernel(name, 2)
    points = kernel.points(np.random.default_rng(0).random((2, 2)))
    rows = Rows.of([0, 1], [(0, 0), (1, 1), (1, 0)])
    blocks = Blocks(kernel, points, rows, points, rows)
    lengths, h = np.array([0.6, 1.1]), 1e-5
    found = np.empty((5, 5, 2))
    for a in range(5):
        for b in range(5):
            unit = np.zeros((5, 5))
            unit[a, b] = 1.0
            found[a, b] = blocks.pull(lengths, 1.0, unit)
    for m in range(2):
        factor = np.where(np.arange(2) == m, np.exp(h), 1.0)
        difference = (blocks.matrix(lengths * factor, 1.0) - blocks.matrix(lengths / factor, 1.0)) / (2 * h)
        np.testing.assert_allclose(found[:, :, m], difference, atol=1e-9)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("kind", COORDINATES)
@pytest.mark.parametrize("d", [1, 2, 5, 10])
def test_positive_definite_and_symmetric(name, kind, d):
    kernel = make_kernel(name, [kind] * d)
    assert COORDINATES[kind].name == kind
    rng = np.random.default_rng(d)
    x = rng.integers(0, 3, (12, d)).astype(float) if kind == "hamming" else rng.random((12, d))
    active = rng.random((12, d)) < 0.7 if COORDINATES[kind].optional else None
    points = kernel.points(x, active)
    pairs = np.argwhere(points.active) if COORDINATES[kind].smooth else ()
    rows = Rows.of(np.arange(12), pairs)
    lengths = rng.uniform(0.3, 2.0, kernel.scales)
    found = Blocks(kernel, points, rows).matrix(lengths, 2.0)
    general = Blocks(kernel, points, rows, points, rows).matrix(lengths, 2.0)
    np.testing.assert_array_equal(found, general)
    np.testing.assert_allclose(found, found.T, atol=1e-15)
    assert np.linalg.eigvalsh(found).min() > -1e-12
    np.testing.assert_allclose(np.diag(found)[:12], 2.0)


def test_conditions_and_choices_count_as_they_say():
    kernel = make_kernel("squared_exponential", ["conditional", "hamming"])
    active = np.array([[True, True], [False, True], [False, True], [False, False], [False, False]])
    points = kernel.points([[0.7, 0], [0.2, 0], [np.nan, 1], [0.0, 1], [0.0, 2]], active)
    found = Blocks(kernel, points, Rows.of(np.arange(5))).matrix(np.array([0.5, 2.0, 1.0]), 1.0)
    assert found[0, 1] == pytest.approx(np.exp(-0.5 * (0.2**2 / 0.25 + 1 / 4)))
    assert found[1, 2] == pytest.approx(np.exp(-0.5))
    assert found[2, 3] == pytest.approx(np.exp(-0.5))
    assert found[3, 4] == 1.0


def test_errors_are_one_clear_sentence():
    with pytest.raises(UnknownNameError, match="no kernel 'matern'; did you mean 'matern52'"):
        make_kernel("matern", 2)
    with pytest.raises(UnknownNameError, match="no coordinate 'haming'; did you mean 'hamming'"):
        make_kernel("matern52", ["haming"])
    with pytest.raises(ShapeError, match="at least one coordinate"):
        make_kernel("matern52", 0)
    kernel = make_kernel("matern52", 2)
    with pytest.raises(DataError, match=r"x\[1, 0\] is nan, not a finite number"):
        kernel.points([[0.0, 1.0], [np.nan, 0.0]])
    with pytest.raises(ShapeError, match=r"must have the shape \(n, 2\), and has \(2,\)"):
        kernel.points([0.0, 1.0])
    with pytest.raises(DataError, match="array of real numbers"):
        kernel.points([["a", "b"]])
    with pytest.raises(ShapeError, match="active must be bool of the shape"):
        kernel.points([[0.0, 1.0]], [[1, 1]])
    with pytest.raises(
        DataError, match="column 1 of x is 'continuous' but inactive at point 0; make it 'conditional'"
    ):
        kernel.points([[0.0, 1.0]], np.array([[True, False]]))
