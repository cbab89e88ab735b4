"""`Implicit` and the decay of weights in an optimiser."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from ridge import Ridge, off

import hypergrad as hg
from hypergrad.errors import DerivativeError
from hypergrad.optim import Optimizer


@dataclass(frozen=True)
class Decayed(Optimizer):
    """w' = w − lr (g + weight_decay w)."""

    lr: float | str = 0.1
    weight_decay: float | str = 0.0

    def update(self, w, g, slots, rate):
        return w - rate["lr"] * (g + rate["weight_decay"] * w), ()


def test_a_penalty_outside_the_inner_loss_is_refused():
    ridge = Ridge(0.3)
    with pytest.raises(DerivativeError, match=r"Decayed\(weight_decay=...\) pulls training away"):
        hg.hypergradient(ridge.problem(5, Decayed("lr", 0.01)), ridge.h, hg.Implicit())
    r = hg.hypergradient(ridge.problem(1500, Decayed("lr")), ridge.h, hg.Implicit())
    assert off(r.hypergradient["l2"], ridge.gradient) < 1e-11


DECAYING = {
    "sgd": lambda decay: hg.optim.SGD(0.3, decay),
    "momentum": lambda decay: hg.optim.Momentum(0.1, 0.8, decay),
    "nesterov": lambda decay: hg.optim.Nesterov(0.1, 0.8, decay),
    "rmsprop": lambda decay: hg.optim.RMSProp(0.5, 0.99, eps=3.0, weight_decay=decay),
    "adagrad": lambda decay: hg.optim.Adagrad(2.0, weight_decay=decay),
    "adam": lambda decay: hg.optim.Adam(0.5, (0.8, 0.99), eps=1.0, weight_decay=decay),
}


def test_every_optimiser_with_a_decay_through_the_gradient_is_tested():
    kinds = hg.optim.OPTIMIZERS.items()
    assert {name for name, kind in kinds if kind.coupled} == set(DECAYING)
    assert {name for name, kind in kinds if "weight_decay" in kind().rates()} == {*DECAYING, "adamw"}


@pytest.mark.parametrize("name", DECAYING)
def test_weight_decay_through_the_gradient_is_a_ridge(name):
    """½ mean (x w − y)² in the loss and the ridge in the optimiser, one number or one a layer."""
    ridge = Ridge(0.3)
    bare = {
        "inner_loss": lambda p, h, b: 0.5 * np.mean((b["x"] @ p["w"] - b["y"]) ** 2),
        "optimizer": DECAYING[name]("l2"),
    }
    problem = ridge.problem(4000, **bare)
    h = {"l2": 0.3, "outer": 0.4}
    for given, read in (
        (h, lambda g: g["l2"]),
        ({**h, "l2": {"w": 0.3}}, lambda g: g["l2"]["w"]),
    ):
        r = hg.hypergradient(problem, given, hg.Implicit())
        assert off(read(r.hypergradient), ridge.gradient) < 1e-10
        assert r.warnings == ()
        assert r.stats["inner_gradient_norm"] < 1e-12
        assert r.stats["without_derivative"] == []
    number = hg.hypergradient(
        ridge.problem(4000, **{**bare, "optimizer": DECAYING[name](0.3)}), {"outer": 0.4}, hg.Implicit()
    )
    assert number.stats["inner_gradient_norm"] < 1e-12
    assert number.warnings == ()


def test_a_decay_that_changes_has_no_stationary_point():
    ridge = Ridge(0.3)
    optimizer = hg.optim.SGD("lr", hg.optim.PerStep("decay"))
    with pytest.raises(
        DerivativeError, match=r"weight_decay=PerStep\(key='decay'\)\) changes from step to step"
    ):
        hg.hypergradient(ridge.problem(5, optimizer), {**ridge.h, "decay": np.ones(5)}, hg.Implicit())
    with pytest.raises(DerivativeError, match=r"AdamW\(weight_decay=...\) pulls training away"):
        hg.hypergradient(ridge.problem(5, hg.optim.AdamW("lr")), ridge.h, hg.Implicit())
