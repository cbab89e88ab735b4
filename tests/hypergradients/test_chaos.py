"""Networks whose learning rate crosses into chaos: the monitor fires at the edge, and tuning stays before it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

import hypergrad as hg


def network(optimizer, activation, steps):
    """64-30-10 on 600 rows of digits, one loss inside and outside."""
    x, y = load_digits(return_X_y=True)
    data = {"x": x[:600] / 16.0, "y": y[:600]}

    def init(hparams, rng):
        return {"u": rng.standard_normal((64, 30)) / 8.0, "v": rng.standard_normal((30, 10)) / 30**0.5}

    def loss(params, hparams, batch):
        hidden = activation(batch["x"] @ params["u"])
        return hg.nn.softmax_cross_entropy(hidden @ params["v"], batch["y"]).mean()

    return hg.BilevelProblem(
        init=init,
        inner_loss=loss,
        outer_loss=loss,
        train=data,
        valid=data,
        optimizer=optimizer,
        steps=steps,
        batch_size=150,
    )


CASES = {
    "momentum": (hg.optim.Momentum("lr", 0.9), np.tanh, 50, (-2.0, 1.0)),
    "sgd": (hg.optim.SGD("lr"), np.tanh, 100, (-1.0, 1.5)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", [hg.Reverse(), hg.Forward()], ids=str)
def test_the_monitor_fires_at_the_edge_of_chaos(name, method):
    """The edge: where |dF/dlog lr| first is 100 times what it is on the stable side."""
    optimizer, activation, steps, (low, high) = CASES[name]
    problem = network(optimizer, activation, steps)
    logs = np.arange(low, high, 0.05)
    runs = [hg.hypergradient(problem, {"lr": float(np.exp(a))}, method=method, curve=0) for a in logs]
    slopes = np.array([abs(r.hypergradient["lr"]) for r in runs]) * np.exp(logs)
    edge = logs[np.argmax(~(slopes < 100.0 * np.median(slopes[:10])))]
    fired = logs[np.argmax([not r.stats["trusted"] for r in runs])]
    assert low + 0.5 < edge < high
    assert abs(fired - edge) <= 0.2
    assert all(r.stats["trusted"] for r in runs[: int(0.5 * np.argmax(logs == edge))])


@pytest.mark.parametrize("default", [2.0, 10.0])
def test_tuning_that_begins_in_chaos_survives_and_leaves_it(default):
    optimizer, activation, steps, _ = CASES["momentum"]
    problem = network(optimizer, activation, steps)
    study = hg.tune(problem, hg.Space(lr=hg.Float(1e-3, 30.0, log=True, default=default)), trials=16)
    assert not study.trials[0].stats["trusted"]
    assert study.trials[0].stats["warnings"]
    assert study.trials[0].gradient is None
    grid = [hg.train(problem, {"lr": float(lr)}).value for lr in np.geomspace(1e-3, 30.0, 15)]
    assert study.best.value < 1.5 * np.nanmin(grid) + 0.01
    assert hg.hypergradient(problem, study.best.hparams).value == study.best.value
