"""Discrete Fourier transforms along one axis.

Notation: (F x)_k = s Σ_j x_j exp(-2πi jk/n), s from `norm`. F is symmetric, so that it is its own transpose.
rfft keeps k = 0..n/2 of a real x: its transpose pads with zeros, applies F and takes the real part.
irfft is real, x_j = s Σ_k w_k Re(z_k exp(2πi jk/n)) with w = 1 for k = 0 and k = n/2, and 2 between, so that its
transpose is w ∘ conj(rfft(c)) of the same scale; the imaginary parts at k = 0 and n/2 count for nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.primitives.complex import conj, real
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import bind

__all__ = ["fft_p", "irfft_p", "rfft_p"]

_DUAL = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _complex(dtype: np.dtype) -> np.dtype:
    return np.result_type(dtype, np.complex64)


def _resized(x: ArrayType, axis: int, n: int, dtype: np.dtype) -> ArrayType:
    return ArrayType((*x.shape[:axis], n, *x.shape[axis + 1 :]), dtype)


fft_p: Primitive = Primitive(
    "fft",
    infer=lambda x, axis, inverse, norm: ArrayType(x.shape, _complex(x.dtype)),
    call=lambda x, axis, inverse, norm: (np.fft.ifft if inverse else np.fft.fft)(x, axis=axis, norm=norm),
    jvp=lambda out, tangents, inputs, **params: bind(fft_p, tangents[0], **params),
    transpose=lambda ct, inputs, types, **params: (bind(fft_p, ct, **params),),
)


def _rfft_transpose(ct: Any, inputs: Any, types: Any, axis: int, norm: Any) -> tuple[Any]:
    missing = types[0].shape[axis] - ct.shape[axis]
    pad = np.zeros((*ct.shape[:axis], missing, *ct.shape[axis + 1 :]), ct.dtype)
    full = np.concatenate([ct, pad], axis=axis) if missing else ct
    return (real(bind(fft_p, full, axis=axis, inverse=False, norm=norm)),)


rfft_p: Primitive = Primitive(
    "rfft",
    infer=lambda x, axis, norm: _resized(x, axis, x.shape[axis] // 2 + 1, _complex(x.dtype)),
    call=lambda x, axis, norm: np.fft.rfft(x, axis=axis, norm=norm),
    jvp=lambda out, tangents, inputs, **params: bind(rfft_p, tangents[0], **params),
    transpose=_rfft_transpose,
)


def _irfft_transpose(ct: Any, inputs: Any, types: Any, n: int, axis: int, norm: Any) -> tuple[Any]:
    weights = np.full(n // 2 + 1, 2.0, ct.dtype)
    weights[0] = 1.0
    if n % 2 == 0:
        weights[-1] = 1.0
    column = weights.reshape(-1, *(1,) * (ct.ndim - axis - 1))
    return (column * conj(bind(rfft_p, ct, axis=axis, norm=_DUAL[norm])),)


irfft_p: Primitive = Primitive(
    "irfft",
    infer=lambda z, n, axis, norm: _resized(z, axis, n, np.empty(0, z.dtype).real.dtype),
    call=lambda z, n, axis, norm: np.fft.irfft(z, n, axis=axis, norm=norm),
    jvp=lambda out, tangents, inputs, **params: bind(irfft_p, tangents[0], **params),
    transpose=_irfft_transpose,
)
