"""Test examples of every optimiser: one row of them for each name in OPTIMIZERS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypergrad as hg

o = hg.optim


@dataclass(frozen=True)
class Row:
    """An optimiser, the hyperparameters that it reads, and PyTorch's at the same numbers.

    Attributes:
        torch: ``torch(torch.optim, weights) -> torch.optim.Optimizer``; None: it has none.
        start: how far from the bottom of its valley a test begins.
    """

    optimizer: o.Optimizer
    hparams: dict[str, Any]
    torch: Callable[[Any, list[Any]], Any] | None = None
    start: float = 0.7


ROWS: dict[str, dict[str, Row]] = {
    "sgd": {
        "all": Row(
            o.SGD("lr", "decay"),
            {"lr": 0.3, "decay": 0.02},
            lambda t, w: t.SGD(w, lr=0.3, weight_decay=0.02),
        ),
        "defaults": Row(o.SGD(), {}, lambda t, w: t.SGD(w, lr=0.1)),
    },
    "momentum": {
        "all": Row(
            o.Momentum("lr", "mu", "decay"),
            {"lr": 0.1, "mu": 0.8, "decay": 0.02},
            lambda t, w: t.SGD(w, lr=0.1, momentum=0.8, weight_decay=0.02),
        ),
        "defaults": Row(o.Momentum(), {}, lambda t, w: t.SGD(w, lr=0.1, momentum=0.9)),
    },
    "nesterov": {
        "all": Row(
            o.Nesterov("lr", "mu", "decay"),
            {"lr": 0.1, "mu": 0.8, "decay": 0.02},
            lambda t, w: t.SGD(w, lr=0.1, momentum=0.8, weight_decay=0.02, nesterov=True),
        ),
        "defaults": Row(o.Nesterov(), {}, lambda t, w: t.SGD(w, lr=0.1, momentum=0.9, nesterov=True)),
    },
    "rmsprop": {
        "all": Row(
            o.RMSProp("lr", "alpha", "eps", "mu", "decay", centered=True),
            {"lr": 0.01, "alpha": 0.9, "eps": 0.01, "mu": 0.5, "decay": 0.02},
            lambda t, w: t.RMSprop(
                w, lr=0.01, alpha=0.9, eps=0.01, momentum=0.5, weight_decay=0.02, centered=True
            ),
        ),
        "defaults": Row(o.RMSProp(), {}, lambda t, w: t.RMSprop(w)),
        "centered": Row(
            o.RMSProp("lr", "alpha", "eps", centered=True),
            {"lr": 0.01, "alpha": 0.95, "eps": 0.02},
            lambda t, w: t.RMSprop(w, lr=0.01, alpha=0.95, eps=0.02, centered=True),
        ),
        "momentum": Row(
            o.RMSProp("lr", "alpha", "eps", "mu"),
            {"lr": 0.01, "alpha": 0.95, "eps": 0.02, "mu": 0.5},
            lambda t, w: t.RMSprop(w, lr=0.01, alpha=0.95, eps=0.02, momentum=0.5),
        ),
    },
    "adagrad": {
        "all": Row(
            o.Adagrad("lr", "lr_decay", "decay", "first", "eps"),
            {"lr": 0.1, "lr_decay": 0.05, "decay": 0.02, "first": 0.1, "eps": 0.01},
            lambda t, w: t.Adagrad(
                w, lr=0.1, lr_decay=0.05, weight_decay=0.02, initial_accumulator_value=0.1, eps=0.01
            ),
        ),
        "defaults": Row(o.Adagrad(), {}, lambda t, w: t.Adagrad(w)),
    },
    "adam": {
        "all": Row(
            o.Adam("lr", ("b1", "b2"), "eps", "decay"),
            {"lr": 0.03, "b1": 0.8, "b2": 0.97, "eps": 0.01, "decay": 0.02},
            lambda t, w: t.Adam(w, lr=0.03, betas=(0.8, 0.97), eps=0.01, weight_decay=0.02),
        ),
        "defaults": Row(o.Adam(), {}, lambda t, w: t.Adam(w)),
    },
    "adamw": {
        "all": Row(
            o.AdamW("lr", ("b1", "b2"), "eps", "decay"),
            {"lr": 0.03, "b1": 0.8, "b2": 0.97, "eps": 0.01, "decay": 0.2},
            lambda t, w: t.AdamW(w, lr=0.03, betas=(0.8, 0.97), eps=0.01, weight_decay=0.2),
        ),
        "defaults": Row(o.AdamW(), {}, lambda t, w: t.AdamW(w)),
        "no decay": Row(o.AdamW(weight_decay=0.0), {}, lambda t, w: t.AdamW(w, weight_decay=0.0)),
    },
    "lbfgs": {
        "all": Row(
            o.LBFGS("lr", history=3),
            {"lr": 0.3},
            lambda t, w: t.LBFGS(w, lr=0.3, max_iter=1, history_size=3),
        ),
        "defaults": Row(o.LBFGS(), {}, lambda t, w: t.LBFGS(w, lr=1.0, max_iter=1, history_size=10)),
        "no tolerance": Row(
            o.LBFGS("lr", history=5, tolerance_grad=0.0, tolerance_change=0),
            {"lr": 0.5},
            lambda t, w: t.LBFGS(
                w, lr=0.5, max_iter=1, history_size=5, tolerance_grad=0.0, tolerance_change=0.0
            ),
        ),
    },
    "ista": {
        "all": Row(o.ISTA("lr", o.L1("alpha")), {"lr": 0.3, "alpha": 0.05}),
        "defaults": Row(o.ISTA(penalty=o.L1(0.01)), {}),
    },
    "fista": {
        "all": Row(o.FISTA("lr", o.L1("alpha")), {"lr": 0.3, "alpha": 0.05}),
        "defaults": Row(o.FISTA(penalty=o.L1(0.01)), {}),
    },
    "coordinate_descent": {
        "all": Row(
            o.CoordinateDescent("lr", o.ElasticNet("l1", "l2")),
            {"lr": 0.3, "l1": 0.02, "l2": 0.1},
            start=0.25,
        ),
        "defaults": Row(o.CoordinateDescent(penalty=o.L1(0.01)), {}, start=0.15),
        "groups": Row(
            o.CoordinateDescent("lr", o.GroupLasso("alpha", size=1)), {"lr": 0.3, "alpha": 0.02}, start=0.25
        ),
    },
}

CASES = [(name, case) for name, cases in ROWS.items() for case in cases]
