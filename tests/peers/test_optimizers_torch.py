"""Every optimiser is PyTorch's: 100 steps of a small network in float64, to 1e-12.

L-BFGS, which magnifies rounding where the loss is not convex, trains a softmax regression instead.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
from optimizer_rows import CASES, ROWS

import hypergrad as hg

STEPS, CLASSES = 100, 3
RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((40, 4)), RNG.integers(0, CLASSES, 40)
FIRST = {
    "w1": 0.6 * RNG.standard_normal((4, 5)),
    "b1": 0.1 * RNG.standard_normal(5),
    "w2": 0.6 * RNG.standard_normal((5, CLASSES)),
    "b2": np.zeros(CLASSES),
}
BATCHES = RNG.integers(0, 40, (STEPS, 10))


@functools.cache
def torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, at import
        return pytest.importorskip("torch", reason="PyTorch is the oracle; install the extra [peers]")


def theirs(make, batches, rates=None, convex=False):
    """The parameters after STEPS; `rates` sets lr before each step."""
    t = torch()
    w = {k: t.tensor(v, dtype=t.float64, requires_grad=True) for k, v in FIRST.items()}
    optimizer = make(t.optim, list(w.values()))
    for step in range(STEPS):
        rows = slice(None) if batches is None else batches[step]
        x, y = t.tensor(X[rows]), t.tensor(Y[rows])
        if rates is not None:
            optimizer.param_groups[0]["lr"] = float(rates[step])

        def closure(x=x, y=y):
            optimizer.zero_grad()
            h = x if convex else t.tanh(x @ w["w1"] + w["b1"])
            logits = h @ w["w2"][: h.shape[1]] + w["b2"]
            decay = sum((v**2).sum() for v in w.values())
            loss = t.nn.functional.cross_entropy(logits, y) + 0.02 * decay
            loss.backward()
            return loss

        optimizer.step(closure)
    return {k: v.detach().numpy() for k, v in w.items()}


def ours(optimizer, hparams, batches, convex=False):
    def loss(params, hparams, batch):
        h = batch["x"] if convex else np.tanh(batch["x"] @ params["w1"] + params["b1"])
        logits = h @ params["w2"][: h.shape[1]] + params["b2"]
        decay = sum(np.sum(v**2) for v in params.values())
        return hg.nn.softmax_cross_entropy(logits, batch["y"]).mean() + 0.02 * decay

    problem = hg.BilevelProblem(
        init=lambda hparams, rng: FIRST,
        inner_loss=loss,
        outer_loss=loss,
        train={"x": X, "y": Y},
        valid={"x": X, "y": Y},
        optimizer=optimizer,
        steps=STEPS,
        batches=batches,
    )
    return hg.train(problem, hparams).params


def agree(found, expected):
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-12, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("batches", [None, BATCHES], ids=["full batch", "minibatches"])
@pytest.mark.parametrize(("name", "case"), [pair for pair in CASES if ROWS[pair[0]][pair[1]].torch])
def test_an_optimiser_is_pytorchs(name, case, batches):
    row = ROWS[name][case]
    convex = row.optimizer.full_batch
    batches = None if convex else batches
    agree(ours(row.optimizer, row.hparams, batches, convex), theirs(row.torch, batches, convex=convex))


@pytest.mark.parametrize("name", [name for name, rows in ROWS.items() if rows["defaults"].torch])
def test_a_rate_that_changes_from_step_to_step_is_pytorchs(name):
    row = ROWS[name]["defaults"]
    rates = np.linspace(0.05, 0.005, STEPS)
    optimizer = type(row.optimizer)(hg.optim.PerStep("lr"))
    convex = optimizer.full_batch
    batches = None if convex else BATCHES
    agree(ours(optimizer, {"lr": rates}, batches, convex), theirs(row.torch, batches, rates, convex))
