"""What a run takes is what its plan says: NumPy reports every array to tracemalloc."""

import gc
import tracemalloc

import numpy as np
import pytest

import hypergrad as hg

MiB = 1 << 20


def network(width, rows, held_out, steps, batch):
    rng = np.random.default_rng(8)

    def data(count):
        return {"x": rng.normal(size=(count, 30)), "y": rng.integers(3, size=count)}

    def logits(params, x):
        return np.tanh(np.tanh(x @ params["a"]) @ params["b"]) @ params["c"]

    def loss(params, batch):
        return hg.nn.softmax_cross_entropy(logits(params, batch["x"]), batch["y"]).mean()

    shapes = {"a": (30, width), "b": (width, width), "c": (width, 3)}
    return hg.BilevelProblem(
        init=lambda h, rng: {k: rng.normal(size=s) / 30 for k, s in shapes.items()},
        inner_loss=lambda p, h, batch: loss(p, batch) + sum(np.sum(h["l2"] * p[k] ** 2) for k in shapes),
        outer_loss=lambda p, h, batch: loss(p, batch),
        train=data(rows),
        valid=data(held_out),
        optimizer=hg.optim.Momentum(lr="lr", momentum=0.9),
        steps=steps,
        batch_size=batch,
    )


CASES = {
    "many parameters": ({"width": 400, "rows": 200, "held_out": 50, "steps": 250, "batch": 8}, 64),
    "many held out": ({"width": 20, "rows": 200, "held_out": 40_000, "steps": 30, "batch": 8}, 60),
    "large batches": ({"width": 20, "rows": 30_000, "held_out": 50, "steps": 20, "batch": 20_000}, 60),
    "many steps": ({"width": 8, "rows": 300, "held_out": 50, "steps": 3000, "batch": 8}, 3),
}


@pytest.mark.parametrize("case", CASES)
def test_the_peak_is_within_the_plan(case):
    sizes, budget = CASES[case]
    problem, hparams = network(**sizes), {"lr": 0.05, "l2": 1e-4}
    method = hg.Reverse(memory=budget * MiB)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        stats = hg.hypergradient(problem, hparams, method=method).stats
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert stats["bytes"] <= budget * MiB
    assert peak <= 1.05 * stats["bytes"] + 4 * MiB  # Python's own objects too


def test_buffers_are_given_back_without_the_garbage_collector():
    problem, hparams = network(300, 200, 50, 20, 8), {"lr": 0.05, "l2": 1e-4}
    method = hg.Reverse(checkpoints=2)
    hg.hypergradient(problem, hparams, method=method)
    gc.disable()
    tracemalloc.start()
    try:
        held = []
        for _ in range(4):
            hg.hypergradient(problem, hparams, method=method)
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        gc.enable()
    assert held[-1] - held[0] < MiB / 2
