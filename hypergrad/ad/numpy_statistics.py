"""NumPy's statistics and its functions that ignore NaN, with NumPy's signatures, in terms of other functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.numpy_reductions import masked_moments
from hypergrad.ad.options import NO_VALUE, array_of, flag, reject
from hypergrad.ad.primitives.elementwise import select
from hypergrad.ad.refused import alternative
from hypergrad.ad.trace import Tracer, source_line
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = ["FUNCTIONS"]


def _float(x: Any) -> Any:
    x = array_of(x)
    return x if x.dtype.kind in "fc" else x.astype(float)


# Averages and covariances --------------------------------------------------------------------------------
def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *,
             keepdims: Any = NO_VALUE) -> Any:  # fmt: skip
    a, keep = array_of(a), flag(keepdims)
    if weights is None:
        found = np.mean(a, axis=axis, keepdims=keep)
        return (found, np.full(found.shape, a.size / max(found.size, 1))) if returned else found
    w = array_of(weights)
    if w.shape != a.shape:
        if not isinstance(axis, int | np.integer) or w.shape != (a.shape[axis],):
            raise ShapeError(
                f"np.average: weights of shape {w.shape} do not fit axis={axis} of shape {a.shape}, "
                f"at {source_line()}"
            )
        w = np.moveaxis(np.broadcast_to(w, (*np.moveaxis(a, axis, -1).shape[:-1], w.size)), -1, axis)
    total = np.sum(w, axis=axis, keepdims=keep)
    found = np.sum(a * w, axis=axis, keepdims=keep) / total
    return (found, np.broadcast_to(total, found.shape)) if returned else found


def _cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None,
    fweights: Any = None, aweights: Any = None, *, dtype: Any = None,
) -> Any:  # fmt: skip
    reject("cov", dtype=(dtype, None))
    x = array_of(m).astype(np.float64)
    if x.ndim > 2:
        raise ShapeError(f"np.cov: more than two axes in shape {x.shape}, at {source_line()}")
    rows = [np.atleast_2d(x).T if not rowvar and x.ndim == 2 else np.atleast_2d(x)]
    if y is not None:
        other = np.atleast_2d(array_of(y).astype(np.float64))
        rows.append(other.T if not rowvar and other.shape[0] != 1 else other)
    x = rows[0] if y is None else np.concatenate(rows, axis=0)
    w: Any = None
    for weights in (fweights, aweights):
        if weights is not None:
            w = array_of(weights) if w is None else w * array_of(weights)
    correction = ddof if ddof is not None else (0 if bias else 1)
    if w is None:
        mean, factor = np.mean(x, axis=1), x.shape[1] - correction
    else:
        total = np.sum(w)
        mean = np.sum(x * w, axis=1) / total
        spread = 1.0 if aweights is None or correction == 0 else np.sum(w * array_of(aweights)) / total
        factor = total - correction * spread
    if not isinstance(factor, Tracer) and factor <= 0:
        raise ShapeError(f"np.cov: too few observations for ddof={correction}, at {source_line()}")
    x = x - mean[:, None]
    return np.squeeze(np.dot(x, (x if w is None else x * w).T) * (1.0 / factor))


def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    c = _cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    deviation = np.sqrt(np.diagonal(c))
    return np.clip(c / deviation[:, None] / deviation[None, :], -1, 1)


def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    if isinstance(x, Tracer):
        raise UnsupportedError(
            f"np.bincount of traced integers has no fixed length, at {source_line()}; pass them as data outside"
        )
    x = np.asarray(x)
    weights = array_of(weights).astype(np.float64)
    out = np.zeros_like(weights, shape=(max(int(x.max(initial=-1)) + 1, minlength),))
    np.add.at(out, x, weights)
    return out


def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """Of plain values with traced weights."""
    if any(isinstance(x, Tracer) for x in (a, bins, *(range or ()))):
        raise UnsupportedError(
            f"np.histogram of traced values, at {source_line()}; {alternative('histogram')}"
        )
    values, w = np.ravel(np.asarray(a)), array_of(weights)
    edges = np.histogram_bin_edges(values, bins, range)
    if w.size != values.size:
        raise ShapeError(f"np.histogram: {w.size} weights for {values.size} values, at {source_line()}")
    places = np.searchsorted(edges, values, "right") - 1
    places[values == edges[-1]] = edges.size - 2
    inside = (places >= 0) & (places < edges.size - 1)
    counts = np.zeros_like(w, shape=(edges.size - 1,))
    np.add.at(counts, places[inside], np.ravel(w)[inside])
    return (counts / np.diff(edges) / np.sum(counts) if density else counts), edges


# Functions that ignore NaN -------------------------------------------------------------------------------
def _filled(function: Callable[..., Any], value: float) -> Callable[..., Any]:
    def rule(a: Any, *args: Any, **kwargs: Any) -> Any:
        a = array_of(a)
        return function(select(np.isnan(a), value, a) if a.dtype.kind == "f" else a, *args, **kwargs)

    return rule


def _nan_extremum(function: Callable[..., Any], worst: float) -> Callable[..., Any]:
    def rule(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO_VALUE, **kwargs: Any) -> Any:
        reject(function.__name__, out=(out, None))
        a, keep = array_of(a), flag(keepdims)
        if a.dtype.kind != "f":
            return function(a, axis=axis, keepdims=keep, **kwargs)
        missing = np.isnan(a)
        found = function(select(missing, worst, a), axis=axis, keepdims=keep, **kwargs)
        return select(np.all(missing, axis=axis, keepdims=keep), np.nan, found)

    return rule


def _nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO_VALUE, *,
             where: Any = NO_VALUE) -> Any:  # fmt: skip
    a = _float(a)
    return np.mean(a, axis=axis, dtype=dtype, out=out, keepdims=flag(keepdims), where=_present(a, where))


def _nanvar(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = NO_VALUE,
    *, where: Any = NO_VALUE, mean: Any = NO_VALUE, correction: Any = NO_VALUE,
) -> Any:  # fmt: skip
    reject("nanvar", out=(out, None))
    a, ddof = (
        _float(a) if dtype is None else array_of(a).astype(dtype),
        ddof if correction is NO_VALUE else correction,
    )
    total, count = masked_moments(
        a, _present(a, where), axis, flag(keepdims), None if mean is NO_VALUE else mean
    )
    left = count.astype(total.dtype) - ddof
    return select(left > 0, total / select(left > 0, left, 1.0), np.nan)


def _present(a: Any, where: Any) -> Any:
    """Where `a` has a number that is not left out."""
    return ~np.isnan(a) if where is NO_VALUE else ~np.isnan(a) & where


def _nanstd(a: Any, *args: Any, **kwargs: Any) -> Any:
    return np.sqrt(_nanvar(a, *args, **kwargs))


def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    x = array_of(x)
    if x.dtype.kind != "f":
        return x.copy()
    limits = np.finfo(x.dtype)
    x = select(np.isnan(x), nan, x)
    x = select(x == np.inf, limits.max if posinf is None else posinf, x)
    return select(x == -np.inf, limits.min if neginf is None else neginf, x)


def _count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return np.sum(array_of(a) != 0, axis=axis, keepdims=keepdims)


# Comparisons of whole arrays -----------------------------------------------------------------------------
def _allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    return np.all(np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan))


def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    x, y = array_of(a1), array_of(a2)
    if x.shape != y.shape:
        return False
    same = x == y
    return np.all(same | (np.isnan(x) & np.isnan(y)) if equal_nan else same)


def _array_equiv(a1: Any, a2: Any) -> Any:
    x, y = array_of(a1), array_of(a2)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return np.all(x == y)


def _isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *,
          kind: Any = None) -> Any:  # fmt: skip
    x, y = array_of(element), np.ravel(array_of(test_elements))
    found = np.any(x[..., None] == y, axis=-1)
    return ~found if invert else found


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.average: _average,
    np.cov: _cov,
    np.corrcoef: _corrcoef,
    np.bincount: _bincount,
    np.histogram: _histogram,
    np.nansum: _filled(np.sum, 0.0),
    np.nanprod: _filled(np.prod, 1.0),
    np.nancumsum: _filled(np.cumsum, 0.0),
    np.nancumprod: _filled(np.cumprod, 1.0),
    np.nanmax: _nan_extremum(np.max, -np.inf),
    np.nanmin: _nan_extremum(np.min, np.inf),
    np.nanargmax: _filled(np.argmax, -np.inf),
    np.nanargmin: _filled(np.argmin, np.inf),
    np.nanmean: _nanmean,
    np.nanvar: _nanvar,
    np.nanstd: _nanstd,
    np.nan_to_num: _nan_to_num,
    np.count_nonzero: _count_nonzero,
    np.allclose: _allclose,
    np.array_equal: _array_equal,
    np.array_equiv: _array_equiv,
    np.isin: _isin,
}
