"""Matrix equations and factorisations of stacks of matrices (the last two axes).

Notation: Aᵀ transpose of the last two axes; Ā cotangent of A; dA tangent; ∘ elementwise product.
    solve     A X = B:      dX = A⁻¹ (dB - dA X);      B̄ = A⁻ᵀ X̄
    inv       B = A⁻¹:      dB = -B dA B
    cholesky  A = L Lᵀ:     dL = L Φ(L⁻¹ dA L⁻ᵀ), Φ the lower triangle with half the diagonal (Murray 2016); NumPy reads
              the lower triangle of A, so that dA is taken as its lower triangle mirrored
    eigh      A = V Λ Vᵀ:   dΛ = diag(Vᵀ dA V), dV = V (F ∘ Vᵀ dA V), F_ij = 1/(λ_j - λ_i) (Giles 2008);
              A as for cholesky
    svd       A = U S Vᵀ:   Townsend (2016); thin, full rank where U or V is used
    det       dA -> sum of cofactors ∘ dA, from the svd, right at singular matrices too
    pinv      B = A⁺:       dB = -B dA B + B Bᵀ dAᵀ (I - A B) + (I - B A) dAᵀ Bᵀ B (Golub & Pereyra 1973, constant rank)
Where λ_i = λ_j the single vectors have no derivative, and F_ij is 0: right for functions of the values and of the
eigenspaces (such as the projection on all vectors of one value), never NaN. A matrix function that is put together
again from the vectors of equal values, V f(Λ) Vᵀ, loses the slope within their space: use inv, solve or pinv.
The same holds for equal singular values, and 1/s is 0 at s = 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.options import array_of
from hypergrad.ad.primitives.contraction import _flip
from hypergrad.ad.primitives.elementwise import broadcast_shape, select
from hypergrad.ad.primitives.linear import convert, reshape, unbroadcast
from hypergrad.ad.primitives.reduction import products_of_others
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import bind, source_line
from hypergrad.errors import ShapeError

__all__ = [
    "cholesky_p",
    "det_p",
    "eigh_p",
    "float_matrix",
    "inv_p",
    "matrix_rank_p",
    "pinv_p",
    "qr_p",
    "slogdet_p",
    "solve",
    "solve_p",
    "svd_p",
]


def float_matrix(a: Any, name: str, square: bool = True) -> Any:
    """A (stack of) matrices of floats.

    Raises:
        ShapeError: fewer than two axes, or matrices that are not square where they must be.
    """
    a = array_of(a)
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        must = "square matrices" if square else "matrices"
        raise ShapeError(f"{name} takes {must}, got shape {a.shape}, at {source_line()}")
    return a if a.dtype.kind in "fc" else convert(a, float)


def _infer(a: ArrayType, b: ArrayType) -> ArrayType:
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ShapeError(f"solve: the matrix must be square, got shape {a.shape}, at {source_line()}")
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"solve: shapes {a.shape} and {b.shape} do not fit, at {source_line()}")
    return ArrayType((*broadcast_shape([a.shape[:-2], b.shape[:-2]], "solve"), *b.shape[-2:]), a.dtype)


def _jvp(out: Any, tangents: Any, inputs: Any) -> Any:
    ta, tb = tangents
    right = None if ta is None else -np.matmul(ta, out)
    right = tb if right is None else right if tb is None else tb + right
    return bind(solve_p, inputs[0], right)


def _transpose(ct: Any, inputs: Any, types: Any) -> tuple[None, Any]:
    return None, unbroadcast(bind(solve_p, _flip(inputs[0]), ct), types[1].shape)


solve_p = Primitive("solve", _infer, np.linalg.solve, _jvp, _transpose)


def solve(a: Any, b: Any) -> Any:
    """``np.linalg.solve``: `b` is one vector if it has one axis, else (a stack of) matrices."""
    a, b = (array_of(x) for x in (a, b))
    dtype = np.result_type(a.dtype, b.dtype)
    dtype = dtype if dtype.kind in "fc" else np.dtype(float)
    a, b = convert(a, dtype), convert(b, dtype)
    if b.ndim != 1:
        return bind(solve_p, a, b)
    x = bind(solve_p, a, reshape(b, (b.size, 1)))
    return reshape(x, x.shape[:-1])


inv_p = Primitive(
    "inv",
    infer=lambda a: a,
    call=np.linalg.inv,
    jvp=lambda out, tangents, inputs: -(out @ tangents[0] @ out),
)


# symmetric matrices ------------------------------------------------------------------------------------
def _mirrored(t: Any, lower: bool) -> Any:
    """The symmetric matrix that has one triangle of t."""
    half = np.tril(t, -1) if lower else np.triu(t, 1)
    diagonal = t * np.eye(t.shape[-1], dtype=t.dtype)
    return half + _flip(half) + diagonal


def _cholesky_jvp(out: Any, tangents: Any, inputs: Any) -> Any:
    left = bind(solve_p, out, _mirrored(tangents[0], lower=True))
    inner = _flip(bind(solve_p, out, _flip(left)))
    half = np.tril(np.full(inner.shape[-2:], 1.0), -1) + 0.5 * np.eye(inner.shape[-1])
    return out @ (inner * half.astype(inner.dtype))


cholesky_p = Primitive("cholesky", lambda a: a, np.linalg.cholesky, _cholesky_jvp)


def _gaps(values: Any) -> Any:
    """F: 1/(λ_j - λ_i) for λ_i ≠ λ_j (to 8 units in the last place of the largest), else 0."""
    gap = values[..., None, :] - values[..., :, None]
    size = np.max(np.absolute(values), axis=-1)[..., None, None] if values.shape[-1] else 0.0
    apart = np.absolute(gap) > 8 * np.finfo(values.dtype).eps * size
    return select(apart, 1.0 / select(apart, gap, 1.0), 0.0)


def _eigh_jvp(out: Any, tangents: Any, inputs: Any, lower: bool) -> tuple[Any, Any]:
    values, vectors = out
    inner = _flip(vectors) @ _mirrored(tangents[0], lower) @ vectors
    return np.diagonal(inner, 0, -2, -1), vectors @ (_gaps(values) * inner)


eigh_p = Primitive(
    "eigh",
    infer=lambda a, lower: (ArrayType(a.shape[:-1], a.dtype), ArrayType(a.shape, a.dtype)),
    call=lambda a, lower: tuple(np.linalg.eigh(a, UPLO="L" if lower else "U")),
    jvp=_eigh_jvp,
    multiple=True,
)


# singular values: thin U (m, k), S (k), Vᵀ (k, n) ---------------------------------------------------------
def _svd_infer(a: ArrayType) -> tuple[ArrayType, ...]:
    *batch, m, n = a.shape
    k = min(m, n)
    return tuple(ArrayType((*batch, *tail), a.dtype) for tail in ((m, k), (k,), (k, n)))


def _svd_jvp(out: Any, tangents: Any, inputs: Any) -> tuple[Any, Any, Any]:
    u, s, vt = out
    (t,) = tangents
    m, n, k = u.shape[-2], vt.shape[-1], s.shape[-1]
    inner = _flip(u) @ t @ _flip(vt)
    squares = _gaps(s) * _sum_inverse(s)  # 1/(s_j² - s_i²)
    row, column = s[..., None, :], s[..., :, None]
    rotated_u = squares * (inner * row + _flip(inner) * column)
    rotated_v = squares * (column * inner + _flip(inner) * row)
    safe = _safe_inverse(s)
    moved_u = u @ rotated_u
    if m > k:  # the part outside the columns of U
        rest = t @ _flip(vt) * safe[..., None, :]
        moved_u = moved_u + rest - u @ (_flip(u) @ rest)
    moved_v = _flip(rotated_v) @ vt
    if n > k:
        rest = safe[..., :, None] * (_flip(u) @ t)
        moved_v = moved_v + rest - (rest @ _flip(vt)) @ vt
    return moved_u, np.diagonal(inner, 0, -2, -1), moved_v


def _safe_inverse(s: Any) -> Any:
    return select(s != 0, 1.0 / select(s != 0, s, 1.0), 0.0)


def _sum_inverse(s: Any) -> Any:
    return _safe_inverse(s[..., None, :] + s[..., :, None])


svd_p = Primitive(
    "svd",
    infer=_svd_infer,
    call=lambda a: tuple(np.linalg.svd(a, full_matrices=False)),
    jvp=_svd_jvp,
    multiple=True,
)


# QR: Q (m, k), R (k, n), m >= n or the leading square part (Walter & Lehmann 2012) -----------------------
def _qr_infer(a: ArrayType) -> tuple[ArrayType, ...]:
    *batch, m, n = a.shape
    k = min(m, n)
    return ArrayType((*batch, m, k), a.dtype), ArrayType((*batch, k, n), a.dtype)


def _qr_jvp(out: Any, tangents: Any, inputs: Any) -> tuple[Any, Any]:
    q, r = out
    (t,) = tangents
    m, n = t.shape[-2:]
    if m < n:  # the first m columns decide; the others follow from R = Qᵀ A
        moved_q, _ = _qr_jvp((q, r[..., :, :m]), (t[..., :, :m],), inputs)
        return moved_q, _flip(moved_q) @ inputs[0] + _flip(q) @ t
    right = _flip(bind(solve_p, _flip(r), _flip(t)))  # dA R⁻¹
    inner = _flip(q) @ right
    lower = np.tril(inner, -1)
    turn = lower - _flip(lower)
    moved_q = q @ (turn - inner) + right
    return moved_q, (inner - turn) @ r


qr_p = Primitive(
    "qr",
    infer=_qr_infer,
    call=lambda a: tuple(np.linalg.qr(a, mode="reduced")),
    jvp=_qr_jvp,
    multiple=True,
)


# pseudo-inverse --------------------------------------------------------------------------------------
def _pinv_jvp(out: Any, tangents: Any, inputs: Any, rtol: float) -> Any:
    (a,), (t,) = inputs, tangents
    tt, bt = _flip(t), _flip(out)
    return -(out @ t @ out) + (out @ bt) @ (tt - (tt @ a) @ out) + (tt - out @ (a @ tt)) @ (bt @ out)


pinv_p = Primitive(
    "pinv",
    infer=lambda a, rtol: ArrayType((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype),
    call=lambda a, rtol: np.linalg.pinv(a, rtol),
    jvp=_pinv_jvp,
)


# determinants --------------------------------------------------------------------------------------------
def _cofactors(a: Any) -> Any:
    """det U det V · U diag(Π_{j≠i} s_j) Vᵀ, which needs no inverse."""
    u, s, vt = bind(svd_p, a)
    sign = bind(slogdet_p, u)[0] * bind(slogdet_p, vt)[0]
    return sign[..., None, None] * ((u * products_of_others(s)[..., None, :]) @ vt)


det_p = Primitive(
    "det",
    infer=lambda a: ArrayType(a.shape[:-2], a.dtype),
    call=lambda a: np.asarray(np.linalg.det(a)),
    jvp=lambda out, tangents, inputs: np.sum(_cofactors(inputs[0]) * tangents[0], axis=(-2, -1)),
)
slogdet_p = Primitive(
    "slogdet",
    infer=lambda a: (ArrayType(a.shape[:-2], a.dtype),) * 2,
    call=lambda a: tuple(map(np.asarray, np.linalg.slogdet(a))),
    jvp=lambda out, tangents, inputs: (
        None,
        np.sum(_flip(bind(inv_p, inputs[0])) * tangents[0], axis=(-2, -1)),
    ),
    multiple=True,
)
matrix_rank_p = Primitive(
    "matrix_rank",
    infer=lambda a, tol, hermitian: ArrayType(a.shape[:-2], np.dtype(np.intp)),
    call=lambda a, tol, hermitian: np.asarray(np.linalg.matrix_rank(a, tol, hermitian)),
)
