"""hypergrad: a `BilevelProblem` with explicit batches and one learning rate a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

LIBRARY = "hypergrad"
DISTRIBUTION = "hypergrad-toolkit"
VARIANTS = ("reverse",)


def build(workload: Any, variant: str) -> tuple[Callable[[], float], Callable[[], tuple[float, Any]]]:
    import hypergrad as hg

    layers = workload.layers

    def init(hparams: Any, rng: np.random.Generator) -> Any:
        return {layer: dict(leaves) for layer, leaves in workload.params.items()}

    def cross_entropy(params: Any, batch: Any) -> Any:
        x = batch["x"]
        for layer in layers[:-1]:
            x = np.tanh(x @ params[layer]["w"] + params[layer]["b"])
        logits = x @ params[layers[-1]]["w"] + params[layers[-1]]["b"]
        return hg.nn.softmax_cross_entropy(logits, batch["y"]).mean()

    def inner_loss(params: Any, hparams: Any, batch: Any) -> Any:
        loss = cross_entropy(params, batch)
        if "log_l2" in hparams:
            strength = np.broadcast_to(np.exp(hparams["log_l2"]), (len(layers),))
            for number, layer in enumerate(layers):
                loss = loss + 0.5 * strength[number] * np.sum(params[layer]["w"] ** 2)
        return loss

    def outer_loss(params: Any, hparams: Any, batch: Any) -> Any:
        return cross_entropy(params, batch)

    scheduled = workload.hparams["momentum"].ndim == 1
    optimizer = hg.optim.Momentum(
        lr=hg.optim.PerStep("lr"), momentum=hg.optim.PerStep("momentum") if scheduled else "momentum"
    )
    problem = hg.BilevelProblem(
        init=init,
        inner_loss=inner_loss,
        outer_loss=outer_loss,
        train=workload.train,
        valid=workload.valid,
        optimizer=optimizer,
        steps=workload.steps,
        batches=workload.batches,
    )

    def train() -> float:
        return float(hg.train(problem, workload.hparams).value)

    def hypergradient() -> tuple[float, Any]:
        result = hg.hypergradient(problem, workload.hparams, method=hg.Reverse())
        return float(result.value), result.hypergradient

    return train, hypergradient
