"""Parts of complex numbers.

Notation: z complex, t its tangent, c a cotangent. Cotangents pair with tangents by Re(c t), without conjugation, so
that the transpose of a C-linear operation is the plain transpose; Re z transposes to c + 0i, Im z to -i c, and the
conjugate to the conjugate of c. A real number that becomes complex takes the real part of its cotangent back.
This is JAX's convention too: what a real function of real inputs has as derivative does not depend on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.primitives.linear import convert
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import bind

__all__ = ["conj", "conj_p", "imag", "imag_p", "real", "real_p"]


def _part(x: ArrayType) -> ArrayType:
    return ArrayType(x.shape, np.empty(0, x.dtype).real.dtype)


real_p: Primitive = Primitive(
    "real",
    infer=_part,
    call=lambda x: np.real(x).copy(),
    jvp=lambda out, tangents, inputs: bind(real_p, tangents[0]),
    transpose=lambda ct, inputs, types: (convert(ct, types[0].dtype),),
)
imag_p: Primitive = Primitive(
    "imag",
    infer=_part,
    call=lambda x: np.imag(x).copy(),
    jvp=lambda out, tangents, inputs: bind(imag_p, tangents[0]),
    transpose=lambda ct, inputs, types: (-1j * convert(ct, types[0].dtype),),
)
conj_p: Primitive = Primitive(
    "conj",
    infer=lambda x: x,
    call=np.conjugate,
    jvp=lambda out, tangents, inputs: bind(conj_p, tangents[0]),
    transpose=lambda ct, inputs, types: (bind(conj_p, ct),),
)


def real(x: Any) -> Any:
    """The real part; x itself where it is real."""
    return bind(real_p, x) if x.dtype.kind == "c" else x


def imag(x: Any) -> Any:
    """The imaginary part; zeros where x is real."""
    return bind(imag_p, x) if x.dtype.kind == "c" else np.zeros(x.shape, x.dtype)


def conj(x: Any) -> Any:
    """The complex conjugate; x itself where it is real."""
    return bind(conj_p, x) if x.dtype.kind == "c" else x
