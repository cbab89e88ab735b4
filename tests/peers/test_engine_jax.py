"""Elementwise functions and reductions: value, jvp, vjp and second order equal JAX's in float64."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import hypergrad as hg

RNG = np.random.default_rng(0)
ANY = RNG.uniform(-2.0, 2.0, (3, 4))
OTHER = RNG.uniform(-2.0, 2.0, (3, 4))
ROW = RNG.uniform(-2.0, 2.0, 4)
COLUMN = RNG.uniform(0.5, 2.0, (3, 1))
POSITIVE = RNG.uniform(0.3, 3.0, (3, 4))
UNIT = RNG.uniform(-0.9, 0.9, (3, 4))
ABOVE_ONE = RNG.uniform(1.2, 3.0, (3, 4))
SCALAR = np.array(0.7)
CUBE = RNG.uniform(-2.0, 2.0, (2, 3, 4))

UNARY = {
    "negative": ANY, "positive": ANY, "absolute": ANY, "abs": ANY, "sign": ANY, "square": ANY, "exp": ANY,
    "expm1": ANY, "exp2": ANY, "sin": ANY, "cos": ANY, "tan": UNIT, "sinh": ANY, "cosh": ANY, "tanh": ANY,
    "arctan": ANY, "arcsinh": ANY, "arcsin": UNIT, "arccos": UNIT, "arctanh": UNIT, "log": POSITIVE,
    "log2": POSITIVE, "log10": POSITIVE, "log1p": POSITIVE, "sqrt": POSITIVE, "cbrt": POSITIVE,
    "reciprocal": POSITIVE,
    "arccosh": ABOVE_ONE, "floor": ANY, "ceil": ANY,
}  # fmt: skip

BINARY = {
    "add": (ANY, OTHER), "subtract": (ANY, OTHER), "multiply": (ANY, OTHER), "divide": (ANY, POSITIVE),
    "true_divide": (ANY, POSITIVE), "power": (POSITIVE, OTHER), "arctan2": (ANY, OTHER),
    "hypot": (ANY, OTHER),
    "logaddexp": (ANY, OTHER), "maximum": (ANY, OTHER), "minimum": (ANY, OTHER),
    "fmax": (ANY, OTHER), "fmin": (ANY, OTHER),
}  # fmt: skip

SHAPES = {
    "0-d": (SCALAR, SCALAR + 0.4),
    "row, column": (ABOVE_ONE[0], COLUMN),
    "matrix, row": (POSITIVE, ABOVE_ONE[1]),
    "matrix, 0-d": (POSITIVE, SCALAR),
    "cube, column": (np.abs(CUBE) + 0.1, COLUMN),
}

ROWS = {
    "operators": (lambda xp, x, y: (x + y) * (x - y) / (y * y + 1.0) - (-x), (ANY, OTHER)),
    "constants on the left": (lambda xp, x: 2.0 - x * 3 + 1 / (x * x + 1), (ANY,)),
    "array constant on the left": (lambda xp, x: OTHER * x + (OTHER - x) / POSITIVE, (ANY,)),
    "integer array constant": (lambda xp, x: np.arange(4) * x, (ANY,)),
    "abs operator": (lambda xp, x: abs(x), (ANY,)),
    "power 2": (lambda xp, x: x**2, (ANY,)),
    "power 3 of both signs": (lambda xp, x: x**3, (ANY,)),
    "power -1.5": (lambda xp, x: x**-1.5, (POSITIVE,)),
    "power -2": (lambda xp, x: x**-2.0, (ANY,)),
    "power 0.5": (lambda xp, x: x**0.5, (POSITIVE,)),
    "power 1": (lambda xp, x: x**1, (ANY,)),
    "power 0": (lambda xp, x: x**0, (ANY,)),
    "powers at zero": (lambda xp, x: x**2 + x**1 + x**3, (np.array([0.0, 1.0, -1.0]),)),
    "base 2": (lambda xp, x: 2.0**x, (ANY,)),
    "power of an array": (lambda xp, x: x ** np.array([1.0, 2.0, 0.0, 3.0]), (ANY,)),
    "mod": (lambda xp, x: xp.mod(x, 0.7), (ANY,)),
    "mod by a variable": (lambda xp, x, y: x % y, (ANY, POSITIVE)),
    "same argument twice": (lambda xp, x: x * x + xp.maximum(x, 0.5 * x) / xp.exp(x), (ANY,)),
    "clip": (lambda xp, x: xp.clip(x, -0.5, 0.8), (ANY,)),
    "clip below": (lambda xp, x: xp.clip(x, -0.5, None), (ANY,)),
    "clip to variables": (lambda xp, x, a, b: xp.clip(x, a, b), (ANY, np.array(-0.5), np.array(0.8))),
    "maximum of a constant": (lambda xp, x: xp.maximum(x, 0.0) + xp.minimum(0.3, x), (ANY,)),
    "where": (lambda xp, x, y: xp.where(x > 0, x * y, xp.sin(y)), (ANY, OTHER)),
    "where by broadcasting": (lambda xp, x, y: xp.where(x > 0.1, x, y), (ANY, ROW)),
    "where with a constant": (lambda xp, x: xp.where(x < 0, 0.0, x**2), (ANY,)),
    "where with a constant mask": (lambda xp, x: xp.where(OTHER > 0, x, -x), (ANY,)),
    "comparisons": (
        lambda xp, x, y: xp.where((x >= y) & (x <= 1.5) | (x != x), x, y) * xp.where(~(x == y), x, 1.0),
        (ANY, OTHER),
    ),
    "logical functions": (
        lambda xp, x, y: xp.where(xp.logical_and(xp.greater(x, y), xp.less(x, 1.0)), x * y, y),
        (ANY, OTHER),
    ),
    "comparison as a factor": (lambda xp, x: (x > 0) * x**2, (ANY,)),
    "expit": ((lambda x: scipy.special.expit(x), None), (4 * ANY,)),
    "long chain": (
        lambda xp, x, y: xp.tanh(xp.exp(-(x**2)) @ xp.sin(y).T + xp.log1p(xp.abs(x @ y.T))),
        (ANY, OTHER),
    ),
}

REDUCTIONS = {
    "all": {}, "first axis": {"axis": 0}, "negative axis": {"axis": -1}, "middle axis": {"axis": 1},
    "two axes": {"axis": (0, 2)}, "negative axes": {"axis": (-1, -3)}, "all axes": {"axis": (0, 1, 2)},
    "no axes": {"axis": ()}, "keepdims": {"keepdims": True}, "axis, keepdims": {"axis": 1, "keepdims": True},
    "axes, keepdims": {"axis": (0, -1), "keepdims": True},
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_unary(name, against_jax, single_precision):
    f = lambda xp, x: getattr(xp, name)(x)
    against_jax(f, UNARY[name])
    single_precision(f, UNARY[name])


@pytest.mark.parametrize("name", BINARY)
def test_binary(name, against_jax, single_precision):
    f = lambda xp, x, y: getattr(xp, name)(x, y)
    against_jax(f, *BINARY[name])
    single_precision(f, *BINARY[name])


@pytest.mark.parametrize("name", ["divide", "power", "maximum"])
@pytest.mark.parametrize("shapes", SHAPES)
def test_broadcasting(name, shapes, against_jax, single_precision):
    f = lambda xp, x, y: getattr(xp, name)(x, y)
    against_jax(f, *SHAPES[shapes])
    single_precision(f, *SHAPES[shapes])


@pytest.mark.parametrize("name", ROWS)
def test_expression(name, against_jax, single_precision, jax):
    f, args = ROWS[name]
    if name == "expit":
        f = (f[0], jax.scipy.special.expit)
    against_jax(f, *args)
    single_precision(f, *args)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        *((name, case) for name in ("sum", "std", "max", "prod") for case in REDUCTIONS),
        *(
            (name, case)
            for name in ("mean", "var", "min")
            for case in ("all", "negative axis", "axes, keepdims")
        ),
    ],
)
def test_reduction(name, case, against_jax, single_precision):
    options = REDUCTIONS[case]
    if options.get("axis") == () and name in {"var", "std"}:
        pytest.skip("the spread of a single entry is zero, where std has no derivative")
    f = lambda xp, x: getattr(xp, name)(x, **options)
    against_jax(f, CUBE)
    single_precision(f, CUBE)


@pytest.mark.parametrize("name", ["var", "std"])
@pytest.mark.parametrize("axis", [None, 0, (0, 2)])
def test_degrees_of_freedom(name, axis, against_jax):
    against_jax(lambda xp, x: getattr(xp, name)(x, axis=axis, ddof=1), CUBE)


@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "max", "min", "prod"])
def test_reduction_method(name, against_jax):
    against_jax(lambda xp, x: getattr(x, name)(axis=1), CUBE)


RUNNING = {
    "cumsum": (lambda xp, x: xp.cumsum(x, axis=1), CUBE),
    "cumsum of all": (lambda xp, x: xp.cumsum(x), CUBE),
    "cumsum from the back": (lambda xp, x: xp.cumsum(x[..., ::-1], axis=-1), CUBE),
    "norm": (lambda xp, x: xp.linalg.norm(x), CUBE[0]),
    "norm of rows": (lambda xp, x: xp.linalg.norm(x, axis=1, keepdims=True), CUBE[0]),
    "trace": (lambda xp, x: xp.trace(x), CUBE[0]),
    "diagonal": (lambda xp, x: xp.diagonal(x, offset=1, axis1=1, axis2=2), CUBE),
    "value at the largest": (lambda xp, x: x[:, xp.argmax(np.sum(OTHER, axis=0))], ANY),
    "round": (lambda xp, x: x * xp.round(x, 1), ANY),
    "linspace": (lambda xp, x, y: xp.linspace(x, y, 5), SCALAR, SCALAR + 2.0),
    "full_like": (lambda xp, x: xp.full_like(x, 2.0) * x + xp.zeros_like(x) + xp.ones_like(x), ANY),
}


@pytest.mark.parametrize("name", RUNNING)
def test_sums_and_norms(name, against_jax, single_precision):
    f, *args = RUNNING[name]
    against_jax(f, *args)
    single_precision(f, *args)


@pytest.mark.parametrize("name", ["amax", "amin"])
def test_reduction_alias(name, against_jax):
    against_jax(lambda xp, x: getattr(xp, name)(x, axis=1), CUBE)


@pytest.mark.parametrize(
    "x",
    [
        [[0.0, 2.0, 3.0], [1.0, -2.0, 4.0]],
        [[0.0, 0.0, 3.0], [0.0, 5.0, 4.0]],
        [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]],
    ],
)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_prod_with_zeros(x, axis, against_jax):
    against_jax(lambda xp, x: xp.prod(x, axis=axis), x)


THREE_TIMES = {
    "sin": (np.sin, 0.7), "exp": (np.exp, 0.3), "tanh": (np.tanh, 0.4), "log": (np.log, 1.3),
    "sqrt": (np.sqrt, 1.7), "reciprocal": (lambda x: 1.0 / x, 0.8), "power": (lambda x: x**3.5, 1.2),
    "power 3": (lambda x: x**3, -1.2), "square": (lambda x: np.square(np.square(x)), 1.1),
    "arctan": (np.arctan, 0.6), "log1p": (np.log1p, 0.4), "arcsinh": (np.arcsinh, 0.9),
    "expit": (scipy.special.expit, 0.5),
    "x to the x": (lambda x: x**x, 1.3),
    "std": (lambda x: np.std(np.stack([x, x**2, np.sin(x)])), 0.6),
    "prod": (lambda x: np.prod(np.stack([x, x**2, np.sin(x)])), 0.6),
}  # fmt: skip


@pytest.mark.parametrize("name", THREE_TIMES)
def test_third_derivative(name, jax, close):
    jnp = jax.numpy
    f, x = THREE_TIMES[name]
    reference = {
        "sin": jnp.sin, "exp": jnp.exp, "tanh": jnp.tanh, "log": jnp.log, "sqrt": jnp.sqrt,
        "arctan": jnp.arctan, "square": lambda x: jnp.square(jnp.square(x)), "log1p": jnp.log1p,
        "arcsinh": jnp.arcsinh, "expit": jax.scipy.special.expit,
        "std": lambda x: jnp.std(jnp.stack([x, x**2, jnp.sin(x)])),
        "prod": lambda x: jnp.prod(jnp.stack([x, x**2, jnp.sin(x)])),
    }.get(name, f)  # fmt: skip
    expected = jax.jit(jax.grad(jax.grad(jax.grad(reference))))(x)
    close(hg.grad(hg.grad(hg.grad(f)))(x), expected, 1e-11, "grad of grad of grad")
    slope = lambda x: hg.jvp(f, (x,), (1.0,))[1]
    close(hg.jvp(hg.grad(slope), (x,), (1.0,))[1], expected, 1e-11, "jvp of grad of jvp")


EMPTY = {
    "sum": (lambda xp, x: xp.sum(x), (0,)),
    "sum of rows": (lambda xp, x: xp.sum(x, axis=1), (0, 3)),
    "sum over the empty axis": (lambda xp, x: xp.sum(xp.sin(x), axis=0), (0, 3)),
    "elementwise": (lambda xp, x: 2.0 * xp.exp(x) + x, (0, 3)),
    "matmul": (lambda xp, x: x @ np.ones((3, 2)), (0, 3)),
    "inner dimension empty": (lambda xp, x: x @ np.ones((0, 2)), (4, 0)),
    "reshape": (lambda xp, x: xp.reshape(x, (3, 0)), (0, 3)),
    "concatenate": (lambda xp, x: xp.concatenate([x, np.ones((2, 3)), x]), (0, 3)),
    "slice": (lambda xp, x: x[1:], (1, 2)),
    "index by nothing": (lambda xp, x: x[np.array([], int)], (3, 2)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_arrays(name, against_jax):
    f, shape = EMPTY[name]
    against_jax(f, np.ones(shape))


def test_zero_dimensional_results_are_arrays_or_scalars_of_the_same_dtype():
    for dtype in (np.float32, np.float64):
        x = np.asarray(0.5, dtype)
        value, gradient = hg.value_and_grad(lambda x: np.sin(x) * 2.0)(x)
        assert np.shape(value) == np.shape(gradient) == ()
        assert np.asarray(value).dtype == np.asarray(gradient).dtype == dtype


def test_a_python_float_has_a_float64_gradient():
    gradient = hg.grad(lambda x: x**2)(1.5)
    assert np.asarray(gradient).dtype == np.float64
    assert float(gradient) == 3.0
