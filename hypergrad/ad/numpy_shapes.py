"""NumPy's shape, joining and splitting functions, with NumPy's signatures, in terms of primitives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import array_of, axis_list, integer, reject, sizes_of
from hypergrad.ad.primitives import shape
from hypergrad.ad.primitives.elementwise import broadcast_shape
from hypergrad.ad.primitives.linear import broadcast_to, convert, permute, reshape
from hypergrad.ad.primitives.reduction import normal_axes
from hypergrad.ad.trace import Tracer, function_table, source_line
from hypergrad.errors import ShapeError

__all__ = ["FUNCTIONS"]


def _reshape(a: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Any:
    a, target = array_of(a), shape if shape is not None else newshape
    if _in_order("reshape", a, order) == "F":
        sizes = sizes_of(target, "reshape")
        return _transpose(_reshape(_transpose(a), sizes[::-1], copy=copy))
    sizes = sizes_of(target, "reshape")
    known = math.prod(n for n in sizes if n != -1)
    if sizes.count(-1) == 1 and known > 0 and a.size % known == 0:
        sizes = tuple(a.size // known if n == -1 else n for n in sizes)
    if any(n < 0 for n in sizes) or math.prod(sizes) != a.size:
        raise ShapeError(f"reshape: shape {a.shape} does not fit into {target}, at {source_line()}")
    found = reshape(a, sizes)
    return function_table["copy"](found) if copy and isinstance(found, Tracer) else found


def _in_order(name: str, a: Any, order: str) -> str:
    """Whether entries are taken in the order "C" or "F"; "A" follows the array."""
    if order == "A":
        flags = a.flags
        return "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    if order not in ("C", "F"):
        reject(name, order=(order, "C"))
    return order


def _ravel(a: Any, order: str = "C") -> Any:
    if order == "K" and a.flags.c_contiguous:
        order = "C"
    if _in_order("ravel", a, order) == "F":
        a = _transpose(a)
    return function_table["raveled"](a) if isinstance(a, Tracer) else np.ravel(a)


def _transpose(a: Any, axes: Any = None) -> Any:
    order = tuple(range(a.ndim))[::-1] if axes is None else axis_list(axes, a.ndim, "transpose")
    if len(order) != a.ndim:
        raise ShapeError(f"transpose: axes {axes} are no permutation for shape {a.shape}, at {source_line()}")
    return permute(a, order)


def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    i, j = (axis_list(axis, a.ndim, "swapaxes")[0] for axis in (axis1, axis2))
    order = list(range(a.ndim))
    order[i], order[j] = order[j], order[i]
    return permute(a, tuple(order))


def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    start, end = (axis_list(axes, a.ndim, "moveaxis") for axes in (source, destination))
    if len(start) != len(end):
        raise ShapeError(f"moveaxis: {source} and {destination} differ in number, at {source_line()}")
    order = [i for i in range(a.ndim) if i not in start]
    for to, origin in sorted(zip(end, start, strict=True)):
        order.insert(to, origin)
    return permute(a, tuple(order))


def _expand_dims(a: Any, axis: Any) -> Any:
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    ndim = a.ndim + len(axes)
    places = axis_list(axes, ndim, "expand_dims")
    sizes = iter(a.shape)
    return reshape(a, tuple(1 if i in places else next(sizes) for i in range(ndim)))


def _squeeze(a: Any, axis: Any = None) -> Any:
    ones = tuple(i for i, n in enumerate(a.shape) if n == 1)
    axes = ones if axis is None else axis_list(axis, a.ndim, "squeeze")
    if any(a.shape[i] != 1 for i in axes):
        raise ShapeError(f"squeeze: axis {axis} of shape {a.shape} is longer than one, at {source_line()}")
    return reshape(a, tuple(n for i, n in enumerate(a.shape) if i not in axes))


def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    target = sizes_of(shape, "broadcast_to")
    if any(n < 0 for n in target) or broadcast_shape([array.shape, target], "broadcast_to") != target:
        raise ShapeError(f"broadcast_to: shape {array.shape} does not fit {target}, at {source_line()}")
    return broadcast_to(array, target)


def _broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    arrays = [array_of(a) for a in args]
    target = broadcast_shape([a.shape for a in arrays], "broadcast_arrays")
    return tuple(broadcast_to(a, target) for a in arrays)


# Joining -----------------------------------------------------------------------------------------------
def _common(arrays: Any) -> list[Any]:
    """The arrays as one dtype, by NumPy's promotion."""
    items = [array_of(a) for a in arrays]
    dtype = np.result_type(*(a.dtype for a in items))
    return [convert(a, dtype) for a in items]


def _concatenate(
    arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    reject("concatenate", out=(out, None), dtype=(dtype, None))
    items = _common(arrays)
    if axis is None:
        items, axis = [reshape(a, (a.size,)) for a in items], 0
    if any(a.ndim == 0 for a in items):
        raise ShapeError(
            f"concatenate: an array without axes cannot be joined, at {source_line()}; use np.stack"
        )
    return shape.concatenate(items, axis_list(axis, items[0].ndim, "concatenate")[0])


def _stack(
    arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    reject("stack", out=(out, None), dtype=(dtype, None))
    items = _common(arrays)
    first = items[0].shape
    if any(a.shape != first for a in items):
        raise ShapeError(f"stack: shapes {', '.join(str(a.shape) for a in items)} differ, at {source_line()}")
    place = axis_list(axis, len(first) + 1, "stack")[0]
    return shape.concatenate([reshape(a, (*first[:place], 1, *first[place:])) for a in items], place)


def _at_least(a: Any, ndim: int) -> Any:
    a = array_of(a)
    n = a.shape
    if len(n) >= ndim:
        return a
    full: dict[tuple[int, int], tuple[int, ...]] = {
        (0, 1): (1,), (0, 2): (1, 1), (1, 2): (1, *n), (0, 3): (1, 1, 1), (1, 3): (1, *n, 1), (2, 3): (*n, 1),
    }  # fmt: skip
    return reshape(a, full[len(n), ndim])


def _atleast(ndim: int) -> Callable[..., Any]:
    def rule(*arrays: Any) -> Any:
        found = [_at_least(a, ndim) for a in arrays]
        return found[0] if len(found) == 1 else tuple(found)

    return rule


def _vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    return _concatenate([_at_least(a, 2) for a in tup], 0, dtype=dtype)


def _hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    items = [_at_least(a, 1) for a in tup]
    return _concatenate(items, 0 if items[0].ndim == 1 else 1, dtype=dtype)


def _column_stack(tup: Any) -> Any:
    items = [array_of(a) for a in tup]
    return _concatenate([reshape(a, (a.size, 1)) if a.ndim < 2 else a for a in items], 1)


# Splitting ---------------------------------------------------------------------------------------------
def _split(ary: Any, indices_or_sections: Any, axis: int = 0, *, even: bool = True) -> list[Any]:
    place = axis_list(axis, ary.ndim, "split")[0]
    length = ary.shape[place]
    if isinstance(indices_or_sections, int | np.integer):
        parts = int(indices_or_sections)
        if parts <= 0 or (even and length % parts):
            raise ShapeError(f"split: axis of length {length} has no {parts} equal parts, at {source_line()}")
        sizes = [length // parts + (i < length % parts) for i in range(parts)]
        edges = np.cumsum([0, *sizes]).tolist()
    else:
        edges = [0, *(integer(i, "split: an index") for i in indices_or_sections), length]
    lead = (slice(None),) * place
    return [ary[(*lead, slice(*edges[i : i + 2]))] for i in range(len(edges) - 1)]


def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    return _split(ary, indices_or_sections, axis, even=False)


# Reordering and repeating --------------------------------------------------------------------------------
def _flip(m: Any, axis: Any = None) -> Any:
    axes = normal_axes(axis, m.ndim, "flip")
    return m[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(m.ndim))]


def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        return reshape(_roll(reshape(a, (a.size,)), shift, 0), a.shape)
    shifts, axes = sizes_of(shift, "roll"), axis if isinstance(axis, tuple | list) else (axis,)
    if len(shifts) != len(axes) and 1 not in (len(shifts), len(axes)):
        raise ShapeError(f"roll: {len(shifts)} shifts for {len(axes)} axes, at {source_line()}")
    count = max(len(shifts), len(axes))
    for by, item in zip(shifts * (count // len(shifts)), tuple(axes) * (count // len(axes)), strict=True):
        place = axis_list(item, a.ndim, "roll")[0]
        length = a.shape[place]
        if length and by % length:
            a = shape.concatenate(_split(a, [length - by % length], place)[::-1], place)
    return a


def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    if axis is None:
        a, axis = reshape(a, (a.size,)), 0
    place = axis_list(axis, a.ndim, "repeat")[0]
    if isinstance(repeats, Tracer):
        repeats.__index__()
    counts = np.asarray(repeats)
    if counts.dtype.kind not in "iu" or (counts < 0).any() or counts.size not in (1, a.shape[place]):
        raise ShapeError(
            f"repeat: {repeats} are no counts for axis {place} of length {a.shape[place]}, at {source_line()}"
        )
    if counts.size > 1:
        return np.take(a, np.repeat(np.arange(a.shape[place]), counts), axis=place)
    before, after, count = a.shape[: place + 1], a.shape[place + 1 :], int(counts.ravel()[0])
    longer = broadcast_to(reshape(a, (*before, 1, *after)), (*before, count, *after))
    return reshape(longer, (*before[:-1], before[-1] * count, *after))


def _tile(A: Any, reps: Any) -> Any:
    counts = sizes_of(reps, "tile")
    if any(n < 0 for n in counts):
        raise ShapeError(f"tile: a count in {reps} is negative, at {source_line()}")
    ndim = max(A.ndim, len(counts))
    sizes = (1,) * (ndim - A.ndim) + A.shape
    counts = (1,) * (ndim - len(counts)) + counts
    paired = reshape(A, tuple(n for size in sizes for n in (1, size)))
    longer = broadcast_to(paired, tuple(n for pair in zip(counts, sizes, strict=True) for n in pair))
    return reshape(longer, tuple(r * n for r, n in zip(counts, sizes, strict=True)))


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.reshape: _reshape,
    np.ravel: _ravel,
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.moveaxis: _moveaxis,
    np.expand_dims: _expand_dims,
    np.squeeze: _squeeze,
    np.broadcast_to: _broadcast_to,
    np.broadcast_arrays: _broadcast_arrays,
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.vstack: _vstack,
    np.hstack: _hstack,
    np.column_stack: _column_stack,
    np.split: _split,
    np.array_split: _array_split,
    np.atleast_1d: _atleast(1),
    np.atleast_2d: _atleast(2),
    np.atleast_3d: _atleast(3),
    np.flip: _flip,
    np.fliplr: lambda m: _flip(m, 1),
    np.flipud: lambda m: _flip(m, 0),
    np.roll: _roll,
    np.repeat: _repeat,
    np.tile: _tile,
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: (
        a.size if axis is None else math.prod(a.shape[i] for i in axis_list(axis, a.ndim, "size"))
    ),
}
