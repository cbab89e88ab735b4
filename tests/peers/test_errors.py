"""What cannot be traced raises one sentence that names the user's file and line and what to write instead."""

from __future__ import annotations

import math
import operator
import os

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.special

import hypergrad as hg
from hypergrad.errors import DerivativeError, HypergradError, TracingError, TreeError, UnsupportedError

X = np.array([0.3, 1.2, 0.8])
FILE = os.path.basename(__file__)

# name -> (function of one line, argument, what the sentence suggests); each lambda on a line of its own
MISUSES = {
    "if": (lambda x: x if x > 0 else -x, 2.0, "np.where"),
    "and": (lambda x: (x > 0) and x, 2.0, "np.where"),
    "while": (lambda x: next(x for _ in iter(lambda: bool(x), False)), 2.0, "np.where"),
    "max of Python": (lambda x: max(x, 0.0), 2.0, "np.where"),
    "in": (lambda x: x if x in [1.0, 2.0] else -x, 2.0, "np.where"),
    "float": (lambda x: float(x), 2.0, "array"),
    "int": (lambda x: int(x) * x, 2.0, "static"),
    "item": (lambda x: x.item(), 2.0, "array"),
    "tolist": (lambda x: x.tolist(), X, "array"),
    "math.sin": (lambda x: math.sin(x), 2.0, "array"),
    "range": (lambda x: sum(x for _ in range(x)), 2.0, "static"),
    "np.array": (lambda x: np.array([x, 2 * x]), 2.0, "np.stack"),
    "np.asarray": (lambda x: np.asarray(x), X, "np.stack"),
    "np.sum of a list": (lambda x: np.sum([x, x]), 2.0, "np.stack"),
    "np.full": (lambda x: np.sum(np.full(3, x)), 2.0, "np."),
    "np.full_like": (lambda x: np.sum(np.full_like(np.ones(3), x)), 2.0, "np.ones_like"),
    "np.copyto": (lambda x: np.copyto(np.ones(3), x), X, "np."),
    "np.r_": (lambda x: np.sum(np.r_[x, x]), X, "np."),
    "assignment into an ndarray": (lambda x: np.zeros(3).__setitem__(0, x), 2.0, "array"),
    "assignment of a row": (lambda x: np.zeros((2, 3)).__setitem__(0, x), X, "np."),
    "assignment into a traced value": (lambda x: operator.setitem(x, 0, 1.0), X, "np."),
    "in-place operator on an ndarray": (lambda x: operator.iadd(np.zeros(3), x), X, "a + b"),
    "out=": (lambda x: np.add(x, 1.0, out=np.zeros(3)), X, "a + b"),
    "ndarray.dot": (lambda x: np.ones((2, 3)).dot(x), X, "np."),
    "ndarray indexed by a traced value": (lambda x: np.arange(3.0)[x], 2.0, "np.take"),
    "list indexed by a traced value": (lambda x: [1.0, 2.0][x], 1.0, "index"),
    "traced mask": (lambda x: np.sum(x[x > 0.5]), X, "np.where"),
    "np.where of one argument": (lambda x: np.where(x > 0)[0], X, "shape"),
    "np.unique": (lambda x: np.sum(np.unique(x)), X, "unique"),
    "np.linalg.eig": (lambda x: np.linalg.eig(np.outer(x, x))[0].sum(), X, "eigh"),
    "np.fft": (lambda x: np.sum(np.fft.fft(x, norm="half").real), X, "norm must be"),
    "ufunc without a rule": (lambda x: np.sum(np.nextafter(x, 1.0)), X, "nextafter"),
    "ufunc of SciPy without a rule": (lambda x: np.sum(scipy.special.struve(2, x)), X, "struve"),
    "ufunc method": (lambda x: np.sum(np.divide.accumulate(x)), X, "accumulate"),
    "where= of a ufunc": (lambda x: np.sum(np.exp(x, where=np.array([True, False, True]))), X, "where"),
    "scipy.special.logsumexp": (lambda x: scipy.special.logsumexp(x), X, "hg.nn"),
    "scipy.special.softmax": (lambda x: np.sum(scipy.special.softmax(x)), X, "hg.nn"),
    "scipy.special.log_softmax": (lambda x: np.sum(scipy.special.log_softmax(x)), X, "hg.nn"),
    "scipy.linalg": (lambda x: np.sum(scipy.linalg.solve(np.eye(3), x)), X, "scipy.linalg"),
    "DataFrame @": (lambda x: np.sum(pd.DataFrame(np.eye(3)) @ x), X, "array"),
    "reshape to a wrong size": (lambda x: np.sum(np.reshape(x, (2, 2))), X, "(3,)"),
    "shapes that do not broadcast": (lambda x: np.sum(x + np.ones(2)), X, "(3,)"),
    "shapes that do not multiply": (lambda x: np.sum(np.ones((2, 2)) @ x), X, "(3,)"),
    "index out of bounds": (lambda x: x[5], X, "5"),
    "too many indices": (lambda x: x[0, 0], X, ""),
    "concatenate of other ranks": (lambda x: np.sum(np.concatenate([x, np.ones((1, 3))])), X, "(1, 3)"),
    "axis out of bounds": (lambda x: np.sum(np.sum(x, axis=2)), X, "2"),
    "squeeze of a long axis": (lambda x: np.sum(np.squeeze(x, axis=0)), X, "(3,)"),
}  # fmt: skip


@pytest.mark.parametrize("transform", ["grad", "jvp", "compile"])
@pytest.mark.parametrize("name", MISUSES)
def test_misuse_names_the_line(name, transform):
    f, x, hint = MISUSES[name]
    call = {
        "grad": lambda: hg.grad(f)(x),
        "jvp": lambda: hg.jvp(f, (x,), (x,)),
        "compile": lambda: hg.compile(f)(x),
    }[transform]
    with pytest.raises(HypergradError) as caught:
        call()
    sentence = str(caught.value)
    assert f"{FILE}:{f.__code__.co_firstlineno}" in sentence
    assert hint in sentence
    assert "\n" not in sentence


def test_a_traced_size_is_named_even_where_numpy_replaces_the_sentence():
    with pytest.raises(TypeError, match="Tracer"):
        hg.grad(lambda x: np.sum(np.zeros(x)))(2.0)


def test_the_error_family():
    with pytest.raises(TracingError):
        hg.grad(lambda x: x if x > 0 else -x)(1.0)
    with pytest.raises(UnsupportedError):
        hg.grad(lambda x: np.sum(np.unique(x)))(X)
    assert issubclass(TracingError, TypeError)


def test_the_line_is_that_of_the_statement_inside_a_longer_function():
    def f(x):
        y = np.sin(x)
        if np.sum(y) > 0:
            return np.sum(y)
        return np.sum(x)

    with pytest.raises(TracingError, match=rf"{FILE}:{f.__code__.co_firstlineno + 2}"):
        hg.grad(f)(X)


def test_an_integer_argument_is_told_to_become_a_float():
    with pytest.raises(DerivativeError, match=r"write 1\.0") as caught:
        hg.grad(lambda x: x**2)(3)
    assert "\n" not in str(caught.value)
    with pytest.raises(DerivativeError, match="int64"):
        hg.grad(lambda x: np.sum(x**2))(np.arange(3))


def test_a_result_that_is_no_number_names_its_shape_and_the_jacobian():
    with pytest.raises(DerivativeError, match=r"\(3,\).*hg\.jacobian"):
        hg.grad(lambda x: x**2)(X)
    with pytest.raises(DerivativeError, match=r"hg\.jacobian"):
        hg.grad(lambda x: (np.sum(x), np.sum(x)))(X)
    with pytest.raises(DerivativeError, match=r"int|bool"):
        hg.grad(lambda x: np.sum(x) > 0)(X)


def test_arguments_that_are_no_numbers():
    for bad in (np.array(["a", "b"]), np.array([1.0, None], object), np.array([1j]), object()):
        with pytest.raises(TreeError, match="argument 0"):
            hg.grad(lambda x: np.sum(x))(bad)
        with pytest.raises(TreeError):
            hg.compile(lambda x: x)(bad)


def test_results_that_are_no_numbers():
    with pytest.raises(TreeError, match="result"):
        hg.grad(lambda x: object())(X)


def test_a_value_that_outlives_its_trace():
    kept = []

    def f(x):
        kept.append(x * 2.0)
        return np.sum(x)

    hg.grad(f)(X)
    with pytest.raises(TracingError, match=f"outlived.*{FILE}"):
        kept[0] + 1.0
    with pytest.raises(TracingError, match=r"outlived|separate traces"):
        hg.grad(lambda x: np.sum(x * kept[0]))(X)
    with pytest.raises(TracingError, match=r"outlived|separate traces"):
        hg.compile(lambda x: x * kept[0])(X)
    with pytest.raises(TracingError):
        hg.grad(lambda x: np.sum(x))(kept[0])


def test_a_value_of_an_outer_trace_leaks_through_an_inner_one():
    kept = []

    def outer(x):
        hg.grad(lambda y: (kept.append(y), y * x)[1])(1.0)
        return kept[0] * x

    with pytest.raises(TracingError, match="outlived"):
        hg.grad(outer)(2.0)


@pytest.mark.parametrize("transform", ["grad", "jvp", "vjp", "compile"])
def test_global_random_state_raises_while_tracing(transform):
    def f(x):
        return np.sum(x * np.random.standard_normal(3))  # noqa: NPY002

    call = {
        "grad": lambda: hg.grad(f)(X),
        "jvp": lambda: hg.jvp(f, (X,), (X,)),
        "vjp": lambda: hg.vjp(f, X),
        "compile": lambda: hg.compile(f)(X),
    }[transform]
    with pytest.raises(TracingError, match="random state"):
        call()


def test_a_generator_of_its_own_is_fine():
    f = lambda x: np.sum(x * np.random.default_rng(0).standard_normal(3))
    np.testing.assert_array_equal(hg.grad(f)(X), np.random.default_rng(0).standard_normal(3))


def test_an_error_of_the_user_passes_unchanged_and_leaves_no_trace_open():
    def f(x):
        raise KeyError("mine")

    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            hg.grad(f)(X)
        np.testing.assert_allclose(hg.grad(lambda x: np.sum(x**2))(X), 2 * X)
    compiled = hg.compile(f)
    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            compiled(X)
