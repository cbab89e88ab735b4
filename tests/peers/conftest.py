"""Oracles: everything derived by JAX in float64, and central differences over the public API."""

from __future__ import annotations

import os

import numpy as np
import pytest

import hypergrad as hg


@pytest.fixture(scope="session")
def jax():
    """JAX in double precision, as the oracle."""
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # each program runs once
    module = pytest.importorskip("jax", reason="JAX is the oracle of this test; install the extra [peers]")
    module.config.update("jax_enable_x64", True)
    return module


def _close(mine, reference, tolerance, what):
    """Same shape, and equal to `tolerance` relative to the norm of `reference` (absolute below norm 1e-3)."""
    mine, reference = np.asarray(mine), np.asarray(reference)
    assert mine.shape == reference.shape, f"{what}: shape {mine.shape}, expected {reference.shape}"
    scale = max(float(np.linalg.norm(reference)), 1e-3)
    error = float(np.linalg.norm(mine - reference)) / scale
    assert error <= tolerance, f"{what}: relative error {error:.1e} above {tolerance:.0e}"


@pytest.fixture(scope="session")
def close():
    """The comparison of two arrays relative to a norm."""
    return _close


@pytest.fixture(scope="session")
def close_leaves():
    """compare(found, expected, tolerance): two trees, each leaf relative to its own norm, none of them zero."""

    def compare(found, expected, tolerance):
        expected_leaves, structure = hg.tree.flatten(expected)
        assert hg.tree.structure(found) == structure
        for path, a, b in zip(structure.paths(), hg.tree.leaves(found), expected_leaves, strict=True):
            norm = float(np.linalg.norm(b))
            assert norm > 1e-6, f"{path}: the case says nothing, its derivative is zero"
            _close(np.asarray(a) / norm, np.asarray(b) / norm, tolerance, path)

    return compare


def _pair(f):
    """(function for NumPy, function for JAX): a pair already, or one function of (namespace, *args)."""
    import jax.numpy as jnp

    if isinstance(f, tuple):
        return f
    return (lambda *a: f(np, *a)), (lambda *a: f(jnp, *a))


def _reference(jax, f, args, tangents, cotangent):
    """value and tangent of f, gradients and Hessian-vector products of sum(cotangent * f)."""

    def scalar(packed):
        return (cotangent * f(*packed)).sum()

    def everything(args, tangents):
        value, tangent = jax.jvp(lambda *a: f(*a), args, tangents)
        gradients, curvature = jax.jvp(jax.grad(scalar), (args,), (tangents,))
        return value, tangent, gradients, curvature

    return jax.jit(everything)(args, tangents)


@pytest.fixture
def against_jax(jax):
    """compare(f, *args, order=2, tolerance=1e-11): value, vjp, jvp, and second order both ways round."""

    def compare(f, *args, order=2, tolerance=1e-11):
        mine, theirs = _pair(f)
        args = tuple(np.asarray(a, float) for a in args)
        expected = np.asarray(mine(*args))
        rng = np.random.default_rng(sum(a.size for a in args))
        tangents = tuple(rng.standard_normal(a.shape) for a in args)
        cotangent = rng.standard_normal(expected.shape)
        value, tangent, gradients, curvature = _reference(jax, theirs, args, tangents, cotangent)

        _close(hg.compile(mine)(*args), expected, 1e-14, "compiled value against NumPy")
        _close(expected, value, tolerance, "value")
        found, found_tangent = hg.jvp(mine, args, tangents)
        _close(found, expected, 1e-14, "value of jvp")
        _close(found_tangent, tangent, tolerance, "jvp")
        found, pullback = hg.vjp(mine, *args)
        _close(found, expected, 1e-14, "value of vjp")
        for number, (a, b) in enumerate(zip(pullback(cotangent), gradients, strict=True)):
            _close(a, b, tolerance, f"vjp, argument {number}")
        if order < 2:
            return

        def scalar(packed):
            return np.sum(cotangent * mine(*packed))

        def slope(packed):
            return sum(np.sum(g * v) for g, v in zip(hg.grad(scalar)(packed), tangents, strict=True))

        for kind, product in (
            ("hvp", hg.hvp(scalar, args, tangents)),
            ("grad of grad", hg.grad(slope)(args)),
        ):
            for number, (a, b) in enumerate(zip(product, curvature, strict=True)):
                _close(a, b, tolerance, f"{kind}, argument {number}")

    return compare


@pytest.fixture
def single_precision():
    """compare(f, *args): float32 arguments give the dtypes that NumPy gives, and float32 gradients."""

    def compare(f, *args):
        mine = f[0] if isinstance(f, tuple) else (lambda *a: f(np, *a))
        args = tuple(np.asarray(a, np.float32) for a in args)
        expected = np.asarray(mine(*args))
        found, pullback = hg.vjp(mine, *args)
        assert np.asarray(hg.compile(mine)(*args)).dtype == expected.dtype
        assert np.asarray(found).dtype == expected.dtype
        for gradient, a in zip(pullback(np.ones_like(expected)), args, strict=True):
            assert gradient.dtype == np.float32
            assert gradient.shape == a.shape

    return compare


@pytest.fixture(scope="session")
def central_differences():
    """derivative(value, hparams, key, step): array like ``hparams[key]`` of fourth-order central differences.

    f'(x) = (8 [f(x+h) - f(x-h)] - [f(x+2h) - f(x-2h)]) / 12 h, with h = `step` times max(1, |x|).
    """

    def derivative(value, hparams, key, step=3e-4):
        x = np.asarray(hparams[key], float)
        out = np.empty(x.shape)
        for index in np.ndindex(x.shape):
            h = step * max(1.0, abs(x[index]))

            def at(shift, index=index):
                moved = x.copy()
                moved[index] += shift
                return value({**hparams, key: moved if moved.ndim else float(moved)})

            out[index] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        return out

    return derivative
