"""JAX: ``jit(value_and_grad(...))`` of a ``lax.scan``, with or without ``jax.checkpoint`` around the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

LIBRARY = "jax"
DISTRIBUTION = "jax"
VARIANTS = ("scan", "checkpoint")


def build(workload: Any, variant: str) -> tuple[Callable[[], float], Callable[[], tuple[float, Any]]]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    layers = workload.layers
    dtype = workload.train["x"].dtype
    one_hot = np.eye(workload.classes, dtype=dtype)
    data = {
        "x": jnp.asarray(workload.train["x"]),
        "y": jnp.asarray(one_hot[workload.train["y"]]),
        "x_valid": jnp.asarray(workload.valid["x"]),
        "y_valid": jnp.asarray(one_hot[workload.valid["y"]]),
        "batches": jnp.asarray(workload.batches.astype(np.int32)),
    }
    start = jax.tree.map(jnp.asarray, workload.params)

    def cross_entropy(params: Any, x: Any, y: Any) -> Any:
        for layer in layers[:-1]:
            x = jnp.tanh(x @ params[layer]["w"] + params[layer]["b"])
        logits = x @ params[layers[-1]]["w"] + params[layers[-1]]["b"]
        return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(logits), axis=1))

    def inner_loss(params: Any, hparams: Any, x: Any, y: Any) -> Any:
        loss = cross_entropy(params, x, y)
        if "log_l2" in hparams:
            strength = jnp.broadcast_to(jnp.exp(hparams["log_l2"]), (len(layers),))
            for number, layer in enumerate(layers):
                loss += 0.5 * strength[number] * jnp.sum(params[layer]["w"] ** 2)
        return loss

    def outer_loss(hparams: Any, params: Any, data: Any) -> Any:
        def step(state: Any, row: Any) -> tuple[Any, None]:
            params, velocity = state
            lr, momentum, index = row
            g = jax.grad(inner_loss)(params, hparams, data["x"][index], data["y"][index])
            velocity = jax.tree.map(lambda m, d: momentum * m + d, velocity, g)
            params = {
                layer: jax.tree.map(lambda w, m, rate=lr[layer]: w - rate * m, params[layer], velocity[layer])
                for layer in layers
            }
            return (params, velocity), None

        steps = len(data["batches"])
        lr = hparams["lr"] if isinstance(hparams["lr"], dict) else dict.fromkeys(layers, hparams["lr"])
        rows = (lr, jnp.broadcast_to(hparams["momentum"], (steps,)), data["batches"])
        body = jax.checkpoint(step) if variant == "checkpoint" else step
        (params, _), _ = jax.lax.scan(body, (params, jax.tree.map(jnp.zeros_like, params)), rows)
        return cross_entropy(params, data["x_valid"], data["y_valid"])

    value = jax.jit(outer_loss)
    value_and_grad = jax.jit(jax.value_and_grad(outer_loss))

    def train() -> float:
        return float(value(workload.hparams, start, data))

    def hypergradient() -> tuple[float, Any]:
        loss, gradient = value_and_grad(workload.hparams, start, data)
        return float(loss), jax.tree.map(np.asarray, gradient)

    return train, hypergradient
