"""grad, jvp, vjp, hvp, jacobian, hessian: closed forms, trees, special points, nesting, what is returned."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import DerivativeError, ShapeError, TracingError, TreeError

X = np.array([0.3, -1.2, 2.0])


class Point(NamedTuple):
    x: object
    y: object


def quadratic(matrix):
    return lambda x: 0.5 * x @ matrix @ x


# Closed forms -------------------------------------------------------------------------------------------
def test_closed_forms():
    a = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]])
    v = np.array([1.0, 2.0, -1.0])
    value, gradient = hg.value_and_grad(quadratic(a))(X)
    assert value == pytest.approx(0.5 * X @ a @ X)
    np.testing.assert_allclose(gradient, a @ X, rtol=1e-14)
    np.testing.assert_allclose(hg.hessian(quadratic(a))(X), a, rtol=1e-14)
    np.testing.assert_allclose(hg.hvp(quadratic(a), X, v), a @ v, rtol=1e-14)
    for mode in ("auto", "forward", "reverse"):
        np.testing.assert_allclose(hg.jacobian(lambda x: a @ x, mode=mode)(X), a, rtol=1e-14)
        np.testing.assert_allclose(hg.jacobian(np.cumsum, mode=mode)(X), np.tril(np.ones((3, 3))))
    softmax = hg.nn.softmax(X)
    np.testing.assert_allclose(
        hg.jacobian(hg.nn.softmax)(X), np.diag(softmax) - np.outer(softmax, softmax), rtol=1e-13, atol=1e-15
    )


def test_high_orders():
    f = np.sin
    for expected in (np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin, np.cos):
        f = hg.grad(f)
        assert f(0.7) == pytest.approx(expected(0.7), rel=1e-14)
    f, factorial = (lambda x: x**5), 1.0
    for n in (5, 4, 3, 2, 1):
        f, factorial = hg.grad(f), factorial * n
        assert f(-1.3) == pytest.approx(factorial * (-1.3) ** (n - 1), rel=1e-13)
        assert f(0.0) == (120.0 if n == 1 else 0.0)
    assert hg.grad(f)(2.0) == 0.0
    forward = lambda f: lambda x: hg.jvp(f, (x,), (1.0,))[1]
    assert forward(forward(hg.grad(np.exp)))(0.5) == pytest.approx(np.exp(0.5), rel=1e-14)


def test_nesting_does_not_confuse_levels():
    """d/dx (x d/dy (x + y)) = 1: the inner derivative must not see the outer perturbation."""
    assert hg.grad(lambda x: x * hg.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert hg.jvp(lambda x: x * hg.jvp(lambda y: x + y, (1.0,), (1.0,))[1], (1.0,), (1.0,))[1] == 1.0
    # x² inside: d/dx [d/dy (x² y²) at y = x] = d/dx 2x³
    assert hg.grad(lambda x: hg.grad(lambda y: x**2 * y**2)(x))(3.0) == pytest.approx(54.0)
    inner = lambda x, s: hg.hvp(lambda z: np.sum(s * z**3), x, np.ones(2))
    found = hg.grad(lambda s: np.sum(inner(np.array([1.0, 2.0]), s)))(2.0)
    assert found == pytest.approx(6.0 * 3.0)


def test_gradient_descent_is_differentiable():
    """d loss(w_T) / d lr through ten steps of training, against differences."""

    def trained(lr):
        w = np.ones(3)
        for _ in range(10):
            w = w - lr * hg.grad(lambda w: np.sum(np.cos(w) + 0.1 * w**4))(w)
        return np.sum(w**2)

    h = 1e-6
    assert hg.grad(trained)(0.05) == pytest.approx(
        (trained(0.05 + h) - trained(0.05 - h)) / (2 * h), rel=1e-7
    )


# Special points -----------------------------------------------------------------------------------------
SPECIAL = {
    "relu": (hg.nn.relu, 0.0, 0.0, 0.0),
    "abs": (np.abs, 0.0, 0.0, 0.0),
    "softplus": (hg.nn.softplus, 0.0, 0.5, 0.25),
    "sigmoid": (hg.nn.sigmoid, 0.0, 0.25, 0.0),
    "sqrt": (np.sqrt, 0.0, 0.0, 0.0),
    "norm": (lambda x: np.linalg.norm(x * np.ones(2)), 0.0, 0.0, 0.0),
    "std": (lambda x: np.std(x * np.ones(3)), 1.5, 0.0, 0.0),
    "hypot": (lambda x: np.hypot(x, 0.0), 0.0, 0.0, 0.0),
    "arctan2": (lambda x: np.arctan2(x, 0.0), 0.0, 0.0, 0.0),
    "maximum tie": (lambda x: np.maximum(x, 2.0), 2.0, 0.5, 0.0),
    "max tie": (lambda x: np.max(np.stack([x, x, 2.0 * x])), 0.0, 4.0 / 3.0, 0.0),
    "clip bound": (lambda x: np.clip(x, 0.0, 1.0), 1.0, 0.5, 0.0),
    "x**2": (lambda x: x**2, 0.0, 0.0, 2.0),
    "x**3": (lambda x: x**3, 0.0, 0.0, 0.0),
    "x**1": (lambda x: x**1, 0.0, 1.0, 0.0),
    "x**0": (lambda x: x**0, 0.0, 0.0, 0.0),
    "x**0.5": (lambda x: x**0.5, 0.0, 0.0, 0.0),
    "x**1.5": (lambda x: x**1.5, 0.0, 0.0, 0.0),
    "(-2)**3": (lambda x: x**3, -2.0, 12.0, -12.0),
    "(-2)**-2": (lambda x: x**-2, -2.0, 0.25, 0.375),
    "np.power(-2, 3.0)": (lambda x: np.power(x, 3.0), -2.0, 12.0, -12.0),
    "0**y at y = 2": (lambda y: np.power(0.0, y), 2.0, 0.0, 0.0),
    "0**y at y = 0": (lambda y: np.power(0.0, y), 0.0, 0.0, 0.0),
    "x**y at 0": (lambda x: x ** (x + 2.0), 0.0, 0.0, 2.0),
    "prod with a zero": (lambda x: np.prod(np.stack([x, 2.0, x + 1.0])), 0.0, 2.0, 4.0),
    "prod with two zeros": (lambda x: np.prod(np.stack([x, 2.0, x])), 0.0, 0.0, 4.0),
    "where without the bad branch": (lambda x: np.where(x > 1, x, 0.0), 0.0, 0.0, 0.0),
    "logsumexp of -inf": (lambda x: hg.nn.logsumexp(np.stack([x, -np.inf])), 1.0, 1.0, 0.0),
    "gelu far out": (hg.nn.gelu, 1e200, 1.0, 0.0),
    "silu far out": (hg.nn.silu, -800.0, 0.0, 0.0),
    "floor": (np.floor, 0.5, 0.0, 0.0),
    "sign": (np.sign, 0.0, 0.0, 0.0),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_points(name):
    """First and second derivatives are finite where the mathematics leaves a choice; no warning."""
    f, x, first, second = SPECIAL[name]
    assert hg.grad(f)(x) == pytest.approx(first, abs=1e-15)
    assert hg.jvp(f, (x,), (1.0,))[1] == pytest.approx(first, abs=1e-15)
    assert hg.grad(hg.grad(f))(x) == pytest.approx(second, abs=1e-15)
    assert hg.jvp(hg.grad(f), (x,), (1.0,))[1] == pytest.approx(second, abs=1e-15)


def test_ties_share_the_slope():
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(
        hg.grad(lambda x: np.sum(np.max(x, axis=1)))(x), [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]]
    )


# Trees, kinds of arguments and results ------------------------------------------------------------------
def test_trees():
    params = {"w": np.ones((2, 2)), "b": [np.zeros(2), 0.5], "n": 3, "name": "relu", "none": None}

    def loss(p, scale):
        assert p["name"] == "relu"
        return np.sum(p["w"] ** p["n"]) * scale + np.sum(p["b"][0]) * p["b"][1]

    value, gradient = hg.value_and_grad(loss)(params, scale=2.0)
    assert value == 8.0
    assert list(gradient) == list(params)
    assert gradient["n"] is None
    assert gradient["name"] is None
    assert gradient["none"] is None
    np.testing.assert_allclose(gradient["w"], np.full((2, 2), 6.0))
    np.testing.assert_allclose(gradient["b"][0], [0.5, 0.5])
    assert gradient["b"][1] == 0.0
    hessian = hg.hessian(loss)(params, 1.0)
    assert hessian["w"]["w"].shape == (2, 2, 2, 2)
    np.testing.assert_allclose(hessian["b"][0]["b"][1], [1.0, 1.0])
    assert hessian["n"] is None
    assert hessian["w"]["name"] is None
    direction = {**params, "w": np.ones((2, 2)), "b": [np.ones(2), None]}
    moved = hg.hvp(lambda p: loss(p, 1.0), params, direction)
    np.testing.assert_allclose(moved["w"], np.full((2, 2), 6.0))
    assert moved["b"][1] == 2.0
    assert moved["n"] is None


def test_tree_results():
    f = lambda x, n: {"p": Point(x * 2, n), "i": np.argmax(x), "c": 1.5, "x": x, "static": (3, None, "s")}
    value, tangent = hg.jvp(f, (X, 2), (X, None))
    np.testing.assert_array_equal(tangent["p"].x, 2 * X)
    np.testing.assert_array_equal(tangent["x"], X)
    assert tangent["i"] is None
    assert tangent["p"].y is None
    assert tangent["c"] == 0.0
    assert value["static"] == (3, None, "s")
    assert tangent["static"] == (None, None, None)
    value, pullback = hg.vjp(f, X, 2)
    assert value["p"].y == 2
    assert value["i"] == 2
    cotangent = {"p": Point(X, None), "i": None, "c": 1.0, "x": None, "static": (None, None, None)}
    for _ in range(2):
        moved, none = pullback(cotangent)
        np.testing.assert_array_equal(moved, 2 * X)
        assert none is None
    jacobian = hg.jacobian(lambda x: Point(x, [np.sum(x), None]))(X)
    np.testing.assert_array_equal(jacobian.x, np.eye(3))
    np.testing.assert_array_equal(jacobian.y[0], np.ones(3))
    assert jacobian.y[1] is None


def test_argnums():
    f = lambda x, y, z: np.sum(x * y) * z
    assert hg.grad(f, 2)(X, X, 2.0) == pytest.approx(np.sum(X * X))
    gx, gz = hg.grad(f, (0, -1))(X, 2 * X, 2.0)
    np.testing.assert_allclose(gx, 4 * X)
    assert gz == pytest.approx(2 * np.sum(X * X))
    assert hg.grad(f, [1])(X, X, 1.0)[0].shape == (3,)
    assert hg.grad(f, np.int64(2))(X, X, 1.0) == pytest.approx(np.sum(X * X))
    jx, jy = hg.jacobian(lambda x, y: x * y, (0, 1))(X, 2 * X)
    np.testing.assert_allclose(jx, np.diag(2 * X))
    np.testing.assert_allclose(jy, np.diag(X))
    hessian = hg.hessian(lambda x, y: x**2 * y, (0, 1))(3.0, 2.0)
    assert np.asarray(hessian).tolist() == [[4.0, 6.0], [6.0, 0.0]]


def test_integer_arguments_are_held():
    value, pullback = hg.vjp(lambda table, i: table[i], X, np.array([2, 2, 0]))
    np.testing.assert_array_equal(value, X[[2, 2, 0]])
    moved, none = pullback(np.array([1.0, 2.0, 4.0]))
    np.testing.assert_array_equal(moved, [4.0, 0.0, 3.0])
    assert none is None
    assert hg.jvp(lambda x, n: x * n, (X, np.array(2)), (X, None))[1].tolist() == (2 * X).tolist()


def test_dtypes():
    """Gradients have the dtype of the argument's leaf; a Python float yields to arrays and has a float64."""
    x32 = X.astype(np.float32)
    f = lambda p: np.sum(p["a"] * p["b"] * p["s"])
    value, gradient = hg.value_and_grad(f)({"a": x32, "b": np.float32(2.0), "s": 0.5})
    assert value.dtype == np.float32
    assert (gradient["a"].dtype, gradient["b"].dtype, gradient["s"].dtype) == ("f4", "f4", "f8")
    value, gradient = hg.value_and_grad(f)({"a": x32, "b": X, "s": np.float64(0.5)})
    assert value.dtype == np.float64
    assert (gradient["a"].dtype, gradient["b"].dtype) == ("f4", "f8")
    value, tangent = hg.jvp(lambda x, s: -s * x, (x32, 0.1), (X, 1))
    assert value.dtype == tangent.dtype == np.float32
    _, pullback = hg.vjp(np.sin, x32)
    assert pullback(np.ones(3, int))[0].dtype == np.float32
    assert hg.grad(lambda x: np.sum(x) ** 2)(X.astype(">f8")).dtype == np.float64
    a, b = np.ones((2, 3), np.float32), np.ones((3, 4))
    value, pullback = hg.vjp(np.matmul, a, b)
    assert [value.dtype, *(ct.dtype for ct in pullback(value))] == ["f8", "f4", "f8"]
    assert hg.jacobian(lambda x: x * X)(x32).dtype == np.float64


def test_results_own_their_memory():
    """No result shares memory with an argument, a constant or another result; changing one is safe."""
    constant = np.ones(3)
    for f in (
        lambda x: x,
        lambda x: constant,
        lambda x: x[::-1],
        lambda x: np.broadcast_to(x, (2, 3)),
        hg.stop_gradient,
    ):
        x = X.copy()
        value, pullback = hg.vjp(lambda x, f=f: (f(x), f(x), x), x)
        ct = (np.ones(value[0].shape), None, None)
        for _ in range(2):
            (moved,) = pullback(ct)
            moved *= 0
            for v in value:
                assert v.flags.writeable
                v *= 0
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(constant, np.ones(3))
        np.testing.assert_array_equal(ct[0], 1)
    _, pullback = hg.vjp(lambda x, y: x * 2, X, X)
    for _ in range(2):
        unused = pullback(np.ones(3))[1]
        np.testing.assert_array_equal(unused, 0)
        unused += 1


def test_callables():
    class Model:
        scale = 3.0

        def __call__(self, x):
            return np.sum(self.scale * x)

        def loss(self, x):
            return np.sum(x) * self.scale

    model = Model()
    for f in (
        model,
        model.loss,
        functools.partial(lambda s, x: s * np.sum(x), 3.0),
        functools.partial(model),
    ):
        np.testing.assert_array_equal(hg.grad(f)(X), [3.0] * 3)
    assert hg.grad(np.sum)(X).tolist() == [1.0] * 3

    def documented(x):
        """Docs."""
        return np.sum(x)

    assert hg.grad(documented).__name__ == "documented"
    assert hg.grad(documented).__doc__ == "Docs."


def test_recursion():
    def power(x, n):
        return 1.0 if n == 0 else x * power(x, n - 1)

    assert hg.grad(power)(2.0, 5) == 80.0


def test_stop_gradient():
    assert hg.grad(lambda x: hg.stop_gradient(x) * x)(3.0) == 3.0
    assert hg.grad(hg.grad(lambda x: hg.stop_gradient(x) * x**2))(3.0) == 6.0
    tree = hg.stop_gradient({"a": X, "n": 3, "f": 2.0, "none": None})
    assert tree["n"] == 3
    assert type(tree["f"]) is float
    assert hg.jvp(lambda p: hg.stop_gradient(p)["a"], ({"a": X},), ({"a": X},))[1].tolist() == [0.0] * 3


def test_empty_arrays():
    empty = np.zeros((0, 3))
    assert hg.grad(np.sum)(empty).shape == (0, 3)
    assert hg.jacobian(lambda x: x * 2)(empty).shape == (0, 3, 0, 3)
    assert hg.jacobian(lambda x: np.sum(x, axis=0), mode="forward")(empty).shape == (3, 0, 3)
    assert hg.hessian(lambda x: np.sum(x**2))(np.zeros(0)).shape == (0, 0)
    assert hg.grad(lambda w: np.sum((np.zeros((0, 3)) @ w) ** 2))(X).tolist() == [0.0] * 3


# Misuse -------------------------------------------------------------------------------------------------
MISUSE = {
    "vector": (lambda: hg.grad(lambda x: x)(X), DerivativeError, r"<lambda> returns shape \(3,\); sum or average"),
    "tree": (lambda: hg.grad(lambda x: {"a": x})(X), DerivativeError, r"returns the tree \{'a': \*\}"),
    "nothing": (lambda: hg.grad(lambda x: None)(X), DerivativeError, "returns None, which has no derivative"),
    "int result": (lambda: hg.grad(np.argmax)(X), DerivativeError, "argmax returns int64, which has no derivative"),
    "python int result": (lambda: hg.grad(lambda x: 3)(X), DerivativeError, "returns 3, which has no"),
    "text result": (lambda: hg.jacobian(lambda x: "a")(X), DerivativeError, "returns 'a', which has no derivative"),
    "object result": (lambda: hg.grad(lambda x: object())(X), TreeError, "the result of <lambda> must be an array"),
    "int argument": (lambda: hg.grad(np.sum)(3), DerivativeError, r"argument 0 of sum has no float .*write 1\.0"),
    "int array": (lambda: hg.grad(np.sum)(np.arange(3)), DerivativeError, r"got int64.*astype\(float\)"),
    "text": (lambda: hg.grad(np.sum)({"a": "b"}), DerivativeError, "got str"),
    "object": (lambda: hg.grad(np.sum)({"a": object()}), TreeError, "argument 0 of sum, leaf 'a' must be an array"),
    "complex": (lambda: hg.grad(np.sum)(X + 1j), TreeError, "real numbers.*complex128"),
    "no float at all": (lambda: hg.jvp(np.add, (1, 2), (1, 2)), DerivativeError, "no argument of add has a float"),
    "argnums": (lambda: hg.grad(np.sum, 1)(X), DerivativeError, "names argument 1, but sum was called with 1"),
    "argnums twice": (lambda: hg.grad(np.add, (0, -2))(1.0, 1.0), DerivativeError, "an argument of add twice"),
    "argnums text": (lambda: hg.grad(np.sum, "x")(X), DerivativeError, "argnums must be an int"),
    "argnums float": (lambda: hg.grad(np.sum, 0.5)(X), DerivativeError, "argnums must be an int"),
    "keyword": (lambda: hg.grad(lambda x: x)(x=1.0), DerivativeError, "called with 0 positional arguments"),
    "mode": (lambda: hg.jacobian(np.sum, mode="sideways"), DerivativeError, "got 'sideways'"),
    "tangent shape": (lambda: hg.jvp(np.sin, (X,), (np.ones(2),)), ShapeError, r"tangent 0 has shape \(2,\)"),
    "tangent tree": (lambda: hg.jvp(np.sin, (X,), ([X],)), TreeError, r"0 has the structure \[\*\]"),
    "tangents": (lambda: hg.jvp(np.sin, X, X), DerivativeError, "a tuple of arguments"),
    "tangent leaf": (lambda: hg.jvp(lambda p: p["a"], ({"a": X},), ({"a": 1.0},)), ShapeError, "at leaf 'a'"),
    "cotangent shape": (lambda: hg.vjp(np.sin, X)[1](1.0), ShapeError, "the cotangent has shape"),
    "cotangent tree": (lambda: hg.vjp(np.sin, X)[1]((X,)), TreeError, "the cotangent has the structure"),
    "cotangent text": (lambda: hg.vjp(np.sin, X)[1]("a"), TreeError, "the cotangent must be an array"),
    "condition": (lambda: hg.grad(lambda x: x if x > 0 else -x)(1.0), TracingError, "test_forward_reverse.py:"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISUSE)
def test_misuse(name):
    action, error, message = MISUSE[name]
    with pytest.raises(error, match=message) as caught:
        action()
    assert "\n" not in str(caught.value)


def test_errors_leave_nothing_behind():
    """After an exception inside nested traced functions everything works as before."""

    def bad(x):
        hg.grad(lambda y: float(y))(x)
        return x

    for _ in range(3):
        with pytest.raises(TracingError, match="Python float"):
            hg.grad(bad)(1.0)
        with pytest.raises(ZeroDivisionError):
            hg.grad(lambda x: hg.grad(lambda y: y * (1 // 0))(x))(1.0)
        assert hg.grad(lambda x: x * hg.grad(lambda y: x * y)(x))(2.0) == 4.0


def test_outliving_values():
    kept = []
    hg.grad(lambda x: kept.append(x) or np.sum(x))(X)
    for use in (
        lambda: kept[0] + 1,
        lambda: hg.grad(lambda x: np.sum(x * kept[0]))(X),
        lambda: hg.compile(lambda x: kept[0])(X),
    ):
        with pytest.raises(TracingError, match="outlived"):
            use()
