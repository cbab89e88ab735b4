"""Keywords of ufuncs (``out=``, ``where=``, ``dtype=``, ``casting=``) and their methods, on traced values.

reduce, accumulate, outer, reduceat: values; at: writes. What has no rule raises a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad import memory
from hypergrad.ad.options import array_of, axis_list, integer
from hypergrad.ad.primitives.elementwise import broadcast_shape, select
from hypergrad.ad.primitives.indexing import add_at_p, read_index, take, update
from hypergrad.ad.primitives.linear import broadcast_to, convert, reshape, stop_gradient
from hypergrad.ad.refused import alternative
from hypergrad.ad.trace import bind, is_traced, source_line
from hypergrad.ad.tracer import _call, function_table, rule_of
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = ["FUNCTIONS"]


def _ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A ufunc called with keywords, or one of its methods."""
    if method == "__call__":
        return _called(ufunc, inputs, dict(kwargs))
    name = f"{ufunc.__name__}.{method}"
    rule = function_table.get((ufunc, method)) or _METHODS.get(method)
    if rule is None:
        raise _no_rule(name)
    given = dict(kwargs)
    out = given.pop("out", None)
    special = (ufunc, method) in function_table
    found = _call(rule, name, inputs if special else (ufunc, *inputs), given)
    if out is None:
        return found
    return _into(name, found, out[0], "same_kind")


def _no_rule(name: str) -> UnsupportedError:
    return UnsupportedError(f"{name} has no derivative rule, at {source_line()}; {alternative(name)}")


# Calls ----------------------------------------------------------------------------------------------------
def _called(ufunc: Any, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = ufunc.__name__
    out = kwargs.pop("out", None)
    where = kwargs.pop("where", True)
    dtype = kwargs.pop("dtype", None)
    casting = kwargs.pop("casting", "same_kind")
    kwargs.pop("subok", None)
    order = kwargs.pop("order", "K")
    along = {
        key: kwargs.pop(key) for key in ("axes", "axis", "keepdims") if ufunc.signature and key in kwargs
    }
    if kwargs or order != "K":
        shown = ", ".join(f"{key}=" for key in (kwargs or {"order": order}))
        raise UnsupportedError(f"{name} does not take {shown} on a traced value, at {source_line()}")
    rule = rule_of(ufunc)
    outs = (None,) * ufunc.nout if out is None else out
    for target in outs:
        if target is not None and not is_traced(target):
            raise UnsupportedError(
                f"{name} cannot write a traced value into an array (out= or an in-place operator on "
                f"an ndarray), at {source_line()}; write `a = a + b` instead, or make the array with hg.zeros or "
                "hg.array"
            )
    if where is not True:
        if any(target is None for target in outs):
            raise UnsupportedError(
                f"{name} with where= and without out= leaves entries undefined, at {source_line()}; "
                "use np.where, or give out="
            )
        if ufunc.signature is not None:
            raise UnsupportedError(f"{name} does not take where= on a traced value, at {source_line()}")
        inputs = tuple(_guarded(where, x) for x in inputs)
    if dtype is not None:
        inputs = _as_loop(ufunc, inputs, np.dtype(dtype), casting)
    found = function_table["along"](ufunc, rule, inputs, along) if along else rule(*inputs)
    if out is None:
        return found
    results = found if ufunc.nout > 1 else (found,)
    given = tuple(
        value if target is None else _into(name, value, target, casting, where)
        for value, target in zip(results, outs, strict=True)
    )
    return given if ufunc.nout > 1 else given[0]


def _guarded(where: Any, x: Any) -> Any:
    """`x`, with 1 where nothing is computed, so that nothing there is infinite."""
    if type(x) in (int, float, bool):
        return x
    x = array_of(x)
    return select(array_of(where), x, np.ones((), x.dtype))


def _as_loop(ufunc: Any, inputs: tuple[Any, ...], dtype: np.dtype, casting: str) -> tuple[Any, ...]:
    """The inputs, cast to the types of the loop that gives `dtype`."""
    kinds = tuple(type(x) if type(x) in (int, float) else array_of(x).dtype for x in inputs)
    signature = (*(None,) * ufunc.nin, *(dtype,) * ufunc.nout)
    try:
        loop = ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout), signature=signature, casting=casting)
    except TypeError as error:
        raise UnsupportedError(
            f"{ufunc.__name__} has no loop to dtype {dtype} from {', '.join(map(str, kinds))} under "
            f"casting={casting!r} ({error}), at {source_line()}"
        ) from None
    return tuple(convert(array_of(x), kind) for x, kind in zip(inputs, loop, strict=False))


def _into(name: str, value: Any, out: Any, casting: str, where: Any = True) -> Any:
    """Write a result to ``out=``, and return that."""
    if not is_traced(out):
        raise UnsupportedError(
            f"{name} cannot write a traced value into an ndarray (out=), at {source_line()}; "
            "leave out= away, or make the array with hg.zeros"
        )
    if not np.can_cast(value.dtype, out.dtype, casting):  # type: ignore[arg-type]
        raise UnsupportedError(
            f"{name}: the result of dtype {value.dtype} cannot be cast to {out.dtype} of out= under "
            f"casting={casting!r}, at {source_line()}"
        )
    if broadcast_shape([value.shape, out.shape], name) != out.shape:
        raise ShapeError(
            f"{name}: the result of shape {value.shape} does not fit into out= of {out.shape}, at {source_line()}"
        )
    if where is not True:
        memory.writable(out, f"{name} with out=")
        value = select(array_of(where), convert(value, out.dtype), out)
    memory.write(out, value, f"{name} with out=")
    return out


# Methods --------------------------------------------------------------------------------------------------
def _outer(ufunc: Any, a: Any, b: Any, **options: Any) -> Any:
    if ufunc.nin != 2 or ufunc.signature is not None:
        raise _no_rule(f"{ufunc.__name__}.outer")
    a, b = array_of(a), array_of(b)
    return ufunc(reshape(a, a.shape + (1,) * len(b.shape)), b, **options)


def _reduce(ufunc: Any, x: Any, axis: Any = 0, dtype: Any = None, keepdims: bool = False) -> Any:
    """Reductions by halves, for ufuncs that are associative: here logaddexp and logaddexp2."""
    if ufunc not in (np.logaddexp, np.logaddexp2):
        raise _no_rule(f"{ufunc.__name__}.reduce")
    x = array_of(x)
    x = x if dtype is None else convert(x, np.dtype(dtype))
    axes = tuple(range(x.ndim)) if axis is None else axis_list(axis, x.ndim, "reduce")
    exp, log = (np.exp, np.log) if ufunc is np.logaddexp else (np.exp2, np.log2)
    top = stop_gradient(np.max(x, axis=axes, keepdims=True))
    top = select(np.isfinite(top), top, np.zeros((), x.dtype))
    found = log(np.sum(exp(x - top), axis=axes, keepdims=True)) + top
    return found if keepdims else np.squeeze(found, axis=axes)


def _accumulate(ufunc: Any, array: Any, axis: int = 0, dtype: Any = None) -> Any:
    x = array_of(array)
    known = {np.add: np.cumsum, np.multiply: np.cumprod}.get(ufunc)
    place = axis_list(axis, x.ndim, f"{ufunc.__name__}.accumulate")[0]
    if known is not None and known in function_table:
        return function_table[known](x, axis=place, dtype=dtype)
    if ufunc not in (np.maximum, np.minimum, np.fmax, np.fmin) or dtype is not None:
        raise _no_rule(f"{ufunc.__name__}.accumulate")
    lead, length, step = (slice(None),) * place, x.shape[place], 1
    while step < length:  # after each round, entry i is the extremum of the 2 step entries up to i
        head, tail = x[(*lead, slice(None, step))], x[(*lead, slice(step, None))]
        x = np.concatenate([head, ufunc(x[(*lead, slice(None, -step))], tail)], axis=place)
        step *= 2
    return memory.alias(x) if is_traced(x) else x


def _reduceat(ufunc: Any, array: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    if ufunc is not np.add:
        raise _no_rule(f"{ufunc.__name__}.reduceat")
    x = array_of(array)
    place = axis_list(axis, x.ndim, "add.reduceat")[0]
    length = x.shape[place]
    starts = [
        integer(i, "add.reduceat: an index")
        for i in (indices.tolist() if isinstance(indices, np.ndarray) else indices)
    ]
    if any(not 0 <= i < length for i in starts):
        raise ShapeError(f"add.reduceat: an index is outside an axis of length {length}, at {source_line()}")
    lead = (slice(None),) * place
    parts = []
    for i, stop in zip(starts, [*starts[1:], length], strict=True):
        piece = x[(*lead, slice(i, max(stop, i + 1)))]
        parts.append(np.add.reduce(piece, axis=place, keepdims=True, dtype=dtype))
    if not parts:
        return np.zeros((*x.shape[:place], 0, *x.shape[place + 1 :]), x.dtype)
    return np.concatenate(parts, axis=place)


def _at(ufunc: Any, a: Any, indices: Any, b: Any = None) -> None:
    """``ufunc.at(a, indices, b)``: unbuffered, so that repeated indices count as often as they stand."""
    name = f"{ufunc.__name__}.at"
    if not is_traced(a):
        raise UnsupportedError(
            f"{name} has no derivative rule on an ndarray: it cannot write a traced value into it, at {source_line()}; "
            "make it with hg.zeros or hg.array"
        )
    rule_of(ufunc)
    memory.writable(a, name)
    index = read_index(a.shape, indices)
    b = array_of(b)
    values = None if ufunc.nin == 1 else memory.fitted(b, memory.target(a, index), b.dtype, name)
    kind = None if values is None else np.result_type(a.dtype, values.dtype)
    if ufunc in (np.add, np.subtract) and a.dtype.kind != "b" and kind == a.dtype:
        values = convert(values, a.dtype) if is_traced(values) else np.asarray(values, a.dtype)
        if ufunc is np.subtract:
            values = np.negative(values)
        memory.put(a, bind(add_at_p, a, values, *index.arrays, spec=index.spec))
        return
    if index.unique(a.shape):
        _write_at(ufunc, a, index, values)
        return
    if any(map(is_traced, index.arrays)):
        raise UnsupportedError(
            f"{name} with traced indices, which may repeat, has no rule, at {source_line()}; only add.at and "
            "subtract.at of values of the array's dtype have"
        )
    shape = memory.target(a, index)
    places = np.arange(a.size).reshape(a.shape)[indices].ravel()
    turns = _occurrence(places)
    where = np.unravel_index(places, a.shape)
    spread = None if values is None else reshape(broadcast_to(values, shape), (places.size,))
    for turn in range(turns.max(initial=-1) + 1):
        chosen = np.flatnonzero(turns == turn)
        part = read_index(a.shape, tuple(axis[chosen] for axis in where))
        _write_at(ufunc, a, part, None if spread is None else spread[chosen])


def _write_at(ufunc: Any, a: Any, index: Any, values: Any) -> None:
    """``a[index] = ufunc(a[index], values)``, for an index without repetitions; cast as NumPy does, without a check."""
    old = take(a, index)
    new = ufunc(old) if values is None else ufunc(old, values)
    new = convert(new, a.dtype)
    memory.put(a, broadcast_to(new, a.shape) if index.whole else update(a, new, index))


def _occurrence(places: np.ndarray) -> np.ndarray:
    """For each entry, how many equal ones stand before it."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    first = np.searchsorted(ordered, ordered, side="left")
    counts = np.empty(places.size, int)
    counts[order] = np.arange(places.size) - first
    return counts


_METHODS: dict[str, Callable[..., Any]] = {
    "reduce": _reduce,
    "accumulate": _accumulate,
    "outer": _outer,
    "reduceat": _reduceat,
    "at": _at,
}

FUNCTIONS: dict[Any, Callable[..., Any]] = {"ufunc": _ufunc}
