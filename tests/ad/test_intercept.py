"""What NumPy does not let us intercept raises a sentence with the line and an alternative, which works."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.special

import hypergrad as hg
from hypergrad.errors import HypergradError

X = np.array([0.5, 1.5, 2.5])
A = np.eye(3) + 0.1


def set_entry(x):
    a = np.zeros(3)
    a[1] = x[0]
    return a


def set_rows(x):
    a = np.zeros((2, 3))
    a[:, 1:] = x[1:]
    return a


def set_entry_of_ours(x):
    a = hg.zeros(3)
    a[1] = x[0]
    return a


def in_place(x):
    a = np.ones(3)
    a *= x
    return a


def in_place_of_ours(x):
    a = hg.ones(3)
    a *= x
    return a


# name: what is refused, what the sentence says, what to write instead
TABLE = {
    "logsumexp": (lambda x: scipy.special.logsumexp(x), r"hg\.nn", lambda x: hg.nn.logsumexp(x)),
    "softmax": (lambda x: scipy.special.softmax(x), r"hg\.nn", lambda x: np.exp(hg.nn.log_softmax(x))),
    "log_softmax": (lambda x: scipy.special.log_softmax(x), r"hg\.nn", lambda x: hg.nn.log_softmax(x)),
    "linalg": (lambda x: scipy.linalg.solve(A, x), r"nothing of scipy\.linalg", lambda x: np.linalg.solve(A, x)),
    "linalg of two": (lambda x: scipy.linalg.expm(np.outer(x, x)), r"scipy\.linalg", None),
    "r_": (lambda x: np.r_[x, 1.0], r"hg\.array", lambda x: np.concatenate([x, np.ones(1)])),
    "c_": (lambda x: np.c_[x, x], r"np\.stack", lambda x: np.stack([x, x], axis=1)),
    "full": (lambda x: np.full(4, x[0]), r"np\.ones\(n\) \* value", lambda x: hg.full(4, x[0])),
    "full_like": (lambda x: np.full_like(X, x[0]), r"np\.ones_like", lambda x: np.full_like(x, x[0])),
    "array": (lambda x: np.array([x[0], 1.0]), r"hg\.array", lambda x: hg.array([x[0], 1.0])),
    "array of rows": (lambda x: np.array([x, X]), r"hg\.array", lambda x: hg.array([x, X])),
    "sum of a list": (lambda x: np.sum([x, x]), r"np\.stack", lambda x: np.sum(np.stack([x, x]))),
    "mean of a list": (lambda x: np.mean([x[0], x[1]]), r"hg\.array", lambda x: np.mean(hg.array([x[0], x[1]]))),
    "ndarray.dot": (lambda x: A.dot(x), r"a @ b for a\.dot", lambda x: A @ x),
    "entry": (set_entry, r"hg\.zeros or hg\.array", set_entry_of_ours),
    "rows": (set_rows, r"hg\.zeros or hg\.array", None),
    "in place": (in_place, r"hg\.zeros or hg\.array", in_place_of_ours),
    "out=": (lambda x: np.exp(x, out=np.empty(3)), r"hg\.zeros", lambda x: np.exp(x, out=hg.empty(3))),
    "index": (lambda x: X[x.astype(int)], r"hg\.array\(array\)\[i\]", lambda x: hg.array(X)[x.astype(int)]),
    "index number": (lambda x: X[x[0].astype(int)], r"hg\.array\(array\)\[i\]",
    lambda x: hg.array(X)[x[0].astype(int)]),
    "if": (lambda x: x if x[0] > 0 else -x, r"np\.where", lambda x: np.where(x[0] > 0, x, -x)),
    "float": (lambda x: float(x[0]), "keep it an array", lambda x: x[0]),
    "math": (lambda x: math.sin(x[0]), "keep it an array", lambda x: np.sin(x[0])),
    "math of several": (lambda x: math.hypot(x[0], x[1]), "keep it an array", lambda x: np.hypot(x[0], x[1])),
    "max": (lambda x: max(x[0], x[1]), r"np\.where", lambda x: np.maximum(x[0], x[1])),
    "min of an array": (lambda x: min(x), r"np\.where", lambda x: np.min(x)),
    "sorted": (lambda x: sorted(x), r"np\.where", None),
    "in": (lambda x: 0.5 in x, r"np\.where", lambda x: (x == 0.5).any()),
    "any": (lambda x: any(x > 1), r"np\.where", lambda x: np.any(x > 1)),
    "chained": (lambda x: 0 < x[0] < 1, r"np\.where", lambda x: (x[0] > 0) & (x[0] < 1)),
    "vectorize": (lambda x: np.vectorize(lambda v: v + 1)(x), "ndarray|rule", lambda x: x + 1),
    "frompyfunc": (lambda x: np.frompyfunc(lambda v: v, 1, 1)(x), "no derivative rule", None),
    "f-string": (lambda x: f"{x[0]:.3f}", "print the result outside", None),
    "frame": (lambda x: pd.DataFrame({"a": x}), "ndarray|iteration|Python", None),
    "frame product": (lambda x: pd.DataFrame(A) @ x, "ndarray", lambda x: pd.DataFrame(A).to_numpy() @ x),
    "fromiter": (lambda x: np.fromiter((v for v in x), float), "Python float", None),
    "asarray": (lambda x: np.asarray(x), "ndarray", lambda x: hg.asarray(x)),
    "interp by hand": (lambda x: np.searchsorted(X, [x[0]]), "ndarray", None),
    "random": (lambda x: np.random.default_rng(0).normal(x), "ndarray", None),
    "int": (lambda x: range(int(x[0])), "static data", None),
    "struct": (lambda x: X.astype([("a", float)])["a"] @ np.asarray([x[0]] * 3), "ndarray", None),
    "fill": (lambda x: X.copy().fill(x[0]), "Python float|ndarray", lambda x: hg.full(3, x[0])),
    "einsum of a list": (lambda x: np.linalg.norm([x[0], x[1]]), r"hg\.array", None),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_refused(name):
    f, message, _ = TABLE[name]
    for transform in (hg.grad(f), hg.compile(f)):
        with pytest.raises(HypergradError) as caught:
            transform(X)
        text = str(caught.value)
        assert re.search(message, re.sub("`.*`", "", text))  # the line between `` has the message in it, too
        assert "test_intercept.py:" in text
        assert "\n" not in text


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row[2] is not None])
def test_the_alternative_works(name):
    """It gives what the refused code gives on numbers."""
    f, _, instead = TABLE[name]
    expected, found = np.asarray(f(X.copy())), hg.compile(instead)(X)
    if expected.dtype != object:
        np.testing.assert_allclose(found, expected if name != "fill" else np.full(3, X[0]), rtol=1e-14)


def test_a_tracer_is_no_ndarray():
    """isinstance(x, np.ndarray) is False while a function is traced; hasattr(x, "shape") and np.ndim work."""
    seen = []
    hg.compile(
        lambda x: (
            seen.append((isinstance(x, np.ndarray), hasattr(x, "shape"), np.ndim(x), np.isscalar(x))) or x
        )
    )(X)
    assert seen == [(False, True, 1, False)]
