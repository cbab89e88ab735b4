"""Assignment after optimisation: what is read back is forwarded, and buffers are written to in place."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad.optimize import optimize
from hypergrad.ad.rules_updates import apart
from hypergrad.ad.trace import trace, type_of

X = np.array([[0.5, -1.5, 2.5], [3.5, 0.25, -0.75], [1.5, 2.0, -0.25], [0.75, -2.0, 1.0]])


def names(f, x=X):
    return [eq.primitive.name for eq in optimize(trace(lambda a: [f(a)], [type_of(x)])).equations]


def test_what_is_read_back_is_forwarded():
    def recurrence(x):
        y = np.zeros_like(x)
        y[0] = x[0] * 2.0
        for i in range(1, 4):
            y[i] = np.tanh(y[i - 1]) + y[0]
        return y[3]

    found = names(recurrence)
    assert "update" not in found
    np.testing.assert_allclose(hg.compile(recurrence)(X), recurrence(X))

    def twice(x):
        y = x * 2.0
        y[1] = x[0]
        y[1] = x[2]
        return y

    assert names(twice).count("update") == 1


@pytest.mark.parametrize("seed", range(5))
def test_apart(seed):
    """Against NumPy: indices said to be apart have no entry in common."""
    rng = np.random.default_rng(seed)
    shape = (4, 5)

    def item(n):
        kind = rng.integers(3)
        if kind == 0:
            return int(rng.integers(n))
        start, stop = sorted(rng.integers(0, n + 1, 2).tolist())
        step = int(rng.integers(1, 3))
        return (start, stop, step) if kind == 1 else (n - 1, None, -step)

    said = 0
    for _ in range(300):
        specs = [tuple(item(n) for n in shape) for _ in range(2)]
        seen = [np.zeros(shape, bool) for _ in range(2)]
        for array, spec in zip(seen, specs, strict=True):
            array[tuple(slice(*i) if isinstance(i, tuple) else i for i in spec)] = True
        common = (seen[0] & seen[1]).any()
        if apart(shape, *specs):
            said += 1
            assert not common, specs
        else:
            assert common or not all(isinstance(i, int) for spec in specs for i in spec)
    assert said > 50


def fill(x):
    y = np.zeros_like(x)
    for i in range(len(x)):
        y[i] = np.sin(x[i])
        y[i, 0] += y[i - 1, 2]
    return y


def keeps(x):
    """Every version is read again: none may be overwritten."""
    y = x * 1.0
    versions = []
    for i in range(4):
        y[i] = y[i] * y[(i + 1) % 4]
        y[:, 1] += 1.0
        versions.append(y.copy())
    return np.sum(np.stack(versions) ** 2, axis=0) + versions[1] * y


def own_part(x):
    y = x * 1.0
    y[1:] = y[:-1]
    y[[0, 2]] = y[[2, 0]]
    y[::-1] = y
    np.add.at(y, [0, 0, 1], y[:3])
    return y + y.T.reshape(x.shape)


def shared_slots(x):
    y, z = x * 2.0, x * 3.0
    total = np.zeros_like(x)
    for i in range(4):
        y[i, i % 3] = z[i, 0]
        z[i] = y[i]
        total += y * z
    return total


def joined(x):
    """Written straight into the vector that they are concatenated into."""
    a, b = x[0] * 1.0, x[1] * 2.0
    a[0] = b[1]
    b[2:] = a[:1]
    return np.concatenate([a, b, a])


@pytest.mark.parametrize("f", [fill, keeps, own_part, shared_slots, joined])
def test_in_place(f):
    """Compiled values and derivatives, called again and again, into the same buffers."""
    compiled, g = hg.compile(f), hg.compile(hg.grad(lambda x: np.sum(np.cos(f(x)))))
    for scale in (1.0, 2.0, 0.5):
        x = X * scale
        before = x.copy()
        np.testing.assert_allclose(compiled(x), f(x), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(g(x), hg.grad(lambda x: np.sum(np.cos(f(x))))(x), rtol=1e-11, atol=1e-12)
        np.testing.assert_array_equal(x, before)
    hg.check_grads(compiled, (X,), rtol=1e-5)
