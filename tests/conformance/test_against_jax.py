# ruff: noqa: E501 - a table
"""1,000 generated programs: values as NumPy's, gradients as JAX's in float64 to 1e-12 of their norm.

A program is a list of numbers of operations, each a map of a matrix x (3, 4) and a vector v (4,) to a matrix (3, 4), written
once for numpy and jax.numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad import dispatch  # noqa: F401 - fills the tables of the tracer
from hypergrad.ad.forward import evaluate
from hypergrad.ad.trace import trace, type_of

jax = pytest.importorskip("jax")

ORDER = np.array([2, 0, 3, 1])
MASK = np.array([True, False, True, True])
KNOTS = np.array([-0.8, -0.15, 0.4, 1.0])
SPD = 4.0 * np.eye(4) + 0.1 * np.ones((4, 4))

OPERATIONS: list[Any] = [
    lambda xp, x, v: xp.tanh(x),
    lambda xp, x, v: xp.sin(x) + v,
    lambda xp, x, v: x * xp.cos(v),
    lambda xp, x, v: x / (1.5 + v * v),
    lambda xp, x, v: xp.exp(-x * x) - x,
    lambda xp, x, v: xp.log(2.0 + xp.sin(x)) * v,
    lambda xp, x, v: xp.sqrt(1.0 + x * x),
    lambda xp, x, v: xp.where(x > v, x, 0.5 * v),
    lambda xp, x, v: xp.maximum(x, 0.3 * v) + 0.1 * x,
    lambda xp, x, v: xp.arctan2(x, 2.0 + v * v),
    lambda xp, x, v: xp.logaddexp(x, v),
    lambda xp, x, v: xp.hypot(x, 1.0 + v),
    lambda xp, x, v: x @ (xp.outer(v, v) * 0.2),
    lambda xp, x, v: xp.tanh(x @ x.T) @ x,
    lambda xp, x, v: xp.einsum("ij,kj,kl->il", x, x, x) * 0.05,
    lambda xp, x, v: xp.linalg.solve(xp.asarray(SPD) if xp is not np else SPD, x.T).T + v,
    lambda xp, x, v: x - xp.mean(x, axis=0),
    lambda xp, x, v: (x - xp.mean(x)) / (1.0 + xp.std(x)),
    lambda xp, x, v: xp.exp(x - xp.max(x, axis=1, keepdims=True)) / xp.sum(xp.exp(x - xp.max(x, axis=1, keepdims=True)), axis=1, keepdims=True),
    lambda xp, x, v: xp.cumsum(x, axis=1) * 0.3,
    lambda xp, x, v: xp.cumprod(1.0 + 0.1 * x, axis=0) - v,
    lambda xp, x, v: xp.sort(x, axis=1) * v,
    lambda xp, x, v: x[:, ORDER] + x[::-1],
    lambda xp, x, v: xp.concatenate([x[:1] * 2.0, x[1:]], axis=0),
    lambda xp, x, v: xp.reshape(xp.reshape(x, (2, 6)).T, (3, 4)),
    lambda xp, x, v: xp.roll(x, 1, axis=1) + xp.flip(x, axis=0) * 0.5,
    lambda xp, x, v: xp.pad(x[:, :2], ((0, 0), (1, 1)), mode="edge") * v,
    lambda xp, x, v: xp.take(x, ORDER, axis=1) * xp.prod(1.0 + 0.1 * v),
    lambda xp, x, v: xp.where(MASK, x, v**3),
    lambda xp, x, v: xp.clip(x, -0.8, 0.9) + 0.2 * x,
    lambda xp, x, v: x + xp.linalg.norm(x, axis=1, keepdims=True) * 0.1,
    lambda xp, x, v: xp.abs(x) ** 1.5 - v,
    lambda xp, x, v: x * xp.linalg.inv(SPD + xp.outer(v, v))[0],
    lambda xp, x, v: xp.stack([x[0], x[1] * x[2], xp.expm1(0.3 * x[2])]),
    lambda xp, x, v: xp.tril(x) + xp.triu(x, 1) * v,
    lambda xp, x, v: xp.convolve(xp.ravel(x), v, mode="same").reshape(3, 4) * 0.3,
    lambda xp, x, v: xp.real(xp.fft.ifft(xp.fft.fft(x, axis=1) * xp.exp(1j * v), axis=1)),
    lambda xp, x, v: xp.diff(x, axis=1, append=x[:, :1]) + xp.var(x, axis=0),
    lambda xp, x, v: xp.interp(x, KNOTS, v) + 0.1 * x,
    lambda xp, x, v: xp.square(x) * 0.3 + xp.median(x, axis=0),
]  # fmt: skip
WEIGHTS = np.cos(np.arange(12.0)).reshape(3, 4)


def run(xp: Any, steps: list[int], x: Any, v: Any) -> Any:
    for step in steps:
        x = OPERATIONS[step](xp, x, v)
    return xp.sum(xp.tanh(x) * WEIGHTS)


@pytest.fixture(scope="module", autouse=True)
def double_precision():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("block", range(20))
def test_fifty_programs(block):
    rng = np.random.default_rng([7, block])
    for _ in range(50):
        steps = rng.integers(0, len(OPERATIONS), rng.integers(1, 7)).tolist()
        x, v = rng.uniform(-1.0, 1.0, (3, 4)), rng.uniform(-1.0, 1.0, 4)
        mine = lambda x, v, steps=steps: run(np, steps, x, v)
        program = trace(lambda x, v, f=mine: [f(x, v)], [type_of(x), type_of(v)], "program")
        np.testing.assert_allclose(evaluate(program, [x, v])[0], mine(x, v), rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(hg.compile(mine)(x, v), mine(x, v), rtol=1e-12, atol=1e-13)
        found = hg.grad(mine, (0, 1))(x, v)
        compiled = hg.compile(hg.grad(mine, (0, 1)))(x, v)
        theirs = jax.grad(lambda x, v, steps=steps: run(jax.numpy, steps, x, v), (0, 1))(x, v)
        size = np.sqrt(sum(float(np.sum(np.square(t))) for t in theirs))
        for a, b, c in zip(found, compiled, theirs, strict=True):
            # a program may be ill-conditioned by itself: what JAX says of slightly moved inputs is the yardstick
            error = np.linalg.norm(a - np.asarray(c))
            if error > 1e-12 * size:
                moved = jax.grad(lambda x, v, steps=steps: run(jax.numpy, steps, x, v), (0, 1))(
                    x * (1 + 1e-14), v
                )
                drift = np.sqrt(
                    sum(float(np.sum(np.square(m - t))) for m, t in zip(moved, theirs, strict=True))
                )
                assert error <= max(1e-12 * size, 10 * drift), (steps, error / size, drift / size)
            np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-11 * max(size, 1e-6))
