"""NumPy's reductions, with NumPy's signatures, in terms of primitives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import NO_VALUE, array_of, flag, reject
from hypergrad.ad.primitives import reduction
from hypergrad.ad.primitives.elementwise import _BY_UFUNC, apply, select
from hypergrad.ad.primitives.linear import convert, reshape
from hypergrad.ad.primitives.reduction import normal_axes
from hypergrad.ad.trace import bind, source_line
from hypergrad.errors import ShapeError

__all__ = ["FUNCTIONS", "masked_moments"]


# What is left out -------------------------------------------------------------------------------------------
def _mask(name: str, a: Any, where: Any) -> Any:
    """``where=`` as an array that broadcasts to `a`, None where nothing is left out."""
    if where is NO_VALUE or where is True:
        return None
    mask = array_of(where)
    behind = a.shape[a.ndim - mask.ndim :] if mask.ndim <= a.ndim else ()
    if len(behind) != mask.ndim or any(m not in (1, n) for m, n in zip(mask.shape, behind, strict=True)):
        raise ShapeError(
            f"{name}: where= of shape {mask.shape} does not broadcast to an array of shape {a.shape}, "
            f"at {source_line()}"
        )
    return mask


def _filled(name: str, a: Any, where: Any, neutral: Any) -> Any:
    """The array, with `neutral` where ``where=`` leaves entries out."""
    mask = _mask(name, a, where)
    return a if mask is None else select(mask, a, np.asarray(neutral, a.dtype))


def masked_moments(a: Any, mask: Any, axis: Any, keepdims: bool, mean: Any = None) -> tuple[Any, Any]:
    """Sum of the squared deviations from the mean, and count, of the entries where `mask` is true.

    Args:
        a: floats; what they are where the mask is false does not matter.
        mask: booleans that broadcast to `a`.
        mean: of those entries, with ``keepdims``; default: theirs.
    """
    mask = np.broadcast_to(mask, a.shape)
    if mean is None:
        mean = np.mean(a, axis=axis, keepdims=True, where=mask)
    deviation = select(mask, a - mean, np.zeros((), a.dtype))
    square = deviation * deviation if a.dtype.kind == "f" else np.real(deviation * np.conjugate(deviation))
    return np.sum(square, axis=axis, keepdims=keepdims), np.sum(mask, axis=axis, keepdims=keepdims)


# The functions ------------------------------------------------------------------------------------------------
def _reduce(name: str, rule: Callable[..., Any], neutral: int, join: Any) -> Callable[..., Any]:
    def reduction(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO_VALUE,
        initial: Any = NO_VALUE, where: Any = NO_VALUE,
    ) -> Any:  # fmt: skip
        reject(name, out=(out, None))
        kind = None if dtype is None else np.dtype(dtype)
        found = rule(_filled(name, array_of(a), where, neutral), axis, flag(keepdims), kind)
        return found if initial is NO_VALUE else join(initial, found).astype(found.dtype)

    return reduction


def _mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO_VALUE, *,
          where: Any = NO_VALUE) -> Any:  # fmt: skip
    reject("mean", out=(out, None))
    a, keep = array_of(a), flag(keepdims)
    kind = None if dtype is None else np.dtype(dtype)
    mask = _mask("mean", a, where)
    if mask is None:
        return reduction.mean_of(a, axis, keep, kind)
    a = convert(a, kind or (a.dtype if a.dtype.kind in "fc" else np.dtype(float)))
    count = np.sum(np.broadcast_to(mask, a.shape), axis=axis, keepdims=keep)
    return np.sum(select(mask, a, np.zeros((), a.dtype)), axis=axis, keepdims=keep) / count.astype(a.dtype)


def _extremum(primitive: Any, name: str, join: Any) -> Callable[..., Any]:
    def rule(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO_VALUE, initial: Any = NO_VALUE,
        where: Any = NO_VALUE,
    ) -> Any:  # fmt: skip
        reject(name, out=(out, None))
        a = array_of(a)
        mask = _mask(name, a, where)
        if mask is not None:
            if initial is NO_VALUE:
                raise ShapeError(
                    f"np.{name} with where= needs initial=, at {source_line()}, as it may see no entry"
                )
            a = select(mask, a, _worst(a.dtype, name))
        axes = normal_axes(axis, a.ndim, name)
        if initial is not NO_VALUE and any(a.shape[i] == 0 for i in axes):
            return np.broadcast_to(initial, np.sum(a, axis=axes, keepdims=flag(keepdims)).shape).astype(
                a.dtype
            )
        found = bind(primitive, a, axes=axes, keepdims=flag(keepdims)) if axes else a
        return found if initial is NO_VALUE else join(found, initial).astype(found.dtype)

    return rule


def _worst(dtype: np.dtype, name: str) -> Any:
    """The number that no maximum (minimum) changes for."""
    if dtype.kind == "b":
        return np.asarray(name == "min")
    lowest, highest = (-np.inf, np.inf) if dtype.kind in "fc" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.asarray(lowest if name == "max" else highest, dtype)


def _logical(primitive: Any, name: str) -> Callable[..., Any]:
    def rule(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO_VALUE, *,
             where: Any = NO_VALUE) -> Any:  # fmt: skip
        reject(name, out=(out, None))
        a = _filled(name, array_of(a), where, name == "all")
        axes = normal_axes(axis, a.ndim, name)
        if axes:
            return bind(primitive, a, axes=axes, keepdims=flag(keepdims))
        return a if a.dtype == np.bool_ else apply(_BY_UFUNC[np.not_equal], a, 0)

    return rule


def _prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    x = convert(x, dtype or reduction.sum_dtype(x.dtype))
    axes = normal_axes(axis, x.ndim, "prod")
    return bind(reduction.reduce_prod_p, x, axes=axes, keepdims=keepdims) if axes else x


def _deviation(name: str, rule: Any) -> Callable[..., Any]:
    def spread(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
        keepdims: Any = NO_VALUE, *, where: Any = NO_VALUE, mean: Any = NO_VALUE, correction: Any = NO_VALUE,
    ) -> Any:  # fmt: skip
        reject(name, out=(out, None))
        a, ddof = array_of(a), ddof if correction is NO_VALUE else correction
        a = a if dtype is None else convert(a, np.dtype(dtype))
        mean = None if mean is NO_VALUE else mean
        mask = _mask(name, a, where)
        if mask is None:
            variance = reduction.var_of(a, axis, ddof, flag(keepdims), mean)
        else:
            a = convert(a, a.dtype if a.dtype.kind in "fc" else float)
            total, count = masked_moments(a, mask, axis, flag(keepdims), mean)
            variance = total / np.maximum(count - ddof, 0).astype(total.dtype)
        return rule(variance)

    return spread


def _argument(primitive: Any, name: str) -> Callable[..., Any]:
    def rule(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NO_VALUE) -> Any:
        reject(name, out=(out, None))
        a = array_of(a)
        place = None if axis is None else normal_axes(axis, a.ndim, name)[0]
        return bind(primitive, a, axis=place, keepdims=flag(keepdims))

    return rule


def _of_ufunc(rule: Callable[..., Any]) -> Callable[..., Any]:
    """``ufunc.reduce``: like the function, but over axis 0 unless told; a number is its own reduction."""

    @functools.wraps(rule)
    def reduce(x: Any, axis: Any = 0, **options: Any) -> Any:
        return rule(x, axis=None if array_of(x).ndim == 0 and axis in (0, -1) else axis, **options)

    return reduce


def _cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    reject("cumsum", out=(out, None))
    a = array_of(a)
    a = convert(a, dtype or reduction.sum_dtype(a.dtype))
    if axis is None:
        a, axis = reshape(a, (a.size,)), 0
    return bind(reduction.cumsum_p, a, axis=normal_axes(axis, a.ndim, "cumsum")[0])


_sum, _product = _reduce("sum", reduction.sum_of, 0, np.add), _reduce("prod", _prod, 1, np.multiply)
_max = _extremum(reduction.reduce_max_p, "max", np.maximum)
_min = _extremum(reduction.reduce_min_p, "min", np.minimum)
_any, _all = _logical(reduction.reduce_any_p, "any"), _logical(reduction.reduce_all_p, "all")

FUNCTIONS: dict[Any, Callable[..., Any]] = {
    (np.add, "reduce"): _of_ufunc(_sum),
    (np.multiply, "reduce"): _of_ufunc(_product),
    (np.maximum, "reduce"): _of_ufunc(_max),
    (np.minimum, "reduce"): _of_ufunc(_min),
    (np.logical_or, "reduce"): _of_ufunc(_any),
    (np.logical_and, "reduce"): _of_ufunc(_all),
    np.sum: _sum,
    np.mean: _mean,
    np.prod: _product,
    np.var: _deviation("var", lambda variance: variance),
    np.std: _deviation("std", np.sqrt),
    np.max: _max,
    np.amax: _max,
    np.min: _min,
    np.amin: _min,
    np.any: _any,
    np.all: _all,
    np.argmax: _argument(reduction.argmax_p, "argmax"),
    np.argmin: _argument(reduction.argmin_p, "argmin"),
    np.cumsum: _cumsum,
}
