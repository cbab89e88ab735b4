"""Indexing: slices (views), gathers by integer arrays, and their transposes.

A basic index is stored as a tuple of hashable items: an int, None (a new axis), or
``(start, stop, step)`` for a slice. An advanced index keeps its integer arrays as operands and their
places in `spec`, in which each array stands as the item ``"array"``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.primitives.elementwise import broadcast_shape
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import Tracer, bind, source_line
from hypergrad.errors import ShapeError, TracingError

__all__ = ["gather_p", "getitem", "index_p", "scatter_add_p", "scatter_p"]

Item = int | None | tuple[int | None, int | None, int | None] | str


def to_numpy(spec: tuple[Item, ...], arrays: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """The index that NumPy understands."""
    stream = iter(arrays)
    return tuple(
        next(stream) if item == "array" else slice(*item) if isinstance(item, tuple) else item
        for item in spec
    )


def _probe(shape: tuple[int, ...]) -> np.ndarray:
    """An array of the given shape that holds one byte: to let NumPy compute the shape of an index."""
    return np.broadcast_to(np.zeros((), np.int8), shape)


# basic indexing and its transpose, scatter into zeros -------------------------------------------------
def _scatter_call(x: np.ndarray, spec: tuple[Item, ...], shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, x.dtype)
    out[to_numpy(spec)] = x
    return out


index_p: Primitive = Primitive(
    "index",
    infer=lambda x, spec: ArrayType(_probe(x.shape)[to_numpy(spec)].shape, x.dtype),
    call=lambda x, spec: x[to_numpy(spec)],
    jvp=lambda out, tangents, inputs, spec: bind(index_p, tangents[0], spec=spec),
    transpose=lambda ct, inputs, types, spec: (bind(scatter_p, ct, spec=spec, shape=types[0].shape),),
    view=True,
)
scatter_p: Primitive = Primitive(
    "scatter",
    infer=lambda x, spec, shape: ArrayType(shape, x.dtype),
    call=_scatter_call,
    jvp=lambda out, tangents, inputs, spec, shape: bind(scatter_p, tangents[0], spec=spec, shape=shape),
    transpose=lambda ct, inputs, types, spec, shape: (bind(index_p, ct, spec=spec),),
)


# gather by integer arrays and its transpose, scatter_add ----------------------------------------------
def _gather_infer(x: ArrayType, *indices: ArrayType, spec: tuple[Item, ...]) -> ArrayType:
    probes = tuple(np.zeros(i.shape, np.intp) for i in indices)
    return ArrayType(_probe(tuple(max(n, 1) for n in x.shape))[to_numpy(spec, probes)].shape, x.dtype)


def _scatter_add_call(
    x: np.ndarray, *indices: np.ndarray, spec: tuple[Item, ...], shape: tuple[int, ...]
) -> np.ndarray:
    out = np.zeros(shape, x.dtype)
    np.add.at(out, to_numpy(spec, indices), x)
    return out


gather_p: Primitive = Primitive(
    "gather",
    _gather_infer,
    lambda x, *indices, spec: x[to_numpy(spec, indices)],
    lambda out, tangents, inputs, spec: bind(gather_p, tangents[0], *inputs[1:], spec=spec),
    lambda ct, inputs, types, spec: (
        bind(scatter_add_p, ct, *inputs[1:], spec=spec, shape=types[0].shape),
        *(None,) * (len(types) - 1),
    ),
)
scatter_add_p: Primitive = Primitive(
    "scatter_add",
    lambda x, *indices, spec, shape: ArrayType(shape, x.dtype),
    _scatter_add_call,
    lambda out, tangents, inputs, spec, shape: bind(
        scatter_add_p, tangents[0], *inputs[1:], spec=spec, shape=shape
    ),
    lambda ct, inputs, types, spec, shape: (
        bind(gather_p, ct, *inputs[1:], spec=spec),
        *(None,) * (len(types) - 1),
    ),
)


def getitem(x: Any, index: Any) -> Any:
    """``x[index]`` for ints, slices, None, Ellipsis, integer arrays (traced or not) and constant masks.

    Raises:
        ShapeError: too many indices, or one out of bounds.
        TracingError: a traced boolean mask, whose result has no fixed shape.
    """
    items = [_item(item) for item in (index if isinstance(index, tuple) else (index,))]
    used = sum(item.ndim if _is_mask(item) else item is not None and item is not Ellipsis for item in items)
    if used > x.ndim:
        raise ShapeError(f"{used} indices for an array of shape {x.shape}, at {source_line()}")
    places = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise ShapeError(f"an index has more than one Ellipsis (...), at {source_line()}")
    place = places[0] if places else len(items)
    items[place : place + 1] = [slice(None)] * (x.ndim - used)
    prepared: list[Any] = []
    axis = 0
    for item in items:
        if _is_mask(item):
            if item.shape != x.shape[axis : axis + item.ndim]:
                raise ShapeError(
                    f"a mask of shape {item.shape} does not fit axes {axis} to {axis + item.ndim - 1} of an array "
                    f"of shape {x.shape}, at {source_line()}"
                )
            prepared += item.nonzero()
            axis += item.ndim
        else:
            prepared.append(item)
            axis += item is not None

    spec: list[Item] = []
    arrays: list[Any] = []
    axis = 0
    for item in prepared:
        if item is None:
            spec.append(None)
            continue
        length = x.shape[axis]
        if isinstance(item, slice):
            spec.append(_slice(item, length))
        elif isinstance(item, int):
            if not -length <= item < length:
                raise ShapeError(
                    f"index {item} is out of bounds for axis {axis} of length {length}, at {source_line()}"
                )
            spec.append(item % length)
        else:
            if isinstance(item, np.ndarray) and item.size and (item.min() < -length or item.max() >= length):
                raise ShapeError(
                    f"an index is out of bounds for axis {axis} of length {length}, at {source_line()}"
                )
            spec.append("array")
            arrays.append(item)
        axis += 1
    if arrays:
        broadcast_shape([array.shape for array in arrays], "index")
        return bind(gather_p, x, *arrays, spec=tuple(spec))
    if all(item == (0, n, 1) for item, n in zip(spec, x.shape, strict=False)) and len(spec) == x.ndim:
        return x
    return bind(index_p, x, spec=tuple(spec))


def _item(item: Any) -> Any:
    """One item of an index: None, Ellipsis, a slice, an int, a mask, or integers (traced or not)."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, Tracer):
        if item.dtype.kind == "b":
            raise TracingError(
                f"indexing by a traced boolean mask has no fixed shape, at {source_line()}; "
                "use np.where(mask, x, 0) or multiply by the mask"
            )
        array: Any = item
    else:
        array = np.asarray(item)
        if array.size == 0 and array.dtype.kind == "f":
            array = array.astype(np.intp)
    if array.dtype.kind == "b" and array.ndim == 0:
        raise TracingError(f"indexing by a lone True or False is not supported, at {source_line()}")
    if array.dtype.kind not in "iub":
        raise TracingError(f"an index must be integer, got {array.dtype}, at {source_line()}")
    return array if isinstance(array, Tracer) or array.ndim else int(array)


def _is_mask(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype.kind == "b"


def _slice(item: slice, length: int) -> tuple[int, int | None, int]:
    """Start, stop and step inside an axis; stop is None where a negative step runs past the start."""
    for bound in (item.start, item.stop, item.step):
        if isinstance(bound, Tracer):
            bound.__index__()
    try:
        start, stop, step = item.indices(length)
    except (TypeError, ValueError) as error:
        raise TracingError(f"the slice {item} is wrong ({error}), at {source_line()}") from None
    return (start, None if step < 0 and stop < 0 else stop, step)
