"""Laws of the transformations: nesting, closures, trees, modes; no peer is needed."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import DerivativeError, TreeError

X = np.array([0.3, -1.2, 0.8])
A = np.array([[1.0, 2.0, -1.0], [0.5, -0.3, 0.7]])

Pair = namedtuple("Pair", ["first", "second"])


@dataclass(frozen=True)
class Layer:
    w: Any
    b: Any


def waves(x):
    return np.sin(A @ x) * np.exp(x[0])


def bowl(x):
    return np.sum(np.sin(x) ** 2 * np.exp(np.roll(x, 1)))


# Nesting -----------------------------------------------------------------------------------------


def test_derivatives_of_each_order_of_a_power():
    f, x = (lambda x: x**5), 1.5
    for order in range(1, 6):
        f = hg.grad(f)
        expected = np.prod(np.arange(5, 5 - order, -1.0)) * x ** (5 - order)
        assert f(x) == pytest.approx(expected, rel=1e-14)
    assert hg.grad(f)(x) == 0.0


def test_every_nesting_of_two_modes_is_the_hessian(close):
    v = np.array([0.4, 0.1, -0.7])
    expected = np.stack([hg.hvp(bowl, X, e) for e in np.eye(3)], axis=-1) @ v
    forward = lambda f: lambda x: hg.jvp(f, (x,), (v,))[1]
    nestings = {
        "forward over reverse": forward(hg.grad(bowl))(X),
        "reverse over forward": hg.grad(forward(bowl))(X),
        "reverse over reverse": hg.grad(lambda x: v @ hg.grad(bowl)(x))(X),
        "vjp of grad": hg.vjp(hg.grad(bowl), X)[1](v)[0],
        "jvp of vjp": hg.jvp(lambda x: hg.vjp(bowl, x)[1](1.0)[0], (X,), (v,))[1],
        "hessian": hg.hessian(bowl)(X) @ v,
    }
    for name, found in nestings.items():
        close(found, expected, 1e-13, name)
    step = 1e-5
    differences = (hg.grad(bowl)(X + step * v) - hg.grad(bowl)(X - step * v)) / (2 * step)
    close(expected, differences, 1e-8, "central differences")


def test_closures_over_outer_traced_values():
    """d/dx [x d/dy (x + y)] = 1: the outer variable is a constant of the inner derivative."""
    assert hg.grad(lambda x: x * hg.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    slope = lambda f, x: hg.jvp(f, (x,), (1.0,))[1]
    assert slope(lambda x: x * slope(lambda y: x + y, 1.0), 1.0) == 1.0
    assert slope(lambda x: x * hg.grad(lambda y: x + y)(1.0), 1.0) == 1.0
    assert hg.grad(lambda x: hg.grad(lambda y: x * y**3)(2.0))(5.0) == 12.0
    assert hg.grad(lambda x: hg.grad(lambda y: hg.grad(lambda z: x * y * z * z)(3.0))(2.0))(5.0) == 6.0


def test_a_compiled_function_closes_over_outer_traced_values():
    outer = lambda a: hg.compile(lambda x: a * x**2)(3.0)
    assert hg.grad(outer)(1.0) == 9.0
    assert hg.grad(outer)(7.0) == 9.0
    assert hg.value_and_grad(lambda a: hg.compile(hg.grad(lambda x: a * x**2))(3.0))(2.0) == (12.0, 6.0)


def test_grad_of_a_compiled_function_and_compiled_grad_agree(close):
    expected = hg.grad(bowl)(X)
    close(hg.grad(hg.compile(bowl))(X), expected, 1e-14, "grad of compile")
    close(hg.compile(hg.grad(bowl))(X), expected, 1e-14, "compile of grad")
    close(hg.hessian(hg.compile(bowl))(X), hg.hessian(bowl)(X), 1e-13, "hessian of compile")
    close(hg.compile(hg.hessian(bowl))(X), hg.hessian(bowl)(X), 1e-13, "compile of hessian")


def test_grad_through_a_jacobian(close):
    f = lambda x: np.sum(hg.jacobian(waves)(x) ** 2)
    found = hg.grad(f)(X)
    step = 1e-5
    differences = [(f(X + step * e) - f(X - step * e)) / (2 * step) for e in np.eye(3)]
    close(found, differences, 1e-8, "gradient of the squared Jacobian")


def test_grad_through_a_training_loop(close):
    """Ten gradient steps inside a function; the derivative by the rate."""

    def trained(rate):
        w = np.zeros(3)
        for _ in range(10):
            w = w - rate * hg.grad(lambda w: np.sum((A @ w - 1.0) ** 2))(w)
        return np.sum((A @ w - 1.0) ** 2)

    step = 1e-6
    differences = (trained(0.02 + step) - trained(0.02 - step)) / (2 * step)
    close(hg.grad(trained)(0.02), differences, 1e-7, "rate")


# Jacobians ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["forward", "reverse", "auto"])
def test_jacobian(mode, close):
    found = hg.jacobian(waves, mode=mode)(X)
    wave, slope = np.sin(A @ X) * np.exp(X[0]), np.cos(A @ X)[:, None] * A * np.exp(X[0])
    close(found, slope + np.outer(wave, [1.0, 0.0, 0.0]), 1e-14, mode)
    matrix = hg.jacobian(lambda x: np.outer(x, x), mode=mode)(X)
    assert matrix.shape == (3, 3, 3)
    eye = np.eye(3)
    close(matrix, np.einsum("ik,j->ijk", eye, X) + np.einsum("i,jk->ijk", X, eye), 1e-14, mode)


def test_jacobian_of_trees():
    f = lambda p: {"sum": p["a"] + p["b"][0], "product": p["a"] * p["b"][1]}
    found = hg.jacobian(f)({"a": X, "b": [1.0, np.array([1.0, 2.0, 3.0])]})
    np.testing.assert_allclose(found["sum"]["a"], np.eye(3))
    np.testing.assert_allclose(found["sum"]["b"][0], np.ones(3))
    np.testing.assert_allclose(found["sum"]["b"][1], np.zeros((3, 3)))
    np.testing.assert_allclose(found["product"]["a"], np.diag([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(found["product"]["b"][1], np.diag(X))


def test_hessian_is_symmetric(close):
    hessian = hg.hessian(bowl)(X)
    close(hessian, hessian.T, 1e-14, "symmetry")
    close(hessian, hg.jacobian(hg.grad(bowl), mode="reverse")(X), 1e-13, "reverse over reverse")


def test_hessian_of_a_tree():
    found = hg.hessian(lambda p: p["a"] ** 2 * np.sum(p["b"]))({"a": 3.0, "b": np.ones(2)})
    assert found["a"]["a"] == 4.0
    np.testing.assert_allclose(found["a"]["b"], [6.0, 6.0])
    np.testing.assert_allclose(found["b"]["a"], [6.0, 6.0])
    np.testing.assert_allclose(found["b"]["b"], np.zeros((2, 2)))


# Pullbacks and tangents --------------------------------------------------------------------------


def test_a_pullback_may_be_called_again_and_is_linear(close):
    value, pullback = hg.vjp(waves, X)
    close(value, waves(X), 1e-15, "value")
    c, d = np.array([1.0, -2.0]), np.array([0.3, 0.4])
    (first,), (second,), (again,) = pullback(c), pullback(d), pullback(c)
    np.testing.assert_array_equal(first, again)
    close(pullback(2.0 * c - d)[0], 2.0 * first - second, 1e-14, "linearity")
    jacobian = hg.jacobian(waves)(X)
    close(first, jacobian.T @ c, 1e-14, "transposed Jacobian")


def test_the_dot_product_identity():
    rng = np.random.default_rng(0)
    value, pullback = hg.vjp(waves, X)
    for _ in range(3):
        t, c = rng.standard_normal(3), rng.standard_normal(value.shape)
        left, right = c @ hg.jvp(waves, (X,), (t,))[1], pullback(c)[0] @ t
        assert left == pytest.approx(right, rel=1e-13)


def test_a_cotangent_of_another_shape_or_structure_is_refused():
    _, pullback = hg.vjp(waves, X)
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)|\(2,\).*\(3,\)"):
        pullback(np.ones(3))
    with pytest.raises(TreeError):
        pullback([np.ones(2)])
    with pytest.raises(ValueError, match="tangent"):
        hg.jvp(waves, (X,), (np.ones(2),))


# Arguments and trees -----------------------------------------------------------------------------


def test_argnums():
    f = lambda x, y, scale=1.0: scale * np.sum(x**2) * y
    assert hg.grad(f, argnums=1)(X, 2.0) == pytest.approx(np.sum(X**2))
    gx, gy = hg.grad(f, argnums=(0, 1))(X, 2.0)
    np.testing.assert_allclose(gx, 4.0 * X)
    assert gy == pytest.approx(np.sum(X**2))
    gy, gx = hg.grad(f, argnums=(1, 0))(X, 2.0, scale=3.0)
    np.testing.assert_allclose(gx, 12.0 * X)
    value, (gx,) = hg.value_and_grad(f, argnums=(0,))(X, 2.0)
    assert value == pytest.approx(f(X, 2.0))
    with pytest.raises(DerivativeError, match="argnums=5"):
        hg.grad(f, argnums=5)(X, 2.0)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a, b: {"w": a, "b": b},
        lambda a, b: [a, b],
        lambda a, b: (a, b),
        lambda a, b: Pair(a, b),
        lambda a, b: Layer(a, b),
        lambda a, b: {"deep": [Pair(a, {"x": b})]},
    ],
)
def test_trees_in_and_out(wrap, close):
    tree = wrap(X, np.array([[2.0]]))

    def f(tree):
        a, b = hg.tree.leaves(tree)
        return np.sum(b @ a[None] ** 2)

    a_first = hg.tree.leaves(tree)[0].shape == X.shape
    g = lambda tree: (
        f(tree) if a_first else np.sum(hg.tree.leaves(tree)[0] @ hg.tree.leaves(tree)[1][None] ** 2)
    )
    gradient = hg.grad(g)(tree)
    assert type(gradient) is type(tree)
    assert hg.tree.structure(gradient) == hg.tree.structure(tree)
    by_shape = {leaf.shape: leaf for leaf in hg.tree.leaves(gradient)}
    close(by_shape[3,], 4.0 * X, 1e-14, "vector")
    close(by_shape[1, 1], [[np.sum(X**2)]], 1e-14, "matrix")
    value, tangent = hg.jvp(lambda t: t, (tree,), (tree,))
    assert hg.tree.structure(value) == hg.tree.structure(tangent) == hg.tree.structure(tree)
    assert hg.tree.structure(hg.compile(lambda t: t)(tree)) == hg.tree.structure(tree)


def test_an_ignored_argument_has_a_zero_gradient():
    gradient = hg.grad(lambda p: np.sum(p["used"] ** 2))({"used": X, "ignored": A, "scalar": 2.0})
    np.testing.assert_array_equal(gradient["ignored"], np.zeros_like(A))
    assert gradient["scalar"] == 0.0
    np.testing.assert_array_equal(hg.grad(lambda x, y: np.sum(y), argnums=0)(X, A), np.zeros(3))
    np.testing.assert_array_equal(hg.grad(lambda x: 3.0)(X), np.zeros(3))
    np.testing.assert_array_equal(hg.hessian(lambda x: np.sum(x))(X), np.zeros((3, 3)))
    np.testing.assert_array_equal(hg.jvp(lambda x: np.ones(2), (X,), (X,))[1], np.zeros(2))


def test_static_leaves_are_concrete_and_have_no_gradient():
    def f(p):
        assert p["n"] == 2
        assert p["kind"] == "square"
        return np.sum(p["x"] ** p["n"]) if p["flag"] else 0.0

    gradient = hg.grad(f)({"x": X, "n": 2, "kind": "square", "flag": True, "nothing": None})
    np.testing.assert_allclose(gradient["x"], 2 * X)
    assert [gradient[key] for key in ("n", "kind", "flag", "nothing")] == [None] * 4


def test_stop_gradient():
    assert hg.grad(lambda x: x * hg.stop_gradient(x))(3.0) == 3.0
    assert hg.jvp(lambda x: x * hg.stop_gradient(x**2), (3.0,), (1.0,)) == (27.0, 9.0)
    tree = hg.stop_gradient({"a": X, "n": 2})
    np.testing.assert_array_equal(tree["a"], X)
    assert tree["n"] == 2


def test_one_argument_used_in_many_places(close):
    """Cotangents of one value add up, also when it is an output itself."""

    def f(x):
        y = np.sin(x)
        return {"y": y, "again": y, "more": [y * x, x]}

    value, pullback = hg.vjp(f, X)
    ones = hg.tree.map(np.ones_like, value)
    close(pullback(ones)[0], 3 * np.cos(X) + np.sin(X) - np.cos(X) + X * np.cos(X) + 1.0, 1e-14, "sum")


def test_in_place_operators_on_a_traced_value_rebind():
    def f(x):
        total = x * 0.0
        for _ in range(3):
            total += x**2
        return np.sum(total)

    np.testing.assert_allclose(hg.grad(f)(X), 6.0 * X)


def test_pandas_objects_are_constants_beside_a_traced_value():
    pd = pytest.importorskip("pandas", reason="pandas objects are mixed with traced values here")
    series, frame = pd.Series([1.0, 2.0, 3.0]), pd.DataFrame(A)
    np.testing.assert_allclose(hg.grad(lambda x: np.sum(series * x + x * series))(X), 2.0 * series)
    np.testing.assert_allclose(hg.grad(lambda x: np.sum(frame.to_numpy() @ x))(X), A.sum(axis=0))


def test_an_argument_without_floats_has_no_derivative_beside_one_that_has():
    """vjp and jvp differentiate every float; a whole argument of integers is held fixed."""
    labels = np.array([2, 0])
    f = lambda x, labels, power: np.sum(x[labels] ** power)
    value, pullback = hg.vjp(f, X, labels, 2)
    assert value == pytest.approx(X[0] ** 2 + X[2] ** 2)
    gradient, *rest = pullback(1.0)
    np.testing.assert_allclose(gradient, [2 * X[0], 0.0, 2 * X[2]])
    assert rest == [None, None]
    assert hg.jvp(f, (X, labels, 2), (np.ones(3), None, None))[1] == pytest.approx(2 * (X[0] + X[2]))


# check_grads -------------------------------------------------------------------------------------


def test_check_grads_accepts_what_is_right():
    hg.check_grads(waves, (X,))
    hg.check_grads(bowl, (X,), order=3)
    hg.check_grads(lambda p, y: {"a": p["w"] @ X + y}, ({"w": A}, np.array([0.2, 0.3])), order=2)
    hg.check_grads(bowl, (X.astype(np.float32),), order=1)
    hg.check_grads(lambda x, n: np.sum(x**n), (X, 3))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_check_grads_refuses_what_is_wrong(mode):
    with pytest.raises(DerivativeError, match=mode):
        hg.check_grads(lambda x: np.sum(x * hg.stop_gradient(x)), (X,), order=1, modes=(mode,))


def test_check_grads_sees_a_wrong_second_order():
    """The slope is right, its slope is not: x stop(g'(x)) - x stop(x) ... has a constant derivative."""

    def f(x):
        frozen = hg.stop_gradient(x)
        return np.sum(np.sin(frozen) + np.cos(frozen) * (x - frozen))

    hg.check_grads(f, (X,), order=1)
    with pytest.raises(DerivativeError, match="order 2"):
        hg.check_grads(f, (X,), order=2)


def test_check_grads_refuses_unknown_modes_and_integers():
    with pytest.raises(DerivativeError, match="backward"):
        hg.check_grads(bowl, (X,), modes=("backward",))
    with pytest.raises(DerivativeError, match="float"):
        hg.check_grads(lambda n: n, (3,))
