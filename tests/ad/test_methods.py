"""Every public name of ndarray on a traced value: NumPy's answer, or a sentence."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad.dispatch import FUNCTIONS
from hypergrad.ad.forward import evaluate
from hypergrad.ad.methods import REFUSED
from hypergrad.ad.trace import Tracer, trace, type_of
from hypergrad.errors import HypergradError

X = np.array([[0.5, -1.5, 2.5], [3.5, 0.25, -0.75]])
N = np.array([[3, 1, 2], [5, 0, 4]])


def written(method, *args, **kwargs):
    """The array after a method that writes to it."""

    def f(x):
        y = x.copy()
        assert getattr(y, method)(*args, **kwargs) is None
        return y

    return f


# name: functions of X (of N where the name is an integer affair) whose values are NumPy's
CALLS = {
    "T": [lambda x: x.T], "mT": [lambda x: x.mT], "all": [lambda x: x.all(), lambda x: (x > 0).all(1)],
    "any": [lambda x: (x > 3).any(axis=0, keepdims=True)], "argmax": [lambda x: x.argmax(), lambda x: x.argmax(1)],
    "argmin": [lambda x: x.argmin(axis=0)], "argsort": [lambda x: x.argsort(), lambda x: x.argsort(0)],
    "argpartition": [lambda x: np.take_along_axis(x, x.argpartition(1), 1)[:, 1]],
    "astype": [lambda x: x.astype(int), lambda x: x.astype(np.float32, copy=False), lambda x: x.astype(float)],
    "choose": [lambda x: (x > 0).astype(int).choose([x, -x])],
    "clip": [lambda x: x.clip(0, 1), lambda x: x.clip(max=1.0)],
    "compress": [lambda x: x.compress([True, False, True], axis=1), lambda x: x.compress([False, True])],
    "conj": [lambda x: x.conj()], "conjugate": [lambda x: x.conjugate()],
    "copy": [lambda x: x.copy(), lambda x: x.copy("F")], "cumprod": [lambda x: x.cumprod(1), lambda x: x.cumprod()],
    "cumsum": [lambda x: x.cumsum(), lambda x: x.cumsum(axis=0)], "device": [lambda x: x * (x.device == "cpu")],
    "diagonal": [lambda x: x.diagonal(), lambda x: x.diagonal(1)],
    "dot": [lambda x: x.dot(x.T), lambda x: x.dot(np.ones(3)), lambda x: x.dot(2.0)],
    "dtype": [lambda x: x * x.dtype.itemsize], "fill": [written("fill", 2), lambda x: written("fill", x[0, 1])(x)],
    "flags": [lambda x: x * x.T.flags.f_contiguous + (x * 2).flags.writeable + x.T.flags["C_CONTIGUOUS"]],
    "flat": [
        lambda x: x.flat[2] * x.flat[1:4] + x.T.flat[[0, 2, 1]], lambda x: np.stack(list(x.T.flat)),
        lambda x: x.flat.copy() * len(x.flat),
    ],
    "flatten": [lambda x: x.T.flatten(), lambda x: x.flatten("F"), lambda x: x.flatten(order="A")],
    "imag": [lambda x: x.imag + x],
    "itemsize": [lambda x: x * x.itemsize], "max": [lambda x: x.max(), lambda x: x.max(1, keepdims=True)],
    "mean": [lambda x: x.mean(), lambda x: x.mean(axis=(0, 1))], "min": [lambda x: x.min(0)],
    "nbytes": [lambda x: x * x.nbytes], "ndim": [lambda x: x * x.ndim],
    "partition": [lambda x: written("partition", 1)(x)[:, 1]], "prod": [lambda x: x.prod(), lambda x: x.prod(1)],
    "put": [written("put", [0, 4], [7.0, 8.0]), written("put", [-1], 2), written("put", [9, 1], 2, mode="clip")],
    "ravel": [lambda x: x.T.ravel(), lambda x: x.ravel("F"), lambda x: (x.T + 1).ravel("A"), lambda x: x.ravel("K")],
    "real": [lambda x: x.real],
    "repeat": [lambda x: x.repeat(2), lambda x: x.repeat(2, axis=1)],
    "reshape": [lambda x: x.reshape(3, 2), lambda x: x.reshape((2, -1, 1)), lambda x: x.reshape(-1, copy=True),
    lambda x: x.reshape(3, 2, order="F"), lambda x: x.reshape((-1, 3, 1), order="F"),
    lambda x: x.T.reshape(2, 3, order="A")],
    "round": [lambda x: x.round(), lambda x: x.round(1)],
    "searchsorted": [lambda x: np.array([0.0, 1.0, 2.0]).searchsorted([0.5]) + x[0].searchsorted(x[0, 1])],
    "shape": [lambda x: x * x.shape[1]], "size": [lambda x: x * x.size],
    "sort": [written("sort"), written("sort", 0), written("sort", axis=None or -1)],
    "squeeze": [lambda x: x[None].squeeze(), lambda x: x[:, None].squeeze(axis=1)],
    "std": [lambda x: x.std(), lambda x: x.std(1, ddof=1)], "strides": [lambda x: x * (x.T + 1).strides[0]],
    "sum": [lambda x: x.sum(), lambda x: x.sum(axis=1), lambda x: x.sum(0, float)],
    "swapaxes": [lambda x: x.swapaxes(0, 1)], "take": [lambda x: x.take([0, 2], 1), lambda x: x.take(3)],
    "to_device": [lambda x: x.to_device("cpu")], "trace": [lambda x: x.trace(), lambda x: x.trace(1)],
    "transpose": [lambda x: x.transpose(), lambda x: x.transpose(1, 0), lambda x: x.transpose((0, 1))],
    "var": [lambda x: x.var(), lambda x: x.var(axis=0)], "view": [lambda x: x.view()],
}  # fmt: skip
SENTENCES = {"item": (), "tolist": (), "nonzero": (), **dict.fromkeys(REFUSED, ())}
DELEGATED = {"argsort", "argpartition", "choose", "compress", "cumprod", "partition", "searchsorted", "sort"}
NAMES = [name for name in dir(np.ndarray) if not name.startswith("_")]


@pytest.mark.parametrize("name", NAMES)
def test_every_name(name):
    """No public name of ndarray is forgotten."""
    assert (name in CALLS) != (name in SENTENCES), name
    if name in SENTENCES:
        with pytest.raises(HypergradError) as caught:
            hg.compile(lambda x: getattr(x, name)(*SENTENCES[name]))(X)
        assert "test_methods.py" in str(caught.value)
        assert "\n" not in str(caught.value)
        return
    for f in CALLS[name]:
        expected = np.asarray(f(X.copy()))
        if name in DELEGATED and getattr(np, name) not in FUNCTIONS:
            with pytest.raises(HypergradError, match=f"numpy.{name} has no derivative rule"):
                hg.compile(f)(X)
            continue
        traced = trace(lambda x, f=f: [f(x)], [type_of(X)])
        found = evaluate(traced, [X])[0]
        assert np.asarray(found).dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(hg.compile(f)(X), expected, rtol=1e-14)


def test_signatures():
    """Methods written in Python take the parameters of ndarray's, in its order."""
    for name in ("astype", "copy", "flatten", "reshape", "dot", "fill", "to_device"):
        assert callable(getattr(Tracer, name))
        assert inspect.signature(getattr(Tracer, name))
    seen = []

    def f(x):
        seen.append(x.sum(0, None, None, True).shape)
        seen.append(x.std(1, None, None, 1, True).shape)
        seen.append(x.clip(0.0, 1.0).shape)
        seen.append(x.take([0, 1], 1).shape)
        seen.append(x.astype(np.float32, "K", "unsafe", True, False).dtype)
        return x

    hg.compile(f)(X)
    assert seen == [(1, 3), (2, 1), (2, 3), (2, 2), np.dtype(np.float32)]


def test_flat_assignment():
    def f(x):
        y = x.T * 1.0
        y.flat[1:4] = [1.0, 2.0]
        y.flat[-1] = x[0, 0]
        z = np.zeros_like(x)
        z.flat = x[0]
        return y + z.T

    np.testing.assert_array_equal(hg.compile(f)(X), f(X))
    hg.check_grads(f, (X,))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda x: setattr(x, "shape", (6,)), "reshape"),
        (lambda x: setattr(x, "dtype", np.float32), "astype"),
        (lambda x: setattr(x.flags, "writeable", False), "flags"),
        (lambda x: x.view(np.int64), "astype"),
        (lambda x: x.T.ravel("K"), "order"),
        (lambda x: x.T.reshape(-1, copy=False), "copy=False"),
        (lambda x: x.to_device("gpu"), "gpu"),
        (lambda x: x.copy().fill(X), "one number"),
    ],
)
def test_what_cannot_be_set(write, message):
    with pytest.raises(HypergradError, match=message):
        hg.compile(lambda x: write(x * 1.0) or x)(X)


def test_operators_with_either_side():
    """ndarrays, lists and NumPy scalars on either side; divmod, shifts, powers, abs, round, comparisons."""

    def f(x, n):
        q, r = divmod(x, [0.5, 1.0, 2.0])
        p, s = divmod(X, x)
        t, u = divmod(7.0, x)
        return [
            q, r, p, s, t, u, np.ones(3) + x, X - x, [1.0, 2.0, 3.0] * x,
            np.float32(2) * x, x / np.float64(3), 2**x, X**n, n**2,
            n << 1, 1 << n, n >> [1, 0, 1], N << n, abs(-x), round(x[0, 1], 1), +x, -x, ~n, n & 1, 6 | n, N ^ n,
            n // 2, 7 % (n + 1), x < [1, 2, 3], np.less(X, x), np.float64(1) != x, x == X, X @ x.T, [[1.0, 2.0]] @ x,
            np.shape(x), np.size(x), np.ndim(x), len(x),
        ]  # fmt: skip

    expected = f(X, N)
    found = hg.compile(lambda x, n: f(x, n)[:-4])(X, N)
    for want, got in zip(expected, found, strict=False):
        assert np.asarray(want).dtype == np.asarray(got).dtype
        np.testing.assert_array_equal(got, want)
