"""Joining and splitting: concatenate and split, which are each other's transposes."""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.primitives.linear import zeros
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import bind, source_line
from hypergrad.errors import ShapeError

__all__ = ["concatenate", "concatenate_p", "split", "split_p"]


def _concatenate_infer(*types: ArrayType, axis: int) -> ArrayType:
    first = types[0].shape
    for type in types[1:]:
        if len(type.shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(first, type.shape, strict=True)) if i != axis
        ):
            shown = ", ".join(str(t.shape) for t in types)
            raise ShapeError(f"concatenate: shapes {shown} differ outside axis {axis}, at {source_line()}")
    total = sum(type.shape[axis] for type in types)
    return ArrayType((*first[:axis], total, *first[axis + 1 :]), types[0].dtype)


def _concatenate_jvp(out: Any, tangents: Any, inputs: Any, axis: int) -> Any:
    filled = [
        zeros(ArrayType(x.shape, x.dtype)) if t is None else t for t, x in zip(tangents, inputs, strict=True)
    ]
    return bind(concatenate_p, *filled, axis=axis)


def _concatenate_transpose(ct: Any, inputs: Any, types: Any, axis: int) -> tuple[Any, ...]:
    return split(ct, tuple(type.shape[axis] for type in types), axis)


concatenate_p = Primitive(
    "concatenate",
    _concatenate_infer,
    lambda *arrays, axis: np.concatenate(arrays, axis=axis),
    _concatenate_jvp,
    _concatenate_transpose,
)


def _split_infer(x: ArrayType, sizes: tuple[int, ...], axis: int) -> tuple[ArrayType, ...]:
    return tuple(ArrayType((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype) for n in sizes)


def _split_call(x: np.ndarray, sizes: tuple[int, ...], axis: int) -> tuple[np.ndarray, ...]:
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=axis))


def _split_transpose(cts: Any, inputs: Any, types: Any, sizes: tuple[int, ...], axis: int) -> tuple[Any]:
    kinds = _split_infer(types[0], sizes, axis)
    return (concatenate([zeros(k) if ct is None else ct for ct, k in zip(cts, kinds, strict=True)], axis),)


split_p = Primitive(
    "split",
    _split_infer,
    _split_call,
    lambda outs, tangents, inputs, sizes, axis: split(tangents[0], sizes, axis),
    _split_transpose,
    multiple=True,
    view=True,
)


def split(x: Any, sizes: tuple[int, ...], axis: int = 0) -> tuple[Any, ...]:
    """Consecutive pieces of `x` along `axis`, of the given sizes, which add up to its length."""
    return (x,) if len(sizes) == 1 else bind(split_p, x, sizes=tuple(sizes), axis=axis)


def concatenate(arrays: list[Any], axis: int = 0) -> Any:
    """Arrays of one dtype joined along `axis`."""
    return arrays[0] if len(arrays) == 1 else bind(concatenate_p, *arrays, axis=axis)
