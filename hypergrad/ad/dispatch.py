"""The one table of what is supported: NumPy and scipy.special functions to primitives.

`UFUNCS` maps ufuncs (scipy.special's by name, so that importing hypergrad does not import SciPy),
`FUNCTIONS` maps functions that dispatch through ``__array_function__``, the operators, and ufunc methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad import (
    memory,
    methods,
    numpy_assembly,
    numpy_creation,
    numpy_einsum,
    numpy_fft,
    numpy_inplace,
    numpy_linalg,
    numpy_order,
    numpy_padding,
    numpy_polynomials,
    numpy_products,
    numpy_ranges,
    numpy_reductions,
    numpy_sequences,
    numpy_shapes,
    numpy_statistics,
    numpy_ufuncs,
    numpy_values,
)
from hypergrad.ad.primitives import contraction, special
from hypergrad.ad.primitives.complex import conj
from hypergrad.ad.primitives.elementwise import _BY_UFUNC, apply
from hypergrad.ad.primitives.linear import convert
from hypergrad.ad.trace import Tracer, source_line
from hypergrad.ad.tracer import function_table, ufunc_table
from hypergrad.errors import UnsupportedError

__all__ = ["FUNCTIONS", "UFUNCS"]

# x**2 is np.square(x) and so on, as in NumPy
_POWERS = {2: np.square, 1: np.positive, -1: np.reciprocal, 0.5: np.sqrt}


def _operator(name: str, *operands: Any) -> Any:
    """A Python operator: like the ufunc, but Python numbers stay weak, and powers take NumPy's short cuts."""
    if name == "power":
        x, y = operands
        short = type(y) in (int, float) and y in _POWERS and isinstance(x, Tracer)
        if short and (x.dtype.kind == "f" or (type(y) is int and y == 2)):
            return apply(_BY_UFUNC[_POWERS[y]], x, operator=True)
    if name == "matmul":
        return contraction.matmul(*operands)
    return apply(_BY_UFUNC[getattr(np, name)], *operands, operator=True)


def _conjugate(x: Any) -> Any:
    if x.dtype.kind == "c":
        return conj(x)
    return apply(_BY_UFUNC[np.positive], x) if x.dtype.kind == "f" else memory.alias(x)


def _astype(x: Tracer, dtype: Any, casting: str = "unsafe") -> Any:
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiubc":
        raise UnsupportedError(f"astype({dtype}) has no derivative rule, at {source_line()}")
    if not np.can_cast(x.dtype, dtype, casting):  # type: ignore[arg-type]
        raise UnsupportedError(f"astype: {x.dtype} to {dtype} is no {casting} cast, at {source_line()}")
    return convert(x, dtype)


def _elementwise(primitive: Any) -> Callable[..., Any]:
    return lambda *operands: apply(primitive, *operands)


UFUNCS: dict[Any, Callable[..., Any]] = {
    **{ufunc: _elementwise(primitive) for ufunc, primitive in _BY_UFUNC.items()},
    np.conjugate: _conjugate,
    np.divmod: lambda x, y: (np.floor_divide(x, y), np.remainder(x, y)),
    np.ldexp: lambda x, n: x * np.exp2(n),
    np.modf: lambda x: (x - np.trunc(x), np.trunc(x)),
    np.matmul: contraction.matmul,
    **numpy_products.UFUNCS,
    **special.UFUNCS,
}

FUNCTIONS: dict[Any, Callable[..., Any]] = {
    "operator": _operator,
    "astype": _astype,
    "instead": methods.instead,
    **memory.FUNCTIONS,
    **numpy_creation.FUNCTIONS,
    **numpy_inplace.FUNCTIONS,
    **numpy_ufuncs.FUNCTIONS,
    **numpy_reductions.FUNCTIONS,
    **numpy_shapes.FUNCTIONS,
    **numpy_values.FUNCTIONS,
    **numpy_order.FUNCTIONS,
    **numpy_statistics.FUNCTIONS,
    **numpy_sequences.FUNCTIONS,
    **numpy_polynomials.FUNCTIONS,
    **numpy_padding.FUNCTIONS,
    **numpy_ranges.FUNCTIONS,
    **numpy_assembly.FUNCTIONS,
    **numpy_linalg.FUNCTIONS,
    **numpy_products.FUNCTIONS,
    **numpy_einsum.FUNCTIONS,
    **numpy_fft.FUNCTIONS,
    np.i0: lambda x: special.UFUNCS["i0"](x if x.dtype.kind == "f" else convert(x, float)),
}

ufunc_table.update(UFUNCS)
function_table.update(FUNCTIONS)
