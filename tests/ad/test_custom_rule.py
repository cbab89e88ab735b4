"""custom_rule: both modes and all orders from either rule."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import DerivativeError, HypergradError

X = np.array([0.3, -0.7, 1.9])


def plain(x, p):
    return np.tanh(p["a"] * x) * 2.0


@hg.custom_rule(jvp=lambda args, ts: _jvp(*args, *ts))
def by_jvp(x, p):
    return np.tanh(p["a"] * x) * 2.0


def _jvp(x, p, dx, dp):
    y = np.tanh(p["a"] * x)
    return 2.0 * y, 2.0 * (1.0 - y * y) * (p["a"] * dx + dp["a"] * x)


def _vjp(x, p):
    y = np.tanh(p["a"] * x)

    def pullback(c):
        slope = 2.0 * (1.0 - y * y) * c
        return slope * p["a"], {"a": np.sum(slope * x), "name": None}

    return 2.0 * y, pullback


by_vjp = hg.custom_rule(plain, vjp=_vjp)
P = {"a": 0.8, "name": "text"}


@pytest.mark.parametrize("f", [by_jvp, by_vjp])
def test_both_modes_and_orders(f):
    np.testing.assert_array_equal(f(X, P), plain(X, P))
    loss = lambda g: lambda x, p: np.sum(g(x, p) ** 2)
    mine, theirs = (hg.grad(loss(g), (0, 1))(X, P) for g in (f, plain))
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-14)
    assert mine[1]["a"] == pytest.approx(theirs[1]["a"], rel=1e-14)
    hg.check_grads(f, (X, P), order=2)
    v = np.cos(X)
    hvps = [hg.hvp(lambda x, g=g: loss(g)(x, P), X, v) for g in (f, plain)]
    np.testing.assert_allclose(*hvps, rtol=1e-13)
    np.testing.assert_allclose(hg.compile(hg.grad(loss(f)))(X, P), theirs[0], rtol=1e-13)
    assert hg.grad(loss(f))(X.astype(np.float32), {"a": np.float32(0.8), "name": ""}).dtype == np.float32


def test_the_rule_replaces_the_derivative():
    clipped = hg.custom_rule(lambda x: x, vjp=lambda x: (x, lambda c: (5.0 * c,)))
    assert hg.grad(lambda x: np.sum(clipped(x)))(X).tolist() == [5.0] * 3
    straight = hg.custom_rule(np.round, jvp=lambda args, ts: (np.round(args[0]), ts[0]))
    assert hg.grad(lambda x: np.sum(straight(x) * x))(X).tolist() == (X + np.round(X)).tolist()
    zero = hg.custom_rule(lambda x, y: x * y, vjp=lambda x, y: (x * y, lambda c: (None, c * x)))
    assert hg.grad(lambda x: np.sum(zero(x, x)))(X).tolist() == X.tolist()


def test_inside_scan():
    f = lambda x: hg.scan(lambda c, r: (by_vjp(c * r, P), None), x, X)[0]
    g = lambda x: plain(plain(plain(x * X[0], P) * X[1], P) * X[2], P)
    assert hg.grad(f)(0.4) == pytest.approx(hg.grad(g)(0.4), rel=1e-12)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: hg.custom_rule(np.sin)(x), "takes one rule"),
        (lambda x: hg.custom_rule(lambda y: y * x, vjp=lambda y: (y, lambda c: (c,)))(x), "reads a traced value"),
        (lambda x: hg.custom_rule(np.sin, vjp=lambda y: np.cos(y))(x), "must return"),
        (lambda x: hg.custom_rule(np.sin, vjp=lambda y: (y, lambda c: c))(x), "tuple of 1"),
        (lambda x: hg.custom_rule(np.sin, vjp=lambda y: (y, lambda c: (c[:1],)))(x), "has shape"),
        (lambda x: hg.custom_rule(np.sin, vjp=lambda y: (y[:1], lambda c: (c,)))(x), "expected"),
        (lambda x: hg.custom_rule(np.sin, jvp=lambda a, t: (a[0], (t[0], t[0])))(x), "has the tree"),
        (lambda x: hg.custom_rule(np.sin, jvp=lambda a, t: (a[0], t[0] * t[0]))(x), "must be linear"),
        (lambda x: hg.custom_rule(np.sin, vjp=lambda y: (y, lambda c: (np.tanh(c),)))(x), "is not linear"),
    ],
)  # fmt: skip
def test_refusals_say_why(f, words):
    with pytest.raises(HypergradError, match=words):
        hg.grad(lambda x: np.sum(f(x)))(X)


@pytest.mark.parametrize(
    "pullback",
    [lambda ct: (ct + 1.0,), lambda ct: (np.ones(3),), lambda ct: (np.where(np.arange(3) > 0, ct, 2.0),)],
    ids=["sum", "constant", "branch"],
)
def test_a_pullback_that_adds_a_constant_is_refused(pullback):
    f = hg.custom_rule(lambda x: np.sin(x), vjp=lambda x: (np.sin(x), pullback))
    with pytest.raises(DerivativeError, match="not linear in the cotangent: it adds a constant"):
        hg.grad(lambda x: np.sum(f(x)))(np.arange(3.0))


def test_a_pullback_may_mask_and_pad_with_zeros():
    mask = np.arange(3) > 0
    f = hg.custom_rule(
        lambda x: np.where(mask, x * x, 0.0),
        vjp=lambda x: (np.where(mask, x * x, 0.0), lambda ct: (np.where(mask, 2.0 * x * ct, 0.0),)),
    )
    hg.check_grads(f, (np.arange(1.0, 4.0),))


@pytest.mark.parametrize("shift", [1.0, np.arange(3.0)])
def test_a_jvp_that_adds_a_constant_is_refused(shift):
    f = hg.custom_rule(np.sin, jvp=lambda args, ts: (np.sin(args[0]), np.cos(args[0]) * ts[0] + shift))
    for derivative in (hg.grad(lambda x: np.sum(f(x))), lambda x: hg.jvp(f, (x,), (np.ones(3),))):
        with pytest.raises(DerivativeError, match="is not linear in the tangents"):
            derivative(np.arange(3.0))
