"""compile: the same values, traced once a signature, fresh results, inside and around derivatives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import TracingError, TreeError

X = np.array([0.5, -1.5, 2.5])


class Pair(NamedTuple):
    a: object
    b: object


def counted(f):
    """f, and a list that grows whenever f is run (that is, traced)."""
    runs = []

    def wrapper(*args, **kwargs):
        runs.append(1)
        return f(*args, **kwargs)

    return wrapper, runs


def test_signatures():
    """Traced again for other shapes, dtypes, trees and static leaves, not for other numbers."""
    f, runs = counted(lambda p, n=2, flag=True: p["x"] ** n if flag else -p["x"])
    g = hg.compile(f)
    for x in (X, 2 * X, X[::-1], np.asfortranarray(X)):
        np.testing.assert_allclose(g({"x": x}), x**2)
    assert (len(runs), g.signatures()) == (1, 1)
    for call in (
        lambda: g({"x": X[:2]}),
        lambda: g({"x": X.astype(np.float32)}),
        lambda: g({"x": X}, 3),
        lambda: g({"x": X}, 3, False),
        lambda: g({"x": X}, n=3, flag=False),
        lambda: g({"x": X, "y": 1}),
        lambda: g({"x": 0.5}),
        lambda: g({"x": np.float64(0.5)}),
        lambda: g({"x": X}, 1, 1),
        lambda: g({"x": X}, 1, True),
    ):
        before = len(runs)
        call()
        call()
        assert len(runs) == before + 1
    assert g.signatures() == len(runs)
    assert g({"x": 2.0}) == 4.0
    assert g({"x": 3.0}) == 9.0


def test_static_arguments_and_results():
    f = lambda x, n, name: {
        "name": name,
        "n": n,
        "pair": Pair(x * n, None),
        "list": [x, x],
        "text": ("a", 1, True),
    }
    found = hg.compile(f)(X, 3, "relu")
    assert (found["name"], found["n"], found["pair"].b, found["text"]) == ("relu", 3, None, ("a", 1, True))
    np.testing.assert_array_equal(found["pair"].a, 3 * X)
    assert isinstance(found["pair"], Pair)
    assert hg.compile(lambda: 3)() == 3
    assert hg.compile(lambda: 2.5)() == 2.5
    assert hg.compile(lambda x: None)(X) is None


def test_dict_order_is_part_of_the_signature():
    """A function may look at the order of the keys."""
    g = hg.compile(lambda d: np.stack(list(d.values())))
    assert g({"a": 1.0, "b": 2.0}).tolist() == [1.0, 2.0]
    assert g({"b": 2.0, "a": 1.0}).tolist() == [2.0, 1.0]
    assert g([{"b": 2.0, "a": 1.0}][0]).tolist() == [2.0, 1.0]


def test_results_are_fresh():
    constant = np.ones(3)
    g = hg.compile(lambda x: (x, x, constant, x[::-1], np.broadcast_to(x, (2, 3)), constant))
    x = X.copy()
    first = g(x)
    for result in first:
        assert result.flags.writeable
        assert result.flags.c_contiguous
        result *= 0
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(constant, 1)
    np.testing.assert_array_equal(g(x)[0], X)
    assert type(hg.compile(np.sum)(X)) is np.float64


def test_inside_and_around_derivatives():
    """grad of compile = compile of grad = grad, also for what optimisation must not change."""
    f = lambda x: np.sum(hg.stop_gradient(x) * np.sin(x) + np.where(x > 0, x**3, -x)) * 1.0 + 0.0
    expected = hg.grad(f)(X)
    g = hg.compile(f)
    for found in (
        hg.grad(g)(X),
        hg.compile(hg.grad(f))(X),
        hg.compile(hg.grad(g))(X),
        hg.vjp(g, X)[1](1.0)[0],
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    np.testing.assert_allclose(hg.hessian(g)(X), hg.hessian(f)(X), rtol=1e-14)
    np.testing.assert_allclose(hg.compile(hg.hessian(f))(X), hg.hessian(f)(X), rtol=1e-14)
    np.testing.assert_allclose(hg.jvp(g, (X,), (X,))[1], hg.jvp(f, (X,), (X,))[1], rtol=1e-14)
    assert hg.compile(lambda x: hg.value_and_grad(g)(x))(X)[0] == pytest.approx(f(X))
    nested = hg.compile(lambda x: g(x) + hg.compile(lambda y: g(y) * x)(x))
    np.testing.assert_allclose(nested(X), f(X) + f(X) * X)


def test_closures_over_traced_values():
    """A function that closes over a traced value is traced for each call, and not kept."""
    seen = []

    def outer(a):
        g = hg.compile(lambda x: (a * x, x, 1.0))
        seen.append(g)
        first, same, one = g(X)
        return np.sum(first * same) * one + np.sum(g(2 * X)[0])

    expected = np.sum(X * X) + 2 * np.sum(X)
    assert hg.grad(outer)(3.0) == pytest.approx(expected)
    assert hg.compile(outer)(3.0) == pytest.approx(3 * expected)
    assert [g.signatures() for g in seen] == [0, 0]
    jacobian = hg.grad(lambda a: np.sum(hg.jacobian(hg.compile(lambda x: a * x * x))(X)))(2.0)
    assert jacobian == pytest.approx(2 * np.sum(X))


def test_recursion_and_mutual_calls():
    @hg.compile
    def power(x, n):
        return 1.0 if n == 0 else x * power(x, n - 1)

    assert power(2.0, 5) == 32.0
    assert power.signatures() == 6
    assert hg.grad(power)(2.0, 4) == 32.0

    def fails(x, n):
        return g(x, n - 1) if n else float(x)

    g = hg.compile(fails)
    for _ in range(2):
        with pytest.raises(TracingError, match="Python float"):
            g(1.0, 3)
    assert g.signatures() == 0


def test_threads():
    """Threads may share a compiled function, also while it is first traced."""
    g = hg.compile(lambda x, n: np.sum(np.sin(x @ x.T) ** 2) * n)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((5, 5)) for _ in range(8)]

    def work(k):
        return [float(g(inputs[k], n)) for n in (1, 2) for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    for k, values in enumerate(found):
        expected = float(np.sum(np.sin(inputs[k] @ inputs[k].T) ** 2))
        np.testing.assert_allclose(values, [expected] * 20 + [2 * expected] * 20, rtol=1e-13)
    assert g.signatures() == 2


def test_exceptions_release_nothing_broken():
    """A call that fails while running (a singular matrix) does not spoil the next."""
    g = hg.compile(np.linalg.solve)
    with pytest.raises(np.linalg.LinAlgError):
        g(np.zeros((2, 2)), np.ones(2))
    np.testing.assert_allclose(g(2 * np.eye(2), np.ones(2)), [0.5, 0.5])
    h = hg.compile(lambda table, i: table[i] * 2)
    with pytest.raises(IndexError):
        h(X, np.array([3]))
    assert h(X, np.array([2])).tolist() == [5.0]


def test_program():
    g = hg.compile(lambda x, n: x * n + x * n)
    assert str(g.program(X, 3)).count("multiply") == 1
    assert g.signatures() == 1
    assert g.__name__ == "<lambda>"


def test_methods():
    class Model:
        scale = 2.0

        def __init__(self):
            self.run = hg.compile(self.forward)

        def forward(self, x):
            return x * self.scale

        @hg.compile
        def wrong(self, x):
            return x

    model = Model()
    assert model.run(X).tolist() == (2 * X).tolist()
    with pytest.raises(TreeError, match="argument 0 of wrong must be an array of real numbers, got Model"):
        model.wrong(X)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (({"a": [X, object()]},), {}, "argument 0, leaf 'a/1', of <lambda> must be an array .* got object"),
        ((X,), {"y": 1j}, "argument y= of <lambda> must be an array of real numbers, got complex"),
        ((np.ma.array(X, mask=[0, 1, 0]),), {}, "argument 0 of <lambda> has masked entries"),
        ((np.array(["a"]),), {}, "argument 0 of <lambda> must be an array of real numbers"),
    ],
)  # fmt: skip
def test_bad_arguments(args, kwargs, message):
    with pytest.raises(TreeError, match=message):
        hg.compile(lambda x, y=1: x)(*args, **kwargs)


def test_result_that_is_no_array():
    with pytest.raises(
        TreeError, match="the result of <lambda> must be an array of real numbers, got object"
    ):
        hg.compile(lambda x: {"a": object()})(X)


def test_python_floats_yield_to_single_precision():
    g = hg.compile(lambda x, lr: x - lr * x)
    x = X.astype(np.float32)
    assert g(x, 0.1).dtype == np.float32
    assert g(x, np.float64(0.1)).dtype == np.float64
    assert g(x, np.float32(0.1)).dtype == np.float32
