"""Arrays made inside a function: writable traced arrays while it is traced, plain ndarrays otherwise.

A traced array of known numbers (``np.zeros_like(x)``, ``hg.zeros(3)``) is a constant of the Program until
something traced is written to it, and answers ``float``, ``bool`` and ``np.asarray`` with its numbers until then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import sizes_of
from hypergrad.ad.primitives.linear import broadcast_to, convert, reshape
from hypergrad.ad.primitives.shape import concatenate
from hypergrad.ad.program import ArrayType, Const
from hypergrad.ad.trace import innermost, is_traced
from hypergrad.ad.tracer import ARGUMENT, Owned, Tracer, function_table, source_line
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = ["FUNCTIONS", "array", "asarray", "empty", "full", "ones", "zeros"]


def _kept(value: np.ndarray, near: Tracer | None = None, memory: Owned | None = None) -> Any:
    """An array of known numbers, as a writable traced array while a function is traced.

    Args:
        near: a tracer whose trace it belongs to at least.
    """
    builder = innermost()
    if near is not None and (builder is None or builder.level < near.builder.level):
        builder = near.builder
    if builder is None:
        return value
    atom = Const(value, ArrayType(value.shape, value.dtype))
    return Tracer(builder, atom, memory or Owned(maker=builder))


def _dtype(dtype: Any) -> np.dtype:
    found = np.dtype(dtype)
    if found.kind not in "fiubc":
        raise UnsupportedError(f"a traced array cannot have dtype {found}, at {source_line()}")
    return found


def zeros(shape: Any, dtype: Any = float) -> Any:
    """``np.zeros(shape, dtype)``, to which traced values can be written.

    Assignment and in-place operators follow NumPy, views and aliases included, and become pure operations. What a
    traced function is given stays as it is: ``x[0] = 1`` of an argument is refused (write ``x = x.copy()`` first), and
    ``x += 1`` gives x a fresh value, which the caller's array and other names of it do not see.

    Args:
        shape: an int or a tuple of ints.
        dtype: of the entries.

    Returns:
        An ndarray; while a function is traced, a traced array that belongs to it.
    """
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = float) -> Any:
    """``np.ones(shape, dtype)``, to which traced values can be written; see `zeros`."""
    return full(shape, 1, dtype)


def empty(shape: Any, dtype: Any = float) -> Any:
    """``np.empty(shape, dtype)``, to which traced values can be written; its entries are 0. See `zeros`."""
    return full(shape, 0, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """``np.full(shape, fill_value, dtype)``, where `fill_value` may be traced, and to which values can be written.

    Args:
        fill_value: a number, or an array that broadcasts to `shape`.
        dtype: default: that of `fill_value`.

    Returns:
        As `zeros`.
    """
    sizes = sizes_of(shape, "full")
    if any(n < 0 for n in sizes):
        raise ShapeError(f"a size in {shape} is negative, at {source_line()}")
    if is_traced(fill_value):
        kind = fill_value.dtype if dtype is None else _dtype(dtype)
        return function_table["copy"](broadcast_to(convert(fill_value, kind), sizes))
    return _kept(np.full(sizes, fill_value, None if dtype is None else _dtype(dtype)))


def array(object: Any, dtype: Any = None, *, ndmin: int = 0) -> Any:
    """``np.array(object, dtype)``, where the numbers in nested lists may be traced.

    Args:
        object: an array, a number, or nested lists and tuples of them, all of one shape at each level.
        dtype: default: NumPy's promotion of the entries.
        ndmin: least number of axes; axes of length 1 come first.

    Returns:
        A copy: an ndarray; while a function is traced, a traced array to which values can be written.

    Raises:
        ShapeError: lists of different lengths.
    """
    leaves: list[Any] = []
    shape = _gather(object, leaves)
    shape = (1,) * (ndmin - len(shape)) + shape
    if not any(map(is_traced, leaves)):
        plain = np.array(object, None if dtype is None else _dtype(dtype), ndmin=ndmin)
        _dtype(plain.dtype)
        return _kept(plain)
    kind = _dtype(np.result_type(*(leaf.dtype for leaf in leaves)) if dtype is None else dtype)
    flat = [reshape(convert(leaf, kind), (leaf.size,)) for leaf in leaves]
    return function_table["copy"](reshape(concatenate(flat), shape))


def _gather(item: Any, leaves: list[Any]) -> tuple[int, ...]:
    """Collect the arrays of nested lists, and return the shape of the whole."""
    if not isinstance(item, list | tuple):
        leaves.append(item if is_traced(item) else np.asarray(item))
        return leaves[-1].shape
    shapes = [_gather(part, leaves) for part in item]
    if not shapes:
        leaves.append(np.zeros(0))
        return (0,)
    if any(shape != shapes[0] for shape in shapes):
        shown = ", ".join(sorted({str(shape) for shape in shapes}))
        raise ShapeError(f"hg.array: parts of different shapes {shown} in one list, at {source_line()}")
    return (len(shapes), *shapes[0])


def asarray(object: Any, dtype: Any = None) -> Any:
    """``np.asarray(object, dtype)``, where `object` may be traced or contain traced values.

    Returns:
        `object` itself where it is an array of that dtype. While a function is traced, what was a plain ndarray
        cannot be written to, since that would change the caller's array; `array` makes a copy.
    """
    if is_traced(object):
        return object if dtype is None or object.dtype == np.dtype(dtype) else object.astype(dtype)
    if isinstance(object, np.ndarray) and (dtype is None or object.dtype == np.dtype(dtype)):
        _dtype(object.dtype)
        return _kept(object, memory=ARGUMENT)
    return array(object, dtype)


# np.zeros_like(tracer), ... ---------------------------------------------------------------------------------
def _like(value: int) -> Callable[..., Any]:
    def rule(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *,
        device: Any = None,
    ) -> Any:  # fmt: skip
        return _full_like(a, value, dtype, order, subok, shape, device=device)

    return rule


def _full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *,
    device: Any = None,
) -> Any:  # fmt: skip
    kind = a.dtype if dtype is None else _dtype(dtype)
    target = a.shape if shape is None else sizes_of(shape, "full_like")
    if isinstance(fill_value, Tracer):
        found = function_table["copy"](broadcast_to(convert(fill_value, kind), target))
    else:
        value = (
            np.full(target, fill_value, kind)
            if type(fill_value) is not int or fill_value
            else np.zeros(target, kind)
        )
        found = _kept(value, a if isinstance(a, Tracer) else None)
    if isinstance(found, Tracer) and isinstance(found.memory, Owned) and order == "K" and shape is None:
        found.memory.origin = a.memory.origin if isinstance(a.memory, Owned) else a.atom
    return found


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.zeros_like: _like(0),
    np.ones_like: _like(1),
    np.empty_like: _like(0),
    np.full_like: _full_like,
}
