"""Activations, losses and initialisers of networks, as compositions of NumPy functions.

Notation: z logits of shape (..., K), p probabilities, y labels. Each works on plain arrays and on traced
ones; none overflows for any finite input. A loss returns one number a row; take its mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.api import stop_gradient
from hypergrad.ad.options import array_of
from hypergrad.ad.primitives.elementwise import expit_p, relu_p, select
from hypergrad.ad.primitives.softmax import log_sum_exp_p, softmax_p
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
    "relaxed_dropout",
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
    """`x` as an array of floats."""
    x = array_of(x)
    return x if x.dtype.kind == "f" else x.astype(float)


def relu(x: Any) -> Any:
    """max(x, 0); slope 0 at 0 (Nair & Hinton 2010)."""
    return bind(relu_p, _float(x))


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
    return np.tanh(_float(x))


def softplus(x: Any) -> Any:
    """log(1 + exp(x))."""
    return np.logaddexp(_float(x), 0.0)


def silu(x: Any) -> Any:
    """x sigmoid(x) (Hendrycks & Gimpel 2016)."""
    x = _float(x)
    return x * sigmoid(x)


def gelu(x: Any) -> Any:
    """x Φ(x) in its tanh approximation (Hendrycks & Gimpel 2016, eq. 2)."""
    x = _float(x)
    near = np.clip(x, -10.0, 10.0)  # beyond, the tanh is 1 to the last digit, and x³ may overflow
    return 0.5 * x * (1.0 + np.tanh(0.7978845608028654 * (near + 0.044715 * near * near * near)))


def logsumexp(z: Any, axis: int | tuple[int, ...] | None = -1, keepdims: bool = False) -> Any:
    """log Σ exp(z) along `axis`.

    Args:
        z: real array. Rows that are -inf throughout give -inf.
    """
    z = _float(z)
    top = np.max(z, axis=axis, keepdims=True)
    top = stop_gradient(select(np.isfinite(top), top, 0.0))
    total = np.sum(np.exp(z - top), axis=axis, keepdims=True)
    empty = total == 0  # only rows of -inf: log 1 instead of log 0, which would warn
    total = select(empty, -np.inf, np.log(select(empty, 1.0, total)) + top)
    if keepdims:
        return total
    return np.squeeze(total, axis) if axis is not None else np.reshape(total, ())


def softmax(z: Any, axis: int = -1) -> Any:
    """exp(z) / Σ exp(z) along `axis`."""
    z = _float(z)
    return bind(softmax_p, _shifted(z, axis), axes=(axis % max(z.ndim, 1),))


def log_softmax(z: Any, axis: int = -1) -> Any:
    """z - log Σ exp(z) along `axis`."""
    z = _float(z)
    shifted = _shifted(z, axis)
    return shifted - np.expand_dims(bind(log_sum_exp_p, shifted, axes=(axis % max(z.ndim, 1),)), axis)


def _shifted(z: Any, axis: int) -> Any:
    """z less its largest entry along `axis`, which changes no softmax."""
    return z - stop_gradient(np.max(z, axis=axis, keepdims=True))


def _labels(name: str, outputs: Any, labels: Any, bound: bool) -> Any:
    """Labels as floats of the dtype of `outputs`, of the same shape or one number for all.

    Args:
        bound: whether they must lie in [0, 1].
    """
    y = array_of(labels)
    if y.shape not in ((), outputs.shape):
        raise ShapeError(
            f"{name}: labels of shape {y.shape} do not fit predictions of shape {outputs.shape}, "
            f"at {source_line()}; reshape one of them"
        )
    if bound and not isinstance(y, Tracer) and y.size and not (y.min() >= 0 and y.max() <= 1):
        raise ShapeError(
            f"{name}: labels must lie in [0, 1], but run from {y.min()} to {y.max()}, at {source_line()}"
        )
    return y if y.dtype.kind == "f" and y.ndim else y.astype(outputs.dtype)


def _is_class(z: Any, y: Any) -> Any:
    """Whether k is the label of a row: booleans of shape (..., K)."""
    if not isinstance(y, Tracer) and y.size and (y.min() < 0 or y.max() >= z.shape[-1]):
        raise ShapeError(
            f"softmax_cross_entropy: labels run from {y.min()} to {y.max()}, but there are "
            f"{z.shape[-1]} classes, at {source_line()}"
        )
    return y[..., None] == np.arange(z.shape[-1])


def softmax_cross_entropy(logits: Any, labels: Any, smoothing: Any = 0.0) -> Any:
    """-Σ_k ((1 - s) y_k + s / K) log softmax(z)_k for each row, s = smoothing (Szegedy et al. 2016, sec. 7).

    Args:
        logits: z of shape (..., K); -inf excludes a class (and makes the loss infinite where s is not 0).
        labels: integers of shape (...) in 0..K-1, or weights of shape (..., K).
        smoothing: s in [0, 1]: a number, or one a row; differentiated where it is a hyperparameter.

    Returns:
        Losses of shape (...).

    Raises:
        ShapeError: shapes that do not fit, a label outside 0..K-1, or a smoothing outside [0, 1].
    """
    z, y = _float(logits), array_of(labels)
    if not isinstance(smoothing, float) or smoothing != 0.0:
        s, base = _unit("softmax_cross_entropy: smoothing", smoothing, z.dtype), softmax_cross_entropy(z, y)
        spread = -np.mean(log_softmax(z), axis=-1)
        return (1.0 - s) * base + s * spread
    if z.ndim == 0 or y.shape not in (z.shape, z.shape[:-1]):
        raise ShapeError(
            f"softmax_cross_entropy: labels of shape {y.shape} do not fit logits of shape {z.shape}; they must "
            f"be integers of shape {z.shape[:-1]} or weights of shape {z.shape}, at {source_line()}"
        )
    if y.ndim < z.ndim and y.dtype.kind not in "iub":
        raise ShapeError(
            f"softmax_cross_entropy: labels of shape {y.shape} must be integers, got {y.dtype}, "
            f"at {source_line()}; write .astype(int), or weights of shape {z.shape}"
        )
    shifted = _shifted(z, -1)
    total = bind(log_sum_exp_p, shifted, axes=(z.ndim - 1,))
    if y.ndim < z.ndim:
        return total - np.sum(select(_is_class(z, y), shifted, 0.0), axis=-1)
    weights = y if y.dtype.kind == "f" else y.astype(z.dtype)
    excluded = (weights == 0) & (shifted == -np.inf)  # 0 log 0 = 0
    return total * np.sum(weights, axis=-1) - np.sum(weights * select(excluded, 0.0, shifted), axis=-1)


def sigmoid_binary_cross_entropy(logits: Any, labels: Any) -> Any:
    """-y log σ(z) - (1 - y) log(1 - σ(z)) = softplus(z) - y z, elementwise.

    Args:
        logits: z of any shape.
        labels: y in [0, 1], of the same shape, or one number.

    Raises:
        ShapeError: another shape, or a label outside [0, 1].
    """
    z = _float(logits)
    return softplus(z) - _labels("sigmoid_binary_cross_entropy", z, labels, bound=True) * z


def binary_cross_entropy(probabilities: Any, labels: Any) -> Any:
    """-y log p - (1 - y) log(1 - p), elementwise; 0 log 0 is 0.

    Args:
        probabilities: p in [0, 1]; prefer `sigmoid_binary_cross_entropy` of the logits, which keeps all digits.
        labels: y in [0, 1], of the same shape, or one number.

    Raises:
        ShapeError: another shape, or a label outside [0, 1].
    """
    p = _float(probabilities)
    y = _labels("binary_cross_entropy", p, labels, bound=True)
    hit = select(y > 0, p, 1.0)
    miss = select(y < 1, 1.0 - p, 1.0)
    return -(y * np.log(hit) + (1.0 - y) * np.log(miss))


def squared_error(predictions: Any, targets: Any) -> Any:
    """(p - t)², summed over all axes after the first: one number a row.

    Args:
        predictions: p of any shape.
        targets: t of the same shape, or one number.

    Raises:
        ShapeError: another shape.
    """
    p = _float(predictions)
    d = p - _labels("squared_error", p, targets, bound=False)
    d = d * d
    return d if d.ndim < 2 else np.sum(d, axis=tuple(range(1, d.ndim)))


def _unit(name: str, value: Any, dtype: Any, open: bool = False) -> Any:
    """`value` as floats of a dtype, which must lie in [0, 1] (or inside, if `open`)."""
    if isinstance(value, Tracer):
        return value
    x = np.asarray(value, dtype)
    if not np.all((x > 0) & (x < 1) if open else (x >= 0) & (x <= 1)):
        raise ShapeError(
            f"{name} must lie in {'(0, 1)' if open else '[0, 1]'}, got {value!r}, at {source_line()}"
        )
    return x


def relaxed_dropout(x: Any, rate: Any, rng: Any, temperature: float = 0.1) -> Any:
    """x (1 - z) / (1 - rate), z = σ((log rate - log(1 - rate) + log u - log(1 - u)) / temperature), u uniform.

    Dropout whose mask depends smoothly on its rate, so that the rate has a derivative: the concrete relaxation
    (Gal, Hron & Kendall 2017, eq. 5; Maddison et al. 2017). As the temperature goes to 0, z becomes 1 with
    probability `rate`, else 0. For prediction leave it out.

    Args:
        x: activations of any shape.
        rate: in (0, 1): a number, or an array that broadcasts against x (one rate a unit).
        rng: the generator that the loss is given; the draw is one uniform number an entry of x.
        temperature: positive.

    Raises:
        ShapeError: a rate outside (0, 1), or a temperature that is not positive.
    """
    x = _float(x)
    p = _unit("relaxed_dropout: rate", rate, x.dtype, open=True)
    if not isinstance(temperature, Tracer) and not temperature > 0:
        raise ShapeError(
            f"relaxed_dropout: temperature must be positive, got {temperature!r}, at {source_line()}"
        )
    u = np.clip(rng.random(x.shape).astype(x.dtype), 1e-7, 1.0 - 1e-7)  # so that no logarithm is infinite
    kept = sigmoid((np.log1p(-p) - np.log(p) + np.log1p(-u) - np.log(u)) / temperature)  # 1 - z
    return x * kept / (1.0 - p)


def xavier_normal(rng: np.random.Generator, fan_in: int, fan_out: int, dtype: Any = float) -> np.ndarray:
    """Weights (fan_in, fan_out) from N(0, 2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return (rng.standard_normal((fan_in, fan_out)) * np.sqrt(2.0 / (fan_in + fan_out))).astype(dtype)


def he_normal(rng: np.random.Generator, fan_in: int, fan_out: int, dtype: Any = float) -> np.ndarray:
    """Weights (fan_in, fan_out) from N(0, 2 / fan_in) (He et al. 2015)."""
    return (rng.standard_normal((fan_in, fan_out)) * np.sqrt(2.0 / fan_in)).astype(dtype)
