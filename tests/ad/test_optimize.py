"""Optimisation: fewer equations, the same values."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad.forward import evaluate
from hypergrad.ad.optimize import optimize, prune
from hypergrad.ad.program import Program
from hypergrad.ad.reverse import vjp_program
from hypergrad.ad.trace import trace, type_of

X = np.array([[0.5, -1.5, 2.5], [3.5, 0.25, -0.75]])
Y = np.array([1.5, -2.0, 0.5])
BIG = np.linspace(0.0, 1.0, 3)


def program_of(f, *args) -> Program:
    return trace(lambda *xs: [f(*xs)], [type_of(a) for a in args], "f")


# name: function of (x, y), the primitives that are left
SHRINKS = {
    "common subexpressions": (lambda x, y: np.sin(x) * np.sin(x), ["sin", "multiply"]),
    "common constants": (lambda x, y: (x + np.ones(3) * 2) * (x + np.ones(3) * 2), ["add", "multiply"]),
    "dead code": (lambda x, y: (np.exp(x), np.cos(y))[1], ["cos"]),
    "constants": (lambda x, y: y * np.sum(np.exp(BIG)), ["multiply"]),
    "times one": (lambda x, y: y * 1.0 / 1.0 - 0.0, []),
    "minus": (lambda x, y: -np.negative(y), []),
    "plus minus": (lambda x, y: x + (-y), ["subtract"]),
    "minus minus": (lambda x, y: x - (-y), ["add"]),
    "times minus one": (lambda x, y: y * -1.0, ["negative"]),
    "factors": (lambda x, y: 2.0 * (3.0 * y), ["multiply"]),
    "transposes": (lambda x, y: x.T.T, []),
    "reshapes": (lambda x, y: x.reshape(3, 2).reshape(6).reshape(2, 3), []),
    "conversions": (lambda x, y: x.astype(float) + 1.0, ["add"]),
    "broadcasts": (lambda x, y: x + np.broadcast_to(y, (2, 3)), ["add"]),
    "filled arrays": (lambda x, y: x * np.full((2, 3), 2.0), ["multiply"]),
    "positive": (lambda x, y: +y, []),
}


@pytest.mark.parametrize("name", SHRINKS)
def test_shrinks(name):
    f, left = SHRINKS[name]
    program = program_of(f, X, Y)
    small = optimize(program)
    assert [eq.primitive.name for eq in small.equations] == left
    np.testing.assert_allclose(evaluate(small, [X, Y])[0], f(X, Y), rtol=1e-15)
    assert small.inputs == program.inputs
    assert small.outputs[0].type.shape == program.outputs[0].type.shape
    assert small.outputs[0].type.dtype == program.outputs[0].type.dtype


ZEROS = np.array([-0.0, 0.0, 1.0, -2.0, np.inf, -np.inf, np.nan])
# functions whose value must not change in a single bit, infinities, nan and the sign of zero included
KEPT = {
    "subtract zero": lambda x: x - 0.0,
    "times one": lambda x: x * 1.0,
    "times minus one": lambda x: -1.0 * x,
    "negatives": lambda x: -np.negative(x) - (-x),
    "zero minus": lambda x: 0.0 - x,
    "sum of negatives": lambda x: np.sum(-x[:4]),
    "product of negatives": lambda x: (-x) * (-x),
    "narrow and wide": lambda x: x.astype(np.float32).astype(float),
    "truncation": lambda x: x[:4].astype(int).astype(float),
    "constant nan": lambda x: x[:2] + np.array([np.nan, 1.0]),
    "equal constants of two dtypes": lambda x: x * np.float32(1 / 3) + x * (1 / 3),
    "equal bytes": lambda x: np.concatenate([x * np.zeros(7), np.zeros(2)]),
    "booleans": lambda x: ((x > 0) * True) + (x > 1),
    "integers": lambda x: np.arange(7) * 1 + (x > 0) * 0,
    "scalar in two shapes": lambda x: x[2].reshape(1, 1) + x[2] * np.ones((2, 2)),
    "scalar broadcast alone": lambda x: np.broadcast_to(x[2], (2, 3)) + np.broadcast_to(x[3], (2, 3)),
    "one row broadcast": lambda x: np.broadcast_to(x[None, :], (2, 7)) * np.broadcast_to(x[:2, None], (2, 7)),
    "sum of a broadcast": lambda x: np.sum(np.broadcast_to(x[2:4], (3, 2)) * 2.0, axis=0),
    "matmul of a broadcast": lambda x: np.broadcast_to(x[2:4], (2, 2)) @ np.full((2, 2), 2.0),
    "maximum of a broadcast": lambda x: np.max(np.broadcast_to(x[2], (2, 2)), axis=0),
    "compare and add": lambda x: (x == x) + 1.0,
    "unsigned": lambda x: (x > 0).astype(np.uint8) * np.uint8(255) + np.uint8(3),
}


@pytest.mark.parametrize("name", KEPT)
def test_keeps_every_bit(name):
    f = KEPT[name]
    with np.errstate(invalid="ignore"):
        expected = np.asarray(f(ZEROS))
        (found,) = map(np.asarray, evaluate(optimize(program_of(f, ZEROS)), [ZEROS]))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    if expected.dtype.kind == "f":
        known = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found)[known], np.signbit(expected)[known])


def test_stop_gradient_survives():
    """The derivative of an optimised program is that of the program."""
    f = lambda x: np.sum(hg.stop_gradient(x) * x + x**3)
    both = vjp_program(optimize(program_of(f, Y)), [True], [np.ones(())])
    np.testing.assert_allclose(evaluate(both, [Y])[1], Y + 3 * Y**2)


def test_derivatives_of_optimised_programs():
    f = lambda x, y: np.sum(hg.nn.softmax_cross_entropy(x @ np.eye(3) - (-y), np.array([0, 2]))) * 1.0
    program = program_of(f, X, Y)
    plain = evaluate(vjp_program(program, [True, True], [np.ones(())]), [X, Y])
    for version in (
        vjp_program(optimize(program), [True, True], [np.ones(())]),
        optimize(vjp_program(program, [True, True], [np.ones(())])),
        optimize(optimize(vjp_program(optimize(program), [True, True], [np.ones(())]))),
    ):
        for a, b in zip(evaluate(version, [X, Y]), plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13)


def test_prune_keeps_what_outputs_read():
    program = trace(lambda x: [x, np.split(np.sin(x), [1])[0]], [type_of(Y)])
    assert [eq.primitive.name for eq in prune(program).equations] == ["sin", "index"]
    nothing = trace(lambda x: [np.ones(2)], [type_of(Y)])
    assert optimize(nothing).equations == ()
    np.testing.assert_array_equal(evaluate(optimize(nothing), [Y])[0], [1.0, 1.0])


def test_closed_over_tracers_are_no_constants():
    """A value of an enclosing trace is neither folded nor shared by its type."""

    def outer(a, b):
        inner = trace(lambda x: [x * a + x * b + a], [type_of(Y)], "inner")
        return evaluate(optimize(inner), [Y])[0]

    found = hg.jacobian(outer, (0, 1))(2.0, 3.0)
    np.testing.assert_allclose(found[0], Y + 1)
    np.testing.assert_allclose(found[1], Y)


def test_source_lines_survive():
    program = optimize(program_of(lambda x, y: np.sin(x) * -np.negative(y), X, Y))
    assert all(eq.where.startswith("test_optimize.py:") for eq in program.equations)
