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
    steps = workload.steps
    dtype = workload.train["x"].dtype
    data = jax.tree.map(jnp.asarray, {"train": workload.rows("train"), "valid": workload.rows("valid")})
    batches = None if workload.batches is None else jnp.asarray(workload.batches.astype(np.int32))
    start = jax.tree.map(jnp.asarray, workload.params)
    slots = {"sgd": 0, "momentum": 1, "adam": 2}[workload.optimizer]
    activation = {"tanh": jnp.tanh, "relu": jax.nn.relu}[workload.activation]
    loss_of = {
        "softmax": lambda z, y: -jnp.mean(jnp.sum(y * jax.nn.log_softmax(z), axis=1)),
        "binary": lambda z, y: jnp.mean(jax.nn.softplus(z) - y * z),
        "squared": lambda z, y: jnp.mean((z - y) ** 2),
    }[workload.loss]

    def affine(layer: Any, x: Any) -> Any:
        return x @ layer["w"] + layer["b"] if "b" in layer else x @ layer["w"]

    def loss(params: Any, rows: Any) -> Any:
        x = rows["x"]
        for layer in layers[:-1]:
            x = activation(affine(params[layer], x))
        return loss_of(affine(params[layers[-1]], x), rows["y"])

    def penalty(params: Any, hparams: Any) -> Any:
        strength = jnp.exp(hparams["log_l2"]) if "log_l2" in hparams else hparams["l2"]
        if workload.per_weight:
            return 0.5 * jnp.sum(strength * params[layers[0]]["w"] ** 2)
        each = jnp.broadcast_to(strength, (len(layers),))
        return sum(0.5 * each[i] * jnp.sum(params[layer]["w"] ** 2) for i, layer in enumerate(layers))

    def inner_loss(params: Any, hparams: Any, rows: Any) -> Any:
        fit = loss(params, rows)
        return fit + penalty(params, hparams) if workload.penalised else fit

    def split(hparams: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Rates that stay, and those with one entry a step (bias corrections in float64)."""
        rates = {name: hparams.get(name, workload.fixed.get(name)) for name in workload.rates}
        rows = {name: rates.pop(name) for name in workload.rates if workload.scheduled(name)}
        if workload.optimizer == "adam":
            t = jnp.arange(1.0, steps + 1.0)
            lr, b1, b2 = (rates[name].astype(float) for name in ("lr", "b1", "b2"))
            rows["lr"] = (lr / (1.0 - b1**t)).astype(dtype)
            rows["scale"] = (1.0 / jnp.sqrt(1.0 - b2**t)).astype(dtype)
        return rates, rows

    def update(rate: Any, w: Any, g: Any, *slots: Any) -> tuple[Any, ...]:
        if workload.optimizer == "sgd":
            return (w - rate["lr"] * g,)
        if workload.optimizer == "momentum":
            m = rate["momentum"] * slots[0] + g
            return w - rate["lr"] * m, m
        m = rate["b1"] * slots[0] + (1.0 - rate["b1"]) * g
        v = rate["b2"] * slots[1] + (1.0 - rate["b2"]) * g**2
        return w - rate["lr"] * (m / (jnp.sqrt(v) * rate["scale"] + workload.fixed["eps"])), m, v

    def outer_loss(hparams: Any, params: Any, data: Any, batches: Any) -> Any:
        rates, rows = split(hparams)

        def step(state: Any, now: Any) -> tuple[Any, None]:
            row, index = now
            batch = data["train"]
            if index is not None:
                batch = {key: leaf.at[index].get(mode="promise_in_bounds") for key, leaf in batch.items()}
            g = jax.grad(inner_loss)(state[0], hparams, batch)
            moved: list[dict] = [{} for _ in state]
            for layer in layers:
                rate = rates | {k: r[layer] if isinstance(r, dict) else r for k, r in row.items()}
                for key, slope in g[layer].items():
                    new = update(rate, state[0][layer][key], slope, *(slot[layer][key] for slot in state[1:]))
                    for tree, leaf in zip(moved, new, strict=True):
                        tree.setdefault(layer, {})[key] = leaf
            return tuple(moved), None

        body = jax.checkpoint(step) if variant == "checkpoint" else step
        first = (params, *(jax.tree.map(jnp.zeros_like, params) for _ in range(slots)))
        last, _ = jax.lax.scan(body, first, (rows, batches), length=steps)
        return loss(last[0], data["valid"])

    value = jax.jit(outer_loss)
    value_and_grad = jax.jit(jax.value_and_grad(outer_loss))

    def train() -> float:
        return float(value(workload.hparams, start, data, batches))

    def hypergradient() -> tuple[float, Any]:
        found, gradient = value_and_grad(workload.hparams, start, data, batches)
        return float(found), jax.tree.map(np.asarray, gradient)

    return train, hypergradient
