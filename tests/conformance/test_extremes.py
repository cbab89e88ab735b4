# ruff: noqa: E501 - a table
"""Elementwise functions at extreme arguments, values and slopes, against 60 digits of mpmath."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

import hypergrad as hg

mp = pytest.importorskip("mpmath")

TINY, SMALL, ONE, LARGE = (1e-300, 1e-150), (1e-30, 1e-8, 1e-3), (0.3, 0.999, 1.001, 2.5), (30.0, 600.0)
EVERY = (*TINY, *SMALL, *ONE, *LARGE)
BOTH = (*EVERY, *(-x for x in EVERY))
INSIDE = (*TINY, *SMALL, 0.3, 0.9, 0.99999, -0.3, -0.9, -1e-8)

# name: (NumPy function, mpmath function, its slope, arguments)
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any], tuple[float, ...]]] = {
    "exp": (np.exp, mp.exp, mp.exp, BOTH),
    "expm1": (np.expm1, mp.expm1, mp.exp, BOTH),
    "log": (np.log, mp.log, lambda x: 1 / x, EVERY),
    "log1p": (np.log1p, mp.log1p, lambda x: 1 / (1 + x), (*EVERY, -1e-8, -0.3, -0.9999)),
    "sqrt": (np.sqrt, mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x)), (*EVERY, 1e300)),
    "reciprocal": (np.reciprocal, lambda x: 1 / x, lambda x: -1 / x**2, (1e-150, *SMALL, *ONE, *LARGE, 1e150)),
    "sin": (np.sin, mp.sin, mp.cos, BOTH),
    "cos": (np.cos, mp.cos, lambda x: -mp.sin(x), BOTH),
    "tan": (np.tan, mp.tan, lambda x: mp.sec(x) ** 2, (*SMALL, 0.3, 1.5, -1.2)),
    "arcsin": (np.arcsin, mp.asin, lambda x: 1 / mp.sqrt(1 - x**2), INSIDE),
    "arccos": (np.arccos, mp.acos, lambda x: -1 / mp.sqrt(1 - x**2), INSIDE),
    "arctan": (np.arctan, mp.atan, lambda x: 1 / (1 + x**2), (*BOTH, 1e100)),
    "sinh": (np.sinh, mp.sinh, mp.cosh, BOTH),
    "cosh": (np.cosh, mp.cosh, mp.sinh, BOTH),
    "tanh": (np.tanh, mp.tanh, lambda x: mp.sech(x) ** 2, (*TINY, *SMALL, 0.3, 2.5, -3.0)),
    "arcsinh": (np.arcsinh, mp.asinh, lambda x: 1 / mp.sqrt(1 + x**2), (*BOTH, 1e200)),
    "arccosh": (np.arccosh, mp.acosh, lambda x: 1 / mp.sqrt(x**2 - 1), (1.001, 2.5, 30.0, 1e100)),
    "arctanh": (np.arctanh, mp.atanh, lambda x: 1 / (1 - x**2), INSIDE),
    "sigmoid": (hg.nn.sigmoid, lambda x: 1 / (1 + mp.exp(-x)), lambda x: mp.exp(-x) / (1 + mp.exp(-x)) ** 2, (*TINY, *SMALL, 0.3, 5.0, -5.0, -600.0)),
    "softplus": (hg.nn.softplus, lambda x: mp.log1p(mp.exp(x)), lambda x: 1 / (1 + mp.exp(-x)), (*BOTH, 1e4)),
    "erf": (scipy.special.erf, mp.erf, lambda x: 2 * mp.exp(-x * x) / mp.sqrt(mp.pi), (*TINY, *SMALL, 0.3, 2.5, -5.0)),
    "gammaln": (scipy.special.gammaln, mp.loggamma, mp.digamma, (1e-8, 0.3, 2.5, 30.0, 600.0, 1e10)),
    "log_ndtr": (scipy.special.log_ndtr, lambda x: mp.log(mp.ncdf(x)), lambda x: mp.npdf(x) / mp.ncdf(x), (-35.0, -5.0, 0.3, 5.0)),
    "i0": (scipy.special.i0, lambda x: mp.besseli(0, x), lambda x: mp.besseli(1, x), (1e-8, 0.3, 30.0, 600.0)),
    "j1": (scipy.special.j1, lambda x: mp.besselj(1, x), lambda x: mp.besselj(1, x, 1), (1e-8, 0.3, 5.0, 30.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_value_and_slope(name):
    f, exact, slope, points = CASES[name]
    with mp.workdps(60), np.errstate(all="ignore"):
        for x in points:
            value, derivative = hg.value_and_grad(lambda v: f(v))(np.float64(x))
            pushed = hg.jvp(lambda v: f(v), (np.float64(x),), (1.0,))[1]
            for found, expected in (
                (value, exact(mp.mpf(x))),
                (derivative, slope(mp.mpf(x))),
                (pushed, slope(mp.mpf(x))),
            ):
                if abs(expected) > mp.mpf(np.finfo(float).max):
                    continue
                error = abs(mp.mpf(float(found)) - expected)
                condition = 1 + abs(mp.mpf(x))  # of the sine of a large argument, and the like
                assert error <= mp.mpf("2e-13") * condition * abs(expected) + mp.mpf("1e-307"), (
                    name,
                    x,
                    float(found),
                )


# name: (SciPy function, its second derivative, arguments); the slopes must not cancel near 0, far out, at poles
CURVATURES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[float, ...]]] = {
    "i1": (scipy.special.i1, lambda x: mp.besseli(1, x, 2), (1e-16, 1e-8, -1e-5, 0.3, 30.0)),
    "j1": (scipy.special.j1, lambda x: mp.besselj(1, x, 2), (1e-16, 1e-8, -1e-5, 0.3, 30.0)),
    "exprel": (scipy.special.exprel, lambda x: mp.hyp1f1(3, 4, x) / 3, (0.0, 1e-300, -1e-16, 1e-8, 1e-3, 2.5, -600.0, 600.0)),
    "rgamma": (scipy.special.rgamma, lambda x: mp.diff(mp.rgamma, x, 2), (0.0, 1e-16, -1e-8, -1.0, -2.0, -7.5, 0.3, 30.0)),
    "erfcx": (scipy.special.erfcx, lambda x: _erfcx(x) * (4 * x * x + 2) - 4 * x / mp.sqrt(mp.pi), (-5.0, 1e-16, 2.5, 11.5, 12.5, 1e4, 1e8)),
    "dawsn": (scipy.special.dawsn, lambda x: _dawson(x) * (4 * x * x - 2) - 2 * x, (1e-8, 0.3, -2.5, 11.5, 12.5, -1e4)),
    "log_ndtr": (scipy.special.log_ndtr, lambda x: -_hazard(x) * (x + _hazard(x)), (-1e6, -1e3, -5.0, -1e-16, 0.3, 5.0)),
}  # fmt: skip


def _erfcx(x):
    return mp.exp(x * x) * mp.erfc(x)


def _dawson(x):
    return mp.exp(-x * x) * mp.erfi(x) * mp.sqrt(mp.pi) / 2


def _hazard(x):
    return mp.sqrt(2 / mp.pi) / _erfcx(-x / mp.sqrt(2))


@pytest.mark.parametrize("name", CURVATURES)
def test_second_derivatives(name):
    f, exact, points = CURVATURES[name]
    with mp.workdps(60), np.errstate(all="ignore"):
        for x in points:
            found, expected = float(hg.hessian(lambda v: f(v))(np.float64(x))), exact(mp.mpf(x))
            assert abs(mp.mpf(found) - expected) <= mp.mpf("1e-11") * abs(expected), (name, x, found)


def test_second_derivatives_of_losses_with_huge_logits():
    z = np.array([[1e4, -1e4, 0.0], [700.0, 710.0, 690.0]])
    y = np.array([1, 0])
    loss = lambda z: np.sum(hg.nn.softmax_cross_entropy(z, y))
    assert np.isfinite(hg.hessian(loss)(z)).all()
    with mp.workdps(60):
        row = [mp.mpf(float(v)) for v in z[1]]
        total = sum(mp.exp(v) for v in row)
        p = np.array([float(mp.exp(v) / total) for v in row])
    np.testing.assert_allclose(hg.grad(loss)(z)[1], p - np.eye(3)[0], rtol=1e-12, atol=1e-300)
