"""The linear skeleton: conversions, reshapes, broadcasts and sums, which are each other's transposes.

Notation: `ct` is the cotangent of an output, `t` the tangent of an input. A structural rule
`f(x)` that is linear in x has jvp `f(t)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import bind, type_of

__all__ = [
    "broadcast_to",
    "convert",
    "match",
    "permute",
    "reduce_sum",
    "reshape",
    "stop_gradient",
    "unbroadcast",
    "zeros",
]


def zeros(type: ArrayType) -> np.ndarray:
    """Zeros of the given type."""
    return np.zeros(type.shape, type.dtype)


# convert: x as another dtype (of a complex number the real part); the transpose converts back ---------
def _convert_jvp(out: Any, tangents: Any, inputs: Any, dtype: np.dtype) -> Any:
    return bind(convert_p, tangents[0], dtype=dtype) if dtype.kind in "fc" else None


convert_p: Primitive = Primitive(
    "convert",
    infer=lambda x, dtype: ArrayType(x.shape, dtype),
    call=lambda x, dtype: (x.real if x.dtype.kind == "c" and dtype.kind != "c" else x).astype(dtype),
    jvp=_convert_jvp,
    transpose=lambda ct, inputs, types, dtype: (bind(convert_p, ct, dtype=types[0].dtype),),
)


def convert(x: Any, dtype: Any) -> Any:
    """`x` with the given dtype; `x` itself where it has it."""
    dtype = np.dtype(dtype)
    kind = type_of(x)
    return x if kind.dtype == dtype and not kind.weak else bind(convert_p, x, dtype=dtype)


# reshape ------------------------------------------------------------------------------------------
reshape_p: Primitive = Primitive(
    "reshape",
    infer=lambda x, shape: ArrayType(shape, x.dtype),
    call=lambda x, shape: np.reshape(x, shape),
    jvp=lambda out, tangents, inputs, shape: bind(reshape_p, tangents[0], shape=shape),
    transpose=lambda ct, inputs, types, shape: (bind(reshape_p, ct, shape=types[0].shape),),
    view=True,
)


def reshape(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` with the given shape, of the same size, in C order."""
    return x if x.shape == shape else bind(reshape_p, x, shape=shape)


# permute: transposed axes -------------------------------------------------------------------------
permute_p: Primitive = Primitive(
    "permute",
    infer=lambda x, axes: ArrayType(tuple(x.shape[a] for a in axes), x.dtype),
    call=lambda x, axes: np.transpose(x, axes),
    jvp=lambda out, tangents, inputs, axes: bind(permute_p, tangents[0], axes=axes),
    transpose=lambda ct, inputs, types, axes: (
        bind(permute_p, ct, axes=tuple(sorted(range(len(axes)), key=axes.__getitem__))),
    ),
    view=True,
)


def permute(x: Any, axes: tuple[int, ...]) -> Any:
    """`x` with axis i of the result being axis ``axes[i]`` of `x`."""
    return x if axes == tuple(range(len(axes))) else bind(permute_p, x, axes=axes)


# broadcast_to and reduce_sum: transposes of each other ---------------------------------------------
broadcast_p: Primitive = Primitive(
    "broadcast_to",
    infer=lambda x, shape: ArrayType(shape, x.dtype),
    call=lambda x, shape: np.broadcast_to(x, shape),
    jvp=lambda out, tangents, inputs, shape: bind(broadcast_p, tangents[0], shape=shape),
    transpose=lambda ct, inputs, types, shape: (unbroadcast(ct, types[0].shape),),
)


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` repeated along new and length-one axes to the given shape."""
    return x if x.shape == shape else bind(broadcast_p, x, shape=shape)


def _sum_infer(x: ArrayType, axes: tuple[int, ...], keepdims: bool) -> ArrayType:
    if keepdims:
        return ArrayType(tuple(1 if a in axes else n for a, n in enumerate(x.shape)), x.dtype)
    return ArrayType(tuple(n for a, n in enumerate(x.shape) if a not in axes), x.dtype)


def _sum_transpose(
    ct: Any, inputs: Any, types: tuple[ArrayType, ...], axes: tuple[int, ...], keepdims: bool
) -> tuple[Any]:
    kept = tuple(1 if a in axes else n for a, n in enumerate(types[0].shape))
    return (broadcast_to(reshape(ct, kept), types[0].shape),)


reduce_sum_p: Primitive = Primitive(
    "reduce_sum",
    infer=_sum_infer,
    call=lambda x, axes, keepdims: np.add.reduce(x, axis=axes, dtype=x.dtype, keepdims=keepdims),
    jvp=lambda out, tangents, inputs, axes, keepdims: bind(
        reduce_sum_p, tangents[0], axes=axes, keepdims=keepdims
    ),
    transpose=_sum_transpose,
)


def reduce_sum(x: Any, axes: tuple[int, ...], keepdims: bool = False) -> Any:
    """Sum of `x` over the given non-negative axes."""
    return x if not axes else bind(reduce_sum_p, x, axes=axes, keepdims=keepdims)


def unbroadcast(ct: Any, shape: tuple[int, ...]) -> Any:
    """The transpose of broadcasting `shape` to ``ct.shape``: sums over the repeated axes."""
    if ct.shape == shape:
        return ct
    extra = len(ct.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + a for a, n in enumerate(shape) if n == 1 and ct.shape[extra + a] != 1
    )
    return reshape(reduce_sum(ct, axes), shape)


def match(t: Any, type: ArrayType) -> Any:
    """The tangent or cotangent `t`, with exactly the dtype and the (broader) shape of `type`."""
    return broadcast_to(convert(t, type.dtype), type.shape)


# stop_gradient: the identity, with derivative zero --------------------------------------------------
stop_gradient_p: Primitive = Primitive(
    "stop_gradient", infer=lambda x: x, call=lambda x: x, jvp=None, view=True
)


def stop_gradient(x: Any) -> Any:
    """`x` itself, whose derivative is taken to be zero."""
    return bind(stop_gradient_p, x)
