"""NEP 50: the dtype of every combination of operands is NumPy's, with Python numbers, scalars and arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import hypergrad as hg
from hypergrad.ad.forward import evaluate
from hypergrad.ad.primitives import elementwise
from hypergrad.ad.trace import trace, type_of
from hypergrad.errors import UnsupportedError

OPERANDS: dict[str, Any] = {
    "f8": np.array([0.75, 0.5]), "f4": np.array([0.75, 0.5], np.float32), "i8": np.array([2, 1]),
    "i4": np.array([2, 1], np.int32), "u1": np.array([2, 1], np.uint8), "bool": np.array([True, True]),
    "f8 scalar": np.float64(0.75), "f4 scalar": np.float32(0.75), "0-d f8": np.array(0.75), "0-d i8": np.array(2),
    "float": 0.75, "int": 2, "true": True,
}  # fmt: skip
# arguments of these must be larger than 1
SHIFTED = {np.arccosh}


def numpy_or_none(f: Callable[..., Any], *args: Any) -> Any:
    try:
        return f(*args)
    except (TypeError, OverflowError):
        return None


@pytest.mark.parametrize("ufunc", elementwise._BY_UFUNC, ids=lambda u: u.__name__)
def test_promotion_of_ufuncs(ufunc, same):
    """As a ufunc, on every pair of operands of which one is traced: NumPy's dtype, shape and value, or a sentence."""
    shift = 2 if ufunc in SHIFTED else 0
    traced = [k for k in OPERANDS if k not in ("int", "true")]  # Python ints and bools are static
    if ufunc.nin == 1:
        cases = [(k,) for k in traced]
    else:
        cases = [(j, k) for j in traced for k in OPERANDS] + [(j, k) for j in ("int", "true") for k in traced]
    with np.errstate(all="ignore"):
        for names in cases:
            args = [OPERANDS[n] + shift if shift else OPERANDS[n] for n in names]
            expected = numpy_or_none(ufunc, *args)
            active = [type(a) not in (int, bool) for a in args]
            stream = [a for a, moves in zip(args, active, strict=True) if moves]

            def f(*xs, args=args, active=active):
                given = iter(xs)
                mixed = [next(given) if moves else a for a, moves in zip(args, active, strict=True)]
                return [ufunc(*mixed)]

            if expected is None:
                with pytest.raises(UnsupportedError, match="not defined for"):
                    trace(f, [type_of(a) for a in stream])
            elif expected.dtype == np.float16:  # NumPy's choice for functions of small integers
                continue
            else:
                same(evaluate(trace(f, [type_of(a) for a in stream]), stream)[0], expected, exactly=True)


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y, "/": lambda x, y: x / y,
    "//": lambda x, y: x // y, "%": lambda x, y: x % y, "**": lambda x, y: x**y, "<": lambda x, y: x < y,
    ">=": lambda x, y: x >= y, "==": lambda x, y: x == y, "!=": lambda x, y: x != y,
    "-x": lambda x, y: -x * y, "abs": lambda x, y: abs(x) + y, "+x": lambda x, y: +x - y,
    "weak": lambda x, y: (2.0 * x) * y, "where": lambda x, y: np.where(y > 1, x, y),
    "divmod": lambda x, y: sum(divmod(x, y)),
    "maximum": lambda x, y: np.maximum(x, y), "clip": lambda x, y: np.clip(x, None, y),
    "stop": lambda x, y: hg.stop_gradient(x) * y,
}  # fmt: skip


@pytest.mark.parametrize("operator", OPERATORS)
def test_promotion_of_operators(operator, program_of, same):
    """Operators with a traced value on the left, on the right or on both sides: NumPy's dtype and value."""
    f = OPERATORS[operator]
    static = (int, bool)
    operands = [
        OPERANDS[k] for k in ("f8", "f4", "i8", "bool", "f4 scalar", "0-d f8", "float", "int", "true")
    ]
    for x in operands:
        for y in operands:
            if type(x) in (*static, float) and type(y) in (*static, float):
                continue  # Python's own arithmetic
            if operator == "stop" and type(x) in static:
                continue
            expected = numpy_or_none(f, x, y)
            if expected is not None and np.asarray(expected).dtype == np.float16:
                continue  # NumPy's choice for functions of small integers
            versions = [(f, (x, y))]
            if type(y) not in static:
                versions.append((lambda b, x=x: f(x, b), (y,)))
            if type(x) not in static:
                versions.append((lambda a, y=y: f(a, y), (x,)))
            for g, args in versions:
                if expected is None:
                    with pytest.raises((TypeError, OverflowError)):
                        hg.compile(g)(*args)
                elif g is f:
                    same(hg.compile(f)(*args), expected)
                else:
                    same(evaluate(program_of(g, args), args)[0], expected)


@pytest.mark.parametrize("a", ["f8", "f4", "i8"])
@pytest.mark.parametrize("b", ["f8", "f4", "i8", "bool"])
def test_promotion_of_functions(a, b, same):
    """Functions of several arrays: NumPy's dtype and value."""
    x, y = OPERANDS[a], OPERANDS[b]
    functions: list[Callable[..., Any]] = [
        np.dot, np.matmul, np.outer, np.inner, lambda x, y: np.concatenate([x, y]), lambda x, y: np.stack([x, y]),
        lambda x, y: np.where(x > 1, x, y), lambda x, y: np.hstack([x, y, 2.5]), lambda x, y: np.tensordot(x, y, 0),
        lambda x, y: np.linalg.solve(np.diag([2, 1]) + np.zeros_like(x), x + y), lambda x, y: np.full_like(x, 0.5),
        lambda x, y: np.linspace(x, y, 3), lambda x, y: np.where(x > 1, 1, y), lambda x, y: np.where(x > 1, y, 0.5),
        lambda x, y: np.clip(x, 0, y), lambda x, y: np.isclose(x, y), lambda x, y: np.isclose(x, np.inf * y),
    ]  # fmt: skip
    for f in functions:
        same(hg.compile(f)(x, y), f(x, y))


@pytest.mark.parametrize("name", ["f8", "f4", "i8", "i4", "u1", "bool"])
def test_dtypes_of_reductions(name, same):
    """Sums and means of every dtype have NumPy's dtype and value."""
    x = OPERANDS[name]
    functions: list[Callable[..., Any]] = [
        np.sum, np.prod, np.mean, np.max, np.min, np.any, np.all, np.argmax, np.cumsum, np.linalg.norm,
        lambda x: np.sum(x, dtype=np.float32), lambda x: np.mean(x, dtype=np.float64), lambda x: np.sum(x[0]),
        lambda x: np.any(x[0]), lambda x: np.max(x[0]), lambda x: np.prod(x, axis=()), lambda x: np.prod(x[0]),
    ]  # fmt: skip
    if name != "bool":
        functions += [np.var, np.std, np.round, lambda x: np.round(x, 1), lambda x: x.conj()]
    for f in functions:
        same(hg.compile(f)(x), f(x))


def test_promotion_of_special_functions():
    """SciPy's own loops: some give float64 for a Python number, some stay in float32."""
    x = np.array([0.5, 0.25], np.float32)
    others = (0.5, 2, np.float64(0.5), np.array(0.5), np.array([1, 2]), np.array(True), x)
    for f in (special.beta, special.rel_entr, special.xlogy, special.jv):
        for other in others:
            expected = f(x, other)
            found = hg.compile(lambda x, f=f, other=other: f(x, other))(x)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
    for f in (special.erfinv, special.expit, special.gammaln):
        assert hg.compile(lambda x, f=f: f(x.astype(np.float16)))(x).dtype == f(x.astype(np.float16)).dtype


@pytest.mark.parametrize("name", ["erf", "expit", "gamma", "psi", "log_ndtr"])
def test_special_functions_of_complex_numbers_are_refused(name):
    with pytest.raises(
        UnsupportedError, match=rf"scipy.special.{name} takes real numbers, got complex128.*np.real"
    ):
        hg.compile(lambda x: getattr(special, name)(x + 1j))(np.ones(2))
