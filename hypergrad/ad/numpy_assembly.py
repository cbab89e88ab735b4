"""NumPy's functions that build arrays of parts (pad, block, insert, select, ...), in terms of other functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hypergrad.ad.options import array_of, axis_list, reject, sizes_of
from hypergrad.ad.primitives.elementwise import select
from hypergrad.ad.primitives.linear import convert, reshape
from hypergrad.ad.trace import Tracer, source_line
from hypergrad.errors import ShapeError, TracingError

__all__ = ["FUNCTIONS"]


def _plain(value: Any, what: str) -> np.ndarray:
    """A value whose numbers must be known, such as positions and masks."""
    if isinstance(value, Tracer):
        raise TracingError(
            f"{what} must be known when tracing, at {source_line()}; pass them as plain data, or use np.where"
        )
    return np.asarray(value)


# Joining and cutting ---------------------------------------------------------------------------------------
def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    arr, values = array_of(arr), array_of(values)
    if axis is None:
        arr, values, axis = np.ravel(arr), np.ravel(values), 0
    return np.concatenate((arr, values), axis=axis)


def _positions(obj: Any, length: int, name: str) -> np.ndarray:
    found = np.arange(length)[obj] if isinstance(obj, slice) else _plain(obj, f"{name}: positions")
    if found.dtype == np.bool_:
        return np.flatnonzero(found)
    found = found.astype(np.intp) if found.size == 0 else found
    if found.dtype.kind not in "iu" or (found < -length).any() or (found > length).any():
        raise ShapeError(f"{name}: {obj} are no positions in an axis of length {length}, at {source_line()}")
    return np.where(found < 0, found + length, found)


def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    arr, values = array_of(arr), array_of(values)
    if axis is None:
        arr, axis = np.ravel(arr), 0
    place = axis_list(axis, arr.ndim, "insert")[0]
    n = arr.shape[place]
    at = _positions(obj, n, "insert")
    single = at.ndim == 0
    at = at.ravel()
    if single and values.ndim:
        # as NumPy: one position takes the whole of `values`, whose first axis moves to `axis`
        values = np.moveaxis(values.reshape((1,) * (arr.ndim - values.ndim) + values.shape), 0, place)
        at = np.repeat(at, values.shape[place] if values.ndim == arr.ndim else 1)
    rest = (*arr.shape[:place], at.size, *arr.shape[place + 1 :])
    block = np.broadcast_to(values, rest).astype(arr.dtype)
    order = np.argsort(np.concatenate([np.arange(n) + 0.5, at + 0.25]), kind="stable")
    return np.take(np.concatenate([arr, block], axis=place), order, axis=place)


def _delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    arr = array_of(arr)
    if axis is None:
        arr, axis = np.ravel(arr), 0
    place = axis_list(axis, arr.ndim, "delete")[0]
    kept = np.delete(
        np.arange(arr.shape[place]), obj if isinstance(obj, slice) else _plain(obj, "delete: positions")
    )
    return np.take(arr, kept, axis=place)


def _compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    reject("compress", out=(out, None))
    kept = np.flatnonzero(_plain(condition, "compress: the condition"))
    return np.take(array_of(a), kept, axis=axis)


def _extract(condition: Any, arr: Any) -> Any:
    return np.take(np.ravel(array_of(arr)), np.flatnonzero(_plain(condition, "extract: the condition")))


def _dstack(tup: Any) -> Any:
    return np.concatenate([np.atleast_3d(a) for a in tup], axis=2)


def _splits(axis: Callable[[Any], int]) -> Callable[..., Any]:
    return lambda ary, indices_or_sections: np.split(ary, indices_or_sections, axis(ary))


def _depth(arrays: Any) -> int:
    return 1 + max(map(_depth, arrays)) if isinstance(arrays, list) else 0


def _block(arrays: Any) -> Any:
    depth = _depth(arrays)

    def leaves(node: Any) -> list[Any]:
        return (
            [leaf for child in node for leaf in leaves(child)] if isinstance(node, list) else [array_of(node)]
        )

    ndim = max([depth, *(leaf.ndim for leaf in leaves(arrays))])

    def build(node: Any, level: int) -> Any:
        if isinstance(node, list):
            return np.concatenate([build(child, level + 1) for child in node], axis=ndim - depth + level)
        leaf = array_of(node)
        return reshape(leaf, (1,) * (ndim - leaf.ndim) + leaf.shape)

    return build(arrays, 0)


def _meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    n = len(xi)
    found = []
    for i, x in enumerate(xi):
        flat = np.ravel(array_of(x))
        place = (1 - i if i < 2 else i) if indexing == "xy" and n > 1 else i
        found.append(reshape(flat, tuple(flat.size if j == place else 1 for j in range(n))))
    return tuple(found) if sparse else tuple(np.broadcast_arrays(*found))


def _unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    return tuple(np.moveaxis(array_of(x), axis, 0))


def _resize(a: Any, new_shape: Any) -> Any:
    a, shape = np.ravel(array_of(a)), sizes_of(new_shape, "resize")
    count = math.prod(shape)
    if a.size == 0 or count == 0:
        return np.zeros(shape, a.dtype)
    return reshape(np.take(a, np.arange(count) % a.size), shape)


def _rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    i, j = axis_list(tuple(axes), m.ndim, "rot90")
    turns = k % 4
    if turns == 0:
        return m[...] if m.ndim else m
    if turns == 2:
        return np.flip(m, (i, j))
    return np.flip(np.swapaxes(m, i, j), i) if turns == 1 else np.swapaxes(np.flip(m, i), i, j)


def _rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    place = axis_list(axis, a.ndim, "rollaxis")[0]
    start = start + a.ndim if start < 0 else start
    return np.moveaxis(a, place, start - 1 if place < start else start)


def _diag(v: Any, k: int = 0) -> Any:
    v = array_of(v)
    if v.ndim == 2:
        return np.diagonal(v, k)
    if v.ndim != 1:
        raise ShapeError(
            f"np.diag of an array of shape {v.shape}, at {source_line()}; it needs one or two axes"
        )
    n = v.shape[0] + abs(k)
    out = np.zeros_like(v, shape=(n, n))
    rows = np.arange(v.shape[0])
    out[rows + max(-k, 0), rows + max(k, 0)] = v
    return out


# Choosing -----------------------------------------------------------------------------------------------
def _select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    if len(condlist) != len(choicelist) or not condlist:
        raise ShapeError(
            f"np.select: {len(condlist)} conditions for {len(choicelist)} choices, at {source_line()}"
        )
    found: Any = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        found = np.where(condition, choice, found)
    kinds = [x if type(x) in (int, float) else array_of(x).dtype for x in (*choicelist, default)]
    dtype = np.result_type(*kinds)
    shape = np.broadcast_shapes(*(array_of(x).shape for x in (*condlist, *choicelist)))
    return np.broadcast_to(convert(found, dtype) if isinstance(found, Tracer) else found, shape)


def _piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    x = array_of(x)
    conditions = (
        list(condlist)
        if isinstance(condlist, list | tuple) or array_of(condlist).ndim > x.ndim
        else [condlist]
    )
    functions = list(funclist)
    if len(functions) == len(conditions) + 1:
        other = conditions[0]
        for condition in conditions[1:]:
            other = np.logical_or(other, condition)
        conditions.append(np.logical_not(other))
    if len(functions) != len(conditions):
        raise ShapeError(
            f"np.piecewise: {len(functions)} functions for {len(conditions)} conditions, at {source_line()}"
        )
    found: Any = np.zeros_like(x)
    for condition, function in zip(conditions, functions, strict=True):
        # inside f no entry outside of the piece is seen, so that neither value nor slope is lost there
        value = (
            function(select(condition, x, _inside(x, condition)), *args, **kw)
            if callable(function)
            else function
        )
        found = np.where(condition, value, found)
    return found.astype(x.dtype)


def _inside(x: Any, condition: Any) -> Any:
    """A number of x where `condition` holds, to stand for the others."""
    place = np.argmax(np.ravel(np.broadcast_to(condition, x.shape)))
    return np.ravel(x)[place] if x.ndim else x


def _choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    reject("choose", out=(out, None), mode=(mode, "raise"))
    a = array_of(a)
    items = [c if type(c) in (int, float) else array_of(c) for c in choices]
    found = items[0]
    for number, item in enumerate(items[1:], start=1):
        found = np.where(a == number, item, found)
    return np.broadcast_to(found, np.broadcast_shapes(a.shape, np.shape(found)))


def _apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    arr = array_of(arr)
    place = axis_list(axis, arr.ndim, "apply_along_axis")[0]
    moved = np.moveaxis(arr, place, -1)
    outer = moved.shape[:-1]
    results = [array_of(func1d(moved[i], *args, **kwargs)) for i in np.ndindex(*outer)]
    if not results:
        raise ShapeError(f"apply_along_axis on no slices of shape {arr.shape}, at {source_line()}")
    stacked = reshape(np.stack(results), (*outer, *results[0].shape))
    inner = tuple(range(len(outer), stacked.ndim))
    return np.moveaxis(stacked, inner, tuple(range(place, place + len(inner))))


def _apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    a = array_of(a)
    for axis in axes if isinstance(axes, list | tuple) else (axes,):
        found = func(a, axis)
        a = (
            found
            if found.ndim == a.ndim
            else np.expand_dims(found, axis_list(axis, a.ndim, "apply_over_axes")[0])
        )
    return a


def _fix(x: Any, out: Any = None) -> Any:
    reject("fix", out=(out, None))
    return np.trunc(x)


def _sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:  # fmt: skip
    reject("sliding_window_view", writeable=(writeable, False))
    x, lengths = array_of(x), sizes_of(window_shape, "sliding_window_view")
    axes = (
        tuple(range(x.ndim)) if axis is None else tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    )
    if len(axes) != len(lengths):
        raise ShapeError(
            f"sliding_window_view: window_shape={window_shape} for {len(axes)} axes, at {source_line()}; "
            "give one length an axis"
        )
    for item, length in zip(axes, lengths, strict=True):
        place = axis_list(item, x.ndim, "sliding_window_view")[0]
        count = x.shape[place] - length + 1
        if length < 0 or count < 1:
            raise ShapeError(
                f"sliding_window_view: a window of {length} along an axis of {x.shape[place]}, at {source_line()}"
            )
        windows = np.arange(count)[:, None] + np.arange(length)
        x = np.moveaxis(np.take(x, windows, axis=place), place + 1, -1)
    return x


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.append: _append,
    np.insert: _insert,
    np.delete: _delete,
    np.compress: _compress,
    np.extract: _extract,
    np.dstack: _dstack,
    np.hsplit: _splits(lambda a: 0 if a.ndim == 1 else 1),
    np.vsplit: _splits(lambda a: 0),
    np.dsplit: _splits(lambda a: 2),
    np.block: _block,
    np.meshgrid: _meshgrid,
    np.resize: _resize,
    np.rot90: _rot90,
    np.rollaxis: _rollaxis,
    np.diag: _diag,
    np.diagflat: lambda v, k=0: _diag(np.ravel(array_of(v)), k),
    np.lib.stride_tricks.sliding_window_view: _sliding_window_view,
    np.select: _select,
    np.piecewise: _piecewise,
    np.choose: _choose,
    np.apply_along_axis: _apply_along_axis,
    np.apply_over_axes: _apply_over_axes,
    np.fix: _fix,
    np.matrix_transpose: lambda x: np.swapaxes(x, -1, -2),
}
if hasattr(np, "unstack"):  # NumPy 2.1
    FUNCTIONS[np.unstack] = _unstack
