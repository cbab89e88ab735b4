"""NumPy's functions of values (clip, where, take, products, ...), with NumPy's signatures, in terms of primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import NO_VALUE, array_of, axis_list, integer, reject
from hypergrad.ad.primitives import contraction, indexing, reduction
from hypergrad.ad.primitives.elementwise import select
from hypergrad.ad.primitives.linear import reshape
from hypergrad.ad.trace import Tracer, source_line
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = ["FUNCTIONS"]


def _number(x: Any) -> Any:
    """A Python number as it is (its dtype yields to that of arrays), anything else as an array."""
    return x if isinstance(x, Tracer) or type(x) in (int, float) else np.asarray(x)


def _where(condition: Any, x: Any = NO_VALUE, y: Any = NO_VALUE, /) -> Any:
    if x is NO_VALUE or y is NO_VALUE:
        raise UnsupportedError(f"np.where with one argument has no fixed shape, at {source_line()}")
    return select(array_of(condition), _number(x), _number(y))


def _clip(
    a: Any, a_min: Any = NO_VALUE, a_max: Any = NO_VALUE, out: Any = None, *, min: Any = NO_VALUE,
    max: Any = NO_VALUE,
) -> Any:  # fmt: skip
    reject("clip", out=(out, None))
    low, high = (min if a_min is NO_VALUE else a_min), (max if a_max is NO_VALUE else a_max)
    a, low, high = array_of(a), *(None if bound is NO_VALUE else bound for bound in (low, high))
    if a.dtype.kind in "iu":  # bounds beyond the dtype bound nothing
        low = None if type(low) is int and low <= np.iinfo(a.dtype).min else low
        high = None if type(high) is int and high >= np.iinfo(a.dtype).max else high
    return reduction.clip_of(a, low, high)


def _round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    reject("round", out=(out, None))
    digits = integer(decimals, "round: decimals")
    if a.dtype.kind in "iu" and digits >= 0:
        return a
    if a.dtype.kind != "f":
        raise UnsupportedError(f"np.round of {a.dtype} to {digits} digits has no rule, at {source_line()}")
    if digits == 0:
        return np.rint(a)
    scale = 10.0 ** abs(digits)
    return np.rint(a * scale) / scale if digits > 0 else np.rint(a / scale) * scale


def _isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    a, b = _number(a), _number(b)
    finite = np.isfinite(b)
    safe = select(finite, b, 0.0)  # inf - inf would warn
    near = (np.absolute(a - safe) <= atol + rtol * np.absolute(safe)) & finite | (a == b)
    return near | (np.isnan(a) & np.isnan(b)) if equal_nan else near


def _dot(a: Any, b: Any, out: Any = None) -> Any:
    reject("dot", out=(out, None))
    return contraction.dot(a, b)


def _outer(a: Any, b: Any, out: Any = None) -> Any:
    reject("outer", out=(out, None))
    return contraction.outer(a, b)


# Selecting -----------------------------------------------------------------------------------------------
def _take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    reject("take", out=(out, None))
    a, indices = array_of(a), array_of(indices)
    if axis is None:
        a, axis = reshape(a, (a.size,)), 0
    place = axis_list(axis, a.ndim, "take")[0]
    if mode == "wrap":
        indices = indices % a.shape[place]
    elif mode == "clip":
        indices = np.clip(indices, 0, a.shape[place] - 1)
    elif mode != "raise":
        raise ShapeError(f"take: mode must be raise, wrap or clip, got {mode!r}, at {source_line()}")
    return indexing.getitem(a, (*(slice(None),) * place, indices))


def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    arr, indices = array_of(arr), array_of(indices)
    if axis is None:
        arr, axis = reshape(arr, (arr.size,)), 0
    if indices.ndim != arr.ndim:
        raise ShapeError(
            f"take_along_axis: indices of shape {indices.shape} for an array of shape {arr.shape}, "
            f"at {source_line()}; give them as many axes"
        )
    place = axis_list(axis, arr.ndim, "take_along_axis")[0]
    grid = [
        indices if i == place else np.arange(n).reshape(tuple(n if j == i else 1 for j in range(arr.ndim)))
        for i, n in enumerate(arr.shape)
    ]
    return indexing.getitem(arr, tuple(grid))


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    i, j = (axis_list(axis, a.ndim, "diagonal")[0] for axis in (axis1, axis2))
    if i == j:
        raise ShapeError(f"diagonal: the axes {axis1} and {axis2} are one, at {source_line()}")
    moved = np.moveaxis(a, (i, j), (-2, -1))
    rows, columns = moved.shape[-2:]
    first, second = max(0, -offset), max(0, offset)
    index = np.arange(max(0, min(rows - first, columns - second)))
    return moved[..., index + first, index + second]


def _trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Any:
    reject("trace", dtype=(dtype, None), out=(out, None))
    return np.sum(_diagonal(a, offset, axis1, axis2), axis=-1)


def _triangle(keep: Callable[..., np.ndarray]) -> Callable[..., Any]:
    def rule(m: Any, k: int = 0) -> Any:
        if m.ndim == 0:
            raise ShapeError(
                f"{keep.__name__} of a number, at {source_line()}; it needs an array of two axes"
            )
        return select(keep(np.ones(m.shape[-2:], bool), k), m, np.zeros((), m.dtype))

    return rule


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.clip: _clip,
    np.where: _where,
    np.round: _round,
    np.around: _round,
    np.isclose: _isclose,
    np.dot: _dot,
    np.inner: contraction.inner,
    np.outer: _outer,
    np.vdot: contraction.vdot,
    np.tensordot: contraction.tensordot,
    np.take: _take,
    np.take_along_axis: _take_along_axis,
    np.diagonal: _diagonal,
    np.trace: _trace,
    np.tril: _triangle(np.tril),
    np.triu: _triangle(np.triu),
    np.copy: lambda a, order="K", subok=False: a,
}
