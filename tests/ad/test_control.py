"""cond and scan: values, derivatives of all orders, closures, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import HypergradError

X = np.array([0.3, -0.7, 1.9])
W = np.array([[0.4, -0.2, 0.1], [0.3, 0.5, -0.6], [-0.1, 0.2, 0.7]])


def loop(w, h, xs):
    hs = []
    for x in xs:
        h = np.tanh(w @ h + x)
        hs.append(h * h)
    return np.sum(h) + np.sum(np.stack(hs) * 0.3)


def scanned(w, h, xs):
    def step(h, x):
        h = np.tanh(w @ h + x)
        return h, h * h

    last, ys = hg.scan(step, h, xs)
    return np.sum(last) + np.sum(ys * 0.3)


ROWS = np.sin(np.arange(15.0)).reshape(5, 3)


def test_scan_is_the_loop():
    assert scanned(W, X, ROWS) == pytest.approx(loop(W, X, ROWS), rel=1e-14)
    assert hg.compile(scanned)(W, X, ROWS) == pytest.approx(loop(W, X, ROWS), rel=1e-14)
    for argnum in range(3):
        np.testing.assert_allclose(
            hg.grad(scanned, argnum)(W, X, ROWS), hg.grad(loop, argnum)(W, X, ROWS), rtol=1e-12
        )
    v = np.cos(np.arange(9.0)).reshape(3, 3)
    fast, slow = (hg.hvp(lambda w, f=f: f(w, X, ROWS), W, v) for f in (scanned, loop))
    np.testing.assert_allclose(fast, slow, rtol=1e-12)
    hg.check_grads(scanned, (W, X, ROWS), order=2)
    np.testing.assert_allclose(
        hg.compile(hg.grad(scanned))(W, X, ROWS), hg.grad(loop)(W, X, ROWS), rtol=1e-12
    )


def test_scan_trees_counters_and_constants():
    def run(a):
        def step(carry, x):
            return {"s": carry["s"] * x["p"] + a, "n": carry["n"] + 1}, (carry["s"], x["p"] > 0)

        last, (path, positive) = hg.scan(step, {"s": a, "n": 0}, {"p": X}, reverse=True)
        assert positive.dtype == bool
        return last["s"] + np.sum(path) * last["n"]

    def plain(a):
        s, n, path = a, 0, []
        for x in X[::-1]:
            path.append(s)
            s, n = s * x + a, n + 1
        return s + sum(path) * n

    assert run(0.7) == pytest.approx(plain(0.7), rel=1e-14)
    assert hg.grad(run)(0.7) == pytest.approx(hg.grad(plain)(0.7), rel=1e-13)
    hg.check_grads(run, (0.7,), order=2)


def test_scan_without_xs_and_of_no_steps():
    def power(x):
        return hg.scan(lambda c, _: (c * x, None), np.ones_like(x), length=4)[0]

    np.testing.assert_allclose(power(X), X**4)
    hg.check_grads(power, (X,), order=2)
    empty = lambda x: hg.scan(lambda c, r: (c * r, c), x, np.zeros((0,)))
    last, ys = empty(0.5)
    assert last == 0.5
    assert ys.shape == (0,)
    assert hg.grad(lambda x: empty(x)[0])(0.5) == 1.0


def test_scan_in_scan_and_cond_in_scan():
    def f(x):
        def outer(c, a):
            inner, _ = hg.scan(lambda d, b: (np.sin(d * b + x[0]), None), c, x)
            return hg.cond(inner > 0.5, lambda i: i * a, lambda i: i - a * a, inner), inner

        last, ys = hg.scan(outer, x[1], x)
        return last + np.sum(ys**2)

    def plain(x):
        c, total = x[1], 0.0
        for a in x:
            d = c
            for b in x:
                d = np.sin(d * b + x[0])
            total = total + d**2
            c = d * a if d > 0.5 else d - a * a
        return c + total

    assert f(X) == pytest.approx(plain(X), rel=1e-13)
    hg.check_grads(f, (X,), order=2)


def test_only_the_chosen_branch_runs():
    f = lambda x: hg.cond(x > 0, lambda v: np.log(v), lambda v: v * 2.0, x)
    with np.errstate(all="raise"):
        for x in (0.0, -1.0, 2.0):
            expected = (np.log(x), 1 / x) if x > 0 else (2 * x, 2.0)
            value, slope = hg.value_and_grad(f)(x)
            assert (value, slope) == pytest.approx(expected)
            assert hg.jvp(f, (x,), (1.0,))[1] == pytest.approx(expected[1])
            assert hg.compile(hg.grad(f))(x) == pytest.approx(expected[1])
            hg.grad(hg.grad(f))(x)
    scale = lambda a, x: hg.cond(np.sum(x) > 0, lambda: a * x, lambda: a**2 * x)
    hg.check_grads(scale, (0.7, X), order=2)
    hg.check_grads(scale, (0.7, -X), order=2)
    assert hg.cond(True, lambda v: v + 1, lambda v: v, 1) == 2


def test_single_precision_stays():
    narrow = lambda x: hg.scan(lambda c, r: (np.tanh(c * r) + 0.5, c), x[0], x)[0]
    assert hg.grad(narrow)(X.astype(np.float32)).dtype == np.float32


def test_an_int_that_becomes_a_float_is_promoted():
    assert hg.scan(lambda c, x: (c + x, None), 0, X)[0] == pytest.approx(X.sum())
    assert hg.compile(lambda x: hg.scan(lambda c, r: (c + r, None), 0, x)[0])(X) == pytest.approx(X.sum())


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: hg.cond(x > 0, lambda: x, lambda: x), "cond needs one bool"),
        (lambda x: hg.cond(x[0] > 0, lambda: x, lambda: x[0]), r"return f64\[3\] and f64\[\]"),
        (lambda x: hg.cond(x[0] > 0, lambda: (x, x), lambda: x), "return the trees"),
        (lambda x: hg.scan(lambda c, r: (c, r), x, (x, x[:2]))[0], "one common length"),
        (lambda x: hg.scan(lambda c, r: (c, r), x)[0], "length="),
        (lambda x: hg.scan(lambda c, r: (c[:1], r), x, x)[0], "keep it the same"),
        (lambda x: hg.scan(lambda c, r: c, x, x)[0], "must return"),
        (lambda x: hg.scan(lambda c, r: (c, r), x, length=2.5)[0], "length= as an int"),
        (lambda x: hg.scan(lambda c, r: (c, r), x, length=-1)[0], "length= as an int"),
        (lambda x: hg.cond(x[0] > 0, lambda: 1, lambda: 2), "constants 1 and 2"),
        (lambda x: hg.scan(lambda c, r: (c | (r > 0), r), False, x)[0], "from False to array"),
        (lambda x: hg.scan(lambda c, r: (not c, r), False, x)[0], "from False to True"),
        (lambda x: hg.scan(lambda c, r: ((c, c), r), x, x)[0], "expected"),
    ],
)
def test_refusals_say_why(f, words):
    with pytest.raises(HypergradError, match=words):
        hg.compile(f)(X)


def test_compiled_with_one_result_and_with_no_steps():
    one = lambda x: hg.cond(x[0] > 0, lambda v: np.sin(v * x), lambda v: v, x)
    np.testing.assert_allclose(hg.compile(one)(X), np.sin(X * X), rtol=1e-14)
    only = lambda x: hg.scan(lambda c, r: ((), r * r), (), x)[1]
    np.testing.assert_allclose(hg.compile(lambda x: np.sin(only(x)))(X), np.sin(X * X), rtol=1e-14)
    empty = lambda x: np.sum(np.sin(hg.scan(lambda c, r: (c * r, c), x, x[:0])[0]))
    np.testing.assert_allclose(hg.compile(hg.grad(empty))(X), np.cos(X), rtol=1e-14)


def test_only_the_chosen_branch_of_cond_runs_what_it_reads_from_outside():
    f = lambda x: hg.cond(x > 0, lambda: np.log(x), lambda: 3.0 * x)
    with np.errstate(all="raise"):
        for x, first, second in ((2.0, 0.5, -0.25), (-1.0, 3.0, 0.0)):
            assert hg.compile(f)(x) == (np.log(x) if x > 0 else 3.0 * x)
            assert hg.grad(f)(x) == first
            assert hg.grad(hg.grad(f))(x) == second
            assert hg.jvp(f, (x,), (1.0,))[1] == first


def test_a_python_number_as_carry_takes_the_dtype_of_the_steps():
    xs = np.arange(3.0, dtype=np.float32)
    assert hg.scan(lambda c, x: (c + x, c), 0.0, xs)[0].dtype == np.float32
    assert hg.scan(lambda c, x: (c + x, c), np.float64(0.0), xs)[0].dtype == np.float64
