"""No memory grows over 10,000 compiled calls; threads may share what is compiled."""

from __future__ import annotations

import gc
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import hypergrad as hg

X = np.linspace(-1.0, 1.0, 60).reshape(5, 12)
W = np.cos(np.arange(36.0)).reshape(12, 3)


def loss(w, x):
    return np.mean(hg.nn.softmax_cross_entropy(np.tanh(x @ w), np.array([0, 1, 2, 0, 1]))) + 0.1 * np.sum(
        w**2
    )


def test_ten_thousand_calls_leave_nothing_behind():
    step = hg.compile(hg.value_and_grad(loss))
    for _ in range(50):
        step(W, X)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(10_000):
        step(W, X)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 16_384


def test_hypergradients_leave_nothing_behind():
    problem, hparams = made()
    for _ in range(3):
        hg.hypergradient(problem, hparams)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(60):
        hg.hypergradient(problem, hparams)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 65_536


def made():
    rng = np.random.default_rng(0)
    data = {"x": rng.standard_normal((40, 12)), "y": rng.integers(0, 3, 40)}
    inner = lambda p, h, b: (
        hg.nn.softmax_cross_entropy(b["x"] @ p["w"], b["y"]).mean() + h["l2"] * np.sum(p["w"] ** 2)
    )
    outer = lambda p, h, b: hg.nn.softmax_cross_entropy(b["x"] @ p["w"], b["y"]).mean()
    problem = hg.BilevelProblem(
        init=lambda h, rng: {"w": np.zeros((12, 3))}, inner_loss=inner, outer_loss=outer, train=data, valid=data,
        optimizer=hg.optim.Momentum(lr="lr", momentum=0.9), steps=25, batch_size=8,
    )  # fmt: skip
    return problem, {"lr": 0.1, "l2": 0.01}


@pytest.mark.parametrize("threads", [2, 8])
def test_threads_share_a_compiled_function_and_a_problem(threads):
    step = hg.compile(hg.value_and_grad(loss))
    scales = np.linspace(0.5, 1.5, 40)
    expected = [step(W * s, X) for s in scales]
    problem, hparams = made()
    alone = [
        hg.hypergradient(problem, {**hparams, "lr": float(s) * 0.1}).hypergradient["lr"] for s in scales[:12]
    ]
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda s: step(W * s, X), scales))
        together = list(
            pool.map(
                lambda s: hg.hypergradient(problem, {**hparams, "lr": float(s) * 0.1}).hypergradient["lr"],
                scales[:12],
            )
        )
    for (value, gradient), (v, g) in zip(found, expected, strict=True):
        assert value == v
        np.testing.assert_array_equal(gradient, g)
    assert together == alone
