"""``x[mask]`` for a traced mask: its length is not known, so that it can be computed with and assigned, not read.

Notation: m the mask, x[m] the selected entries, 1_m their places. A selection stands for all entries of x, of
which those outside of 1_m are never used: ``x[m] = f(x[m])`` is ``x' = where(m, f(where(m, x, 1)), x)``, whose
inner ``where`` keeps f and its slope finite where nothing is selected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from hypergrad.ad.primitives.elementwise import select
from hypergrad.ad.primitives.indexing import getitem
from hypergrad.ad.primitives.linear import convert, reshape
from hypergrad.ad.program import Atom, Const, Var
from hypergrad.ad.tracer import Deferred, Tracer, source_line
from hypergrad.errors import ShapeError, TracingError, UnsupportedError

__all__ = ["Selection", "assign_selected", "masked", "selected"]


def masked(key: Any) -> bool:
    """Whether an index has a traced mask, whose numbers are not known (or that is a lone True or False)."""
    return any(
        type(item) is Tracer and item.dtype.kind == "b" and (not item.shape or item.known() is None)
        for item in (key if type(key) is tuple else (key,))
    )


def _place(x: Tracer, key: Any) -> tuple[Any, Any, tuple[int, ...], bool]:
    """The part of x that the other items of an index select; the mask over it, the axes behind, whether it leads."""
    items = list(key) if isinstance(key, tuple) else [key]
    at = [i for i, item in enumerate(items) if isinstance(item, Tracer)]
    basic = all(
        item is None or item is Ellipsis or isinstance(item, slice | int | np.integer)
        for i, item in enumerate(items)
        if i not in at
    )
    if len(at) > 1 or not basic:
        raise TracingError(
            f"a traced mask beside other index arrays is not supported, at {source_line()}; "
            "write x = np.where(mask, value, x)"
        )
    mask = items[at[0]]
    mask = items[at[0]] = Tracer(mask.builder, mask.builder.lift(mask))  # as it is now
    if Ellipsis not in items[: at[0]] + items[at[0] + 1 :]:
        items.append(Ellipsis)
    used = sum(item is not None and item is not Ellipsis for item in items) - 1 + mask.ndim
    before = [
        0 if isinstance(item, int | np.integer) else x.ndim - used if item is Ellipsis else 1
        for item in items[: at[0]]
    ]
    part = getitem(x, (*items[: at[0]], *(slice(None),) * mask.ndim, *items[at[0] + 1 :]))
    axis = sum(before)
    stop = axis + mask.ndim
    if part.shape[axis:stop] != mask.shape:
        raise ShapeError(
            f"a mask of shape {mask.shape} does not fit axes {axis} to {stop - 1} of an array of shape {part.shape}, "
            f"at {source_line()}"
        )
    rest = part.shape[stop:]
    return part, reshape(mask, mask.shape + (1,) * len(rest)), rest, axis == 0


def _number(value: Any) -> bool:
    return type(value) in (int, float, bool)


def _fits(value: Any, rest: tuple[int, ...], leads: bool) -> Any:
    """A value as it broadcasts over all entries: a number, or (behind a leading mask) an array of the axes `rest`."""
    if _number(value):
        return value
    if not isinstance(value, Tracer):
        value = np.asarray(value)
    if value.size == 1:
        return reshape(value, ())
    shape = value.shape[1:] if len(value.shape) == len(rest) + 1 and value.shape[0] == 1 else value.shape
    if leads and len(shape) <= len(rest):
        try:
            if np.broadcast_shapes(shape, rest) == rest:
                return reshape(value, shape)
        except ValueError:
            pass
    raise ShapeError(
        f"a value of shape {value.shape} is assigned to entries selected by a traced mask, whose number is not known, "
        f"at {source_line()}; write x = np.where(mask, value, x) with a value of the shape of x"
    )


class Selection(Deferred, np.lib.mixins.NDArrayOperatorsMixin):
    """Entries of an array selected by a traced mask.

    Attributes:
        full: all entries, of which the selected ones count.
        mask: which they are; broadcasts to `full`.
        rest: lengths of the axes behind the mask.
        leads: the mask covers the first axes.
    """

    def __init__(self, full: Any, mask: Any, rest: tuple[int, ...], leads: bool) -> None:
        self.full = full
        self.mask = mask
        self.rest = rest
        self.leads = leads

    @property
    def dtype(self) -> np.dtype:
        return self.full.dtype

    def astype(self, dtype: Any, **kwargs: Any) -> Selection:
        return Selection(self.full.astype(dtype), self.mask, self.rest, self.leads)

    def _guarded(self, value: Any) -> Any:
        """`value`, with 1 where nothing is selected."""
        if _number(value):
            return value
        return select(self.mask, value, np.ones((), value.dtype))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        if method != "__call__" or kwargs or ufunc.nout != 1 or ufunc.signature is not None:
            self._refuse()
        if any(isinstance(x, Selection) and not same_mask(x, self) for x in inputs):
            self._refuse()
        try:
            operands = [
                self._guarded(x.full if isinstance(x, Selection) else _fits(x, self.rest, self.leads))
                for x in inputs
            ]
        except ShapeError:
            self._refuse()
        full = ufunc(*operands)
        if out is None:
            return Selection(full, self.mask, self.rest, self.leads)
        if out[0] is not self:
            self._refuse()
        if not np.can_cast(full.dtype, self.dtype, "same_kind"):
            raise UnsupportedError(
                f"{ufunc.__name__} in place: the result of dtype {full.dtype} cannot be cast to {self.dtype} of the "
                f"array, at {source_line()}"
            )
        self.full = convert(full, self.dtype)
        return self

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TracingError(
            f"indexing by a traced boolean mask has no fixed shape, at {source_line()}; use np.where(mask, x, 0) or "
            "multiply by the mask (x[mask] = value and x[mask] += value work)"
        )

    __array__ = __array_function__ = __len__ = __iter__ = __getitem__ = __setitem__ = __bool__ = __float__ = (
        _refuse
    )
    __int__ = __index__ = __repr__ = __format__ = _refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()


def selected(x: Tracer, key: Any) -> Selection:
    """``x[key]`` for an index with a traced mask."""
    part, mask, rest, leads = _place(x, key)
    return Selection(part.copy(), mask, rest, leads)


def assign_selected(x: Tracer, key: Any, value: Any, write: Callable[..., None]) -> None:
    """``x[key] = value`` for an index with a traced mask; `write` writes to (a view of) x."""
    part, mask, rest, leads = _place(x, key)
    if isinstance(value, Selection):
        if not same_mask(value, Selection(part, mask, rest, leads)):
            value._refuse()
        fitted = value.full
    else:
        fitted = _fits(value, rest, leads)
    cast = (
        convert(fitted, part.dtype) if isinstance(fitted, Tracer) else np.asarray(fitted).astype(part.dtype)
    )
    write(part, select(mask, cast, part))


def same_mask(a: Selection, b: Selection) -> bool:
    """Whether two masks are the same, or computed in the same way from the same values."""
    if a.full.shape != b.full.shape or a.rest != b.rest or a.mask.builder is not b.mask.builder:
        return False
    builder = a.mask.builder
    one, other = builder.lift(a.mask), builder.lift(b.mask)
    if one is other:
        return True
    makers = builder.makers
    for eq in builder.equations[builder.indexed :]:
        makers.update(dict.fromkeys(eq.outputs, eq))
    builder.indexed = len(builder.equations)

    proven: set[tuple[Var, Var]] = set()

    def alike(x: Atom, y: Atom) -> bool:
        if x is y or (x, y) in proven:
            return True
        if isinstance(x, Const) or isinstance(y, Const):
            return (
                isinstance(x, Const)
                and isinstance(y, Const)
                and x.type == y.type
                and _equal(x.value, y.value)
            )
        mine, yours = makers.get(x), makers.get(y)
        if mine is None or yours is None:
            return False
        found = (
            mine.primitive is yours.primitive
            and mine.params == yours.params
            and mine.outputs.index(x) == yours.outputs.index(y)
            and all(map(alike, mine.inputs, yours.inputs))
        )
        if found:
            proven.add((x, y))
        return found

    return alike(one, other)


def _equal(x: Any, y: Any) -> bool:
    """Whether two constants are the same: arrays, or values of an enclosing trace."""
    if isinstance(x, Tracer) or isinstance(y, Tracer):
        return isinstance(x, Tracer) and isinstance(y, Tracer) and x.atom is y.atom
    return x is y or np.array_equal(x, y)
