"""The same training written by hand in NumPy, to hold hypergrad's values and hypergradients against.

Notation
    m' = momentum_t m + g,  w' = w - lr_t m'   the steps of momentum; g the gradient of cross-entropy + sum(l2 w^2) / 2
    a_0 = x, a_i = tanh(a_{i-1} w_i + b_i)     the network; its last layer is linear
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad import tree

Tree = Any
Rate = float | np.ndarray | Callable[[int, str], float]  # of all steps, (T,) of each, or of (step, layer)


def momentum_training(
    params: Tree,
    train: dict[str, np.ndarray],
    batches: np.ndarray,
    lr: Rate,
    momentum: Rate,
    l2: Callable[[str, str], Any] = lambda layer, leaf: 0.0,
    weights: np.ndarray | None = None,
) -> Tree:
    """Parameters of a tanh network after training by momentum on mean cross-entropy.

    Args:
        params: ``{"layer1": {"w": (p, q), "b": (q,)}, ...}``, the start.
        train: ``{"x": (n, p), "y": (n,) labels or (n, K) targets}``.
        batches: (T, B) rows of each step.
        lr, momentum: a number, one for each step, or a function of (step, layer).
        l2: of (layer, leaf): a number or an array that broadcasts to it.
        weights: (n,), that of each row's cross-entropy; the mean is still over the number of rows. None: 1.
    """
    params = {name: {k: np.array(v, float) for k, v in layer.items()} for name, layer in params.items()}
    slots = {name: {k: np.zeros_like(v) for k, v in layer.items()} for name, layer in params.items()}
    lr, momentum = _rate(lr), _rate(momentum)
    for t, rows in enumerate(batches):
        slopes = gradient(
            params, train["x"][rows], train["y"][rows], 1.0 if weights is None else weights[rows, None]
        )
        for name, layer in params.items():
            for k in layer:
                slope = slopes[name][k] + l2(name, k) * layer[k]
                slots[name][k] = momentum(t, name) * slots[name][k] + slope
                layer[k] = layer[k] - lr(t, name) * slots[name][k]
    return params


def trained_loss(
    params: Tree,
    train: dict[str, np.ndarray],
    valid: dict[str, np.ndarray],
    batches: np.ndarray,
    lr: Rate,
    momentum: Rate,
    l2: Callable[[str, str], Any] = lambda layer, leaf: 0.0,
) -> float:
    """The loss on validation rows after `momentum_training`."""
    trained = momentum_training(params, train, batches, lr, momentum, l2)
    return loss(trained, valid["x"], valid["y"])


def gradient(params: Tree, x: np.ndarray, y: np.ndarray, weights: Any = 1.0) -> Tree:
    """The gradient of `loss`, a tree like params; of weighted rows where `weights` is (n, 1)."""
    *inputs, z = _activations(params, x)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    delta = weights * (p / p.sum(axis=1, keepdims=True) - _targets(y, z.shape[1])) / len(x)
    found = {}
    for a, (name, layer) in zip(reversed(inputs), reversed(params.items()), strict=True):
        found[name] = {"w": a.T @ delta, "b": delta.sum(axis=0)}
        delta = (delta @ layer["w"].T) * (1.0 - a * a)
    return found


def loss(params: Tree, x: np.ndarray, y: np.ndarray) -> float:
    """Mean cross-entropy, nats."""
    z = _activations(params, x)[-1]
    z = z - z.max(axis=1, keepdims=True)
    logs = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return float(-np.mean(np.sum(_targets(y, z.shape[1]) * logs, axis=1)))


def agreement(
    hypergradient: Tree, value: float, reference: Callable[[Tree], float], hparams: Tree, seed: int = 0
) -> dict[str, float]:
    """How far a value and a hypergradient are from those of the hand-written training.

    The slope along a random direction d, |d_i| about |hparam_i|, is compared with the central difference of fourth
    order (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h of the reference, h = 1e-3.

    Returns:
        ``value_error`` and ``slope_error``, relative.
    """
    rng = np.random.default_rng([seed, 99])
    direction = tree.map(lambda x: (np.abs(x) + 1e-3) * rng.standard_normal(np.shape(x)), hparams)

    def along(step: float) -> float:
        return reference(tree.map(lambda x, d: x + step * d, hparams, direction))

    h = 1e-3
    slope = (8.0 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12.0 * h)
    products = tree.map(lambda g, d: np.sum(g * d), hypergradient, direction)
    ours = sum(float(leaf) for leaf in tree.flatten(products)[0])
    again = reference(hparams)
    return {
        "value_error": abs(value - again) / abs(again),
        "slope_error": abs(ours - slope) / max(abs(slope), 1e-12),
    }


def _rate(given: Rate) -> Callable[[int, str], float]:
    if callable(given):
        return given
    steps = np.ndim(given) == 1
    return lambda t, layer: given[t] if steps else given


def _activations(params: Tree, x: np.ndarray) -> list[np.ndarray]:
    found, layers = [x], list(params.values())
    for number, layer in enumerate(layers, start=1):
        z = found[-1] @ layer["w"] + layer["b"]
        found.append(z if number == len(layers) else np.tanh(z))
    return found


def _targets(y: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[y] if y.ndim == 1 else y
