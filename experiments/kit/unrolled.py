"""A workload as a `BilevelProblem`."""

from __future__ import annotations

from typing import Any

import numpy as np


def problem(workload: Any) -> Any:
    """The workload as a `BilevelProblem`."""
    import hypergrad as hg

    layers = workload.layers
    activation = {"tanh": np.tanh, "relu": hg.nn.relu}[workload.activation]
    loss_of = {
        "softmax": hg.nn.softmax_cross_entropy,
        "binary": hg.nn.sigmoid_binary_cross_entropy,
        "squared": hg.nn.squared_error,
    }[workload.loss]

    def init(hparams: Any, rng: np.random.Generator) -> Any:
        return {layer: dict(leaves) for layer, leaves in workload.params.items()}

    def affine(layer: Any, x: Any) -> Any:
        return x @ layer["w"] + layer["b"] if "b" in layer else x @ layer["w"]

    def loss(params: Any, batch: Any) -> Any:
        x = batch["x"]
        for layer in layers[:-1]:
            x = activation(affine(params[layer], x))
        return loss_of(affine(params[layers[-1]], x), batch["y"]).mean()

    def penalty(params: Any, hparams: Any) -> Any:
        strength = np.exp(hparams["log_l2"]) if "log_l2" in hparams else hparams["l2"]
        if workload.per_weight:
            return 0.5 * np.sum(strength * params[layers[0]]["w"] ** 2)
        each = np.broadcast_to(strength, (len(layers),))
        return sum(0.5 * each[i] * np.sum(params[layer]["w"] ** 2) for i, layer in enumerate(layers))

    def inner_loss(params: Any, hparams: Any, batch: Any) -> Any:
        fit = loss(params, batch)
        return fit + penalty(params, hparams) if workload.penalised else fit

    def outer_loss(params: Any, hparams: Any, batch: Any) -> Any:
        return loss(params, batch)

    def rate(name: str) -> Any:
        if name not in workload.hparams:
            return workload.fixed[name]
        return hg.optim.PerStep(name) if workload.scheduled(name) else name

    def optimizer() -> Any:
        if workload.optimizer == "sgd":
            return hg.optim.SGD(lr=rate("lr"))
        if workload.optimizer == "momentum":
            return hg.optim.Momentum(lr=rate("lr"), momentum=rate("momentum"))
        return hg.optim.Adam(lr=rate("lr"), betas=(rate("b1"), rate("b2")), eps=rate("eps"))

    return hg.BilevelProblem(
        init=init,
        inner_loss=inner_loss,
        outer_loss=outer_loss,
        train=workload.train,
        valid=workload.valid,
        optimizer=optimizer(),
        steps=workload.steps,
        batches=workload.batches,
    )
