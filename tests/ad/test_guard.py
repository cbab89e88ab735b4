"""Branches of where that are not taken give no NaN, in either mode, to second order, compiled too."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad.guard import guarded

X = np.array([-1.0, 0.0, 0.7, 2.0])


def later(x):
    root = np.sqrt(x) + 1.0
    return np.where(x > 0, root * root, x)


def where_finite(y):
    return np.where(np.isfinite(y), y, 0.0)


CASES = {
    "log": lambda x: np.where(x > 0, np.log(x), 0.0),
    "x log x": lambda x: np.where(x > 0, x * np.log(x), 0.0),
    "sqrt": lambda x: np.where(x > 0, np.sqrt(x), x),
    "quotient": lambda x: np.where(x != 0, np.sin(x) / x, 1.0),
    "other side": lambda x: np.where(x <= 0, 0.0, 1.0 / x),
    "power": lambda x: np.where(x > 0, x**-1.5, 0.0),
    "condition last": later,
    "nested": lambda x: np.where(x > 0, np.where(x < 1, np.log(x) / (1 - x), 3.0), 0.0),
    "overflow": lambda x: np.where(x < 0.5, np.exp(400.0 * x), x),
    "column": lambda x: np.where((x > 0)[:, None], np.log(x[:, None]) * np.ones(3), 0.0),
    "behind an index": lambda x: np.where((x > 0)[:, None], np.log(x)[:, None] * np.ones(3), 0.0),
    "behind a reshape": lambda x: np.where((x > 0).reshape(2, 2), np.sqrt(x).reshape(2, 2), 0.0),
    "diamond": lambda x: np.where(x > 0, (lambda y: np.sin(y) * y + np.cos(y) / y)(np.log(x) + 3.0), 0.0),
    "two branches": lambda x: (lambda y: np.where(x > 0, y, 0.0) + np.where(x > 1, y * x, 1.0))(np.log(x)),
    "both sides": lambda x: (lambda y: np.where(x > 1, y, np.where(x > 0, 2.0 * y, x)))(np.sqrt(x)),
    "a row for all": lambda x: np.where(np.array([[True], [False]]) & (x > 0), np.log(x) * np.ones((2, 1)), 0.0),
    "one divisor": lambda x: np.where(np.array([False] * 4), x / (x[0] + 1.0), x),
    "asks itself": lambda x: np.where(x > -9, where_finite(np.log(np.maximum(x, 0.5))), 0.0),
    "a slice": lambda x: np.where(x[1:] > 0, np.log(x)[1:], 0.0),
    "reversed": lambda x: np.where(x[::-1] > 0, np.log(x)[::-1] * x, 0.0),
    "picked": lambda x: (lambda i: np.where(x[i] > 0, np.log(x)[i], 0.0))(np.array([3, 0, 3])),
    "sorted": lambda x: (lambda i: np.where(x[i] > 0, np.sqrt(x)[i] ** 3, x))(np.argsort(x)),
    "turned": lambda x: np.where(np.tile(x, (2, 1)).T > 0, np.log(np.tile(x, (2, 1))).T, 0.0),
    "joined": lambda x: np.where(np.stack([x, x]) > 0, np.stack([np.log(x), x / np.abs(x)]), 0.0),
    "repeated": lambda x: np.where(np.broadcast_to(x, (2, 4)) > 0, np.broadcast_to(np.log(x), (2, 4)), 0.0),
    "summed": lambda x: np.where(x > 9, np.cumsum(np.log(x)) - np.mean(np.sqrt(x)), x * x),
    "twice": lambda x: np.where(x[:2] > 0, np.where(x[:2] < 9, np.log(x)[:2], 1.0), 0.0),
    "a mean": lambda x: np.where(x[2] > 5.0, np.mean(np.log(x)), x),
    "number": lambda x: np.where(x[1] > 0, np.log(x[1]), x[1]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_finite_and_right(name):
    f = lambda x: np.sum(CASES[name](x) * 1.5)
    inside = np.array([-1.0, 0.3, 0.7, 2.0]) if name in ("number",) else np.array([-1.0, -0.5, 0.7, 2.0])
    with np.errstate(all="ignore"):
        for g in (hg.grad(f), hg.compile(hg.grad(f))):
            assert np.isfinite(g(X)).all()
        first = hg.jacobian(f, mode="forward")(X)
        np.testing.assert_allclose(first, hg.grad(f)(X), rtol=1e-13)
        assert np.isfinite(hg.hessian(f)(X)).all()
        hg.check_grads(f, (inside,), order=2)


def test_values_are_untouched_and_other_programs_too(program_of):
    plain = program_of(lambda x: np.where(x > 0, x, 0.5 * x), (X,))
    assert guarded(plain) is plain
    shared = program_of(lambda x: (lambda y: np.where(x > 0, y, 0.0) + y)(np.log(x)), (X,))
    assert guarded(shared) is shared  # the logarithm is asked for everywhere: its NaN is the user's
    with np.errstate(all="ignore"):
        for f in CASES.values():
            np.testing.assert_array_equal(hg.vjp(f, X)[0], f(X))
