"""Every primitive: NumPy's values, shapes and dtypes; derivatives to second order in both modes.

ROWS holds one row of examples a primitive; a primitive without a row fails `test_every_primitive_has_a_row`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.special

import hypergrad as hg
from hypergrad.ad import primitives
from hypergrad.ad.forward import evaluate
from hypergrad.ad.primitives import linear, shape
from hypergrad.ad.program import Primitive


def all_primitives() -> dict[str, Primitive]:
    found: dict[str, Primitive] = {}
    for info in pkgutil.iter_modules(primitives.__path__):
        module = importlib.import_module(f"{primitives.__name__}.{info.name}")
        for value in vars(module).values():
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Primitive):
                    assert found.setdefault(item.name, item) is item, f"two primitives are called {item.name}"
    return found


@dataclass
class Example:
    """A NumPy function, and arguments at which it is smooth (or, if not `smooth`, only has values)."""

    f: Callable[..., Any]
    args: tuple[Any, ...]
    smooth: bool = True
    exact: bool = True  # the same order of additions as NumPy's


def ex(f: Callable[..., Any], *args: Any, smooth: bool = True, exact: bool = True) -> Example:
    return Example(f, args, smooth, exact)


V = np.array([0.3, -0.7, 1.9, -2.4])  # any sign, no integer, no tie
P = np.array([0.4, 1.7, 0.9, 2.2])  # positive
U = np.array([0.2, -0.6, 0.85, -0.1])  # inside (-1, 1)
M = np.array([[0.3, -0.7, 1.9], [2.4, 0.6, -1.1]])
COLUMN = np.array([[0.8], [-1.3]])
SQUARE = np.array([[2.0, 0.3], [-0.4, 1.5]])
CUBE = np.sin(np.arange(24.0)).reshape(2, 3, 4)
EMPTY = np.zeros((0, 3))
ZERO_D = np.array(0.7)
INTS = np.array([3, -2, 5, 1])
BITS = np.array([True, False, True, True])


def unary(f: Any, x: np.ndarray, smooth: bool = True) -> list[Example]:
    return [ex(f, a, smooth=smooth) for a in (x, x[0], x.reshape(2, 2), x[:0])]


def binary(f: Any, x: np.ndarray, y: np.ndarray, smooth: bool = True) -> list[Example]:
    """All broadcasting situations."""
    pairs = ((x, y), (x[0], y), (x.reshape(4, 1), y), (x[:1], y.reshape(2, 2)), (x[0], y[0]), (x[:0], y[:1]))
    return [ex(f, a, b, smooth=smooth) for a, b in pairs] + [ex(lambda a: f(a, a), x, smooth=smooth)]


ROWS: dict[str, list[Example]] = {
    "add": binary(np.add, V, P),
    "subtract": binary(np.subtract, V, P),
    "negative": unary(np.negative, V),
    "multiply": binary(np.multiply, V, P),
    "divide": binary(np.divide, V, P),
    "positive": unary(np.positive, V),
    "absolute": unary(np.absolute, V),
    "fabs": unary(np.fabs, V),
    "square": unary(np.square, V),
    "reciprocal": unary(np.reciprocal, V),
    "power": [
        *binary(np.power, P, V),
        ex(lambda x: x**3, V), ex(lambda x: x**-2, V), ex(lambda x: x**2.5, P), ex(lambda x: x**3.0, V * 0.0),
        ex(lambda x: 1.7**x, V), ex(lambda x: x ** np.array([1.0, 2.0, 3.0, 4.0]), V),
        ex(lambda x: x ** np.array([0.0, 2.0, -1.0, 4.0]), V), ex(lambda x: x**0, V),
    ],
    "float_power": binary(np.float_power, P, V),
    "sqrt": unary(np.sqrt, P),
    "cbrt": unary(np.cbrt, P),
    "exp": unary(np.exp, V),
    "exp2": unary(np.exp2, V),
    "expm1": unary(np.expm1, V),
    "log": unary(np.log, P),
    "log2": unary(np.log2, P),
    "log10": unary(np.log10, P),
    "log1p": unary(np.log1p, P),
    "logaddexp": binary(np.logaddexp, V, P),
    "logaddexp2": binary(np.logaddexp2, V, P),
    "sin": unary(np.sin, V),
    "cos": unary(np.cos, V),
    "tan": unary(np.tan, U),
    "arcsin": unary(np.arcsin, U),
    "arccos": unary(np.arccos, U),
    "arctan": unary(np.arctan, V),
    "arctan2": binary(np.arctan2, V, P),
    "sinh": unary(np.sinh, V),
    "cosh": unary(np.cosh, V),
    "tanh": unary(np.tanh, V),
    "arcsinh": unary(np.arcsinh, V),
    "arccosh": unary(np.arccosh, P + 1.5),
    "arctanh": unary(np.arctanh, U),
    "hypot": binary(np.hypot, V, P),
    "deg2rad": unary(np.deg2rad, V),
    "radians": unary(np.radians, V),
    "rad2deg": unary(np.rad2deg, V),
    "degrees": unary(np.degrees, V),
    "maximum": binary(np.maximum, V, P[::-1])[:-1],
    "minimum": binary(np.minimum, V, P[::-1])[:-1],
    "fmax": binary(np.fmax, V, P[::-1])[:-1],
    "fmin": binary(np.fmin, V, P[::-1])[:-1],
    "remainder": binary(np.remainder, V, P[::-1] + 0.03)[:-1],
    "fmod": binary(np.fmod, V, P[::-1] + 0.03)[:-1],
    "copysign": binary(np.copysign, V, U)[:-1],
    "expit": unary(scipy.special.expit, V),
    "relu": unary(hg.nn.relu, V),
    "sign": unary(np.sign, V),
    "floor": unary(np.floor, V),
    "ceil": unary(np.ceil, V),
    "trunc": unary(np.trunc, V),
    "rint": unary(np.rint, V),
    "floor_divide": binary(np.floor_divide, V, P[::-1] + 0.03)[:-1],
    "heaviside": binary(np.heaviside, V, P)[:-1],
    "less": binary(np.less, V, P, smooth=False),
    "less_equal": binary(np.less_equal, V, P, smooth=False),
    "greater": binary(np.greater, V, P, smooth=False),
    "greater_equal": binary(np.greater_equal, V, P, smooth=False),
    "equal": binary(np.equal, V, P, smooth=False),
    "not_equal": binary(np.not_equal, V, P, smooth=False),
    "logical_and": binary(np.logical_and, V, U, smooth=False),
    "logical_or": binary(np.logical_or, V, U, smooth=False),
    "logical_xor": binary(np.logical_xor, V, U, smooth=False),
    "logical_not": unary(np.logical_not, V, smooth=False),
    "bitwise_and": [ex(lambda x, y: (x > 0) & (y > 1), V, P, smooth=False),
    ex(lambda n: n & 3, INTS, smooth=False)],
    "bitwise_or": [ex(lambda x, y: (x > 0) | (y > 1), V, P, smooth=False),
    ex(lambda n: n | 3, INTS, smooth=False)],
    "bitwise_xor": [ex(lambda x, y: (x > 0) ^ (y > 1), V, P, smooth=False),
    ex(lambda n: 3 ^ n, INTS, smooth=False)],
    "invert": [ex(lambda x: ~(x > 0), V, smooth=False), ex(lambda n: ~n, INTS, smooth=False)],
    "isfinite": unary(np.isfinite, V, smooth=False),
    "isnan": unary(np.isnan, V, smooth=False),
    "isinf": unary(np.isinf, V, smooth=False),
    "signbit": unary(np.signbit, V, smooth=False),
    "select": [
        ex(lambda x, y: np.where(x > 0.1, x * y, y), V, P),
        ex(lambda x: np.where(BITS, x, 1.5), V),
        ex(lambda x, y: np.where(x > 0, x, y), COLUMN, M),
        ex(lambda x: np.where(x > 0, 1, 0) * x, V),
        ex(lambda x: np.where(True, x, 0), ZERO_D),
        ex(lambda x, y: np.where(M > 0, x, y), V[:3], ZERO_D),
        ex(lambda x: np.where(INTS, x, 0), V),
    ],
    "convert": [
        ex(lambda x: x.astype(int) * 2, V, smooth=False),
        ex(lambda x: x.astype(bool), V, smooth=False),
        ex(lambda n: n.astype(float) / 3, INTS, smooth=False),
        ex(lambda n, x: n * x, INTS, V),
    ],
    "reshape": [
        ex(lambda x: x.reshape(3, 2) * 2, M), ex(lambda x: x.reshape(-1), M),
        ex(lambda x: np.reshape(x, (2, -1)), V),
        ex(lambda x: x.T.reshape(6), M), ex(lambda x: x.reshape(3, 0), EMPTY),
        ex(lambda x: x.reshape(1, 1), ZERO_D),
        ex(np.ravel, CUBE), ex(lambda x: x.flatten(), M), ex(np.squeeze, COLUMN),
        ex(lambda x: np.expand_dims(x, (0, 2)), V), ex(np.atleast_3d, V), ex(np.atleast_2d, ZERO_D),
    ],
    "permute": [
        ex(lambda x: x.T * 2, M), ex(lambda x: x.T, CUBE), ex(lambda x: np.transpose(x, (2, 0, 1)), CUBE),
        ex(lambda x: x.transpose(1, 2, 0), CUBE), ex(lambda x: np.swapaxes(x, 0, -1), CUBE),
        ex(lambda x: np.moveaxis(x, (0, 2), (-1, 0)), CUBE), ex(lambda x: x.mT, CUBE),
        ex(np.transpose, EMPTY),
    ],
    "broadcast_to": [
        ex(lambda x: np.broadcast_to(x, (2, 3)) * M, COLUMN), ex(lambda x: np.broadcast_to(x, 3), ZERO_D),
        ex(lambda x: np.broadcast_to(x, (0, 4)), V), ex(lambda x: np.tile(x, (2, 3)), M),
        ex(lambda x: np.repeat(x, 3), M),
        ex(lambda x: np.repeat(x, 2, axis=1), M), ex(lambda x: np.stack(np.broadcast_arrays(x, M)), COLUMN),
    ],
    "reduce_sum": [
        ex(np.sum, M), ex(lambda x: x.sum(axis=-1, keepdims=True), M), ex(lambda x: np.sum(x, (0, 2)), CUBE),
        ex(np.sum, EMPTY), ex(lambda x: np.sum(x, axis=0), EMPTY), ex(lambda x: x.mean(axis=(0, 1)), CUBE),
        ex(np.add.reduce, M), ex(lambda x: np.add.reduce(x, axis=(0, 1), keepdims=True), M),
        ex(lambda x: np.var(x, axis=1), M), ex(lambda x: np.std(x, ddof=1), M),
        ex(lambda x: np.std(x, axis=0), M),
        ex(lambda x: np.var(x, axis=0, keepdims=True, correction=1), CUBE),
        ex(lambda n: np.sum(n > 1), INTS, smooth=False),
        ex(lambda x: np.mean(x, axis=1), M), ex(np.trace, SQUARE),
        ex(lambda x: np.sum(x, axis=()) + np.sum(x), M),
    ],
    "reduce_max": [
        ex(np.max, V), ex(lambda x: np.max(x, axis=(0, 2)), CUBE),
        ex(lambda x: x.max(axis=-1, keepdims=True), M),
        ex(np.maximum.reduce, M), ex(lambda x: np.max(x, axis=0), EMPTY.T),
    ],
    "reduce_min": [
        ex(np.min, V), ex(lambda x: np.min(x, axis=(0, 2)), CUBE), ex(lambda x: x.min(axis=0), M),
        ex(np.minimum.reduce, M),
    ],
    "reduce_prod": [
        ex(np.prod, V), ex(np.prod, V * [1, 0, 1, 1]), ex(np.prod, V * [1, 0, 1, 0]),
        ex(lambda x: x.prod(axis=1), M),
        ex(lambda x: np.prod(x, axis=(0, 2), keepdims=True), CUBE), ex(np.prod, EMPTY),
        ex(np.multiply.reduce, M),
        ex(np.prod, V[:1]),
    ],
    "any": [ex(np.any, V, smooth=False), ex(lambda x: np.any(x > 1, axis=0), M, smooth=False)],
    "all": [ex(np.all, V, smooth=False), ex(lambda x: (x > 1).all(axis=-1, keepdims=True), M, smooth=False)],
    "argmax": [ex(np.argmax, M, smooth=False),
    ex(lambda x: x.argmax(axis=1, keepdims=True), M, smooth=False)],
    "argmin": [ex(np.argmin, M, smooth=False), ex(lambda x: np.argmin(x, 0), M, smooth=False)],
    "cumsum": [
        ex(np.cumsum, M), ex(lambda x: x.cumsum(axis=1), M), ex(lambda x: np.cumsum(x, -2), CUBE),
        ex(np.cumsum, EMPTY),
        ex(lambda n: np.cumsum(n > 1), INTS, smooth=False),
    ],
    "concatenate": [
        ex(lambda x, y: np.concatenate([x, y, [1.5]]), V, P),
        ex(lambda x, y: np.concatenate((x, y), axis=1), M, COLUMN),
        ex(lambda x: np.concatenate([x, x], axis=None), M),
        ex(lambda x, y: np.stack([x, y, V], axis=1), V, P),
        ex(lambda x: np.stack([x, 2.0, 3]), ZERO_D), ex(lambda x, y: np.vstack([x, y]), V, P),
        ex(lambda x, y: np.hstack([x, y]), M, COLUMN), ex(lambda x, y: np.column_stack([x, y]), V, P),
        ex(lambda x: np.concatenate([x, np.zeros((0, 3))]), M), ex(lambda x: np.roll(x, 2), M),
        ex(lambda x: np.roll(x, (1, -1), axis=(0, 1)), M), ex(lambda x: np.linspace(x[0], x[1], 5), V),
    ],
    "split": [
        ex(lambda x: shape.split(x, (1, 3))[1] * 2 if not isinstance(x, np.ndarray) else x[1:] * 2, V),
        ex(lambda x: shape.split(x, (1, 0, 2), 1)[2] if not isinstance(x, np.ndarray) else x[:, 1:], M),
    ],
    "index": [
        ex(lambda x: x[1], M), ex(lambda x: x[..., None], M), ex(lambda x: x[::-2], V),
        ex(lambda x: x[-1:0:-1, ::2], M),
        ex(lambda x: x[1, None, -2:], M), ex(lambda x: x[5:2], V), ex(lambda x: x[1, 2], M),
        ex(lambda x: np.flip(x), M), ex(lambda x: np.flip(x, axis=0), M), ex(lambda x: np.split(x, 2)[1], V),
        ex(lambda x: np.split(x, [1, 3], axis=-1)[1], M), ex(lambda x: np.array_split(x, 3)[0], V),
        ex(lambda x: x[0] * next(iter(x[1:])), M), ex(lambda x: x[2::-1], CUBE[0]),
    ],
    "scatter": [
        ex(hg.grad(lambda x: np.sum(x[1:] ** 3)), V), ex(hg.grad(lambda x: np.sum(np.sin(x[..., ::-2]))), M),
    ],
    "gather": [
        ex(lambda x: x[[1, 0, 1]], M), ex(lambda x: x[[1, 0], :, None], M),
        ex(lambda x: x[:, [[0, 2], [1, 1]]], M),
        ex(lambda x: x[BITS], V), ex(lambda x: x[M > 0], M), ex(lambda x: x[0, :, [1, 2]], CUBE),
        ex(lambda x: x[[0, 1], ..., [1, 2]], CUBE), ex(lambda x: x[np.array([-1, 0]), 1:, ::-1], CUBE),
        ex(lambda x: x[[]], V), ex(lambda x: x[np.array([], int)], EMPTY),
        ex(lambda x: np.take(x, [2, 0], axis=1), M),
        ex(lambda x: np.take(x, [4, 0]), M),
        ex(lambda x: np.take_along_axis(x, np.array([[2], [0]]), axis=1), M),
        ex(lambda x, n: x[n], V, np.array([0, 3, 3])), ex(lambda x, n: x[n], V, np.array(2)),
        ex(lambda x, n: x[n, n + 1], M, np.array([0, 1])),
        ex(lambda n: np.take_along_axis(V, n, 0), INTS % 4, smooth=False),
        ex(lambda x: np.repeat(x, [1, 0, 2], axis=1), M), ex(lambda x: np.diagonal(x, 1), M),
        ex(lambda x: x[[True, False]], M),
    ],
    "scatter_add": [
        ex(hg.grad(lambda x: np.sum(x[[1, 0, 1]] ** 3)), M),
        ex(hg.grad(lambda x: np.sum(x[0, :, [1, 2]] ** 3)), CUBE),
    ],
    "matmul": [
        *(
            ex(lambda a, b: a @ b, np.cos(np.arange(np.prod(n))).reshape(n), np.sin(np.arange(np.prod(m))).reshape(m))
            for n, m in [
                ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
                ((2, 3), (5, 3, 4)),
                ((5, 2, 3), (3,)), ((3,), (5, 3, 2)), ((4, 1, 2, 3), (5, 3, 2)), ((2, 0), (0, 3)),
                ((0, 2), (2, 3)),
            ]
        ),
        ex(np.dot, M, M.T), ex(lambda x: x.dot(x), V), ex(np.dot, CUBE, CUBE.reshape(3, 4, 2), exact=False),
        ex(np.inner, M, CUBE.reshape(4, 2, 3), exact=False),
        ex(lambda a, b: np.tensordot(a, b, ((1, 0), (1, 2))), M, CUBE.reshape(4, 3, 2)),
        ex(np.vdot, M, M + 1), ex(lambda a: np.tensordot(a, a, 2), M), ex(lambda a: a @ a, SQUARE),
        ex(lambda a: np.ones((3, 2)) @ a, M),
    ],
    "solve": [
        ex(np.linalg.solve, SQUARE, V[:2]), ex(np.linalg.solve, SQUARE, M),
        ex(lambda a: np.linalg.solve(a, M), SQUARE),
        ex(np.linalg.solve, np.stack([SQUARE, 2 * SQUARE, SQUARE.T]), M),
        ex(np.linalg.solve, np.stack([SQUARE, SQUARE.T]), V[:2]),
        ex(lambda b: np.linalg.solve(SQUARE, b), np.stack([M, -M])),
    ],
    "stop_gradient": [
        ex(lambda x: hg.stop_gradient(np.sign(x)) * x, V),
        ex(lambda x: linear.stop_gradient(np.floor(x)), V),
    ],
}  # fmt: skip
EXAMPLES = [
    pytest.param(name, example, id=f"{name}-{number}")
    for name, row in ROWS.items()
    for number, example in enumerate(row)
]


def test_every_primitive_has_a_row():
    assert set(ROWS) == set(all_primitives())


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_values(name, example, program_of, same):
    """Traced = NumPy bit for bit, compiled = NumPy to rounding, in double and single precision."""
    narrow = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in map(np.asarray, example.args)]
    for args in (example.args, tuple(narrow)):
        program = program_of(example.f, args)
        if args is example.args:
            assert name in {eq.primitive.name for eq in program.equations}, "the example misses its primitive"
        expected = example.f(*args)
        same(evaluate(program, args)[0], expected, exactly=example.exact)
        compiled = hg.compile(example.f)
        for _ in range(2):
            same(compiled(*args), expected)


@pytest.mark.parametrize(("name", "example"), [p for p in EXAMPLES if p.values[1].smooth])
def test_derivatives(name, example):
    """Both modes, to second order, against central differences; and <c, J t> = <Jᵀ c, t>."""
    hg.check_grads(example.f, example.args, order=2, rtol=1e-5)
    rng = np.random.default_rng(0)
    floats = [np.asarray(a).dtype.kind == "f" for a in example.args]
    tangents = tuple(
        rng.standard_normal(np.shape(a)) if moves else None
        for a, moves in zip(example.args, floats, strict=True)
    )
    value, pushed = hg.jvp(example.f, example.args, tangents)
    cotangent = rng.standard_normal(np.shape(value))
    pulled = hg.vjp(example.f, *example.args)[1](cotangent)
    for ct, t, a in zip(pulled, tangents, example.args, strict=True):
        assert (ct is None) == (t is None)
        if ct is not None:
            assert (np.shape(ct), ct.dtype) == (np.shape(a), np.asarray(a).dtype)
    left = np.vdot(cotangent, pushed)
    right = sum(np.vdot(ct, t) for ct, t in zip(pulled, tangents, strict=True) if ct is not None)
    assert left == pytest.approx(right, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", [n for n, row in ROWS.items() if any(e.smooth for e in row)])
def test_single_precision_derivatives(name):
    """float32 in, float32 out, close to float64's."""
    example = next(e for e in ROWS[name] if e.smooth)
    args = tuple(np.asarray(a) for a in example.args)
    narrow = tuple(a.astype(np.float32) if a.dtype.kind == "f" else a for a in args)
    value, pullback = hg.vjp(example.f, *args)
    wide = pullback(np.ones(np.shape(value)))
    value, pullback = hg.vjp(example.f, *narrow)
    found = pullback(np.ones(np.shape(value)))
    for a, b, x in zip(found, wide, narrow, strict=True):
        if x.dtype.kind == "f":
            assert a.dtype == np.float32
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)
