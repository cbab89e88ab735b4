"""Linear systems. Notation: A X = B, so dX = A⁻¹ (dB - dA X), and B's cotangent is A⁻ᵀ X̄."""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.options import array_of
from hypergrad.ad.primitives.contraction import _flip
from hypergrad.ad.primitives.elementwise import broadcast_shape
from hypergrad.ad.primitives.linear import convert, reshape, unbroadcast
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import bind, source_line
from hypergrad.errors import ShapeError

__all__ = ["solve", "solve_p"]


def _infer(a: ArrayType, b: ArrayType) -> ArrayType:
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ShapeError(f"solve: the matrix must be square, got shape {a.shape}, at {source_line()}")
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"solve: shapes {a.shape} and {b.shape} do not fit, at {source_line()}")
    return ArrayType((*broadcast_shape([a.shape[:-2], b.shape[:-2]], "solve"), *b.shape[-2:]), a.dtype)


def _jvp(out: Any, tangents: Any, inputs: Any) -> Any:
    ta, tb = tangents
    right = None if ta is None else -np.matmul(ta, out)
    right = tb if right is None else right if tb is None else tb + right
    return bind(solve_p, inputs[0], right)


def _transpose(ct: Any, inputs: Any, types: Any) -> tuple[None, Any]:
    return None, unbroadcast(bind(solve_p, _flip(inputs[0]), ct), types[1].shape)


solve_p = Primitive("solve", _infer, np.linalg.solve, _jvp, _transpose)


def solve(a: Any, b: Any) -> Any:
    """``np.linalg.solve``: `b` is one vector if it has one axis, else (a stack of) matrices."""
    a, b = (array_of(x) for x in (a, b))
    dtype = np.result_type(a.dtype, b.dtype)
    dtype = dtype if dtype.kind == "f" else np.dtype(float)
    a, b = convert(a, dtype), convert(b, dtype)
    if b.ndim != 1:
        return bind(solve_p, a, b)
    x = bind(solve_p, a, reshape(b, (b.size, 1)))
    return reshape(x, x.shape[:-1])
