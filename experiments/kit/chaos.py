"""Training at the edge of chaos (Maclaurin, Duvenaud & Adams 2015, section 4.3), for the experiments on it.

Notation: alpha the paper's learning rate, in v' = .9 v - .1 g, w' = w + alpha v'; the same steps as PyTorch's momentum
with lr = .1 alpha, which is what is run here. F the training loss on all rows after T steps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import hypergrad as hg
from hypergrad.unroll.batches import generator
from kit import data, networks, reference

SIZES = (784, 200, 50, 10)
MOMENTUM = 0.9


def lr(log_alpha: float) -> float:
    """PyTorch's rate."""
    return float((1.0 - MOMENTUM) * np.exp(log_alpha))


def problem(seed: int, rows: int, batch_size: int, steps: int, dtype: str = "float32") -> hg.BilevelProblem:
    """Training on un-centred digits, the batches in the same order in each epoch; all parameters of scale e^-2."""
    (train,) = data.mnist(seed, rows)
    train = {**train, "x": train["x"].astype(dtype)}

    def init(hparams: Any, rng: np.random.Generator) -> networks.Params:
        return {
            f"layer{number}": {
                name: (np.exp(-2.0) * rng.standard_normal(shape)).astype(dtype)
                for name, shape in (("w", (p, q)), ("b", (q,)))
            }
            for number, (p, q) in enumerate(pairwise(SIZES), start=1)
        }

    def loss(params: networks.Params, hparams: Any, batch: data.Rows) -> Any:
        return networks.cross_entropy(params, batch)

    batches = np.arange(rows).reshape(-1, batch_size)
    return hg.BilevelProblem(
        init=init,
        inner_loss=loss,
        outer_loss=loss,
        train=train,
        valid=train,
        optimizer=hg.optim.Momentum(lr="lr", momentum=MOMENTUM),
        steps=steps,
        batches=batches[np.arange(steps) % len(batches)],
    )


def agreement(task: hg.BilevelProblem, log_alpha: float, seed: int) -> dict[str, float]:
    """Value and hypergradient of a float64 problem against training written by hand, see `kit.reference.agreement`."""
    params = task.init({}, generator(seed, "init", 0))

    def by_hand(hparams: Any) -> float:
        batches = task.batches.explicit
        return reference.trained_loss(params, task.train, task.train, batches, hparams["lr"], MOMENTUM)

    hparams = {"lr": lr(log_alpha)}
    result = hg.hypergradient(task, hparams, seed=seed, curve=0)
    return reference.agreement(result.hypergradient, result.value, by_hand, hparams, seed)
