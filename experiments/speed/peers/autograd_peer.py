"""HIPS/autograd: momentum unrolled by hand with ``grad``, then ``value_and_grad`` of all of it."""

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

    layers = workload.layers
    dtype = workload.train["x"].dtype
    half = dtype.type(0.5)
    one_hot = numpy.eye(workload.classes, dtype=dtype)
    x, y = workload.train["x"], one_hot[workload.train["y"]]
    x_valid, y_valid = workload.valid["x"], one_hot[workload.valid["y"]]

    def cross_entropy(params: Any, x: Any, y: Any) -> Any:
        for w, b in params[:-1]:
            x = np.tanh(np.dot(x, w) + b)
        w, b = params[-1]
        logits = np.dot(x, w) + b
        return -np.sum(y * (logits - logsumexp(logits, axis=1, keepdims=True))) / len(x)

    def inner_loss(params: Any, hparams: Any, x: Any, y: Any) -> Any:
        loss = cross_entropy(params, x, y)
        if "log_l2" in hparams:
            strength = np.exp(hparams["log_l2"])
            for number, (w, _) in enumerate(params):
                weight = strength if strength.ndim == 0 else strength[number]
                loss = loss + half * weight * np.sum(w**2)
        return loss

    step_gradient = grad(inner_loss)
    per_layer = isinstance(workload.hparams["lr"], dict)
    scheduled = workload.hparams["momentum"].ndim == 1

    def outer_loss(hparams: Any) -> Any:
        params = [(workload.params[layer]["w"], workload.params[layer]["b"]) for layer in layers]
        velocity = [(numpy.zeros_like(w), numpy.zeros_like(b)) for w, b in params]
        lr, momenta = hparams["lr"], hparams["momentum"]
        rates = [lr[layer] for layer in layers] if per_layer else [lr] * len(layers)
        for t, index in enumerate(workload.batches):
            g = step_gradient(params, hparams, x[index], y[index])
            momentum = momenta[t] if scheduled else momenta
            velocity = [
                (momentum * mw + gw, momentum * mb + gb)
                for (mw, mb), (gw, gb) in zip(velocity, g, strict=True)
            ]
            params = [
                (w - rate[t] * mw, b - rate[t] * mb)
                for (w, b), (mw, mb), rate in zip(params, velocity, rates, strict=True)
            ]
        return cross_entropy(params, x_valid, y_valid)

    both = value_and_grad(outer_loss)

    def train() -> float:
        return float(outer_loss(workload.hparams))

    def hypergradient() -> tuple[float, Any]:
        loss, gradient = both(workload.hparams)
        return float(loss), gradient

    return train, hypergradient
