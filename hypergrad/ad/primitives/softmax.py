"""Normalised exponentials. Notation: p_k = exp(x_k) / Σ_j exp(x_j), sums over `axes`.

Both primitives take operands that are already shifted (x - max x), so that nothing overflows. As one primitive each,
their derivatives need p alone: d log Σ exp(x) = Σ p dx and dp = p (dx - Σ p dx).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.primitives.linear import reduce_sum
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import bind

__all__ = ["log_sum_exp_p", "softmax_p"]


def _log_sum_exp_jvp(out: Any, tangents: Any, inputs: Any, axes: tuple[int, ...]) -> Any:
    return reduce_sum(bind(softmax_p, inputs[0], axes=axes) * tangents[0], axes)


def _softmax_jvp(out: Any, tangents: Any, inputs: Any, axes: tuple[int, ...]) -> Any:
    moved = out * tangents[0]
    return moved - out * reduce_sum(moved, axes, keepdims=True)


def _softmax(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    e = np.exp(x)
    return e / np.sum(e, axis=axes, keepdims=True)


softmax_p = Primitive("softmax", lambda x, axes: x, _softmax, _softmax_jvp)
log_sum_exp_p = Primitive(
    "log_sum_exp",
    infer=lambda x, axes: ArrayType(tuple(n for a, n in enumerate(x.shape) if a not in axes), x.dtype),
    call=lambda x, axes: np.log(np.sum(np.exp(x), axis=axes)),
    jvp=_log_sum_exp_jvp,
)
