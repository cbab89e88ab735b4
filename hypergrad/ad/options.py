"""Reading the arguments of NumPy functions: arrays, sizes, axes, and options that no rule follows."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from hypergrad.ad.tracer import Tracer, source_line, strong
from hypergrad.errors import HypergradError, ShapeError, UnsupportedError

__all__ = ["NO_VALUE", "array_of", "axis_list", "flag", "integer", "reject", "sizes_of"]

NO_VALUE = np._NoValue


def array_of(x: Any) -> Any:
    """A tracer or an ndarray; what stems from a Python number is an array of its own dtype from here on."""
    return strong(x) if isinstance(x, Tracer) else np.asarray(x)


def reject(name: str, **options: Any) -> None:
    """Refuse options that a rule does not follow, instead of ignoring them.

    Args:
        options: ``option=(value, default)``.
    """
    for option, (value, default) in options.items():
        if value is not default and not (isinstance(value, str | bool | int) and value == default):
            raise UnsupportedError(f"{name} does not take {option}= on a traced value, at {source_line()}")


def flag(value: Any) -> bool:
    """An option such as ``keepdims``, which NumPy leaves out by default."""
    return value is not NO_VALUE and bool(value)


def integer(value: Any, name: str) -> int:
    """A size, axis or shift as a Python int.

    Raises:
        ShapeError: it is no integer.
    """
    try:
        return operator.index(value)
    except HypergradError:
        raise
    except TypeError:
        raise ShapeError(f"{name} must be an integer, got {value!r}, at {source_line()}") from None


def sizes_of(shape: Any, name: str) -> tuple[int, ...]:
    """A shape as a tuple of Python ints: from an int, or a sequence of them."""
    if isinstance(shape, np.ndarray):
        shape = shape.tolist()
    items = shape if isinstance(shape, tuple | list) else (shape,)
    return tuple(integer(n, f"{name}: a size") for n in items)


def axis_list(axis: Any, ndim: int, name: str) -> tuple[int, ...]:
    """Axes as non-negative Python ints, in the given order.

    Raises:
        ShapeError: an axis outside the array, or one named twice.
    """
    items = axis if isinstance(axis, tuple | list) else (axis,)
    found = []
    for item in items:
        place = integer(item, f"{name}: an axis")
        if not -ndim <= place < ndim:
            raise ShapeError(f"{name}: axis {place} is outside an array of {ndim} axes, at {source_line()}")
        found.append(place % ndim)
    if len(set(found)) != len(found):
        raise ShapeError(f"{name}: an axis is named twice in {axis}, at {source_line()}")
    return tuple(found)
