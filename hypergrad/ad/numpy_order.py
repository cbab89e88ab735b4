"""NumPy's functions of order (sorting, medians, quantiles), with NumPy's signatures, in terms of primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import NO_VALUE, array_of, axis_list, flag, reject
from hypergrad.ad.primitives.linear import permute, reshape
from hypergrad.ad.primitives.order import argpartition_p, argsort_p, lexsort_p, searchsorted_p
from hypergrad.ad.primitives.reduction import normal_axes
from hypergrad.ad.trace import Tracer, bind, source_line
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = ["FUNCTIONS"]


def _along(a: Any, axis: Any, name: str) -> tuple[Any, int]:
    """The array and the axis to sort along; the flat array for None."""
    a = array_of(a)
    if axis is None:
        return reshape(a, (a.size,)), 0
    if a.ndim == 0:
        raise ShapeError(f"{name} of a number, at {source_line()}; it needs an array with an axis")
    return a, axis_list(axis, a.ndim, name)[0]


def _argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    reject("argsort", order=(order, None))
    a, place = _along(a, axis, "argsort")
    return bind(argsort_p, a, axis=place)


def _sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    reject("sort", order=(order, None))
    a, place = _along(a, axis, "sort")
    return np.take_along_axis(a, bind(argsort_p, a, axis=place), place)


def _kth(kth: Any, length: int, name: str) -> tuple[int, ...]:
    places = tuple(int(k) for k in np.atleast_1d(kth))
    if any(not -length <= k < length for k in places):
        raise ShapeError(f"{name}: kth={kth} is outside an axis of length {length}, at {source_line()}")
    return tuple(k % length for k in places)


def _argpartition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    reject("argpartition", order=(order, None))
    a, place = _along(a, axis, "argpartition")
    return bind(argpartition_p, a, kth=_kth(kth, a.shape[place], "argpartition"), axis=place)


def _partition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    a, place = _along(a, axis, "partition")
    return np.take_along_axis(a, _argpartition(a, kth, place, kind, order), place)


def _lexsort(keys: Any, axis: int = -1) -> Any:
    keys = keys if isinstance(keys, Tracer) else np.stack(tuple(keys))
    return bind(lexsort_p, keys, axis=axis_list(axis, keys.ndim - 1, "lexsort")[0])


def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    reject("searchsorted", sorter=(sorter, None))
    return bind(searchsorted_p, array_of(a), array_of(v), side=side)


def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    if isinstance(bins, Tracer):
        raise UnsupportedError(f"np.digitize takes plain bins, at {source_line()}; use np.searchsorted")
    bins = np.asarray(bins)
    side = "left" if right else "right"
    if bins.size > 1 and bins[0] > bins[-1]:
        return bins.size - _searchsorted(bins[::-1], x, "right" if right else "left")
    return _searchsorted(bins, x, side)


# Quantiles ---------------------------------------------------------------------------------------------
# Hyndman & Fan (1996): the place of quantile q among n sorted values is q (n + 1 - α - β) + α - 1, from 0
_CONTINUOUS = {
    "linear": (1.0, 1.0), "hazen": (0.5, 0.5), "weibull": (0.0, 0.0), "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8), "interpolated_inverted_cdf": (0.0, 1.0),
}  # fmt: skip

_OF_ONE_ENTRY = ("inverted_cdf", "closest_observation", "lower", "higher", "nearest")
_METHODS = (*_CONTINUOUS, *_OF_ONE_ENTRY, "averaged_inverted_cdf", "midpoint")


def _place(q: Any, n: Any, method: str) -> tuple[Any, Any]:
    """Number of the value below a quantile, and the weight of the one above."""
    if method in _CONTINUOUS:
        alpha, beta = _CONTINUOUS[method]
        at = q * (n - 1) if method == "linear" else n * q + (alpha + q * (1.0 - alpha - beta)) - 1.0
        at = np.clip(at, 0, n - 1)
        below = np.floor(at)
        return below, at - below
    if method == "inverted_cdf":  # the smallest value with a share of at least q up to it
        return np.maximum(np.ceil(n * q - 1.0), 0), 0.0
    if method == "averaged_inverted_cdf":  # with the next one where the share is q exactly
        at = n * q - 1.0
        share = np.where(np.floor(at) == at, 0.5, 1.0) * (at >= 0)
        return np.maximum(np.floor(at), 0), share
    if method == "closest_observation":  # the even one, counted from 1, of two that are as close
        at = n * q - 1.5
        even = (np.floor(at) == at) & (np.floor(at) % 2 == 1)
        return np.maximum(np.floor(at) + np.where(even, 0.0, 1.0), 0), 0.0
    at = (n - 1) * q
    if method == "lower":
        return np.floor(at), 0.0
    if method == "higher":
        return np.ceil(at), 0.0
    if method == "midpoint":
        return np.floor(at), 0.5 * (np.floor(at) != at)
    if method == "nearest":
        return np.rint(at), 0.0
    raise UnsupportedError(
        f"np.quantile: no rule for method={method!r}, at {source_line()}; use one of {', '.join(_METHODS)}"
    )


def _gathered(rows: Any, axes: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """The array with `axes` joined into the last one, and its shape with ones in their place."""
    rest = tuple(i for i in range(rows.ndim) if i not in axes)
    count = int(np.prod([rows.shape[i] for i in axes], dtype=np.int64))
    if count == 0:
        raise ShapeError(f"quantile of no values, at {source_line()}: the shape is {rows.shape}")
    kept = tuple(1 if i in axes else n for i, n in enumerate(rows.shape))
    return reshape(permute(rows, rest + axes), (*(rows.shape[i] for i in rest), count)), kept


def _quantile_of(name: str, ignore_nan: bool, scale: float) -> Callable[..., Any]:
    def rule(
        a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
        method: str = "linear", keepdims: Any = False, *, weights: Any = None, interpolation: Any = None,
    ) -> Any:  # fmt: skip
        reject(name, out=(out, None), weights=(weights, None), interpolation=(interpolation, None))
        a = array_of(a)
        a = a if a.dtype.kind == "f" else a.astype(float)
        q = np.asarray(q, a.dtype) if type(q) in (int, float) else array_of(q)
        q = q if q.dtype.kind == "f" else q.astype(float)
        if not isinstance(q, Tracer) and ((q < 0) | (q > scale)).any():
            raise ShapeError(f"np.{name}: q must lie in [0, {scale:g}], got {q}, at {source_line()}")
        q = q / scale if scale != 1 else q
        axes = normal_axes(axis, a.ndim, name)
        rows, kept = _gathered(a, axes)
        ordered = np.sort(rows, axis=-1)  # NaN last
        missing = np.isnan(rows)
        n: Any = rows.shape[-1]
        if ignore_nan:
            n = np.maximum(np.sum(~missing, axis=-1), 1)
        kind = a.dtype if method in _OF_ONE_ENTRY else np.result_type(a.dtype, q.dtype)
        found = []
        flat = reshape(q, (q.size,)) if isinstance(q, Tracer) else q.ravel()
        for i in range(q.size):
            below, weight = _place(flat[i], n, method)
            low = np.broadcast_to(array_of(below).astype(int), rows.shape[:-1])
            high = np.minimum(low + 1, n - 1)
            x, y = (np.take_along_axis(ordered, at[..., None], -1)[..., 0] for at in (low, high))
            gap = y - x  # as NumPy: from the nearer of the two values
            near = np.where(weight >= 0.5, y - gap * (1 - weight), x + gap * weight)
            near = np.where(y == x, x, near)
            lost = np.all(missing, axis=-1) if ignore_nan else np.any(missing, axis=-1)
            found.append(np.where(lost, np.nan, near).astype(kind))
        shape = kept if flag(keepdims) else tuple(n for i, n in enumerate(a.shape) if i not in axes)
        found = [reshape(value, shape) for value in found]
        return found[0] if q.ndim == 0 else reshape(np.stack(found), (*q.shape, *shape))

    return rule


def _median_of(name: str, ignore_nan: bool) -> Callable[..., Any]:
    def rule(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
             keepdims: Any = False) -> Any:  # fmt: skip
        reject(name, out=(out, None))
        a = array_of(a)
        a = a if a.dtype.kind == "f" else a.astype(float)
        axes = normal_axes(axis, a.ndim, name)
        rows, kept = _gathered(a, axes)
        ordered, missing = np.sort(rows, axis=-1), np.isnan(rows)  # NaN last
        lost = np.all(missing, axis=-1) if ignore_nan else np.any(missing, axis=-1)
        n: Any = np.full(rows.shape[:-1], rows.shape[-1])
        if ignore_nan:
            n = np.maximum(np.sum(~missing, axis=-1), 1)
        x, y = (np.take_along_axis(ordered, at[..., None], -1)[..., 0] for at in ((n - 1) // 2, n // 2))
        found = np.where(lost, np.nan, np.where(x == y, x, (x + y) / 2.0)).astype(a.dtype)
        return reshape(found, kept if flag(keepdims) else found.shape)

    return rule


def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO_VALUE) -> Any:
    reject("ptp", out=(out, None))
    return np.max(a, axis=axis, keepdims=flag(keepdims)) - np.min(a, axis=axis, keepdims=flag(keepdims))


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sort: _sort,
    np.argsort: _argsort,
    np.partition: _partition,
    np.argpartition: _argpartition,
    np.lexsort: _lexsort,
    np.searchsorted: _searchsorted,
    np.digitize: _digitize,
    np.quantile: _quantile_of("quantile", False, 1.0),
    np.percentile: _quantile_of("percentile", False, 100.0),
    np.nanquantile: _quantile_of("nanquantile", True, 1.0),
    np.nanpercentile: _quantile_of("nanpercentile", True, 100.0),
    np.median: _median_of("median", False),
    np.nanmedian: _median_of("nanmedian", True),
    np.ptp: _ptp,
}
