"""``np.pad`` with NumPy's signature, in terms of other functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import array_of, integer, reject
from hypergrad.ad.trace import Tracer, source_line
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = ["FUNCTIONS"]

_MAPS = ("edge", "reflect", "symmetric", "wrap")


def _pairs(width: Any, ndim: int, what: str) -> list[tuple[Any, Any]]:
    """(before, after) of each axis, from one number, one pair, or a pair an axis."""
    if isinstance(width, dict):
        return [_pairs(width.get(i, width.get(i - ndim, 0)), 1, what)[0] for i in range(ndim)]
    if isinstance(width, Tracer):
        full = np.broadcast_to(width, (ndim, 2))
        return [(full[i, 0], full[i, 1]) for i in range(ndim)]
    if (
        any(isinstance(x, Tracer) for x in np.ravel(np.asarray(width, dtype=object)))
        if isinstance(width, list | tuple)
        else False
    ):
        return [tuple(width)] * ndim if not isinstance(width[0], list | tuple) else [tuple(w) for w in width]
    try:
        full = np.broadcast_to(np.asarray(width), (ndim, 2))
    except ValueError:
        raise ShapeError(f"np.pad: {what}={width} does not fit {ndim} axes, at {source_line()}") from None
    return [(full[i, 0], full[i, 1]) for i in range(ndim)]


def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    a = array_of(array)
    widths = [
        (integer(before, "pad: a width"), integer(after, "pad: a width"))
        for before, after in _pairs(pad_width, a.ndim, "pad_width")
    ]
    if any(n < 0 for pair in widths for n in pair):
        raise ShapeError(f"np.pad: a width in {pad_width} is negative, at {source_line()}")
    if mode in _MAPS:
        kind = options.pop("reflect_type", "even")
        _no_more(
            mode, reflect_type=(kind, "even"), **{name: (value, None) for name, value in options.items()}
        )
        for axis, pair in enumerate(widths):
            if any(pair):
                a = np.take(a, np.pad(np.arange(a.shape[axis]), pair, mode=mode), axis=axis)
        return a
    if mode not in _BLOCKS:
        raise UnsupportedError(
            f"np.pad with mode={mode!r} has no derivative rule, at {source_line()}; "
            f"use one of {', '.join([*_BLOCKS, *_MAPS])}"
        )
    option, default, block = _BLOCKS[mode]
    values = _pairs(options.pop(option, default), a.ndim, option)
    _no_more(mode, **{name: (value, None) for name, value in options.items()})
    for axis, ((before, after), ends) in enumerate(zip(widths, values, strict=True)):
        blocks = [
            block(a, axis, count, end, first).astype(a.dtype) if count else None
            for count, end, first in ((before, ends[0], True), (after, ends[1], False))
        ]
        parts = [part for part in (blocks[0], a, blocks[1]) if part is not None]
        a = np.concatenate(parts, axis=axis) if len(parts) > 1 else a
    return a


def _no_more(mode: str, **options: Any) -> None:
    reject(f"np.pad with mode={mode!r}", **options)


# What is put before and after along an axis: block(array, axis, count, option, whether it is the one before)
def _constant(a: Any, axis: int, count: int, value: Any, first: bool) -> Any:
    return np.broadcast_to(array_of(value), (*a.shape[:axis], count, *a.shape[axis + 1 :]))


def _edge(a: Any, axis: int, length: int, first: bool) -> Any:
    """The first or last entries along an axis."""
    return a[(*(slice(None),) * axis, slice(0, length) if first else slice(a.shape[axis] - length, None))]


def _ramp(a: Any, axis: int, count: int, value: Any, first: bool) -> Any:
    edge = np.squeeze(_edge(a, axis, 1, first), axis)
    line = np.linspace(array_of(value) + np.zeros(edge.shape), edge, count, endpoint=False, axis=axis)
    return line if first else np.flip(line, axis)


def _statistic(function: Callable[..., Any]) -> Callable[..., Any]:
    def block(a: Any, axis: int, count: int, length: Any, first: bool) -> Any:
        size = a.shape[axis] if length is None else min(integer(length, "pad: stat_length"), a.shape[axis])
        if size < 1:
            raise ShapeError(f"np.pad: no entries to take a {function.__name__} of, at {source_line()}")
        found = function(_edge(a, axis, size, first), axis=axis, keepdims=True)
        found = np.round(found) if a.dtype.kind in "iu" else found
        return np.broadcast_to(found, (*a.shape[:axis], count, *a.shape[axis + 1 :]))

    return block


_BLOCKS: dict[str, tuple[str, Any, Callable[..., Any]]] = {  # mode: its option, the default, the block
    "constant": ("constant_values", 0, _constant),
    "linear_ramp": ("end_values", 0, _ramp),
    "maximum": ("stat_length", None, _statistic(np.max)),
    "mean": ("stat_length", None, _statistic(np.mean)),
    "median": ("stat_length", None, _statistic(np.median)),
    "minimum": ("stat_length", None, _statistic(np.min)),
}

FUNCTIONS: dict[Any, Callable[..., Any]] = {np.pad: _pad}
