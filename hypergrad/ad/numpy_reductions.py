"""NumPy's reductions, with NumPy's signatures, in terms of primitives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import NO_VALUE, array_of, flag, reject
from hypergrad.ad.primitives import reduction
from hypergrad.ad.primitives.elementwise import _BY_UFUNC, apply
from hypergrad.ad.primitives.linear import convert, reshape
from hypergrad.ad.primitives.reduction import normal_axes
from hypergrad.ad.trace import bind

__all__ = ["FUNCTIONS"]


def _reduce(name: str, rule: Callable[..., Any]) -> Callable[..., Any]:
    def reduction(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO_VALUE,
        initial: Any = NO_VALUE, where: Any = NO_VALUE,
    ) -> Any:  # fmt: skip
        reject(name, out=(out, None), initial=(initial, NO_VALUE), where=(where, NO_VALUE))
        kind = None if dtype is None else np.dtype(dtype)
        return rule(array_of(a), axis, flag(keepdims), kind)

    return reduction


def _mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO_VALUE, *,
          where: Any = NO_VALUE) -> Any:  # fmt: skip
    reject("mean", out=(out, None), where=(where, NO_VALUE))
    kind = None if dtype is None else np.dtype(dtype)
    return reduction.mean_of(array_of(a), axis, flag(keepdims), kind)


def _extremum(primitive: Any, name: str, default: Any = None) -> Callable[..., Any]:
    def rule(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO_VALUE, initial: Any = NO_VALUE,
        where: Any = NO_VALUE,
    ) -> Any:  # fmt: skip
        reject(name, out=(out, None), initial=(initial, NO_VALUE), where=(where, NO_VALUE))
        a = array_of(a)
        axes = normal_axes(axis, a.ndim, name)
        return bind(primitive, a, axes=axes, keepdims=flag(keepdims)) if axes else a

    return rule


def _logical(primitive: Any, name: str) -> Callable[..., Any]:
    def rule(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO_VALUE, *,
             where: Any = NO_VALUE) -> Any:  # fmt: skip
        reject(name, out=(out, None), where=(where, NO_VALUE))
        a = array_of(a)
        axes = normal_axes(axis, a.ndim, name)
        if axes:
            return bind(primitive, a, axes=axes, keepdims=flag(keepdims))
        return a if a.dtype == np.bool_ else apply(_BY_UFUNC[np.not_equal], a, 0)

    return rule


def _prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    x = convert(x, dtype or reduction.sum_dtype(x.dtype))
    axes = normal_axes(axis, x.ndim, "prod")
    return bind(reduction.reduce_prod_p, x, axes=axes, keepdims=keepdims) if axes else x


def _deviation(name: str, rule: Callable[..., Any]) -> Callable[..., Any]:
    def spread(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
        keepdims: Any = NO_VALUE, *, where: Any = NO_VALUE, mean: Any = NO_VALUE, correction: Any = NO_VALUE,
    ) -> Any:  # fmt: skip
        reject(name, out=(out, None), where=(where, NO_VALUE), mean=(mean, NO_VALUE), dtype=(dtype, None))
        return rule(array_of(a), axis, ddof if correction is NO_VALUE else correction, flag(keepdims))

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


_sum, _product = _reduce("sum", reduction.sum_of), _reduce("prod", _prod)
_max, _min = _extremum(reduction.reduce_max_p, "max"), _extremum(reduction.reduce_min_p, "min")
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
    np.var: _deviation("var", reduction.var_of),
    np.std: _deviation("std", reduction.std_of),
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
