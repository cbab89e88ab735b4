"""Activations, losses and initialisers of networks, as compositions of NumPy functions.

Notation: z logits of shape (..., K), p probabilities, y labels. Each works on plain arrays and on traced
ones; none overflows for any finite input. A loss returns one number a row; take its mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.api import stop_gradient
from hypergrad.ad.primitives.elementwise import expit_p, select
from hypergrad.ad.trace import Tracer, bind, source_line
from hypergrad.errors import ShapeError

__all__ = [
    "binary_cross_entropy",
    "elu",
    "gelu",
    "he_normal",
    "leaky_relu",
    "log_softmax",
    "logsumexp",
    "relu",
    "sigmoid",
    "sigmoid_binary_cross_entropy",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "squared_error",
    "tanh",
    "xavier_normal",
]


def _float(x: Any) -> Any:
    if isinstance(x, Tracer):
        return x if x.dtype.kind == "f" else x.astype(float)
    array = np.asarray(x)
    return array if array.dtype.kind == "f" else array.astype(float)


def relu(x: Any) -> Any:
    """max(x, 0); slope 0 at 0 (Nair & Hinton 2010)."""
    x = _float(x)
    return x * (x > 0)


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x for x > 0, else slope * x (Maas et al. 2013)."""
    x = _float(x)
    return select(x > 0, x, slope * x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x for x > 0, else alpha (exp(x) - 1) (Clevert et al. 2016)."""
    x = _float(x)
    return select(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), accurate in both tails."""
    return bind(expit_p, _float(x))


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return np.tanh(x)


def softplus(x: Any) -> Any:
    """log(1 + exp(x))."""
    return np.logaddexp(_float(x), 0.0)


def silu(x: Any) -> Any:
    """x sigmoid(x) (Hendrycks & Gimpel 2016)."""
    return x * sigmoid(x)


def gelu(x: Any) -> Any:
    """x Φ(x) in its tanh approximation (Hendrycks & Gimpel 2016, eq. 2)."""
    x = _float(x)
    return 0.5 * x * (1.0 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def logsumexp(z: Any, axis: int | tuple[int, ...] | None = -1, keepdims: bool = False) -> Any:
    """log Σ exp(z) along `axis`.

    Args:
        z: real array. Rows that are -inf throughout give -inf.
    """
    z = _float(z)
    top = np.max(z, axis=axis, keepdims=True)
    top = stop_gradient(select(np.isfinite(top), top, 0.0))
    total = np.log(np.sum(np.exp(z - top), axis=axis, keepdims=True)) + top
    if keepdims:
        return total
    return np.squeeze(total, axis) if axis is not None else np.reshape(total, ())


def softmax(z: Any, axis: int = -1) -> Any:
    """exp(z) / Σ exp(z) along `axis`."""
    z = _float(z)
    e = np.exp(z - stop_gradient(np.max(z, axis=axis, keepdims=True)))
    return e / np.sum(e, axis=axis, keepdims=True)


def log_softmax(z: Any, axis: int = -1) -> Any:
    """z - log Σ exp(z) along `axis`."""
    z = _float(z)
    shifted = z - stop_gradient(np.max(z, axis=axis, keepdims=True))
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def _one_hot(z: Any, y: Any) -> Any:
    """Labels as weights of shape (..., K): integer labels (...) are spread, weights are kept."""
    y = y if isinstance(y, Tracer) else np.asarray(y)
    if y.shape == z.shape and y.dtype.kind == "f":
        return y
    if y.dtype.kind not in "iub":
        raise ShapeError(
            f"softmax_cross_entropy: labels must be integers of shape {z.shape[:-1]} or weights of shape {z.shape}, "
            f"got {y.dtype} of shape {y.shape}, at {source_line()}"
        )
    if y.shape == z.shape:
        return y.astype(z.dtype)
    if y.shape != z.shape[:-1]:
        raise ShapeError(
            f"softmax_cross_entropy: labels of shape {y.shape} do not fit logits of shape {z.shape}, at {source_line()}"
        )
    if not isinstance(y, Tracer) and y.size and (y.min() < 0 or y.max() >= z.shape[-1]):
        raise ShapeError(
            f"softmax_cross_entropy: labels run from {y.min()} to {y.max()}, but there are {z.shape[-1]} classes, "
            f"at {source_line()}"
        )
    return (y[..., None] == np.arange(z.shape[-1])).astype(z.dtype)


def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    """-Σ_k y_k log softmax(z)_k for each row.

    Args:
        logits: z of shape (..., K).
        labels: integers of shape (...) in 0..K-1, or weights of shape (..., K).

    Returns:
        Losses of shape (...).

    Raises:
        ShapeError: shapes that do not fit, or a label outside 0..K-1.
    """
    z = _float(logits)
    y = _one_hot(z, labels)
    shifted = z - stop_gradient(np.max(z, axis=-1, keepdims=True))
    total = np.log(np.sum(np.exp(shifted), axis=-1))
    kind = labels if isinstance(labels, Tracer) else np.asarray(labels)
    if kind.ndim < z.ndim:  # the weights of an integer label add up to 1
        return total - np.sum(y * shifted, axis=-1)
    return total * np.sum(y, axis=-1) - np.sum(y * shifted, axis=-1)


def sigmoid_binary_cross_entropy(logits: Any, labels: Any) -> Any:
    """-y log σ(z) - (1 - y) log(1 - σ(z)) = softplus(z) - y z, elementwise.

    Args:
        logits: z of any shape.
        labels: y in [0, 1], of the same shape.
    """
    z = _float(logits)
    return softplus(z) - labels * z


def binary_cross_entropy(probabilities: Any, labels: Any) -> Any:
    """-y log p - (1 - y) log(1 - p), elementwise; 0 log 0 is 0.

    Args:
        probabilities: p in [0, 1]; prefer `sigmoid_binary_cross_entropy` of the logits, which keeps all digits.
        labels: y in [0, 1], of the same shape.
    """
    p = _float(probabilities)
    y = labels if isinstance(labels, Tracer) else np.asarray(labels).astype(p.dtype)
    hit = select(y > 0, p, 1.0)
    miss = select(y < 1, 1.0 - p, 1.0)
    return -(y * np.log(hit) + (1.0 - y) * np.log(miss))


def squared_error(predictions: Any, targets: Any) -> Any:
    """(p - t)², summed over all axes after the first: one number a row."""
    d = _float(predictions) - targets
    d = d * d
    return d if d.ndim < 2 else np.sum(d, axis=tuple(range(1, d.ndim)))


def xavier_normal(rng: np.random.Generator, fan_in: int, fan_out: int, dtype: Any = float) -> np.ndarray:
    """Weights (fan_in, fan_out) from N(0, 2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return (rng.standard_normal((fan_in, fan_out)) * np.sqrt(2.0 / (fan_in + fan_out))).astype(dtype)


def he_normal(rng: np.random.Generator, fan_in: int, fan_out: int, dtype: Any = float) -> np.ndarray:
    """Weights (fan_in, fan_out) from N(0, 2 / fan_in) (He et al. 2015)."""
    return (rng.standard_normal((fan_in, fan_out)) * np.sqrt(2.0 / fan_in)).astype(dtype)
