"""NumPy's functions that write to an array (put, copyto, fill_diagonal, ...), with NumPy's signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad import memory
from hypergrad.ad.options import array_of, axis_list
from hypergrad.ad.primitives.elementwise import broadcast_shape, select
from hypergrad.ad.primitives.indexing import getitem, read_index, update
from hypergrad.ad.primitives.linear import broadcast_to, convert, reshape
from hypergrad.ad.trace import is_traced, source_line
from hypergrad.ad.tracer import Tracer
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = ["FUNCTIONS", "Flat"]


def _known(x: Any) -> Any:
    """The numbers of `x`, or the tracer that it is."""
    if isinstance(x, Tracer):
        known = x.known()
        return x if known is None else known
    return np.asarray(x)


def _writes(a: Any, name: str) -> Tracer:
    if not isinstance(a, Tracer):
        raise UnsupportedError(
            f"{name} cannot write a traced value into an ndarray, at {source_line()}; make it with hg.zeros or hg.array"
        )
    memory.writable(a, name)
    return a


def _cycled(value: Any, count: int) -> Any:
    """The entries of `value`, repeated to `count` of them."""
    flat = value if isinstance(value, Tracer) else np.asarray(value)
    flat = reshape(flat, (flat.size,))
    if flat.size == count or flat.size == 1:
        return flat
    if flat.size == 0:
        raise ShapeError(f"no values to write into {count} entries, at {source_line()}")
    return getitem(flat, np.arange(count) % flat.size)


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    src, where = (x if type(x) in (bool, int, float) else _known(x) for x in (src, where))
    if not is_traced(dst):
        if not is_traced(src) and not is_traced(where):
            np.copyto(dst, src, casting, where)  # type: ignore[arg-type]
            return
        raise UnsupportedError(
            f"a traced value cannot be copied into an ndarray (np.copyto, np.full_like), at {source_line()}; "
            "write np.ones_like(a) * value or np.broadcast_to, or make the array with hg.zeros, hg.full or hg.array"
        )
    _writes(dst, "np.copyto")
    kind = np.result_type(src) if type(src) in (bool, int, float) else src.dtype
    weak = type(src) in (bool, int, float) and np.result_type(dst.dtype, src) == dst.dtype
    if not weak and not np.can_cast(kind, dst.dtype, casting):  # type: ignore[arg-type]
        raise UnsupportedError(
            f"np.copyto: {kind} cannot be cast to {dst.dtype} under casting={casting!r}, at {source_line()}"
        )
    value = memory.fitted(src, dst.shape, dst.dtype, "np.copyto")
    if where is not True:
        value = select(array_of(where), value, dst)
    memory.write(dst, value, "np.copyto")


def _flat_write(a: Tracer, key: Any, value: Any) -> None:
    """``a.flat[key] = value``, whose entries are repeated as often as needed."""
    index = read_index((a.size,), key)
    flat = reshape(a, (a.size,))
    shape = memory.target(flat, index) if isinstance(flat, Tracer) else ()
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0 or np.size(value) == 0:
        return
    cycled = getitem(_cycled(value, count), slice(0, count))
    entries = convert(cycled, a.dtype) if isinstance(cycled, Tracer) else cycled.astype(a.dtype)
    entries = reshape(entries, shape) if entries.size == count else reshape(entries, ())
    new = broadcast_to(entries, flat.shape) if index.whole else update(memory.alias(flat), entries, index)
    memory.write(a, reshape(new, a.shape), "flat")


def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    a, ind = _writes(a, "np.put"), _known(ind)
    if mode != "raise":
        if is_traced(ind):
            raise UnsupportedError(f"np.put with traced indices takes mode='raise', at {source_line()}")
        ind = np.clip(ind, 0, a.size - 1) if mode == "clip" else ind % a.size
    if ind.size:
        _flat_write(a, reshape(ind, (ind.size,)), v)


def _place(arr: Any, mask: Any, vals: Any) -> None:
    arr, mask = _writes(arr, "np.place"), _known(mask)
    if is_traced(mask):
        if np.size(vals) != 1:
            raise UnsupportedError(
                f"np.place with a traced mask takes one value, since the number of places is not known, "
                f"at {source_line()}; use np.putmask or np.where"
            )
        _putmask(arr, mask, vals)
    elif mask.any():
        _flat_write(arr, np.flatnonzero(mask), vals)


def _putmask(a: Any, mask: Any, values: Any) -> None:
    a, mask = _writes(a, "np.putmask"), _known(mask)
    if np.size(values) == 0:
        return
    if mask.size != a.size:
        raise ShapeError(
            f"np.putmask: a mask of shape {mask.shape} for an array of shape {a.shape}, at {source_line()}"
        )
    full = _cycled(values, a.size)
    full = reshape(full, a.shape if full.size == a.size else ())
    full = convert(full, a.dtype) if isinstance(full, Tracer) else full.astype(a.dtype)
    memory.write(a, select(reshape(mask, a.shape), full, a), "np.putmask")


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    a = _writes(a, "np.fill_diagonal")
    if a.ndim < 2 or (a.ndim > 2 and len(set(a.shape)) > 1):
        raise ShapeError(
            f"np.fill_diagonal: an array of shape {a.shape}, at {source_line()}; it needs two axes, "
            "or all of one length"
        )
    end = None if a.ndim > 2 or wrap else a.shape[1] * a.shape[1]
    step = a.shape[1] + 1 if a.ndim == 2 else 1 + int(np.cumprod(a.shape[:-1]).sum())
    _flat_write(a, slice(None, end, step), val)


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    arr, indices = _writes(arr, "np.put_along_axis"), _known(indices)
    if axis is None:
        if indices.ndim != 1:
            raise ShapeError(
                f"np.put_along_axis with axis=None takes indices of one axis, at {source_line()}"
            )
        shape = indices.shape
        value = memory.fitted(values, shape, arr.dtype, "np.put_along_axis")
        _flat_write(arr, indices, broadcast_to(value, shape))
        return
    place = axis_list(axis, arr.ndim, "np.put_along_axis")[0]
    if indices.ndim != arr.ndim:
        raise ShapeError(
            f"np.put_along_axis: indices of shape {indices.shape} for an array of shape {arr.shape}, "
            f"at {source_line()}; give them as many axes"
        )
    grid = tuple(
        indices if i == place else np.arange(n).reshape(tuple(n if j == i else 1 for j in range(arr.ndim)))
        for i, n in enumerate(arr.shape)
    )
    broadcast_shape([item.shape for item in grid], "np.put_along_axis")
    memory.setitem(arr, grid, values)


class Flat:
    """``x.flat``: the entries in C order; reading copies, assignment writes."""

    __array_ufunc__ = None

    def __init__(self, base: Tracer) -> None:
        self.base = base

    def copy(self) -> Any:
        return self.base.flatten()

    def __len__(self) -> int:
        return self.base.size

    def __iter__(self) -> Any:
        return (self[i] for i in range(self.base.size))

    def __getitem__(self, key: Any) -> Any:
        found = self.copy()[key]
        return found.copy() if isinstance(found, Tracer) and found.shape else found

    def __setitem__(self, key: Any, value: Any) -> None:
        _writes(self.base, "flat")
        _flat_write(self.base, key, value)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self.base.__array__(*args, **kwargs)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.copyto: _copyto,
    np.put: _put,
    np.place: _place,
    np.putmask: _putmask,
    np.fill_diagonal: _fill_diagonal,
    np.put_along_axis: _put_along_axis,
}
