"""HIPS/autograd: the optimiser unrolled by hand with ``grad``, then ``value_and_grad`` of all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

LIBRARY = "autograd"
DISTRIBUTION = "autograd"
VARIANTS = ("unroll",)


def build(workload: Any, variant: str) -> tuple[Callable[[], float], Callable[[], tuple[float, Any]]]:
    import autograd.numpy as np
    from autograd import grad, value_and_grad
    from autograd.scipy.special import logsumexp

    dtype = workload.train["x"].dtype
    train_rows, valid_rows = workload.rows("train"), workload.rows("valid")
    slots = {"sgd": 0, "momentum": 1, "adam": 2}[workload.optimizer]
    # maximum(x, 0) would have slope 1/2 at 0
    activation = {"tanh": np.tanh, "relu": lambda x: x * (x > 0)}[workload.activation]
    loss_of = {
        "softmax": lambda z, y: -np.sum(y * (z - logsumexp(z, axis=1, keepdims=True))) / len(z),
        "binary": lambda z, y: np.mean(np.logaddexp(z, dtype.type(0)) - y * z),
        "squared": lambda z, y: np.mean((z - y) ** 2),
    }[workload.loss]

    def loss(params: Any, rows: Any) -> Any:
        x = rows["x"]
        for number, (w, *b) in enumerate(params):
            x = np.dot(x, w) + b[0] if b else np.dot(x, w)
            if number < len(params) - 1:
                x = activation(x)
        return loss_of(x, rows["y"])

    def penalty(params: Any, hparams: Any) -> Any:
        strength = np.exp(hparams["log_l2"]) if "log_l2" in hparams else hparams["l2"]
        if workload.per_weight:
            return 0.5 * np.sum(strength * params[0][0] ** 2)
        each = [strength] * len(params) if strength.ndim == 0 else strength
        return sum(0.5 * each[i] * np.sum(layer[0] ** 2) for i, layer in enumerate(params))

    def inner_loss(params: Any, hparams: Any, rows: Any) -> Any:
        fit = loss(params, rows)
        return fit + penalty(params, hparams) if workload.penalised else fit

    step_gradient = grad(inner_loss)

    def rate_of(hparams: Any) -> Callable[[str, str, int], Any]:
        """The rate `name` of `layer` at step t, bias corrections in float64."""
        rates = {name: hparams.get(name, workload.fixed.get(name)) for name in workload.rates}
        if workload.optimizer == "adam":
            t = numpy.arange(1.0, workload.steps + 1.0)
            lr, b1, b2 = (rates[name].astype(float) for name in ("lr", "b1", "b2"))
            rates["lr"] = (lr / (1.0 - b1**t)).astype(dtype)
            rates["scale"] = (1.0 / np.sqrt(1.0 - b2**t)).astype(dtype)

        def now(name: str, layer: str, t: int) -> Any:
            found = rates[name][layer] if isinstance(workload.hparams.get(name), dict) else rates[name]
            return found[t] if numpy.ndim(found) else found

        return now

    def update(rate: Callable[[str], Any], w: Any, g: Any, *slots: Any) -> tuple[Any, ...]:
        if workload.optimizer == "sgd":
            return (w - rate("lr") * g,)
        if workload.optimizer == "momentum":
            m = rate("momentum") * slots[0] + g
            return w - rate("lr") * m, m
        m = rate("b1") * slots[0] + (1.0 - rate("b1")) * g
        v = rate("b2") * slots[1] + (1.0 - rate("b2")) * g**2
        return w - rate("lr") * (m / (np.sqrt(v) * rate("scale") + workload.fixed["eps"])), m, v

    def outer_loss(hparams: Any) -> Any:
        params = [list(leaves.values()) for leaves in workload.params.values()]
        state = [params, *([[numpy.zeros_like(w) for w in layer] for layer in params] for _ in range(slots))]
        rate = rate_of(hparams)
        for t in range(workload.steps):
            rows = train_rows
            if workload.batches is not None:
                rows = {key: leaf[workload.batches[t]] for key, leaf in rows.items()}
            g = step_gradient(state[0], hparams, rows)
            new = [
                [
                    update(lambda name, layer=layer, t=t: rate(name, layer, t), *leaves)
                    for leaves in zip(state[0][i], g[i], *(slot[i] for slot in state[1:]), strict=True)
                ]
                for i, layer in enumerate(workload.layers)
            ]
            state = [[[leaf[kind] for leaf in layer] for layer in new] for kind in range(1 + slots)]
        return loss(state[0], valid_rows)

    both = value_and_grad(outer_loss)

    def train() -> float:
        return float(outer_loss(workload.hparams))

    def hypergradient() -> tuple[float, Any]:
        found, gradient = both(workload.hparams)
        return float(found), gradient

    return train, hypergradient
