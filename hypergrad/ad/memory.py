"""Assignment: traced arrays share memory as NumPy's do, and a write becomes a new value of the array written to.

Notation: an array x owns its memory, or is a view v = p(s) of a source s through a primitive p. Writing w to a
view writes q(s, w) to its source, where q is the inverse of p in the entries that p shows and leaves the others:
``index``: s with s[i] = w; ``reshape`` and ``permute``: w, reshaped and transposed back. At the owner the new value
replaces its variable; other views take their value from their source again when they are next read.
Programs stay pure: without a write, nothing here emits an equation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.layout import strided
from hypergrad.ad.primitives.elementwise import broadcast_shape
from hypergrad.ad.primitives.indexing import _target, index_p, read_index, take, update, update_p
from hypergrad.ad.primitives.linear import broadcast_to, convert, permute, permute_p, reshape, reshape_p
from hypergrad.ad.primitives.shape import split_p
from hypergrad.ad.selection import assign_selected, masked, selected
from hypergrad.ad.trace import Builder, bind, innermost, type_of
from hypergrad.ad.tracer import ARGUMENT, Owned, Tracer, View, function_table, source_line, view_functions
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = ["FUNCTIONS", "alias", "fitted", "owner", "put", "setitem", "sync", "target", "writable", "write"]


# The inverses of views: q(s, w, number, **params) -> the source with its visible entries replaced ----------
def _into_split(s: Any, w: Any, number: int, sizes: tuple[int, ...], axis: int) -> Any:
    start = sum(sizes[:number])
    cut = tuple((start, start + sizes[number], 1) if a == axis else (0, n, 1) for a, n in enumerate(s.shape))
    return bind(update_p, s, w, spec=cut, unique=True)


INVERSES: dict[Any, Callable[..., Any]] = {
    index_p: lambda s, w, number, spec: bind(update_p, s, w, spec=spec, unique=True),
    reshape_p: lambda s, w, number, shape: reshape(w, s.shape),
    permute_p: lambda s, w, number, axes: permute(w, tuple(sorted(range(len(axes)), key=axes.__getitem__))),
    split_p: _into_split,
}


RAVEL = -1  # number of the output of a reshape whose result must be contiguous


# Reading --------------------------------------------------------------------------------------------------
def owner(x: Tracer) -> Tracer:
    """The array whose memory `x` shows; decides, when first asked, whether a reshape made a copy."""
    memory = x.memory
    if memory is None or memory.source is None:
        return x
    if memory.owner is None:
        source = memory.source
        copied = source.memory is None and not source.shape  # of a number, which is immutable
        if memory.primitive is reshape_p and not copied:
            shown = strided(source)
            if memory.number == RAVEL:
                copied = not shown.flags.c_contiguous
            else:
                copied = not np.may_share_memory(shown, shown.reshape(x.shape))
        if copied:
            x.memory = Owned(stamp=memory.stamp)
            return x
        memory.owner = owner(source)
    return memory.owner


def sync(x: Tracer) -> None:
    """Take the value of a view from its source again, if the memory was written to since."""
    top = owner(x)
    memory = x.memory
    if memory is None or memory.source is None or top.memory is None or top.memory.stamp <= memory.stamp:
        return
    source = memory.source
    if memory.primitive is None:
        found = memory.params["derive"](source)
    else:
        found = bind(memory.primitive, source, **memory.params)
        found = found[memory.number] if memory.primitive.multiple else found
    x.atom, x.builder = found.atom, found.builder
    memory.stamp = x.builder.clock[0]


# Writing --------------------------------------------------------------------------------------------------
def _made_inside(x: Tracer, builder: Builder) -> bool:
    """Whether an array of an enclosing trace was computed inside the function that `builder` traces."""
    memory = x.memory
    if isinstance(memory, Owned) and memory.maker is not None:
        return memory.maker is builder
    origin = memory.origin if isinstance(memory, Owned) else x.atom
    return any(
        mark is x.builder and any(origin in eq.outputs for eq in mark.equations[count:])
        for mark, count in builder.marks
    )


def writable(x: Tracer, what: str = "assignment") -> Tracer:
    """The owner of the memory of `x`, which may be written to now.

    Raises:
        UnsupportedError: it may not, and why.
    """
    x.builder.require_open()
    top = owner(x)
    step: Any = x
    while isinstance(step.memory, View):
        if step.memory.primitive not in INVERSES:
            raise UnsupportedError(
                f"{what}: this array is a read-only view (np.broadcast_to, np.diagonal, np.imag, hg.stop_gradient), "
                f"at {source_line()}; write x = x.copy() first"
            )
        step = step.memory.source
    memory = top.memory
    if memory is None and not top.shape:
        raise UnsupportedError(
            f"{what}: a traced number cannot be assigned to in place (a result without axes is immutable, as a "
            f"NumPy scalar), at {source_line()}; write x = value, or make it with np.zeros_like(x) or hg.zeros(())"
        )
    if isinstance(memory, Owned) and memory.access is not None:
        raise UnsupportedError(
            f"{what} would change the caller's array (an {memory.access} of the traced function, or a view of one), "
            f"at {source_line()}; write x = x.copy() first"
        )
    active = innermost()
    if active is not None and top.builder is not active:
        if not _made_inside(top, active):
            raise UnsupportedError(
                f"{what}: this array was made in an enclosing function and cannot be written to in the inner one, "
                f"at {source_line()}; write x = x.copy() inside, and return it"
            )
        top.memory = memory or Owned(origin=top.atom)
        top.memory.stamp = _tick(active)
        top.atom, top.builder = active.lift(top), active
        sync(x)
    return top


def _tick(builder: Builder) -> int:
    builder.clock[0] += 1
    return builder.clock[0]


def put(x: Tracer, value: Any) -> None:
    """Let `x`, which is writable, have `value`, of its shape and dtype."""
    memory = x.memory
    if isinstance(value, Tracer):
        value = alias(value)  # it may share the memory that is written to
    if isinstance(memory, View):
        source = memory.source
        if source.memory is not None:
            sync(source)
        put(source, INVERSES[memory.primitive](source, value, memory.number, **memory.params))
        now = source.builder.clock[0]
        if memory.primitive is not permute_p and source.memory is not None and source.memory.stamp == now:
            x.atom, x.builder = source.builder.lift(value), source.builder
            memory.stamp = now
        return
    if memory is None:
        memory = x.memory = Owned(origin=x.atom)
    x.atom = x.builder.lift(value)
    memory.stamp = _tick(x.builder)
    if len(x.shape) > 1 and x.builder.equations and x.atom in x.builder.equations[-1].outputs:
        x.builder.origins[x.atom] = memory.origin


def fitted(value: Any, shape: tuple[int, ...], dtype: np.dtype, what: str = "assignment") -> Any:
    """A value as it is stored in entries of the given shape and dtype: cast, without leading axes of length one."""
    if not isinstance(value, Tracer):
        value = np.asarray(value)
        if value.dtype.kind not in "fiubc":
            value = value.astype(dtype)
    if value.dtype.kind == "c" and dtype.kind != "c":
        raise UnsupportedError(
            f"{what}: complex numbers do not fit into an array of {dtype}, at {source_line()}; write value.real"
        )
    extra = len(value.shape) - len(shape)
    if extra > 0 and value.shape[:extra] == (1,) * extra:
        value = reshape(value, value.shape[extra:])
    if broadcast_shape([value.shape, shape], what) != shape:
        raise ShapeError(
            f"{what}: a value of shape {value.shape} does not fit into {shape}, at {source_line()}"
        )
    return convert(value, dtype) if isinstance(value, Tracer) else np.asarray(value, dtype)


def write(x: Tracer, value: Any, what: str = "assignment") -> None:
    """``x[...] = value``."""
    writable(x, what)
    put(x, broadcast_to(fitted(value, x.shape, x.dtype, what), x.shape))


def setitem(x: Tracer, key: Any, value: Any) -> None:
    """``x[key] = value``, for what `read_index` reads and traced masks."""
    if masked(key):
        writable(x)
        assign_selected(x, key, value, write)
        return
    index = read_index(x.shape, key)
    if isinstance(value, Tracer) and not index.arrays:
        memory = value.memory
        if value is x and index.whole:
            return
        if (
            isinstance(memory, View) and memory.source is x and memory.primitive is index_p
            and memory.params["spec"] == index.spec and owner(value) is owner(x)
        ):  # fmt: skip
            return  # x[key] += v has written already
    writable(x)
    if index.whole:
        write(x, value)
        return
    shape = target(x, index)
    put(x, update(x, fitted(value, shape, x.dtype), index))


def target(x: Tracer, index: Any) -> tuple[int, ...]:
    """The shape of ``x[index]``."""
    return _target(x.type, tuple(map(type_of, index.arrays)), index.spec)


# In-place operators ---------------------------------------------------------------------------------------
def inplace(name: str, x: Tracer, other: Any) -> Any:
    """``x op= other``: numbers, and arguments of the traced function, become a fresh value; arrays are written to.

    Raises:
        UnsupportedError: the result cannot be cast to the dtype of x, as in NumPy.
        ShapeError: the result has another shape.
    """
    value = function_table["operator"](name, x, other)
    if value is NotImplemented:
        return value
    memory = x.memory
    if not x.shape and memory is None:
        return value
    symbol = f"{name} in place"
    if not np.can_cast(value.dtype, x.dtype, "same_kind"):
        raise UnsupportedError(
            f"{symbol}: the result of dtype {value.dtype} cannot be cast to {x.dtype} of the array, "
            f"at {source_line()}; write a = a + b instead of a += b, or convert with .astype"
        )
    if value.shape != x.shape:
        raise ShapeError(
            f"{symbol}: the result of shape {value.shape} does not fit into the array of shape {x.shape}, "
            f"at {source_line()}"
        )
    value = convert(value, x.dtype)
    if memory is ARGUMENT:
        return value
    writable(x, symbol)
    put(x, value)
    return x


def raveled(x: Tracer) -> Tracer:
    """``x.ravel()``: unlike ``x.reshape(-1)``, a copy wherever x is not C-contiguous."""
    found = reshape(x, (x.size,))
    if found is x:
        found = alias(x)
        found.memory = View(x, reshape_p, {"shape": x.shape}, RAVEL, x.builder.clock[0])
    else:
        found.memory.number = RAVEL
    return found


def alias(x: Tracer) -> Tracer:
    """A fresh array with the value of `x`."""
    if x.memory is not None:
        sync(x)
    return Tracer(x.builder, x.atom)


def copy(x: Tracer) -> Tracer:
    """``x.copy()``: a writable array, in C order."""
    x.builder.require_open()
    sync(x)
    return Tracer(x.builder, x.atom, Owned(maker=innermost()))


def getitem(x: Tracer, key: Any) -> Any:
    """``x[key]``: a view, a copy, a number, or (for a traced mask) entries that wait to be assigned."""
    return selected(x, key) if masked(key) else take(x, read_index(x.shape, key))


# Results of NumPy's functions -----------------------------------------------------------------------------
def _named(*names: str) -> set[Any]:
    """The functions of NumPy of these names that this version has."""
    found = set()
    for name in names:
        place: Any = np
        for part in name.split("."):
            place = getattr(place, part, None)
        found.add(place)
    return found - {None}


VIEWS = _named(
    "reshape", "ravel", "transpose", "permute_dims", "matrix_transpose", "linalg.matrix_transpose", "swapaxes",
    "moveaxis", "rollaxis", "expand_dims", "squeeze", "split", "array_split", "hsplit", "vsplit", "dsplit",
    "unstack", "atleast_1d", "atleast_2d", "atleast_3d", "flip", "fliplr", "flipud", "rot90",
)  # fmt: skip
READ_ONLY = _named(
    "broadcast_to", "broadcast_arrays", "diagonal", "linalg.diagonal", "diag", "real", "imag",
    "lib.stride_tricks.sliding_window_view",
)  # fmt: skip
ARRAYS = _named("where", "tensordot", "copy", "tril", "triu")  # results without axes are arrays, not numbers


def result(function: Any, rule: Callable[..., Any], found: Any, args: Any, kwargs: Any) -> Any:
    """What a function of NumPy returns, as a fresh array, or as the read-only view that it is."""
    if isinstance(found, Tracer):
        if function in READ_ONLY:
            return _read_only(function, rule, found, args, kwargs)
        fresh = alias(found)
        if not fresh.shape and function in ARRAYS:
            fresh.memory = Owned()
        return fresh
    if type(found) in (tuple, list):
        if function in READ_ONLY:
            return type(found)(
                _read_only(np.broadcast_to, np.broadcast_to, x, (source, x.shape), {})
                if isinstance(source, Tracer) and isinstance(x, Tracer)
                else x
                for x, source in zip(found, args, strict=True)
            )
        return type(found)(alias(x) if isinstance(x, Tracer) else x for x in found)
    return found


def _read_only(function: Any, rule: Callable[..., Any], found: Tracer, args: Any, kwargs: Any) -> Tracer:
    source = args[0] if args else next(iter(kwargs.values()))
    if not isinstance(source, Tracer) or (function is np.diag and source.ndim == 1):
        return alias(found)
    rest = args[1:] if args else ()
    names = {name: value for name, value in kwargs.items() if value is not source}
    params = {
        "derive": lambda x: rule(x, *rest, **names),
        "show": lambda shown: function(shown, *rest, **names),
    }
    fresh = alias(found)
    fresh.memory = View(source, None, params, 0, fresh.builder.clock[0])
    return fresh


view_functions.update(VIEWS | _named("zeros_like", "ones_like", "empty_like", "full_like"))
view_functions.update(_named("einsum", "linalg.matrix_power"))  # sometimes

FUNCTIONS: dict[Any, Callable[..., Any]] = {
    "sync": sync,
    "getitem": getitem,
    "setitem": setitem,
    "inplace": inplace,
    "result": result,
    "copy": copy,
    "raveled": raveled,
    "write": write,
}
