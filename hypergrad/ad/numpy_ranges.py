"""NumPy's evenly spaced numbers between traced ends, with NumPy's signatures, in terms of other functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import array_of, axis_list, integer
from hypergrad.ad.primitives.linear import convert
from hypergrad.ad.trace import source_line
from hypergrad.errors import ShapeError

__all__ = ["FUNCTIONS"]


def _placed(line: Any, axis: Any, dtype: Any, name: str) -> Any:
    """The numbers, made along axis 0, along the axis and with the dtype asked for."""
    place = axis_list(axis, line.ndim, name)[0]
    line = np.moveaxis(line, 0, place) if place else line
    if dtype is None:
        return line
    return convert(np.floor(line) if np.dtype(dtype).kind in "iu" else line, np.dtype(dtype))


def _ends(start: Any, stop: Any) -> tuple[Any, Any]:
    """Both ends as floats of one dtype, for which Python numbers are weak."""
    kind = np.result_type(
        *(end if type(end) in (int, float) else array_of(end).dtype for end in (start, stop))
    )
    kind = kind if kind.kind == "f" else np.dtype(float)
    return convert(array_of(start), kind), convert(array_of(stop), kind)


def _linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
    axis: Any = 0, *, device: Any = None,
) -> Any:  # fmt: skip
    count = integer(num, "linspace: num")
    if count < 0:
        raise ShapeError(f"linspace: num must not be negative, got {count}, at {source_line()}")
    first, last = _ends(start, stop)
    step = (last - first) / max(count - 1 if endpoint else count, 1)
    ticks = np.arange(count, dtype=first.dtype).reshape((count,) + (1,) * step.ndim)
    line = ticks * step + first
    if endpoint and count > 1:
        line = np.concatenate([line[:-1], np.broadcast_to(last, (1, *step.shape))])  # the end exactly
    line = _placed(line, axis, dtype, "linspace")
    return (line, step) if retstep else line


def _logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: Any = 0,
) -> Any:
    first, last = _ends(start, stop)
    shape = np.broadcast_shapes(np.shape(base), first.shape, last.shape)
    line = _linspace(np.broadcast_to(first, shape), np.broadcast_to(last, shape), num, endpoint)
    return _placed(np.power(base, line), axis, dtype, "logspace")


def _geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: Any = 0
) -> Any:  # fmt: skip
    """Both ends exactly, in double precision as NumPy; of the sign of `start`, which is that of `stop`."""
    ends = [convert(array_of(end), np.dtype(float)) for end in (start, stop)]
    shape = np.broadcast_shapes(*(end.shape for end in ends))
    first, last = (np.broadcast_to(end, shape) for end in ends)
    sign = np.sign(first)
    line = _logspace(np.log10(first * sign), np.log10(last * sign), num, endpoint) * sign
    if line.shape[0]:
        ended = endpoint and line.shape[0] > 1
        parts = (first[None], line[1:-1], last[None]) if ended else (first[None], line[1:])
        line = np.concatenate(parts)
    return _placed(line, axis, dtype, "geomspace")


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.geomspace: _geomspace,
    np.linspace: _linspace,
    np.logspace: _logspace,
}
