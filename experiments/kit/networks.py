"""Fully connected networks: parameters ``{"layer1": {"w": (p, q), "b": (q,)}, ...}``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import hypergrad as hg

Params = dict[str, dict[str, Any]]


def dense(sizes: tuple[int, ...], rng: np.random.Generator, scale: float | None = None) -> Params:
    """Normal weights of standard deviation `scale`, None: 1/sqrt(inputs); biases zero."""
    return {
        f"layer{number}": {
            "w": rng.standard_normal((p, q)) * (1.0 / np.sqrt(p) if scale is None else scale),
            "b": np.zeros(q),
        }
        for number, (p, q) in enumerate(pairwise(sizes), start=1)
    }


def logits(params: Params, x: Any, activation: Any = np.tanh) -> Any:
    """The last layer's output (n, K)."""
    *hidden, last = params.values()
    for layer in hidden:
        x = activation(x @ layer["w"] + layer["b"])
    return x @ last["w"] + last["b"]


def cross_entropy(params: Params, batch: dict[str, Any], activation: Any = np.tanh) -> Any:
    """Mean cross-entropy of the softmax of `logits`, nats."""
    return hg.nn.softmax_cross_entropy(logits(params, batch["x"], activation), batch["y"]).mean()


def error_rate(params: Params, batch: dict[str, Any], activation: Any = np.tanh) -> float:
    """Share of rows whose largest logit is not the label's."""
    return float(np.mean(np.argmax(logits(params, batch["x"], activation), axis=1) != batch["y"]))


def problem(
    start: Any,
    train: Any,
    valid: Any,
    optimizer: Any,
    steps: int,
    penalty: Callable[[Params, Any], Any] | None = None,
    **more: Any,
) -> hg.BilevelProblem:
    """Training of a tanh network on cross-entropy, judged by that of validation rows.

    Args:
        start: parameters, or a function of (hparams, rng) that gives them.
        train, valid: ``{"x": (n, p), "y": (n,)}``.
        optimizer: of hg.optim.
        steps: of training.
        penalty: of (params, hparams), added to the inner loss.
        more: other arguments of `hg.BilevelProblem`.
    """

    def loss(params: Params, hparams: Any, batch: Any) -> Any:
        return cross_entropy(params, batch)

    def penalised(params: Params, hparams: Any, batch: Any) -> Any:
        extra = penalty(params, hparams)
        return cross_entropy(params, batch) + extra

    return hg.BilevelProblem(
        init=start if callable(start) else lambda hparams, rng: start,
        inner_loss=loss if penalty is None else penalised,
        outer_loss=loss,
        train=train,
        valid=valid,
        optimizer=optimizer,
        steps=steps,
        **more,
    )
