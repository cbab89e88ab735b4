"""Tracing: what NumPy code runs on traced values, and one sentence with the user's line for what cannot."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.special

import hypergrad as hg
from hypergrad.ad.dispatch import FUNCTIONS
from hypergrad.ad.forward import evaluate
from hypergrad.ad.trace import Tracer, trace, type_of
from hypergrad.errors import ShapeError, TracingError, UnsupportedError

X = np.array([[0.5, -1.5, 2.5], [3.5, 0.25, -0.75]])


def assign(x):
    a = np.zeros((2, 3))
    a[0] = x[0]
    return a


def assign_number(x):
    a = np.zeros((2, 3))
    a[0, 0] = x[0, 0]
    return a


def add_in_place(x):
    a = np.zeros((2, 3))
    a += x
    return a


def set_item(x):
    x[0] = 1.0
    return x


def augmented_item(x):
    x[0] += 1.0
    return x


# name: function, error, what its sentence says
REFUSED = {
    "if": (lambda x: 1.0 if x[0, 0] > 0 else x, TracingError, r"as a condition .*np\.where"),
    "chained comparison": (lambda x: 0 < x < 1, TracingError, "as a condition"),
    "and": (lambda x: x[0, 0] and 1.0, TracingError, "as a condition"),
    "in": (lambda x: 1.0 in x, TracingError, "as a condition"),
    "builtin max": (lambda x: max(x[0, 0], 0.0), TracingError, "as a condition"),
    "float": (lambda x: float(x[0, 0]), TracingError, "as a Python float"),
    "int": (lambda x: int(x[0, 0]), TracingError, "as a Python int"),
    "complex": (lambda x: complex(x[0, 0]), TracingError, "as a Python complex"),
    "math": (lambda x: math.sin(x[0, 0]), TracingError, "as a Python float"),
    "round": (lambda x: round(x[0, 0]), TracingError, r"round\(\).*np\.round"),
    "format": (lambda x: f"{x[0, 0]:.2f}", TracingError, r"format string \(:\.2f\)"),
    "hash": (lambda x: {x: 1}, TracingError, "as a key"),
    "cache": (lambda x: functools.lru_cache(lambda y: y)(x), TracingError, "as a key"),
    "pickle": (lambda x: pickle.dumps(x), TracingError, "in a pickle"),
    "item": (lambda x: x[0, 0].item(), TracingError, r"\.item\(\)"),
    "tolist": (lambda x: x.tolist(), TracingError, r"\.tolist\(\)"),
    "range": (lambda x: range(x[0, 0].astype(int)), TracingError, "as an index or a size"),
    "list index": (lambda x: [1, 2][x[0, 0].astype(int)], TracingError, "as an index or a size"),
    "slice": (lambda x: x[: x[0, 0].astype(int)], TracingError, "as an index or a size"),
    "size": (lambda x: np.zeros(x[0, 0].astype(int)), TracingError, "cannot be used here"),
    "shift": (lambda x: x << 1, UnsupportedError, "left_shift is not defined for float64"),
    "join": (lambda x: "".join([x]), TracingError, "cannot be used here"),
    "axis": (lambda x: np.sum(x, axis=x[0, 0].astype(int)), TracingError, "as an index or a size"),
    "np.array": (lambda x: np.array([x[0, 0], 1.0]), TracingError, r"plain ndarray.*np\.stack"),
    "np.asarray": (lambda x: np.asarray(x), TracingError, "plain ndarray"),
    "np.sum of a list": (lambda x: np.sum([x[0, 0], x[0, 1]]), TracingError, r"plain ndarray.*np\.stack"),
    "np.full": (lambda x: np.full(3, x[0, 0]), TracingError, r"np\.ones\(n\) \* value"),
    "np.full_like": (lambda x: np.full_like(X, x[0, 0]), UnsupportedError,
    "cannot be copied into an ndarray"),
    "np.copyto": (lambda x: np.copyto(np.zeros(3), x[0]), UnsupportedError,
    "cannot be copied into an ndarray"),
    "np.r_": (lambda x: np.r_[x[0], 1.0], TracingError, "plain ndarray"),
    "ndarray.dot": (lambda x: np.ones((2, 2)).dot(x), TracingError, r"a @ b for a\.dot"),
    "ndarray index": (lambda x: np.arange(5)[x[0].astype(int)], TracingError, "take_along_axis"),
    "array assignment": (assign, TracingError, "plain ndarray"),
    "number assignment": (assign_number, TracingError, "as a Python float"),
    "in place on an array": (add_in_place, UnsupportedError, r"cannot write .* `a \+= x`; write `a = a \+ b`"),
    "assignment": (set_item, UnsupportedError, r"would change the caller's array .*x = x\.copy\(\) first"),
    "augmented assignment": (augmented_item, UnsupportedError, "would change the caller's array"),
    "where=": (lambda x: np.add(x, 1, where=x > 1), UnsupportedError, "without out= leaves entries undefined"),
    "out=": (lambda x: np.add(x, 1, out=np.zeros((2, 3))), UnsupportedError, "cannot write"),
    "dtype=": (lambda x: np.add(x, 1, dtype=int), UnsupportedError, r"add has no loop to dtype int64"),
    "sum out=": (lambda x: np.sum(x, axis=0, out=np.zeros(3)), UnsupportedError, "sum does not take out="),
    "dot out=": (lambda x: np.dot(x, x.T, out=np.zeros((2, 2))), UnsupportedError, "dot does not take out="),
    "round out=": (lambda x: np.round(x, out=X.copy()), UnsupportedError, "round does not take out="),
    "method keyword": (lambda x: x.argmax(what=1), UnsupportedError, "unexpected keyword argument 'what'"),
    "reduce keyword": (lambda x: np.maximum.reduce(x, dtype=float), UnsupportedError, "unexpected keyword"),
    "accumulate": (lambda x: np.divide.accumulate(x), UnsupportedError, r"divide\.accumulate has no derivative rule"),
    "at": (lambda x: np.add.at(np.zeros(3), [0], x[0, 0]), UnsupportedError, r"add\.at has no derivative rule"),
    "special": (lambda x: scipy.special.struve(0.5, x), UnsupportedError, "struve has no derivative rule"),
    "logsumexp": (lambda x: scipy.special.logsumexp(x), TracingError, r"hg\.nn"),
    "scipy.linalg": (lambda x: scipy.linalg.solve(x @ x.T, X), TracingError, r"nothing of scipy\.linalg"),
    "np.unique": (lambda x: np.unique(x), UnsupportedError, r"numpy\.unique has no derivative rule"),
    "np.linalg": (lambda x: np.linalg.eig(x @ x.T), UnsupportedError, r"numpy\.linalg\.eig has no derivative rule"),
    "method": (lambda x: x.resize(3), UnsupportedError, r"no ndarray\.resize.*np\.resize"),
    "attribute": (lambda x: x.data[0], UnsupportedError, r"no ndarray\.data"),
    "len": (lambda x: len(x[0, 0]), TracingError, "len"),
    "iteration": (lambda x: list(x[0, 0]), TracingError, "iteration over a traced value without axes"),
    "mask": (lambda x: x[x > 0], TracingError, r"boolean mask has no fixed shape.*np\.where"),
    "where of one": (lambda x: np.where(x > 0), UnsupportedError, "no fixed shape"),
    "complex numbers": (lambda x: np.maximum(x * 1j, 1), UnsupportedError, "maximum of complex numbers"),
    "text": (lambda x: x + "a", UnsupportedError, "expected numbers"),
    "None": (lambda x: x == None, UnsupportedError, "expected numbers"),  # noqa: E711
    "astype": (lambda x: x.astype(str), UnsupportedError, "astype"),
    "safe astype": (lambda x: x.astype(int, casting="safe"), UnsupportedError, "no safe cast"),
    "global randomness": (lambda x: x + np.random.rand(), TracingError, "global random"),  # noqa: NPY002
    "float bits": (lambda x: x & 1, UnsupportedError, "bitwise_and is not defined for float64"),
    # shapes
    "index": (lambda x: x[5], ShapeError, "index 5 is out of bounds for axis 0 of length 2"),
    "negative index": (lambda x: x[0, -4], ShapeError, "index -4 is out of bounds for axis 1 of length 3"),
    "index array": (lambda x: x[[0, 2]], ShapeError, "out of bounds"),
    "too many indices": (lambda x: x[0, 0, 0], ShapeError, r"3 indices for an array of shape \(2, 3\)"),
    "two ellipses": (lambda x: x[..., ...], ShapeError, "more than one Ellipsis"),
    "index arrays": (lambda x: x[[0, 1, 1], [0, 1]], ShapeError, r"\(3,\) and \(2,\) do not broadcast"),
    "short mask": (lambda x: x[0][[True, False]], ShapeError, r"a mask of shape \(2,\) does not fit"),
    "long mask": (lambda x: x[0][[True] + [False] * 3], ShapeError, "does not fit"),
    "wide mask": (lambda x: x[np.ones((3, 2), bool)], ShapeError, "does not fit"),
    "float index": (lambda x: x[0.5], TracingError, "must be integer, got float64"),
    "text index": (lambda x: x["a"], TracingError, "must be integer"),
    "lone True": (lambda x: x[True], TracingError, "lone True"),
    "float slice": (lambda x: x[0.5:], TracingError, "the slice slice"),
    "zero step": (lambda x: x[::0], TracingError, "step cannot be zero"),
    "broadcast": (lambda x: x + np.ones(4), ShapeError, r"add: shapes \(2, 3\) and \(4,\) do not broadcast"),
    "matmul": (lambda x: x @ x, ShapeError, r"matmul: shapes \(2, 3\) and \(2, 3\) do not fit"),
    "matmul number": (lambda x: x @ 2.0, ShapeError, r"no axes.*use \*"),
    "reshape": (lambda x: x.reshape(4, 2), ShapeError, r"\(2, 3\) does not fit into \(4, 2\)"),
    "reshape twice unknown": (lambda x: x.reshape(-1, -1), ShapeError, "does not fit"),
    "reshape negative": (lambda x: x.reshape(-2, -3), ShapeError, "does not fit"),
    "reshape float": (lambda x: x.reshape(2.0, 3), ShapeError, "must be an integer, got 2.0"),
    "transpose": (lambda x: np.transpose(x, (0, 2)), ShapeError, "axis 2 is outside"),
    "transpose twice": (lambda x: np.transpose(x, (0, 0)), ShapeError, "named twice"),
    "transpose few": (lambda x: np.transpose(x, (0,)), ShapeError, "no permutation"),
    "moveaxis": (lambda x: np.moveaxis(x, 7, 0), ShapeError, "axis 7 is outside"),
    "axis range": (lambda x: np.sum(x, axis=2), ShapeError, "sum: axis 2 is outside an array of 2 axes"),
    "axis twice": (lambda x: np.max(x, axis=(0, -2)), ShapeError, "named twice"),
    "axis float": (lambda x: np.sum(x, axis=1.0), ShapeError, "must be an integer"),
    "tensordot": (lambda x: np.tensordot(x, x, axes=([5], [1])), ShapeError, "axis 5 is outside"),
    "concatenate": (lambda x: np.concatenate([x, x[0]]), ShapeError, r"\(2, 3\), \(3,\) differ"),
    "concatenate numbers": (lambda x: np.concatenate([x[0, 0], x[0, 1]]), ShapeError, r"use np\.stack"),
    "stack": (lambda x: np.stack([x, x[0]]), ShapeError, "differ"),
    "split": (lambda x: np.split(x, 2, axis=1), ShapeError, "no 2 equal parts"),
    "squeeze": (lambda x: np.squeeze(x, 0), ShapeError, "longer than one"),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 4)), ShapeError, "broadcast"),
    "broadcast_to fewer": (lambda x: np.broadcast_to(x, (3,)), ShapeError, "does not fit"),
    "repeat": (lambda x: np.repeat(x, -1), ShapeError, "no counts"),
    "repeat many": (lambda x: np.repeat(x, [1, 2, 3], axis=0), ShapeError, "no counts"),
    "max of nothing": (lambda x: np.max(x[:0]), ShapeError, "empty array"),
    "mean of nothing": (lambda x: np.mean(x[:0]), ShapeError, "empty array"),
    "var of one": (lambda x: np.var(x[0, :1], ddof=1), ShapeError, "too few"),
    "solve": (lambda x: np.linalg.solve(x, X), ShapeError, "takes square matrices"),
    "solve shapes": (lambda x: np.linalg.solve(x @ x.T, np.ones(3)), ShapeError, "does not fit matrices"),
    "where of another shape": (lambda x: np.sum(x, where=np.ones(7, bool)), ShapeError, "does not broadcast"),
    "where of more axes": (lambda x: np.mean(x, where=np.ones((2, *x.shape), bool)), ShapeError, "not broadcast"),
    "where without a start": (lambda x: np.max(x, where=x > 0), ShapeError, "needs initial="),
    "norm": (lambda x: np.linalg.norm(x, "sum"), UnsupportedError, "no norm 'sum'"),
    "norm of text": (lambda x: np.linalg.norm(x[0], "fro"), UnsupportedError, "no norm 'fro' of vectors"),
    "moveaxis number": (lambda x: np.moveaxis(x, (0, 1), 0), ShapeError, "differ in number"),
    "roll": (lambda x: np.roll(x, (1, 2, 3), (0, 1)), ShapeError, "3 shifts for 2 axes"),
    "tile": (lambda x: np.tile(x, -1), ShapeError, "negative"),
    "repeat traced": (lambda x: np.repeat(x, x[0].astype(int)), TracingError, "as an index or a size"),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.array([0]), 1), ShapeError, "as many axes"),
    "diagonal": (lambda x: np.diagonal(x, 0, 1, 1), ShapeError, "are one"),
    "tril": (lambda x: np.tril(x[0, 0]), ShapeError, "tril of a number"),
    "linspace": (lambda x: np.linspace(0, x, -1), ShapeError, "must not be negative"),
    "tensordot lengths": (lambda x: np.tensordot(x, x, 1), ShapeError, "differ in length"),
    "round of booleans": (lambda x: np.round(x > 0), UnsupportedError, "np.round of bool"),
    "argmax of nothing": (lambda x: np.argmax(x[:0]), ShapeError, "empty array"),
    "norm of three axes": (lambda x: np.linalg.norm(x[None], 1), ShapeError, "3 axes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    """One sentence, of the right type, which names the user's line; twice, since nothing may stay broken."""
    f, error, message = REFUSED[name]
    for transform in (hg.compile(f), hg.grad(f)):
        with pytest.raises(error, match=message) as caught:
            transform(X)
        text = str(caught.value)
        assert "test_trace.py:" in text
        assert "\n" not in text
        assert isinstance(caught.value, hg.errors.HypergradError)


def test_line_is_the_users():
    """The sentence names the line of the user's function, not of hypergrad, NumPy or SciPy."""

    def f(x):
        return scipy.special.logsumexp(x)  # here

    line = inspect.getsourcelines(f)[1] + 1
    with pytest.raises(
        TracingError, match=rf"test_trace.py:{line} `return scipy.special.logsumexp\(x\) # here`"
    ):
        hg.grad(f)(X)


def test_attributes():
    """A tracer answers like an array of its shape."""
    seen = {}

    def f(x):
        seen.update(
            shape=x.shape, dtype=x.dtype, ndim=x.ndim, size=x.size, length=len(x), nbytes=x.nbytes,
            text=f"{x}", missing=hasattr(x, "tobytes"), protocol=hasattr(x, "__array_interface__"),
            np_shape=np.shape(x), np_ndim=np.ndim(x), np_size=np.size(x), np_size_of=np.size(x, (0, 1)),
        )  # fmt: skip
        return x

    hg.compile(f)(X)
    assert seen == {
        "shape": (2, 3), "dtype": np.dtype(float), "ndim": 2, "size": 6, "length": 2, "nbytes": 48,
        "text": "Tracer<f64[2,3]>", "missing": False, "protocol": False, "np_shape": (2, 3), "np_ndim": 2,
        "np_size": 6, "np_size_of": 6,
    }  # fmt: skip


# plain NumPy code: the same on numbers and on traced values
ALLOWED = {
    "unpacking": lambda x: (lambda a, b: a * b)(*x),
    "starred": lambda x: np.stack([row * 2 for row in x]),
    "iteration": lambda x: sum(v * i for i, v in enumerate(x[0])),
    "reversed": lambda x: np.stack(list(reversed(x))),
    "augmented": lambda x: functools.reduce(lambda y, _: y * 1.5 + 1, range(3), x),
    "negative power": lambda x: x**-1 + 2**x,
    "copies": lambda x: copy.deepcopy({"a": x})["a"] + copy.copy(x) + x.copy(),
    "left array": lambda x: X * x + X @ x.T @ X - X / x,
    "left list": lambda x: [1.0, 2.0, 3.0] * x + (x - [[1.0], [2.0]]),
    "left scalar": lambda x: np.float64(2) * x + np.float32(3) - np.int64(2) ** x,
    "booleans": lambda x: (x > 0) * x + ~(x > 1) + ((x > 0) & (x < 1)) * 2,
    "ones_like": lambda x: np.ones_like(x) * x[0, 0] + np.zeros_like(x) + np.full_like(x, x[0, 1]),
    "zeros_like": lambda x: np.zeros_like(x, dtype=np.float32, shape=(2,)),
    "clip": lambda x: np.clip(x, 0, 1) + x.clip(min=-0.5) + x.clip(max=X),
    "clip by name": lambda x: np.clip(x, None, a_max=2.0) + np.clip(x, a_min=0, a_max=1),
    "reshape": lambda x: x.reshape(3, 2) + np.reshape(x, [3, -1]) + x.reshape((-1, 2)),
    "reshape to an array": lambda x: np.reshape(x, np.array([3, 2])),
    "T of 3-d": lambda x: x[None].T,
    "norms": lambda x: np.stack([
        np.linalg.norm(x), np.linalg.norm(x[0]), np.linalg.norm(x, "fro"), np.linalg.norm(x, 1),
        np.linalg.norm(x, np.inf),
        np.linalg.norm(x, -1), np.linalg.norm(x[0], 1), np.linalg.norm(x[0], np.inf), np.linalg.norm(x[0], -np.inf),
        np.linalg.norm(x[0], 3), np.linalg.norm(x[0], 0), np.linalg.norm(x, axis=1)[0],
        np.linalg.norm(x, 1, axis=0)[1], np.linalg.norm(x, axis=(0, 1)), np.linalg.norm(x, 1, axis=(1, 0)),
    ]),
    "norm keepdims": lambda x: np.linalg.norm(x, keepdims=True) + np.linalg.norm(x, np.inf, (0, 1), keepdims=True),
    "atleast": lambda x: np.atleast_1d(x[0, 0]) + np.atleast_2d(x[0]) + np.sum(np.atleast_3d(x)),
    "several atleast": lambda x: np.concatenate(np.atleast_1d(x[0, 0], x[0])),
    "split": lambda x: np.concatenate([*np.split(x[0], [1, -1]), *np.split(x[0], [2, 5]), np.split(x[0], [-7])[1]]),
    "tri": lambda x: np.tril(x, -1) + np.triu(x) * 2 + np.tril(x[0])[:2],
    "tile": lambda x: np.tile(x, 2) + np.tile(x[0], (2, 2)),
    "diagonal": lambda x: np.diagonal(x, -1) + np.trace(x, 1) + np.diagonal(np.stack([x, x]), 0, 1, 2),
    "isclose": lambda x: np.isclose(x, X) & np.isclose(x * np.inf, X * np.inf),
    "isclose nan": lambda x: np.isclose(x * np.nan, np.nan, equal_nan=True) & ~np.isclose(x * np.nan, np.nan),
    "round": lambda x: np.round(x, 1) + x.round() + np.round(x * 100, -1),
    "series": lambda x: pd.Series([1.0, 2.0, 3.0]) * x[0] + x[1] * pd.Series([1.0, 2.0, 3.0]),
    "divmod": lambda x: sum(divmod(x, 0.7)) + sum(np.divmod(X, x)),
    "abs": lambda x: abs(x) + (-x) + (+x),
    "conj": lambda x: x.conj() + x.real + np.conj(x) + x.conjugate(),
    "dot of numbers": lambda x: np.dot(x, 2.0) + np.inner(x[0, 0], x) + np.vdot(x, x),
    "flat take_along_axis": lambda x: np.take_along_axis(x, np.array([5, 0]), None),
    "half precision": lambda x: np.mean(x.astype(np.float16), axis=0),
    "take": lambda x: x.take([1, 0], axis=1) + np.take(x, 3) + np.take_along_axis(x, np.argmax(x, 1, keepdims=True), 1),
    "linspace": lambda x: np.linspace(x[0], 1, 4) + np.linspace(0, x[0, 0], 4, endpoint=False)[:, None],
    "ufunc reduce": lambda x: np.add.reduce(x, axis=None) + np.logical_and.reduce(x > 0) + np.add.reduce(x[0, 0]),
    "builtin sum": lambda x: sum(x) + sum(x[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(name):
    """The same values as NumPy's on numbers, evaluated and compiled."""
    f = ALLOWED[name]
    expected = np.asarray(f(X))
    with np.errstate(invalid="ignore"):
        for found in (evaluate(trace(lambda x: [f(x)], [type_of(X)]), [X])[0], hg.compile(f)(X)):
            assert np.asarray(found).dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


def test_signatures_follow_numpy():
    """Every rule has the parameters of the NumPy function, in the same order."""
    for function, rule in FUNCTIONS.items():
        if not callable(function):
            continue
        try:
            theirs = list(inspect.signature(function).parameters.values())
        except ValueError:
            continue  # written in C, without a signature
        ours = inspect.signature(rule).parameters
        positional = [p.name for p in ours.values() if p.kind is not p.KEYWORD_ONLY]
        wanted = [p.name for p in theirs if p.kind is p.POSITIONAL_OR_KEYWORD]
        if any(p.kind is p.VAR_POSITIONAL for p in theirs):
            continue
        known = [name for name in wanted if name in positional]
        assert known == [name for name in positional if name in wanted], function
        required = [p.name for p in theirs if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        if not any(p.kind is p.POSITIONAL_ONLY for p in ours.values()):
            assert set(required) <= set(ours), function


def test_threads_trace_at_once():
    """Traces of different threads do not see each other."""

    def work(n):
        f = lambda x: np.sum(x ** (n % 3 + 2)) * hg.grad(lambda y: np.sum(y * x))(x)[0]
        return [hg.grad(f)(np.array([1.0, 2.0])) for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(8)))
    for n, results in enumerate(found):
        alone = work(n)[0]
        for result in results:
            np.testing.assert_array_equal(result, alone)


def test_separate_traces_do_not_mix():
    def other_thread(x):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: hg.grad(lambda y: np.sum(y * x))(X)).result()

    with pytest.raises(TracingError, match="two separate traces"):
        hg.grad(lambda x: np.sum(other_thread(x)))(X)


def test_generators_made_outside_are_allowed():
    rng = np.random.default_rng(0)
    assert hg.grad(lambda x: np.sum(x * rng.standard_normal(3)))(X[0]).shape == (3,)


def test_tracers_do_not_show_outside():
    kinds = []
    hg.grad(lambda x: kinds.append(type(x)) or np.sum(x))(X)
    assert kinds == [Tracer]
    assert type(hg.grad(np.sum)(X)) is np.ndarray
    assert type(hg.grad(lambda x: x)(2.0)) is np.float64
