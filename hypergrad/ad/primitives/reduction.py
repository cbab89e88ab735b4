"""Reductions other than the sum (see `linear`): max, min, prod, any, all, argmax, argmin, cumsum.

Ties of max and min share the slope equally, so that the derivative is the mean of the one-sided ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import axis_list
from hypergrad.ad.primitives.complex import conj, real
from hypergrad.ad.primitives.linear import _sum_infer, broadcast_to, convert, reduce_sum, reshape
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import bind, source_line
from hypergrad.errors import ShapeError

__all__ = [
    "cumsum_p",
    "normal_axes",
    "products_of_others",
    "reduce_all_p",
    "reduce_any_p",
    "reduce_max_p",
    "reduce_min_p",
    "reduce_prod_p",
    "sum_dtype",
]


def normal_axes(axis: Any, ndim: int, name: str = "axis") -> tuple[int, ...]:
    """Sorted non-negative axes of an `axis` argument (None: all).

    Raises:
        ShapeError: an axis outside the array, or one named twice.
    """
    return tuple(range(ndim)) if axis is None else tuple(sorted(axis_list(axis, ndim, name)))


def _kept(x: ArrayType, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if a in axes else n for a, n in enumerate(x.shape))


def _extremum(name: str, reduce: Callable[..., Any]) -> Primitive:
    def infer(x: ArrayType, axes: tuple[int, ...], keepdims: bool) -> ArrayType:
        if any(x.shape[a] == 0 for a in axes):
            raise ShapeError(f"{name} of an empty array of shape {x.shape}, at {source_line()}")
        return _sum_infer(x, axes, keepdims)

    def jvp(out: Any, tangents: Any, inputs: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        (x,) = inputs
        hit = convert(x == reshape(out, _kept(x, axes)), x.dtype)
        weight = hit / reduce_sum(hit, axes, keepdims=True)
        return reduce_sum(tangents[0] * weight, axes, keepdims)

    return Primitive(name, infer, lambda x, axes, keepdims: reduce(x, axis=axes, keepdims=keepdims), jvp)


reduce_max_p = _extremum("reduce_max", np.maximum.reduce)
reduce_min_p = _extremum("reduce_min", np.minimum.reduce)


def _prod_jvp(out: Any, tangents: Any, inputs: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """d prod = sum_i t_i prod_{j != i} x_j, also where some x are 0.

    The product of the others is the product of the nonzero entries, divided by x_i where x_i is
    not 0; it is 0 as soon as another entry is 0. To keep derivatives of every order right at
    zeros, the products are built by prefix and suffix products instead of division.
    """
    (x,) = inputs
    rest = tuple(a for a in range(x.ndim) if a not in axes)
    moved = np.transpose(x, rest + axes)
    count = int(np.prod([x.shape[a] for a in axes], dtype=np.int64))
    kept = tuple(x.shape[a] for a in rest)
    flat = reshape(moved, (*kept, count))
    t = reshape(np.transpose(tangents[0], rest + axes), (*kept, count))
    others = products_of_others(flat)
    return reshape(reduce_sum(t * others, (len(kept),)), out.shape)


def products_of_others(x: Any) -> Any:
    """prod_{j != i} x_j along the last axis, in O(log n) whole-array steps."""
    n = x.shape[-1]
    before, after = _exclusive(x, n, forward=True), _exclusive(x, n, forward=False)
    return before * after


def _exclusive(x: Any, n: int, forward: bool) -> Any:
    """Exclusive prefix (or suffix) products along the last axis, by doubling."""
    ones = lambda k: np.ones((*x.shape[:-1], k), x.dtype)
    if forward:
        p = np.concatenate([ones(1), x[..., : n - 1]], axis=-1) if n > 1 else ones(1)
    else:
        p = np.concatenate([x[..., 1:], ones(1)], axis=-1) if n > 1 else ones(1)
    step = 1
    while step < n:
        if forward:
            p = p * np.concatenate([ones(step), p[..., :-step]], axis=-1)
        else:
            p = p * np.concatenate([p[..., step:], ones(step)], axis=-1)
        step *= 2
    return p


reduce_prod_p: Primitive = Primitive(
    "reduce_prod",
    _sum_infer,
    lambda x, axes, keepdims: np.multiply.reduce(x, axis=axes, dtype=x.dtype, keepdims=keepdims),
    _prod_jvp,
)


def _logical(name: str, reduce: Callable[..., Any]) -> Primitive:
    def infer(x: ArrayType, axes: tuple[int, ...], keepdims: bool) -> ArrayType:
        return ArrayType(_sum_infer(x, axes, keepdims).shape, np.dtype(bool))

    return Primitive(name, infer, lambda x, axes, keepdims: reduce(x, axis=axes, keepdims=keepdims))


reduce_any_p = _logical("any", np.logical_or.reduce)
reduce_all_p = _logical("all", np.logical_and.reduce)


def _arg(name: str, function: Callable[..., Any]) -> Primitive:
    def infer(x: ArrayType, axis: int | None, keepdims: bool) -> ArrayType:
        axes = normal_axes(axis, x.ndim, name)
        if any(x.shape[a] == 0 for a in axes):
            raise ShapeError(f"{name} of an empty array of shape {x.shape}, at {source_line()}")
        return ArrayType(_sum_infer(x, axes, keepdims).shape, np.dtype(np.intp))

    return Primitive(
        name, infer, lambda x, axis, keepdims: np.asarray(function(x, axis=axis, keepdims=keepdims))
    )


argmax_p = _arg("argmax", np.argmax)
argmin_p = _arg("argmin", np.argmin)


# cumsum along one axis: the transpose sums from the other end -----------------------------------------
def _reversed_cumsum(ct: Any, axis: int) -> Any:
    return np.flip(bind(cumsum_p, np.flip(ct, axis), axis=axis), axis)


cumsum_p: Primitive = Primitive(
    "cumsum",
    infer=lambda x, axis: ArrayType(x.shape, x.dtype),
    call=lambda x, axis: np.cumsum(x, axis=axis, dtype=x.dtype),
    jvp=lambda out, tangents, inputs, axis: bind(cumsum_p, tangents[0], axis=axis),
    transpose=lambda ct, inputs, types, axis: (_reversed_cumsum(ct, axis),),
)


def sum_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of a sum or product: small integers and bools become the platform integer."""
    if dtype.kind in "biu" and dtype.itemsize < np.dtype(int).itemsize:
        return np.dtype(np.uint if dtype.kind == "u" else int)
    return dtype


def sum_of(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """``np.sum``."""
    return reduce_sum(convert(x, dtype or sum_dtype(x.dtype)), normal_axes(axis, x.ndim, "sum"), keepdims)


def _count(x: Any, axes: tuple[int, ...]) -> int:
    return int(np.prod([x.shape[a] for a in axes], dtype=np.int64))


def mean_of(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """``np.mean``: the sum divided by the count."""
    axes = normal_axes(axis, x.ndim, "mean")
    if dtype is None and x.dtype.kind not in "fc":
        dtype = np.dtype(float)
    if dtype is None and x.dtype == np.float16:  # accumulated in single precision
        return convert(mean_of(x, axes, keepdims, np.dtype(np.float32)), np.float16)
    count = _count(x, axes)
    if count == 0:
        raise ShapeError(f"mean of an empty array of shape {x.shape}, at {source_line()}")
    return reduce_sum(convert(x, dtype or x.dtype), axes, keepdims) / count


def var_of(x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, mean: Any = None) -> Any:
    """``np.var``: the mean square of the deviations (from the given mean), divided by count - ddof."""
    axes = normal_axes(axis, x.ndim, "var")
    if x.dtype.kind not in "fc":
        x = convert(x, float)
    deviation = x - broadcast_to(mean_of(x, axes, keepdims=True) if mean is None else mean, x.shape)
    count = _count(x, axes) - ddof
    if count <= 0:
        raise ShapeError(f"var: {_count(x, axes)} values are too few for ddof={ddof}, at {source_line()}")
    square = deviation * deviation if x.dtype.kind == "f" else real(deviation * conj(deviation))
    return reduce_sum(square, axes, keepdims) / count


def clip_of(x: Any, low: Any = None, high: Any = None) -> Any:
    """``np.clip``: slope 1 inside the bounds and half of it on them."""
    if low is not None:
        x = np.maximum(x, low)
    if high is not None:
        x = np.minimum(x, high)
    return x
