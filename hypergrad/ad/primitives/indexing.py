"""Indexing: slices (views), gathers by integer arrays, their transposes, and assignment.

A basic index is stored as a tuple of hashable items: an int, None (a new axis), or
``(start, stop, step)`` for a slice. An advanced index keeps its integer arrays as operands and their
places in `spec`, in which each array stands as the item ``"array"``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad.ad.primitives.elementwise import broadcast_shape, select_p
from hypergrad.ad.primitives.linear import unbroadcast
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import Tracer, bind, source_line
from hypergrad.errors import ShapeError, TracingError

__all__ = [
    "Index",
    "add_at_p",
    "gather_p",
    "getitem",
    "index_p",
    "keeps_all",
    "read_index",
    "scatter_add_p",
    "scatter_p",
    "take",
    "update",
    "update_p",
]

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


# assignment: x with x[index] = v, and with x[index] += v for each index in turn ------------------------
def _target(x: ArrayType, indices: tuple[ArrayType, ...], spec: tuple[Item, ...]) -> tuple[int, ...]:
    """The shape of ``x[index]``."""
    return (_gather_infer if indices else index_p.infer)(x, *indices, spec=spec).shape


def _write_infer(
    x: ArrayType, v: ArrayType, *indices: ArrayType, spec: tuple[Item, ...], **_: Any
) -> ArrayType:
    shape = _target(x, indices, spec)
    if broadcast_shape([v.shape, shape], "assignment") != shape:
        raise ShapeError(f"a value of shape {v.shape} does not fit into {shape}, at {source_line()}")
    return ArrayType(x.shape, x.dtype)


def _update_call(
    x: np.ndarray, v: np.ndarray, *indices: np.ndarray, spec: tuple[Item, ...], unique: bool
) -> np.ndarray:
    out = x.copy(order="K")
    out[to_numpy(spec, indices)] = v
    return out


def _add_at_call(x: np.ndarray, v: np.ndarray, *indices: np.ndarray, spec: tuple[Item, ...]) -> np.ndarray:
    out = x.copy(order="K")
    np.add.at(out, to_numpy(spec, indices), v)
    return out


def _write_jvp(primitive: Primitive, out: Any, tangents: Any, inputs: Any, params: dict[str, Any]) -> Any:
    tx, tv = tangents[:2]
    if tx is None and tv is None:
        return None
    tx = np.zeros(out.shape, out.dtype) if tx is None else tx
    tv = np.zeros((), out.dtype) if tv is None else tv
    return bind(primitive, tx, tv, *inputs[2:], **params)


def _read(ct: Any, indices: Any, spec: tuple[Item, ...]) -> Any:
    return bind(gather_p, ct, *indices, spec=spec) if indices else bind(index_p, ct, spec=spec)


def _winners(indices: Any, spec: tuple[Item, ...], shape: tuple[int, ...], target: tuple[int, ...]) -> Any:
    """For each written value, whether it stays: of several at one place, the last."""
    order = np.arange(math.prod(target)).reshape(target)
    places = bind(update_p, np.zeros(shape, order.dtype), order, *indices, spec=spec, unique=False)
    return bind(gather_p, places, *indices, spec=spec) == order


def _update_transpose(
    ct: Any, inputs: Any, types: Any, spec: tuple[Item, ...], unique: bool
) -> tuple[Any, ...]:
    x, v, *indices = inputs
    ct_x = ct_v = None
    if x is None:
        ct_x = bind(update_p, ct, np.zeros((), ct.dtype), *indices, spec=spec, unique=unique)
    if v is None:
        ct_v = _read(ct, indices, spec)
        if not unique:
            stays = _winners(indices, spec, types[0].shape, ct_v.shape)
            ct_v = bind(select_p, stays, ct_v, np.zeros((), ct.dtype))
        ct_v = unbroadcast(ct_v, types[1].shape)
    return (ct_x, ct_v, *(None for _ in indices))


update_p: Primitive = Primitive(
    "update",
    _write_infer,
    _update_call,
    lambda out, tangents, inputs, **params: _write_jvp(update_p, out, tangents, inputs, params),
    _update_transpose,
)
add_at_p: Primitive = Primitive(
    "add_at",
    _write_infer,
    _add_at_call,
    lambda out, tangents, inputs, **params: _write_jvp(add_at_p, out, tangents, inputs, params),
    lambda ct, inputs, types, spec: (
        ct if inputs[0] is None else None,
        unbroadcast(_read(ct, inputs[2:], spec), types[1].shape) if inputs[1] is None else None,
        *(None for _ in inputs[2:]),
    ),
)


@dataclass(frozen=True)
class Index:
    """An index of an array, read.

    Attributes:
        spec, arrays: as the primitives take them.
        whole: it selects all entries, in place.
        view: the result shares memory with the array (no integer arrays, and no NumPy scalar).
    """

    spec: tuple[Item, ...]
    arrays: tuple[Any, ...]
    whole: bool
    view: bool

    def unique(self, shape: tuple[int, ...]) -> bool:
        """Whether no entry is selected twice, as far as is known while tracing."""
        if not self.arrays:
            return True
        if any(isinstance(array, Tracer) for array in self.arrays):
            return False
        lengths = [
            n
            for item, n in zip([i for i in self.spec if i is not None], shape, strict=True)
            if item == "array"
        ]
        flat = [
            np.broadcast_to(array % max(n, 1), np.broadcast_shapes(*(a.shape for a in self.arrays))).ravel()
            for array, n in zip(self.arrays, lengths, strict=True)
        ]
        return len(np.unique(np.stack(flat), axis=1).T) == flat[0].size


def read_index(shape: tuple[int, ...], index: Any) -> Index:
    """An index of ints, slices, None, Ellipsis, integer arrays (traced or not) and constant masks.

    Raises:
        ShapeError: too many indices, or one out of bounds.
        TracingError: a traced boolean mask, whose result has no fixed shape.
    """
    items = [_item(item) for item in (index if isinstance(index, tuple) else (index,))]
    used = sum(item.ndim if _is_mask(item) else item is not None and item is not Ellipsis for item in items)
    if used > len(shape):
        raise ShapeError(f"{used} indices for an array of shape {shape}, at {source_line()}")
    places = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise ShapeError(f"an index has more than one Ellipsis (...), at {source_line()}")
    place = places[0] if places else len(items)
    items[place : place + 1] = [slice(None)] * (len(shape) - used)
    prepared: list[Any] = []
    axis = 0
    for item in items:
        if _is_mask(item):
            if item.shape != shape[axis : axis + item.ndim]:
                raise ShapeError(
                    f"a mask of shape {item.shape} does not fit axes {axis} to {axis + item.ndim - 1} of an array "
                    f"of shape {shape}, at {source_line()}"
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
        length = shape[axis]
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
    whole = len(spec) == len(shape) and all(item == (0, n, 1) for item, n in zip(spec, shape, strict=True))
    number = all(isinstance(item, int) for item in spec) and not places
    return Index(tuple(spec), tuple(arrays), whole, not arrays and not number)


def take(x: Any, index: Index) -> Any:
    """``x[index]``."""
    if index.arrays:
        return bind(gather_p, x, *index.arrays, spec=index.spec)
    found = x if index.whole else bind(index_p, x, spec=index.spec)
    if index.whole and not index.view and isinstance(x, Tracer):
        return Tracer(x.builder, x.atom)
    if not index.view and isinstance(found, Tracer):
        found.memory = None  # a number
    return found


def getitem(x: Any, index: Any) -> Any:
    """``x[index]``; see `read_index`."""
    return take(x, read_index(x.shape, index))


def update(x: Any, value: Any, index: Index) -> Any:
    """`x` with ``x[index] = value``, of the same dtype; where an index is repeated, the last value stays."""
    return bind(update_p, x, value, *index.arrays, spec=index.spec, unique=index.unique(x.shape))


def _item(item: Any) -> Any:
    """One item of an index: None, Ellipsis, a slice, an int, a mask, or integers (traced or not)."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    known = item.known() if isinstance(item, Tracer) else None
    if isinstance(item, Tracer) and known is None:
        if item.dtype.kind == "b":
            raise TracingError(
                f"indexing by a traced boolean mask has no fixed shape, at {source_line()}; "
                "use np.where(mask, x, 0) or multiply by the mask"
            )
        array: Any = item
    else:
        array = np.asarray(item if known is None else known)
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
    if step < 0 and start < 0:
        return (0, 0, 1)  # nothing: -1 would count from the end
    return (start, None if step < 0 and stop < 0 else stop, step)


def keeps_all(shape: tuple[int, ...], spec: Any) -> bool:
    """Whether a basic index keeps every entry, in order."""
    lengths = iter(shape)
    return all(
        item is None or (item == (0, next(lengths), 1) if isinstance(item, tuple) else next(lengths) == 1)
        for item in spec
    )
