"""Sequences: linear recurrences, cumulative products and convolutions.

Notation: along one axis, y = R(x) b solves y_k = x_k y_{k-1} + b_k, y_{-1} = 0 (x_0 is never used). R is linear in b;
dy = R(x) (dx_k y_{k-1} + db_k), and its transpose is the recurrence run from the other end,
b̄_k = ȳ_k + x_{k+1} b̄_{k+1}. Cumulative products P_k = x_k P_{k-1} have dP = R(x) (P_{k-1} dx_k), right at zeros too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import bind

__all__ = ["convolve_p", "cumprod_p", "recurrence_p"]


def _part(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return x[(slice(None),) * axis + (slice(start, stop),)]


def _shifted(x: Any, axis: int, first: float) -> Any:
    """x_{k-1} in the place of x_k, and `first` in that of x_0."""
    shape = list(x.shape)
    shape[axis] = 1
    return np.concatenate([np.full(shape, first, x.dtype), _part(x, axis, None, -1)], axis)


def _recurrence(x: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    y = np.array(b)
    rows, factors = np.moveaxis(y, axis, 0), np.moveaxis(x, axis, 0)
    for k in range(1, len(rows)):
        rows[k] += factors[k] * rows[k - 1]
    return y


def _recurrence_jvp(out: Any, tangents: Any, inputs: Any, axis: int) -> Any:
    tx, tb = tangents
    moved = tb
    if tx is not None and out.shape[axis]:
        moved = tx * _shifted(out, axis, 0.0)
        moved = moved if tb is None else moved + tb
    return None if moved is None else bind(recurrence_p, inputs[0], moved, axis=axis)


def _recurrence_transpose(ct: Any, inputs: Any, types: Any, axis: int) -> tuple[None, Any]:
    if not ct.shape[axis]:
        return None, ct
    factors = _shifted(np.flip(inputs[0], axis), axis, 0.0)
    return None, np.flip(bind(recurrence_p, factors, np.flip(ct, axis), axis=axis), axis)


recurrence_p: Primitive = Primitive(
    "recurrence", lambda x, b, axis: b, _recurrence, _recurrence_jvp, _recurrence_transpose
)


def _cumprod_jvp(out: Any, tangents: Any, inputs: Any, axis: int) -> Any:
    if not out.shape[axis]:
        return tangents[0]
    return bind(recurrence_p, inputs[0], tangents[0] * _shifted(out, axis, 1.0), axis=axis)


cumprod_p = Primitive(
    "cumprod",
    infer=lambda x, axis: x,
    call=lambda x, axis: np.cumprod(x, axis=axis, dtype=x.dtype),
    jvp=_cumprod_jvp,
)


# convolution of two vectors: (a * v)_k = Σ_i a_i v_{k-i}, all n + m - 1 of them -------------------------
def _convolve_jvp(out: Any, tangents: Any, inputs: Any) -> Any:
    ta, tv = tangents
    left = None if ta is None else bind(convolve_p, ta, inputs[1])
    right = None if tv is None else bind(convolve_p, inputs[0], tv)
    return right if left is None else left if right is None else left + right


def _convolve_transpose(ct: Any, inputs: Any, types: Any) -> tuple[Any, Any]:
    """ā_i = Σ_k c_k v_{k-i}: the middle of the convolution of c with v reversed."""
    a, v = inputs
    known = v if a is None else a
    other = types[0 if a is None else 1]
    start = known.shape[0] - 1
    found = bind(convolve_p, ct, known[::-1])[start : start + other.shape[0]]
    return (found, None) if a is None else (None, found)


convolve_p: Primitive = Primitive(
    "convolve",
    infer=lambda a, v: ArrayType((a.shape[0] + v.shape[0] - 1,), a.dtype),
    call=lambda a, v: np.convolve(a, v),
    jvp=_convolve_jvp,
    transpose=_convolve_transpose,
)
