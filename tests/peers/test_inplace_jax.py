"""Assignment: value, jvp, vjp and second order equal those of JAX's pure ``x.at[index]`` updates in float64."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg

RNG = np.random.default_rng(0)
A = RNG.uniform(-2.0, 2.0, (3, 4))
V = RNG.uniform(-2.0, 2.0, 4)
INDEX = np.array([2, 0, 2, 1])
ROWS = RNG.uniform(-2.0, 2.0, (4, 4))

# name: (index, shape of what is written)
INDICES = {
    "number": ((1, 2), ()), "row": (1, (4,)), "column": ((slice(None), -1), (3,)),
    "steps": ((slice(None, None, -2), slice(1, None, 2)), (2, 2)), "broadcast": (slice(0, 2), (4,)),
    "rows": ([2, 0], (2, 4)), "pairs": (([0, 1, 2], [3, 3, 0]), (3,)), "mask": (A > 0, ()),
    "new axis": ((None, 0), (1, 4)),
    "mixed": ((slice(None), [0, 3]), (3, 2)), "ellipsis": ((..., 0), (3,)),
}  # fmt: skip


def check(jax, close, mine, theirs, *args):
    """Values and derivatives of sum(sin(f)) in both modes, and a Hessian-vector product."""
    jnp = jax.numpy
    f = lambda *a: np.sum(np.sin(mine(*a)))
    g = lambda *a: jnp.sum(jnp.sin(theirs(*a)))
    close(hg.compile(mine)(*args), theirs(*args), 1e-14, "value")
    argnums = tuple(range(len(args)))
    for found, expected in zip(hg.grad(f, argnums)(*args), jax.grad(g, argnums)(*args), strict=True):
        close(found, expected, 1e-12, "gradient")
    tangents = tuple(np.cos(a) for a in args)
    close(hg.jvp(f, args, tangents)[1], jax.jvp(g, args, tangents)[1], 1e-12, "jvp")
    found = hg.jvp(hg.grad(f, argnums), args, tangents)[1]
    expected = jax.jvp(jax.grad(g, argnums), args, tangents)[1]
    for one, other in zip(found, expected, strict=True):
        close(one, other, 1e-12, "second order")


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("operation", ["set", "add", "multiply", "divide", "power"])
def test_updates(jax, close, name, operation):
    index, shape = INDICES[name]
    theirs_index = (
        tuple(np.array(i) if isinstance(i, list) else i for i in index) if isinstance(index, tuple) else index
    )
    theirs_index = np.array(theirs_index) if isinstance(index, list) else theirs_index
    value = RNG.uniform(0.5, 2.0, shape)

    def mine(x, v):
        y = np.exp(x)
        if operation == "set":
            y[index] = v * v
        elif operation == "add":
            y[index] += v * v
        elif operation == "multiply":
            y[index] *= v
        elif operation == "divide":
            y[index] /= v
        else:
            y[index] **= v
        return y

    def theirs(x, v):
        y = jax.numpy.exp(x)
        old = y[theirs_index]
        new = {"set": v * v, "add": old + v * v, "multiply": old * v, "divide": old / v, "power": old**v}
        return y.at[theirs_index].set(new[operation])

    check(jax, close, mine, theirs, A, value)


def test_repeated_indices(jax, close):
    def accumulated(rows):
        y = hg.zeros((3, 4))
        np.add.at(y, INDEX, rows)
        return y

    check(jax, close, accumulated, lambda rows: jax.numpy.zeros((3, 4)).at[INDEX].add(rows), ROWS)

    def extremum(x, rows):
        y = x * 1.0
        np.maximum.at(y, INDEX, rows)
        return y

    check(jax, close, extremum, lambda x, rows: jax.numpy.asarray(x).at[INDEX].max(rows), A, ROWS)


def test_a_loop(jax, close):
    """A tridiagonal solve in place against the same steps written as pure updates."""

    def mine(d, b):
        d, b = d.copy(), b.copy()
        for i in range(1, 4):
            w = 0.5 / d[i - 1]
            d[i] -= w * 0.5
            b[i] -= w * b[i - 1]
        b[3] /= d[3]
        for i in range(2, -1, -1):
            b[i] = (b[i] - 0.5 * b[i + 1]) / d[i]
        return b

    def theirs(d, b):
        return jax.numpy.linalg.solve(jax.numpy.diag(d) + 0.5 * (np.eye(4, k=1) + np.eye(4, k=-1)), b)

    check(jax, close, mine, theirs, np.abs(V) + 2.0, V)


def test_masks(jax, close):
    def mine(x):
        y = x * 2.0
        y[y > 0.5] **= 1.5
        y[x < 0] = np.sin(y[x < 0]) - 1.0
        return y

    jnp = jax.numpy

    def theirs(x):
        y = x * 2.0
        y = jnp.where(y > 0.5, jnp.where(y > 0.5, y, 1.0) ** 1.5, y)
        return jnp.where(x < 0, jnp.sin(y) - 1.0, y)

    check(jax, close, mine, theirs, A)
