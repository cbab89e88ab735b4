"""Matrix products. Notation: C = A B, so dC = dA B + A dB, and A's cotangent is C̄ Bᵀ, B's is Aᵀ C̄."""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.options import array_of, axis_list, integer
from hypergrad.ad.primitives.complex import conj
from hypergrad.ad.primitives.elementwise import apply, broadcast_shape
from hypergrad.ad.primitives.linear import permute, reshape, unbroadcast
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import bind, source_line
from hypergrad.errors import ShapeError

__all__ = ["dot", "matmul", "matmul_p", "tensordot"]


def _infer(a: ArrayType, b: ArrayType) -> ArrayType:
    if not a.shape or not b.shape:
        raise ShapeError(
            f"matmul: an operand has no axes ({a.shape} and {b.shape}), at {source_line()}; use *"
        )
    inner_b = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner_b:
        raise ShapeError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit ({a.shape[-1]} is not {inner_b}), at {source_line()}"
        )
    batch = broadcast_shape([a.shape[:-2], b.shape[:-2]], "matmul")
    return ArrayType(batch + a.shape[-2:-1] + (b.shape[-1:] if b.ndim > 1 else ()), a.dtype)


def _jvp(out: Any, tangents: Any, inputs: Any) -> Any:
    ta, tb = tangents
    left = None if ta is None else bind(matmul_p, ta, inputs[1])
    right = None if tb is None else bind(matmul_p, inputs[0], tb)
    return right if left is None else left if right is None else left + right


def _flip(x: Any) -> Any:
    """x with its last two axes exchanged."""
    return permute(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _transpose(ct: Any, inputs: Any, types: Any) -> tuple[Any, Any]:
    a, b = inputs
    ta, tb = types
    # a 1-d operand is a row (left) or a column (right) whose axis the product drops
    rows = ta.shape if ta.ndim > 1 else (1, *ta.shape)
    columns = tb.shape if tb.ndim > 1 else (*tb.shape, 1)
    batch = broadcast_shape([rows[:-2], columns[:-2]], "matmul")
    ct = reshape(ct, (*batch, rows[-2], columns[-1]))
    if a is None:
        found = bind(matmul_p, ct, _flip(reshape(b, columns)))
        return reshape(unbroadcast(found, rows), ta.shape), None
    found = bind(matmul_p, _flip(reshape(a, rows)), ct)
    return None, reshape(unbroadcast(found, columns), tb.shape)


matmul_p = Primitive("matmul", _infer, np.matmul, _jvp, _transpose, ufunc=np.matmul)


def matmul(a: Any, b: Any) -> Any:
    """``np.matmul`` under NumPy's promotion rules."""
    return apply(matmul_p, a, b)


def dot(a: Any, b: Any) -> Any:
    """``np.dot``: a product with numbers, else the last axis of `a` with the last but one of `b`."""
    a, b = (array_of(x) for x in (a, b))
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if b.ndim <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((a.ndim - 1,), (b.ndim - 2,)))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """``np.tensordot``, as one matrix product."""
    a, b = (array_of(x) for x in (a, b))
    if not isinstance(axes, tuple | list | np.ndarray):
        count = integer(axes, "tensordot: axes")
        axes = (tuple(range(a.ndim - count, a.ndim)), tuple(range(count)))
    left, right = (axis_list(side, x.ndim, "tensordot") for side, x in zip(axes, (a, b), strict=True))
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ShapeError(
            f"tensordot: axes {left} of {a.shape} and {right} of {b.shape} differ in length, at {source_line()}"
        )
    free_a = tuple(i for i in range(a.ndim) if i not in left)
    free_b = tuple(i for i in range(b.ndim) if i not in right)
    inner = int(np.prod([a.shape[i] for i in left], dtype=np.int64))
    outer_a, outer_b = tuple(a.shape[i] for i in free_a), tuple(b.shape[i] for i in free_b)
    rows = reshape(permute(a, free_a + left), (int(np.prod(outer_a, dtype=np.int64)), inner))
    columns = reshape(permute(b, right + free_b), (inner, int(np.prod(outer_b, dtype=np.int64))))
    return reshape(matmul(rows, columns), outer_a + outer_b)


def inner(a: Any, b: Any) -> Any:
    """``np.inner``: the last axes contracted."""
    a, b = (array_of(x) for x in (a, b))
    return a * b if a.ndim == 0 or b.ndim == 0 else tensordot(a, b, ((a.ndim - 1,), (b.ndim - 1,)))


def outer(a: Any, b: Any) -> Any:
    """``np.outer`` of the raveled operands."""
    a, b = (array_of(x) for x in (a, b))
    return reshape(a, (a.size, 1)) * reshape(b, (1, b.size))


def vdot(a: Any, b: Any) -> Any:
    """``np.vdot`` of the raveled operands."""
    a, b = conj(array_of(a)), array_of(b)
    return matmul(reshape(a, (a.size,)), reshape(b, (b.size,)))
