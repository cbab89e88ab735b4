"""NumPy's functions of sequences (differences, cumulative products, interpolation, convolution, polynomials)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import NO_VALUE, array_of, axis_list, integer, reject
from hypergrad.ad.primitives import reduction
from hypergrad.ad.primitives.elementwise import select
from hypergrad.ad.primitives.indexing import getitem
from hypergrad.ad.primitives.linear import convert, reshape
from hypergrad.ad.primitives.sequence import convolve_p, cumprod_p
from hypergrad.ad.trace import Tracer, bind, source_line
from hypergrad.errors import ShapeError

__all__ = ["FUNCTIONS"]


def _cut(axis: int, *slices: slice) -> tuple[tuple[slice, ...], ...]:
    return tuple(((slice(None),) * axis + (part,)) for part in slices)


def _cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    reject("cumprod", out=(out, None))
    a = array_of(a)
    a = convert(a, dtype or reduction.sum_dtype(a.dtype))
    if axis is None:
        a, axis = reshape(a, (a.size,)), 0
    return bind(cumprod_p, a, axis=axis_list(axis, a.ndim, "cumprod")[0])


def _cumulative(function: Callable[..., Any], first: int) -> Callable[..., Any]:
    def rule(x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None,
             include_initial: bool = False) -> Any:  # fmt: skip
        reject(function.__name__, out=(out, None))
        if axis is None and x.ndim != 1:
            raise ShapeError(f"name the axis of shape {x.shape}, at {source_line()}")
        place = axis_list(0 if axis is None else axis, x.ndim, function.__name__)[0]
        found = function(x, axis=place, dtype=dtype)
        if not include_initial:
            return found
        start = np.full((*x.shape[:place], 1, *x.shape[place + 1 :]), first, found.dtype)
        return np.concatenate([start, found], axis=place)

    return rule


# Differences -------------------------------------------------------------------------------------------
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NO_VALUE, append: Any = NO_VALUE) -> Any:
    a, times = array_of(a), integer(n, "diff: n")
    if times < 0 or a.ndim == 0:
        raise ShapeError(f"diff: n must be 0 or more, of an array with an axis, at {source_line()}")
    if times == 0:
        return a
    place = axis_list(axis, a.ndim, "diff")[0]
    ends = []
    for end in (prepend, append):
        if end is not NO_VALUE:
            end = array_of(end)
            shape = (*a.shape[:place], 1, *a.shape[place + 1 :])
            ends.append(np.broadcast_to(end, shape) if end.ndim == 0 else end)
        else:
            ends.append(None)
    parts = [part for part in (ends[0], a, ends[1]) if part is not None]
    a = np.concatenate(parts, axis=place) if len(parts) > 1 else a
    later, earlier = _cut(place, slice(1, None), slice(None, -1))
    for _ in range(times):
        a = a[later] != a[earlier] if a.dtype == np.bool_ else a[later] - a[earlier]
    return a


def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    flat = np.ravel(array_of(ary))
    parts = [
        None if to_begin is None else np.ravel(array_of(to_begin)).astype(flat.dtype),
        flat[1:] - flat[:-1],
        None if to_end is None else np.ravel(array_of(to_end)).astype(flat.dtype),
    ]
    found = [part for part in parts if part is not None]
    return found[0] if len(found) == 1 else np.concatenate(found)


def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f = array_of(f)
    f = f if f.dtype.kind in "fc" else f.astype(float)
    axes = tuple(range(f.ndim)) if axis is None else axis_list(axis, f.ndim, "gradient")
    spacings = list(varargs) or [1.0]
    spacings = spacings * len(axes) if len(spacings) == 1 else spacings
    if len(spacings) != len(axes) or edge_order not in (1, 2):
        raise ShapeError(
            f"gradient: {len(varargs)} spacings for {len(axes)} axes, edge_order={edge_order}, at {source_line()}"
        )
    found = [_slope(f, h, place, edge_order) for h, place in zip(spacings, axes, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _slope(f: Any, h: Any, axis: int, edge_order: int) -> Any:
    """Central differences along one axis, one-sided at its ends."""
    n = f.shape[axis]
    if n < edge_order + 1:
        raise ShapeError(f"gradient: an axis of length {n} is too short, at {source_line()}")
    f = np.moveaxis(f, axis, -1)
    if type(h) not in (int, float):
        h = array_of(h)
    if np.ndim(h) == 0:
        middle = (f[..., 2:] - f[..., :-2]) / (2.0 * h)
        a = b = h
        c = d = h
    else:
        step = h[1:] - h[:-1]
        a, b = step[:-1], step[1:]
        middle = (
            -b / (a * (a + b)) * f[..., :-2]
            + (b - a) / (a * b) * f[..., 1:-1]
            + a / (b * (a + b)) * f[..., 2:]
        )
        a, b, c, d = step[0], step[1 if n > 2 else 0], step[-2 if n > 2 else -1], step[-1]
    if edge_order == 1:
        first, last = (f[..., 1:2] - f[..., :1]) / a, (f[..., -1:] - f[..., -2:-1]) / d
    else:
        first = (
            -(2.0 * a + b) / (a * (a + b)) * f[..., :1]
            + (a + b) / (a * b) * f[..., 1:2]
            - a / (b * (a + b)) * f[..., 2:3]
        )
        last = (
            d / (c * (c + d)) * f[..., -3:-2]
            - (c + d) / (c * d) * f[..., -2:-1]
            + (2.0 * d + c) / (d * (c + d)) * f[..., -1:]
        )
    return np.moveaxis(np.concatenate([first, middle, last], axis=-1), -1, axis).astype(f.dtype)


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = array_of(y)
    place = axis_list(axis, y.ndim, "trapezoid")[0]
    later, earlier = _cut(place, slice(1, None), slice(None, -1))
    step = dx
    if x is not None:
        x = array_of(x)
        if x.ndim == 1:
            step = x[1:] - x[:-1]
            step = np.reshape(step, (*(1,) * place, step.size, *(1,) * (y.ndim - place - 1)))
        else:
            step = np.diff(x, axis=place)
    return np.sum(step * (y[later] + y[earlier]) / 2.0, axis=place)


def _unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * np.pi) -> Any:
    p = array_of(p)
    place = axis_list(axis, p.ndim, "unwrap")[0]
    step = np.diff(p, axis=place)
    half = period / 2
    turned = np.mod(step + half, period) - half
    turned = select((turned == -half) & (step > 0), half, turned)
    correction = select(np.absolute(step) < (half if discont is None else discont), 0.0, turned - step)
    first, rest = _cut(place, slice(None, 1), slice(1, None))
    return np.concatenate([p[first], p[rest] + np.cumsum(correction, axis=place)], axis=place)


# Interpolation and convolution ---------------------------------------------------------------------------
def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    x, xp, fp = array_of(x), array_of(xp), array_of(fp)
    kind = np.result_type(x.dtype, xp.dtype, fp.dtype, np.float64)
    x, xp, fp = (convert(v, kind) if isinstance(v, Tracer) else v.astype(kind) for v in (x, xp, fp))
    if xp.ndim != 1 or fp.shape != xp.shape or not xp.size:
        raise ShapeError(
            f"interp: xp {xp.shape} and fp {fp.shape} must be vectors of one length, at {source_line()}"
        )
    if period is not None:
        left = right = None
        x, xp = np.mod(x, np.absolute(period)), np.mod(xp, np.absolute(period))
        order = np.argsort(xp)
        xp, fp = getitem(xp, order), getitem(fp, order)
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
    n = xp.shape[0]
    below, above = x < xp[0], x >= xp[n - 1]
    found: Any = np.broadcast_to(fp[n - 1], x.shape)
    if n > 1:
        j = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, n - 2)
        x0, x1, f0, f1 = (getitem(values, at) for values in (xp, fp) for at in (j, j + 1))
        inside = (f1 - f0) / select(x1 != x0, x1 - x0, 1.0) * (x - x0) + f0  # equal knots lie outside
        found = select(above, fp[n - 1], inside)
    if right is not None:
        found = select(x > xp[n - 1], right, found)
    return select(np.isnan(x), x, select(below, fp[0] if left is None else left, found))


def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    a, v = (array_of(x) for x in (a, v))
    a, v = (np.reshape(x, (1,)) if x.ndim == 0 else x for x in (a, v))
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise ShapeError(f"convolve takes two vectors, got {a.shape} and {v.shape}, at {source_line()}")
    kind = np.result_type(a.dtype, v.dtype)
    a, v = (convert(x, kind) if isinstance(x, Tracer) else x.astype(kind) for x in (a, v))
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    return _trimmed(bind(convolve_p, a, v), a.shape[0], v.shape[0], mode)


def _trimmed(full: Any, n: int, m: int, mode: str) -> Any:
    """The part of a full convolution of lengths n >= m that `mode` asks for."""
    if mode == "full":
        return full
    if mode == "same":
        return full[(m - 1) // 2 : (m - 1) // 2 + n]
    if mode == "valid":
        return full[m - 1 : n]
    raise ShapeError(f"convolve: mode must be 'full', 'same' or 'valid', got {mode!r}, at {source_line()}")


def _correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    a, v = array_of(a), np.conjugate(array_of(v))
    if v.size <= a.size:
        return _convolve(a, v[::-1], mode)
    # with the longer one second NumPy correlates the other way round and reverses
    full = _convolve(v, a[::-1], "full")
    return _trimmed(full, v.size, a.size, mode)[::-1]


def _sinc(x: Any) -> Any:
    """sin(πx) / πx; at 0 the series 1 - (πx)²/6 + ..., whose derivatives are right to the fourth order."""
    x = array_of(x)
    x = x if x.dtype.kind in "fc" else x.astype(float)
    y = np.pi * x
    near = np.absolute(y) < 1e-3
    safe = select(near, 1.0, y)
    square = select(near, y * y, 0.0)
    series = 1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0))
    return select(near, series, np.sin(safe) / safe)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.cumprod: _cumprod,
    np.diff: _diff,
    np.ediff1d: _ediff1d,
    np.gradient: _gradient,
    np.trapezoid: _trapezoid,
    np.unwrap: _unwrap,
    np.interp: _interp,
    np.convolve: _convolve,
    np.correlate: _correlate,
    np.sinc: _sinc,
}
if hasattr(np, "cumulative_sum"):  # NumPy 2.1
    FUNCTIONS[np.cumulative_sum] = _cumulative(np.cumsum, 0)
    FUNCTIONS[np.cumulative_prod] = _cumulative(np.cumprod, 1)
