"""The one table of what is supported: NumPy and scipy.special functions to primitives.

`UFUNCS` maps ufuncs (scipy.special's by name, so that importing hypergrad does not import SciPy),
`FUNCTIONS` maps functions that dispatch through ``__array_function__``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.primitives import contraction, indexing, linalg, reduction, shape
from hypergrad.ad.primitives.elementwise import _BY_UFUNC, apply, expit_p, select
from hypergrad.ad.primitives.linear import broadcast_to, convert, permute, reshape
from hypergrad.ad.primitives.reduction import normal_axes
from hypergrad.ad.trace import Tracer, bind, function_table, source_line, ufunc_table
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = ["FUNCTIONS", "UFUNCS"]


def _array(x: Any) -> Any:
    return x if isinstance(x, Tracer) else np.asarray(x)


def _reject(name: str, **options: Any) -> None:
    """Refuse options that a rule does not follow, instead of ignoring them."""
    for option, (value, default) in options.items():
        if value is not default and value != default:
            raise UnsupportedError(f"{name} does not take {option}= on a traced value, at {source_line()}")


def _operator(name: str, x: Any, y: Any) -> Any:
    """A Python operator: like the ufunc, but Python numbers stay weak, and powers take NumPy's short cuts."""
    if name == "power" and type(y) in (int, float) and isinstance(x, Tracer) and x.dtype.kind == "f":
        short = {2: np.square, 1: np.positive, -1: np.reciprocal, 0.5: np.sqrt}.get(y)
        if short is not None:
            return apply(_BY_UFUNC[short], x, operator=True)
    if name == "matmul":
        return contraction.matmul(x, y)
    return apply(_BY_UFUNC[getattr(np, name)], x, y, operator=True)


def _float_unary(primitive: Any) -> Callable[[Any], Any]:
    def rule(x: Any) -> Any:
        return bind(primitive, x if x.dtype.kind == "f" else convert(x, float))

    return rule


def _astype(x: Tracer, dtype: Any) -> Any:
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub":
        raise UnsupportedError(f"astype({dtype}) has no derivative rule, at {source_line()}")
    return convert(x, dtype)


# Reductions ----------------------------------------------------------------------------------------
_NO = np._NoValue  # type: ignore[attr-defined]


def _reduce(name: str, rule: Callable[..., Any]) -> Callable[..., Any]:
    def reduction(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NO, initial: Any = _NO,
        where: Any = _NO,
    ) -> Any:  # fmt: skip
        _reject(name, out=(out, None), initial=(initial, _NO), where=(where, _NO))
        extra = {} if dtype is None else {"dtype": np.dtype(dtype)}
        return rule(_array(a), axis, keepdims=keepdims is not _NO and bool(keepdims), **extra)

    return reduction


def _extremum(primitive: Any, name: str) -> Callable[..., Any]:
    def rule(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NO, initial: Any = _NO, where: Any = _NO
    ) -> Any:
        _reject(name, out=(out, None), initial=(initial, _NO), where=(where, _NO))
        a = _array(a)
        axes = normal_axes(axis, a.ndim, name)
        return bind(primitive, a, axes=axes, keepdims=keepdims is not _NO and bool(keepdims)) if axes else a

    return rule


def _prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    if dtype is None and x.dtype.kind in "bi":
        dtype = np.result_type(x.dtype, int)
    return bind(
        reduction.reduce_prod_p,
        convert(x, dtype or x.dtype),
        axes=normal_axes(axis, x.ndim, "prod"),
        keepdims=keepdims,
    )


def _deviation(name: str, rule: Callable[..., Any]) -> Callable[..., Any]:
    def spread(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = _NO,
        *, where: Any = _NO, mean: Any = _NO, correction: Any = _NO,
    ) -> Any:  # fmt: skip
        _reject(name, out=(out, None), where=(where, _NO), mean=(mean, _NO), dtype=(dtype, None))
        ddof = ddof if correction is _NO else correction
        return rule(_array(a), axis, ddof, keepdims=keepdims is not _NO and bool(keepdims))

    return spread


def _argument(primitive: Any, name: str) -> Callable[..., Any]:
    def rule(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = _NO) -> Any:
        _reject(name, out=(out, None))
        axis = None if axis is None else normal_axes(axis, a.ndim, name)[0]
        return bind(primitive, a, axis=axis, keepdims=keepdims is not _NO and bool(keepdims))

    return rule


def _ufunc_reduce(rule: Callable[..., Any]) -> Callable[..., Any]:
    """``ufunc.reduce``: like the function, but over axis 0 unless told."""
    return lambda x, axis=0, **kwargs: rule(x, axis=axis, **kwargs)


def _cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    _reject("cumsum", out=(out, None))
    if axis is None:
        a, axis = reshape(a, (a.size,)), 0
    if dtype is None and a.dtype.kind in "bi":
        dtype = np.result_type(a.dtype, int)
    return bind(reduction.cumsum_p, convert(a, dtype or a.dtype), axis=normal_axes(axis, a.ndim, "cumsum")[0])


def _clip(
    a: Any,
    a_min: Any = _NO,
    a_max: Any = _NO,
    out: Any = None,
    *,
    min: Any = _NO,
    max: Any = _NO,
    **kwargs: Any,
) -> Any:
    _reject("clip", out=(out, None), **{k: (v, None) for k, v in kwargs.items()})
    low = min if a_min is _NO else a_min
    high = max if a_max is _NO else a_max
    return reduction.clip_of(_array(a), None if low is _NO else low, None if high is _NO else high)


# Shapes ----------------------------------------------------------------------------------------------
def _reshape(a: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Any:
    _reject("reshape", order=(order, "C"))
    target = shape if shape is not None else newshape
    sizes = tuple(int(n) for n in (target if isinstance(target, tuple | list) else (target,)))
    if sizes.count(-1) == 1:
        known = int(np.prod([n for n in sizes if n != -1], dtype=np.int64))
        if known and a.size % known == 0:
            sizes = tuple(a.size // known if n == -1 else n for n in sizes)
    if -1 in sizes or int(np.prod(sizes, dtype=np.int64)) != a.size:
        raise ShapeError(f"reshape: shape {a.shape} does not fit into {target}, at {source_line()}")
    return reshape(a, sizes)


def _transpose(a: Any, axes: Any = None) -> Any:
    order = tuple(range(a.ndim))[::-1] if axes is None else tuple(int(i) % a.ndim for i in axes)
    if sorted(order) != list(range(a.ndim)):
        raise ShapeError(f"transpose: axes {axes} are no permutation for shape {a.shape}, at {source_line()}")
    return permute(a, order)


def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    i, j = (normal_axes(axis, a.ndim, "swapaxes")[0] for axis in (axis1, axis2))
    order = list(range(a.ndim))
    order[i], order[j] = order[j], order[i]
    return permute(a, tuple(order))


def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    pair = lambda x: [int(i) % a.ndim for i in (x if isinstance(x, tuple | list) else (x,))]
    start, end = pair(source), pair(destination)
    order = [i for i in range(a.ndim) if i not in start]
    for to, origin in sorted(zip(end, start, strict=True)):
        order.insert(to, origin)
    return permute(a, tuple(order))


def _expand_dims(a: Any, axis: Any) -> Any:
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    ndim = a.ndim + len(axes)
    places = normal_axes(tuple(axes), ndim, "expand_dims")
    sizes = iter(a.shape)
    return reshape(a, tuple(1 if i in places else next(sizes) for i in range(ndim)))


def _squeeze(a: Any, axis: Any = None) -> Any:
    axes = (
        tuple(i for i, n in enumerate(a.shape) if n == 1)
        if axis is None
        else normal_axes(axis, a.ndim, "squeeze")
    )
    if any(a.shape[i] != 1 for i in axes):
        raise ShapeError(
            f"squeeze: axis {axis} of shape {a.shape} has more than one entry, at {source_line()}"
        )
    return reshape(a, tuple(n for i, n in enumerate(a.shape) if i not in axes))


def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    target = (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)
    try:
        fits = np.broadcast_shapes(array.shape, target) == target
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"broadcast_to: shape {array.shape} does not fit {target}, at {source_line()}")
    return broadcast_to(array, target)


def _broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    arrays = [_array(a) for a in args]
    target = np.broadcast_shapes(*(a.shape for a in arrays))
    return tuple(
        broadcast_to(a, target) if isinstance(a, Tracer) else np.broadcast_to(a, target) for a in arrays
    )


def _common(arrays: Any) -> list[Any]:
    items = [_array(a) for a in arrays]
    dtype = np.result_type(*(a.dtype for a in items))
    return [convert(a, dtype) for a in items]


def _concatenate(
    arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    _reject("concatenate", out=(out, None), dtype=(dtype, None))
    items = _common(arrays)
    if axis is None:
        items, axis = [reshape(a, (a.size,)) for a in items], 0
    if items[0].ndim == 0:
        raise ShapeError(
            f"concatenate: arrays without axes cannot be joined, at {source_line()}; use np.stack"
        )
    return shape.concatenate(items, normal_axes(axis, items[0].ndim, "concatenate")[0])


def _stack(
    arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    _reject("stack", out=(out, None), dtype=(dtype, None))
    items = _common(arrays)
    first = items[0].shape
    if any(a.shape != first for a in items):
        raise ShapeError(f"stack: shapes {', '.join(str(a.shape) for a in items)} differ, at {source_line()}")
    place = normal_axes(axis, len(first) + 1, "stack")[0]
    return shape.concatenate([reshape(a, (*first[:place], 1, *first[place:])) for a in items], place)


def _atleast(ndim: int) -> Callable[..., Any]:
    def rule(*arrays: Any) -> Any:
        found = [_at_least(_array(a), ndim) for a in arrays]
        return found[0] if len(found) == 1 else tuple(found)

    return rule


def _at_least(a: Any, ndim: int) -> Any:
    n = a.shape
    if len(n) >= ndim:
        return a
    full: dict[tuple[int, int], tuple[int, ...]] = {
        (0, 1): (1,), (0, 2): (1, 1), (1, 2): (1, *n), (0, 3): (1, 1, 1), (1, 3): (1, *n, 1), (2, 3): (*n, 1),
    }  # fmt: skip
    return reshape(a, full[len(n), ndim])


def _vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    return _concatenate([_at_least(_array(a), 2) for a in tup], 0, dtype=dtype)


def _hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    items = [_at_least(_array(a), 1) for a in tup]
    return _concatenate(items, 0 if items[0].ndim == 1 else 1, dtype=dtype)


def _column_stack(tup: Any) -> Any:
    return _concatenate(
        [reshape(_array(a), (_array(a).size, 1)) if _array(a).ndim < 2 else _array(a) for a in tup], 1
    )


def _split(ary: Any, indices_or_sections: Any, axis: int = 0, *, even: bool = True) -> list[Any]:
    axis = normal_axes(axis, ary.ndim, "split")[0]
    length = ary.shape[axis]
    if isinstance(indices_or_sections, int | np.integer):
        parts = int(indices_or_sections)
        if parts <= 0 or (even and length % parts):
            raise ShapeError(f"split: axis of length {length} has no {parts} equal parts, at {source_line()}")
        sizes = [length // parts + (i < length % parts) for i in range(parts)]
        edges = np.cumsum([0, *sizes]).tolist()
    else:
        edges = [
            0,
            *(min(max(int(i) % length if i < 0 else int(i), 0), length) for i in indices_or_sections),
            length,
        ]
    cut = [slice(None)] * ary.ndim
    pieces = []
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        cut[axis] = slice(start, max(start, stop))
        pieces.append(ary[tuple(cut)])
    return pieces


def _flip(m: Any, axis: Any = None) -> Any:
    axes = normal_axes(axis, m.ndim, "flip")
    return m[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(m.ndim))]


def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        return reshape(_roll(reshape(a, (a.size,)), shift, 0), a.shape)
    shifts = shift if isinstance(shift, tuple | list) else (shift,)
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    if len(shifts) == 1 and len(axes) > 1:
        shifts = tuple(shifts) * len(axes)
    for by, place in zip(shifts, axes, strict=True):
        place = normal_axes(place, a.ndim, "roll")[0]
        length = a.shape[place]
        if length and int(by) % length:
            a = np.concatenate(_split(a, [length - int(by) % length], place)[::-1], axis=place)
    return a


def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    if axis is None:
        a, axis = reshape(a, (a.size,)), 0
    axis = normal_axes(axis, a.ndim, "repeat")[0]
    if isinstance(repeats, int | np.integer):
        longer = broadcast_to(
            reshape(a, (*a.shape[: axis + 1], 1, *a.shape[axis + 1 :])),
            (*a.shape[: axis + 1], int(repeats), *a.shape[axis + 1 :]),
        )
        return reshape(longer, (*a.shape[:axis], a.shape[axis] * int(repeats), *a.shape[axis + 1 :]))
    return np.take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis=axis)


def _tile(A: Any, reps: Any) -> Any:
    reps = tuple(reps) if isinstance(reps, tuple | list) else (reps,)
    ndim = max(A.ndim, len(reps))
    sizes = (1,) * (ndim - A.ndim) + A.shape
    reps = (1,) * (ndim - len(reps)) + tuple(int(r) for r in reps)
    paired = reshape(A, tuple(n for size in sizes for n in (1, size)))
    longer = broadcast_to(
        paired, tuple(n for rep, size in zip(reps, sizes, strict=True) for n in (rep, size))
    )
    return reshape(longer, tuple(r * n for r, n in zip(reps, sizes, strict=True)))


def _ravel(a: Any, order: str = "C") -> Any:
    _reject("ravel", order=(order, "C"))
    return reshape(a, (a.size,))


def _take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    _reject("take", out=(out, None), mode=(mode, "raise"))
    a = _array(a)
    if axis is None:
        a, axis = reshape(a, (a.size,)), 0
    place = normal_axes(axis, a.ndim, "take")[0]
    index = indices if isinstance(indices, Tracer) else np.asarray(indices)
    return indexing.getitem(a, (*(slice(None),) * place, index))


def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    arr, indices = _array(arr), _array(indices)
    if axis is None:
        arr, axis = reshape(arr, (arr.size,)), 0
    place = normal_axes(axis, arr.ndim, "take_along_axis")[0]
    grid = [
        indices if i == place else np.arange(n).reshape(tuple(n if j == i else 1 for j in range(arr.ndim)))
        for i, n in enumerate(arr.shape)
    ]
    return indexing.getitem(arr, tuple(grid))


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    i, j = (normal_axes(axis, a.ndim, "diagonal")[0] for axis in (axis1, axis2))
    if i == j:
        raise ShapeError(f"diagonal: the axes {axis1} and {axis2} are one, at {source_line()}")
    moved = _moveaxis(a, (i, j), (-2, -1))
    rows, columns = moved.shape[-2:]
    first, second = max(0, -offset), max(0, offset)
    index = np.arange(max(0, min(rows - first, columns - second)))
    return moved[..., index + first, index + second]


def _trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Any:
    _reject("trace", dtype=(dtype, None), out=(out, None))
    return np.sum(_diagonal(a, offset, axis1, axis2), axis=-1)


def _triangle(keep: Callable[..., np.ndarray]) -> Callable[..., Any]:
    return lambda m, k=0: select(keep(np.ones(m.shape[-2:], bool), k), m, np.zeros((), m.dtype))


def _where(condition: Any, x: Any = _NO, y: Any = _NO) -> Any:
    if x is _NO or y is _NO:
        raise UnsupportedError(f"np.where with one argument has no fixed shape, at {source_line()}")
    return select(
        _array(condition),
        x if type(x) in (int, float) else _array(x),
        y if type(y) in (int, float) else _array(y),
    )


def _like(value: float) -> Callable[..., Any]:
    def rule(
        a: Any,
        dtype: Any = None,
        order: str = "K",
        subok: bool = True,
        shape: Any = None,
        *,
        device: Any = None,
    ) -> Any:
        return np.full(a.shape if shape is None else shape, value, a.dtype if dtype is None else dtype)

    return rule


def _full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    fill = fill_value if isinstance(fill_value, Tracer) else np.asarray(fill_value)
    target = a.shape if shape is None else shape
    return _broadcast_to(convert(fill, a.dtype if dtype is None else dtype), target)


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> Any:
    raise UnsupportedError(
        f"a traced value cannot be copied into an ndarray (np.copyto, np.full_like), at {source_line()}; "
        "write `np.ones_like(a) * value` or np.broadcast_to"
    )


def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    _reject("linspace", retstep=(retstep, False), dtype=(dtype, None), axis=(axis, 0))
    start, stop = _array(start), _array(stop)
    share = np.arange(num) / max(num - 1 if endpoint else num, 1)
    share = share.reshape((num,) + (1,) * max(start.ndim, stop.ndim))
    return start + share * (stop - start)


def _matrix_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord not in (None, 2, "fro") or (ord == 2 and (x.ndim if axis is None else np.size(axis)) != 1):
        raise UnsupportedError(f"np.linalg.norm with ord={ord!r} has no derivative rule, at {source_line()}")
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


UFUNCS: dict[Any, Callable[..., Any]] = {
    **{ufunc: (lambda *xs, p=primitive: apply(p, *xs)) for ufunc, primitive in _BY_UFUNC.items()},
    np.matmul: contraction.matmul,
    "expit": _float_unary(expit_p),
}

_sum = _reduce("sum", reduction.sum_of)
_product = _reduce("prod", _prod)
_max, _min = _extremum(reduction.reduce_max_p, "max"), _extremum(reduction.reduce_min_p, "min")

FUNCTIONS: dict[Any, Callable[..., Any]] = {
    "operator": _operator,
    "getitem": indexing.getitem,
    "astype": _astype,
    (np.add, "reduce"): _ufunc_reduce(_sum),
    (np.multiply, "reduce"): _ufunc_reduce(_product),
    (np.maximum, "reduce"): _ufunc_reduce(_max),
    (np.minimum, "reduce"): _ufunc_reduce(_min),
    np.sum: _sum,
    np.mean: _reduce("mean", reduction.mean_of),
    np.prod: _product,
    np.var: _deviation("var", reduction.var_of),
    np.std: _deviation("std", reduction.std_of),
    np.max: _max,
    np.amax: _max,
    np.min: _min,
    np.amin: _min,
    np.any: _extremum(reduction.reduce_any_p, "any"),
    np.all: _extremum(reduction.reduce_all_p, "all"),
    np.argmax: _argument(reduction.argmax_p, "argmax"),
    np.argmin: _argument(reduction.argmin_p, "argmin"),
    np.cumsum: _cumsum,
    np.clip: _clip,
    np.where: _where,
    np.dot: lambda a, b, out=None: contraction.dot(a, b),
    np.inner: contraction.inner,
    np.outer: lambda a, b, out=None: contraction.outer(a, b),
    np.vdot: contraction.vdot,
    np.tensordot: contraction.tensordot,
    np.linalg.solve: linalg.solve,
    np.linalg.norm: _matrix_norm,
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
    np.array_split: lambda ary, indices_or_sections, axis=0: _split(
        ary, indices_or_sections, axis, even=False
    ),
    np.atleast_1d: _atleast(1),
    np.atleast_2d: _atleast(2),
    np.atleast_3d: _atleast(3),
    np.flip: _flip,
    np.fliplr: lambda m: _flip(m, 1),
    np.flipud: lambda m: _flip(m, 0),
    np.roll: _roll,
    np.repeat: _repeat,
    np.tile: _tile,
    np.take: _take,
    np.take_along_axis: _take_along_axis,
    np.diagonal: _diagonal,
    np.trace: _trace,
    np.tril: _triangle(np.tril),
    np.triu: _triangle(np.triu),
    np.zeros_like: _like(0.0),
    np.ones_like: _like(1.0),
    np.full_like: _full_like,
    np.linspace: _linspace,
    np.copyto: _copyto,
    np.round: lambda a, decimals=0, out=None: np.rint(a * 10.0**decimals) / 10.0**decimals,
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
    np.copy: lambda a, order="K", subok=False: a,
    np.real: lambda val: val,
    np.isclose: lambda a, b, rtol=1e-5, atol=1e-8, equal_nan=False: (
        np.absolute(a - b) <= atol + rtol * np.absolute(b)
    ),
}

ufunc_table.update(UFUNCS)
function_table.update(FUNCTIONS)
