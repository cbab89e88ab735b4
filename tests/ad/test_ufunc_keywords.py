"""Keywords and methods of ufuncs, and NumPy's functions that write, on traced values."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad.forward import evaluate
from hypergrad.ad.trace import trace, type_of
from hypergrad.errors import HypergradError

X = np.array([[0.5, -1.5, 2.5], [3.5, 0.25, -0.75]])
P = np.abs(X)
MASK = np.array([[True, False, True], [False, True, True]])


def into(write, start=np.ones_like):
    """The array that `write(array, x)` writes to."""

    def f(x):
        y = start(x)
        assert write(y, x) is None
        return y

    return f


def returns_out(x):
    y = np.zeros_like(x)
    assert np.add(x, x, out=y) is y
    assert np.multiply(y, 2.0, out=(y,)) is y
    assert np.add(x, x, y) is y
    q, r = np.divmod(x, 0.7, out=(y, np.zeros_like(x)))
    assert q is y
    return q * 2 + r


def reduce_out(x):
    y = np.zeros_like(x[0])
    assert np.add.reduce(x, axis=0, out=y) is y
    z = np.zeros_like(x)
    np.add.accumulate(x, axis=1, out=z)
    np.multiply.outer(x[0], x[1], out=(w := hg.zeros((3, 3))))
    return np.sum(w @ z.T) + y


# name: (function, exactly NumPy's bits)
VALUES = {
    "out": returns_out, "out of methods": reduce_out,
    "wider out": lambda x: np.add(x[0], 1.0, out=np.zeros_like(x)),
    "narrower out": lambda x: np.multiply(x, x, out=np.zeros_like(x, np.float32)),
    "where": lambda x: np.log(np.abs(x), out=np.zeros_like(x), where=MASK),
    "traced where": lambda x: np.sqrt(x, out=x * 2, where=x > 0),
    "row where": lambda x: np.divide(1.0, x, out=np.zeros_like(x), where=MASK[0]),
    "dtype": lambda x: np.add(x, 1, dtype=np.float32) + np.multiply(x.astype(np.float32), 2, dtype=float)[0, 0],
    "dtype of booleans": lambda x: np.add((x > 0), 1, dtype=np.float32),
    "dtype of ints": lambda x: np.true_divide((x * 4).astype(int), 2, dtype=float),
    "casting": lambda x: np.add(x, 1, dtype=int, casting="unsafe"),
    "safe": lambda x: np.add(x, x, casting="safe"),
    "matmul out": lambda x: np.matmul(x, x.T, out=hg.zeros((2, 2))),
    "add.reduce": lambda x: np.add.reduce(x) + np.add.reduce(x, axis=1, keepdims=True)[0],
    "add.reduce all": lambda x: np.add.reduce(x, axis=None) + np.multiply.reduce(x, axis=(0, 1)),
    "maximum.reduce": lambda x: np.maximum.reduce(x) - np.minimum.reduce(x, axis=1)[0],
    "logical.reduce": lambda x: np.logical_and.reduce(x > 0) | np.logical_or.reduce(x > 3, axis=0),
    "add.accumulate": lambda x: np.add.accumulate(x) + np.add.accumulate(x, axis=1),
    "add.accumulate of booleans": lambda x: np.add.accumulate(x > 0, axis=1),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, axis=1) + np.minimum.accumulate(x[:, ::-1], -1),
    "maximum.accumulate of seven": lambda x: np.maximum.accumulate(np.concatenate([x[0], -x[1], x[0, :1]])),
    "outer": lambda x: np.subtract.outer(x, x[0]) + np.multiply.outer(x, np.arange(3.0)) * np.maximum.outer(2.0, x[0]),
    "comparison outer": lambda x: np.less.outer(x[0], x[1]), "outer of numbers": lambda x: np.add.outer(x[0, 0], x),
    "power outer": lambda x: np.power.outer(np.abs(x[0]), [2.0, 3.0]),
    "reduceat": lambda x: np.add.reduceat(x, [0, 2, 1], axis=1),
    "reduceat rows": lambda x: np.add.reduceat(x, [1, 0]),
    "reduceat of one": lambda x: np.add.reduceat(x, np.array([2]), -1),
    "add.at": into(lambda y, x: np.add.at(y, [0, 1, 1], x[0, :1])),
    "add.at pairs": into(lambda y, x: np.add.at(y, ([0, 0, 1], [1, 1, 2]), x[0])),
    "add.at slices": into(lambda y, x: np.add.at(y, (slice(None), [0, 0]), x[:, :2])),
    "add.at of ints": into(lambda y, x: np.add.at(y, [0, 0], 1), lambda x: np.zeros_like(x, int)),
    "subtract.at": into(lambda y, x: np.subtract.at(y, [1, 1], x)),
    "multiply.at": into(lambda y, x: np.multiply.at(y, [1, 0, 1], x[[0, 0, 1]])),
    "multiply.at mask": into(lambda y, x: np.multiply.at(y, MASK, x[0, 1])),
    "maximum.at": into(lambda y, x: np.maximum.at(y, [0, 0], x)),
    "minimum.at": into(lambda y, x: np.minimum.at(y, ([0, 0], [1, 1]), x[0, :2])),
    "negative.at": into(lambda y, x: np.negative.at(y, [0, 0, 1]), lambda x: x * 2),
    "add.at ellipsis": into(lambda y, x: np.add.at(y, ..., x)),
    "add.at float32": into(lambda y, x: np.add.at(y, [0, 0], x[0]), lambda x: np.zeros_like(x, np.float32)),
    "copyto": into(lambda y, x: np.copyto(y, x[1])), "copyto where": into(lambda y, x: np.copyto(y, x, where=MASK)),
    "copyto traced where": into(lambda y, x: np.copyto(y, 7, where=x > 0)),
    "copyto cast": into(lambda y, x: np.copyto(y, x, casting="unsafe"), lambda x: np.zeros_like(x, int)),
    "put": into(lambda y, x: np.put(y, [0, -1, 2], x[0, :2])), "put one": into(lambda y, x: np.put(y, 4, x[0])),
    "put wrap": into(lambda y, x: np.put(y, [7, -8], x[0], mode="wrap")),
    "place": into(lambda y, x: np.place(y, MASK, x[0, :2])), "place one": into(lambda y, x: np.place(y, x > 0, 5.0)),
    "putmask": into(lambda y, x: np.putmask(y, x > 0, x[0, :2])),
    "putmask all": into(lambda y, x: np.putmask(y, MASK, -x)),
    "fill_diagonal": into(lambda y, x: np.fill_diagonal(y, x[0, 0])),
    "fill_diagonal with several": into(lambda y, x: np.fill_diagonal(y, x[0]), lambda x: x.T @ x),
    "fill_diagonal wrap": into(lambda y, x: np.fill_diagonal(y, x[0], wrap=True), lambda x: np.tile(x, (4, 1))),
    "fill_diagonal of a cube": into(lambda y, x: np.fill_diagonal(y, 1.5), lambda x: hg.zeros((2, 2, 2)) + x[0, 0]),
    "put_along_axis": into(lambda y, x: np.put_along_axis(y, np.array([[2], [0]]), x[:, 1:2], axis=1)),
    "put_along_axis of extrema": into(lambda y, x: np.put_along_axis(y, np.argmax(x, 1, keepdims=True), 9.0, 1)),
    "put_along_axis flat": into(lambda y, x: np.put_along_axis(y, np.array([5, 1]), x[0, :2], None)),
}  # fmt: skip
ROUGH = {
    "logaddexp.reduce": lambda x: np.logaddexp.reduce(x) + np.logaddexp2.reduce(x, axis=1, keepdims=True)
}
NOT_SMOOTH = {"casting", "logical.reduce", "comparison outer", "add.accumulate of booleans", "out"}


@pytest.mark.parametrize("name", [*VALUES, *ROUGH])
def test_values(name):
    f = {**VALUES, **ROUGH}[name]
    with np.errstate(invalid="ignore"):
        expected = np.asarray(f(X.copy()))
        found = evaluate(trace(lambda x: [f(x)], [type_of(X)]), [X])[0]
        assert np.asarray(found).dtype == expected.dtype
        if name in VALUES:
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-14)
        np.testing.assert_allclose(hg.compile(f)(X), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", sorted({*VALUES, *ROUGH} - NOT_SMOOTH))
def test_derivatives(name):
    f = {**VALUES, **ROUGH}[name]
    if f(X.copy()).dtype == np.float64 and not any(w in name for w in ("float32", "narrower", "dtype")):
        with np.errstate(invalid="ignore"):
            hg.check_grads(f, (X,), rtol=1e-5)


def test_guards():
    """where= keeps the slope finite where nothing is computed; log-sum-exp of huge and infinite numbers."""
    x = np.array([0.0, 4.0, -1.0])
    f = lambda x: np.sum(np.log(x, out=np.zeros_like(x), where=x > 0))
    g = lambda x: np.sum(np.true_divide(1.0, x, out=x * 3.0, where=x != 0))
    np.testing.assert_array_equal(hg.grad(f)(x), [0.0, 0.25, 0.0])
    np.testing.assert_allclose(hg.grad(g)(x), [3.0, -1 / 16, -1.0])
    huge = np.array([1e4, 1e4 - 1.0])
    np.testing.assert_allclose(hg.compile(np.logaddexp.reduce)(huge), np.logaddexp.reduce(huge))
    np.testing.assert_allclose(hg.grad(np.logaddexp.reduce)(huge), np.exp([0, -1]) / (1 + np.exp(-1)))
    for infinite in ([np.inf, 1.0], [-np.inf, 1.0]):
        with np.errstate(all="ignore"):
            assert hg.compile(np.logaddexp.reduce)(np.array(infinite)) == np.logaddexp.reduce(infinite)


def test_traced_indices_accumulate():
    def f(x, n):
        y = hg.zeros(3)
        np.add.at(y, n, x)
        np.subtract.at(y, n[:1], x[1])
        return y

    n = np.array([2, 0, 2])
    np.testing.assert_array_equal(hg.compile(f)(X[0], n), f(X[0], n))
    hg.check_grads(lambda x: f(x, n), (X[0],))


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: np.add(x, 1, out=X.copy()), "hg.zeros"), (lambda x: X.copy().__iadd__(x), "hg.zeros or hg.array"),
        (lambda x: np.exp(x, where=MASK), "leaves entries undefined"), (lambda x: np.add(x, 1, order="F"), "order="),
        (lambda x: np.add(x, 1, dtype=str), "expected numbers"), (lambda x: np.add(x, 1, what=1), "what"),
        (lambda x: np.add.at(X.copy(), 0, x[0]), "hg.zeros or hg.array"),
        (lambda x: np.copyto(X.copy(), x), "hg.array"),
        (lambda x: np.put(X.copy(), [0], x[0, 0]), "numpy.put|ndarray|plain"),
        (lambda x: np.divide.reduce(x), "divide.reduce"),
        (lambda x: np.sin.outer(x, x), "outer|single|binary"), (lambda x: np.matmul.outer(x, x), "outer"),
        (lambda x: np.maximum.reduceat(x, [0]), "maximum.reduceat"), (lambda x: np.add.reduceat(x, [9]), "reduceat"),
        (lambda x: np.multiply.at(x * 1, (x > 0).astype(int), 2.0), "traced indices"),
        (lambda x: np.put(x * 1, [99], 1.0), "out of bounds"),
        (lambda x: np.place(x * 1, x > 0, [1.0, 2.0]), "one value"),
        (lambda x: np.fill_diagonal(x[0] * 1, 1.0), "two axes"), (lambda x: np.putmask(x * 1, x[0] > 0, 1.0), "mask"),
        (lambda x: np.put_along_axis(x * 1, np.array([0]), 1.0, 1), "as many axes"),
        (lambda x: np.add(x, 1, out=x * 1, where=x), "condition|boolean|where|bool"),
    ],
)  # fmt: skip
def test_refused(f, message):
    with pytest.raises((HypergradError, TypeError, ValueError), match=message) as caught:
        hg.compile(lambda x: f(x) or x)(X)
    assert isinstance(caught.value, HypergradError) or "what" in message or "outer" in message
