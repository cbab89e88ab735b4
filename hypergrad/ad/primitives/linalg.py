"""Matrix equations and factorisations of stacks of matrices (the last two axes).

Notation: Aᵀ transpose of the last two axes; Ā cotangent of A; dA tangent; ∘ elementwise product.
    solve     A X = B:      dX = A⁻¹ (dB - dA X);      B̄ = A⁻ᵀ X̄
    inv       B = A⁻¹:      dB = -B dA B
    cholesky  A = L Lᵀ:     dL = L Φ(L⁻¹ dA L⁻ᵀ), Φ the lower triangle with half the diagonal (Murray 2016); NumPy reads
              the lower triangle of A, so that dA is taken as its lower triangle mirrored
    eigh      A = V Λ Vᵀ:   dΛ = diag(Vᵀ dA V), dV = V (F ∘ Vᵀ dA V), F_ij = 1/(λ_j - λ_i) (Giles 2008);
              NumPy reads one triangle of A (UPLO), and dA is taken as that triangle mirrored
    svd       A = U S Vᵀ:   with P = Uᵀ dA V: dS = diag(P), Uᵀ dU = E + G, Vᵀ dV = E - G,
              E_ij = (P + Pᵀ)_ij/2(s_j - s_i), G_ij = (P - Pᵀ)_ij/2(s_j + s_i) (Townsend 2016, in other words); full
              rank where U or V of a tall or wide matrix is used; the columns that full_matrices=True adds turn with
              the span of the others, not within theirs
    det       dA -> sum of cofactors ∘ dA: the first two derivatives are right at every matrix, singular ones too;
              higher ones at singular matrices need distinct singular values
    pinv      B = A⁺:       dB = -B dA B + B Bᵀ dAᵀ (I - A B) + (I - B A) dAᵀ Bᵀ B (Golub & Pereyra 1973, constant rank)
              where `rtol` drops values that are not 0, their share is added (`_dropped`)
Where λ_i = λ_j the single vectors have no derivative, and F_ij is 0: right for sums over equal values and for the
eigenspaces (such as the projection on all vectors of one value), never NaN. What is put together again from equal
values and their vectors, such as V f(Λ) Vᵀ, loses the slope within their space, and so do second derivatives of the
values: use inv, solve, det or pinv there. For equal singular values E_ij is 0, and so is 1/s at s = 0; the polar
factor U Vᵀ keeps its first derivative there, and the nuclear norm its first two.
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
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = [
    "cholesky_p",
    "cofactors_p",
    "det_p",
    "eigh_p",
    "float_matrix",
    "inv_p",
    "matrix_rank_p",
    "mirrored",
    "pinv_p",
    "qr_p",
    "slogdet_p",
    "solve",
    "solve_p",
    "svd_p",
]


def float_matrix(a: Any, name: str, square: bool = True, real: bool = True) -> Any:
    """A (stack of) matrices of floats.

    Raises:
        ShapeError: fewer than two axes, or matrices that are not square where they must be.
        UnsupportedError: complex numbers, where the rules are of real matrices; float16, which LAPACK lacks.
    """
    a = array_of(a)
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        must = "square matrices" if square else "matrices"
        raise ShapeError(f"{name} takes {must}, got shape {a.shape}, at {source_line()}")
    if real and a.dtype.kind == "c":
        raise UnsupportedError(
            f"{name} has no derivative rule for complex matrices, at {source_line()}; write A + iB as the real matrix "
            "[[A, -B], [B, A]]"
        )
    if a.dtype == np.float16:
        raise UnsupportedError(
            f"{name} takes float32 or float64, got float16, at {source_line()}; use astype"
        )
    return a if a.dtype.kind in "fc" else convert(a, float)


def _infer(a: ArrayType, b: ArrayType) -> ArrayType:
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
    a, b = float_matrix(a, "np.linalg.solve", real=False), array_of(b)
    if b.ndim == 0 or b.shape[0 if b.ndim == 1 else -2] != a.shape[-1]:
        raise ShapeError(
            f"np.linalg.solve: a right-hand side of shape {b.shape} does not fit matrices of shape {a.shape}, at "
            f"{source_line()}; give one vector, or (a stack of) matrices of columns"
        )
    dtype = np.result_type(a.dtype, b.dtype)
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
def mirrored(t: Any, lower: bool) -> Any:
    """The symmetric matrix that has one triangle of t."""
    half = np.tril(t, -1) if lower else np.triu(t, 1)
    diagonal = t * np.eye(t.shape[-1], dtype=t.dtype)
    return half + _flip(half) + diagonal


def _cholesky_jvp(out: Any, tangents: Any, inputs: Any) -> Any:
    left = bind(solve_p, out, mirrored(tangents[0], lower=True))
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
    inner = _flip(vectors) @ mirrored(tangents[0], lower) @ vectors
    return np.diagonal(inner, 0, -2, -1), vectors @ (_gaps(values) * inner)


eigh_p = Primitive(
    "eigh",
    infer=lambda a, lower: (ArrayType(a.shape[:-1], a.dtype), ArrayType(a.shape, a.dtype)),
    call=lambda a, lower: tuple(np.linalg.eigh(a, UPLO="L" if lower else "U")),
    jvp=_eigh_jvp,
    multiple=True,
)


# singular values: U (m, k), S (k), Vᵀ (k, n); U (m, m) and Vᵀ (n, n) when full ----------------------------
def _svd_infer(a: ArrayType, full: bool) -> tuple[ArrayType, ...]:
    *batch, m, n = a.shape
    k = min(m, n)
    tails = ((m, m if full else k), (k,), (n if full else k, n))
    return tuple(ArrayType((*batch, *tail), a.dtype) for tail in tails)


def _svd_jvp(out: Any, tangents: Any, inputs: Any, full: bool) -> tuple[Any, Any, Any]:
    u, s, vt = out
    (t,) = tangents
    k = s.shape[-1]
    inner = _flip(u[..., :, :k]) @ t @ _flip(vt[..., :k, :])
    # Uᵀ dU and Vᵀ dV from the symmetric and the antisymmetric part of Uᵀ dA V
    common = 0.5 * (inner + _flip(inner)) * _gaps(s)
    opposed = 0.5 * (inner - _flip(inner)) * _safe_inverse(s[..., None, :] + s[..., :, None])
    weights = _safe_inverse(s)[..., None, :]
    moved_u = _vectors(u, t @ _flip(vt[..., :k, :]) * weights, common + opposed, full)
    moved_v = _vectors(_flip(vt), _flip(t) @ u[..., :, :k] * weights, common - opposed, full)
    return moved_u, np.diagonal(inner, 0, -2, -1), _flip(moved_v)


def _vectors(u: Any, outside: Any, turn: Any, full: bool) -> Any:
    """dU for the first k columns U₁ of U: U₁ `turn`, and the part of `outside` that is not in their span."""
    m, k = outside.shape[-2:]
    first = u[..., :, :k]
    moved = first @ turn
    if m == k:
        return moved
    if not full:
        return moved + outside - first @ (_flip(first) @ outside)
    rest = u[..., :, k:]
    across = _flip(rest) @ outside
    return np.concatenate([moved + rest @ across, -(first @ _flip(across))], axis=-1)


def _safe_inverse(s: Any) -> Any:
    return select(s != 0, 1.0 / select(s != 0, s, 1.0), 0.0)


svd_p = Primitive(
    "svd",
    infer=_svd_infer,
    call=lambda a, full: tuple(np.linalg.svd(a, full_matrices=full)),
    jvp=_svd_jvp,
    multiple=True,
)


# QR: Q (m, k), R (k, n), m >= n or the leading square part (Walter & Lehmann 2012); Q (m, m), R (m, n) when full
def _qr_infer(a: ArrayType, full: bool) -> tuple[ArrayType, ...]:
    *batch, m, n = a.shape
    k = m if full else min(m, n)
    return ArrayType((*batch, m, k), a.dtype), ArrayType((*batch, k, n), a.dtype)


def _qr_jvp(out: Any, tangents: Any, inputs: Any, full: bool) -> tuple[Any, Any]:
    q, r = out
    (t,) = tangents
    m, n = t.shape[-2:]
    if m < n:  # the first m columns decide; the others follow from R = Qᵀ A
        moved_q, _ = _qr_jvp((q, r[..., :, :m]), (t[..., :, :m],), inputs, full)
        return moved_q, _flip(moved_q) @ inputs[0] + _flip(q) @ t
    first, rest = q[..., :, :n], q[..., :, n:]
    right = _flip(bind(solve_p, _flip(r[..., :n, :]), _flip(t)))  # dA R⁻¹
    inner = _flip(first) @ right
    lower = np.tril(inner, -1)
    turn = lower - _flip(lower)
    moved_q, moved_r = first @ (turn - inner) + right, (inner - turn) @ r[..., :n, :]
    if not full:
        return moved_q, moved_r
    moved_rest = -(first @ _flip(moved_q) @ rest)  # the other columns turn with the span of the first
    return np.concatenate([moved_q, moved_rest], axis=-1), np.concatenate(
        [moved_r, 0.0 * r[..., n:, :]], axis=-2
    )


qr_p = Primitive(
    "qr",
    infer=_qr_infer,
    call=lambda a, full: tuple(np.linalg.qr(a, mode="complete" if full else "reduced")),
    jvp=_qr_jvp,
    multiple=True,
)


# pseudo-inverse --------------------------------------------------------------------------------------
def _pinv_jvp(out: Any, tangents: Any, inputs: Any, rtol: float) -> Any:
    (a,), (t,) = inputs, tangents
    tt, bt = _flip(t), _flip(out)
    found = -(out @ t @ out) + (out @ bt) @ (tt - (tt @ a) @ out) + (tt - out @ (a @ tt)) @ (bt @ out)
    return found if rtol < np.finfo(a.dtype).eps ** 0.75 else found + _dropped(a, t, rtol)


def _dropped(a: Any, t: Any, rtol: float) -> Any:
    """What singular values that `rtol` drops, though they are not 0, add to the derivative of the pseudo-inverse.

    V (H ∘ P + G ∘ Pᵀ) Uᵀ with P = Uᵀ dA V; H = d/(s (s² - d²)) and G = H d/s of one kept s and one dropped d.
    """
    u, s, vt = bind(svd_p, a, full=False)
    kept = s > rtol * s[..., :1]
    mixed = kept[..., :, None] != kept[..., None, :]
    larger = select(mixed, np.maximum(s[..., :, None], s[..., None, :]), 1.0)
    smaller = select(mixed, np.minimum(s[..., :, None], s[..., None, :]), 0.0)
    ratio = smaller / larger
    inner = _flip(u) @ t @ _flip(vt)
    weight = ratio / ((larger - smaller) * (larger + smaller))
    return _flip(vt) @ (weight * (inner + ratio * _flip(inner))) @ _flip(u)


pinv_p = Primitive(
    "pinv",
    infer=lambda a, rtol: ArrayType((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype),
    call=lambda a, rtol: np.linalg.pinv(a, rtol),
    jvp=_pinv_jvp,
)


# determinants --------------------------------------------------------------------------------------------
def _signed_svd(a: Any) -> tuple[Any, Any, Any, Any]:
    """U, S, Vᵀ and det U det V."""
    u, s, vt = bind(svd_p, a, full=False)
    return u, s, vt, (bind(slogdet_p, u)[0] * bind(slogdet_p, vt)[0])[..., None, None]


def _cofactors_call(a: np.ndarray) -> np.ndarray:
    """det A A⁻ᵀ where A is well conditioned, else det U det V · U diag(Π_{j≠i} s_j) Vᵀ, which needs no inverse."""
    with np.errstate(all="ignore"):
        det = np.asarray(np.linalg.det(a))
        try:
            inverse = np.linalg.inv(a)
        except np.linalg.LinAlgError:
            inverse = np.full_like(a, np.inf)
        size = [np.max(np.absolute(x), axis=(-2, -1), initial=0.0) for x in (a, inverse)]
        limits = np.finfo(a.dtype)
        if np.all(size[0] * size[1] < limits.eps**-0.25) and np.all(np.absolute(det) > limits.tiny):
            return det[..., None, None] * np.swapaxes(inverse, -1, -2)
    u, s, vt, sign = _signed_svd(a)
    return sign * ((u * products_of_others(s)[..., None, :]) @ vt)


def _cofactors_jvp(out: Any, tangents: Any, inputs: Any) -> Any:
    """d cof: <cof, dA> A⁻ᵀ - A⁻ᵀ dAᵀ cof where A is well conditioned, which has all higher derivatives.

    Else, with B = Uᵀ dA V and p_ij = Π_{k≠i,j} s_k: det U det V · U D Vᵀ, D_ij = -p_ij B_ji, D_ii = Σ_{j≠i} p_ij B_jj.
    """
    (a,), (t,) = inputs, tangents
    n = a.shape[-1]
    if n < 2:
        return None
    u, s, vt, sign = _signed_svd(a)
    well = (s[..., -1] > np.finfo(a.dtype).eps ** 0.25 * s[..., 0])[..., None, None]
    eye = np.eye(n, dtype=a.dtype)
    inverse = _flip(bind(inv_p, select(well, a, eye)))
    regular = np.sum(out * t, axis=(-2, -1))[..., None, None] * inverse - inverse @ _flip(t) @ out
    pairs = products_of_others(s[..., None, :] * (1 - eye) + eye) * (1 - eye)
    inner = _flip(u) @ t @ _flip(vt)
    along = np.matmul(pairs, np.diagonal(inner, 0, -2, -1)[..., None])
    return select(well, regular, sign * (u @ (along * eye - pairs * _flip(inner)) @ vt))


cofactors_p = Primitive("cofactors", lambda a: a, _cofactors_call, _cofactors_jvp)
det_p = Primitive(
    "det",
    infer=lambda a: ArrayType(a.shape[:-2], a.dtype),
    call=lambda a: np.asarray(np.linalg.det(a)),
    jvp=lambda out, tangents, inputs: np.sum(bind(cofactors_p, inputs[0]) * tangents[0], axis=(-2, -1)),
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
    infer=lambda a, tol, rtol, hermitian: ArrayType(a.shape[:-2], np.dtype(np.intp)),
    call=lambda a, tol, rtol, hermitian: np.asarray(np.linalg.matrix_rank(a, tol, hermitian, rtol=rtol)),
)
