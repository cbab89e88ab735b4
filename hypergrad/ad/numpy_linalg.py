"""``numpy.linalg``, with NumPy's signatures, in terms of primitives.

Norms have slope 0 at 0, and an entry that is 0 has slope 0 in a norm of its absolute value. The conventions of
factorisations stand in `hypergrad.ad.primitives.linalg`. The residuals of lstsq are those of full rank; cond of a
singular matrix is infinite, with slope 0. LinAlgError at run time is NumPy's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from hypergrad.ad.numpy_values import FUNCTIONS as _VALUES
from hypergrad.ad.options import NO_VALUE, array_of, axis_list, integer, reject
from hypergrad.ad.primitives import contraction
from hypergrad.ad.primitives.contraction import _flip
from hypergrad.ad.primitives.elementwise import select
from hypergrad.ad.primitives.linalg import (
    cholesky_p,
    det_p,
    eigh_p,
    float_matrix,
    inv_p,
    matrix_rank_p,
    mirrored,
    pinv_p,
    qr_p,
    slogdet_p,
    solve,
    svd_p,
)
from hypergrad.ad.primitives.linear import convert
from hypergrad.ad.primitives.reduction import normal_axes
from hypergrad.ad.trace import Tracer, bind, source_line
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = ["FUNCTIONS"]


class EighResult(NamedTuple):
    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    U: Any
    S: Any
    Vh: Any


class QRResult(NamedTuple):
    Q: Any
    R: Any


class SlogdetResult(NamedTuple):
    sign: Any
    logabsdet: Any


def _inv(a: Any) -> Any:
    return bind(inv_p, float_matrix(a, "np.linalg.inv", real=False))


def _det(a: Any) -> Any:
    return bind(det_p, float_matrix(a, "np.linalg.det"))


def _slogdet(a: Any) -> Any:
    return SlogdetResult(*bind(slogdet_p, float_matrix(a, "np.linalg.slogdet")))


def _cholesky(a: Any, /, *, upper: bool = False) -> Any:
    a = float_matrix(a, "np.linalg.cholesky")
    return _flip(bind(cholesky_p, _flip(a))) if upper else bind(cholesky_p, a)


def _eigh(a: Any, UPLO: str = "L") -> Any:
    if str(UPLO).upper() not in ("L", "U"):
        raise ShapeError(f"np.linalg.eigh: UPLO must be 'L' or 'U', got {UPLO!r}, at {source_line()}")
    return EighResult(*bind(eigh_p, float_matrix(a, "np.linalg.eigh"), lower=UPLO.upper() == "L"))


def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    a = float_matrix(a, "np.linalg.svd", square=hermitian)
    if hermitian:  # of the lower triangle: the eigenvalues' sizes, their signs in Vᵀ
        values, vectors = bind(eigh_p, a, lower=True)
        size = np.absolute(values)
        order = np.argsort(size, axis=-1)[..., ::-1]
        s = np.take_along_axis(size, order, axis=-1)
        u = np.take_along_axis(vectors, order[..., None, :], axis=-1)
        signs = np.take_along_axis(np.sign(values), order, axis=-1)
        return SVDResult(u, s, _flip(u * signs[..., None, :])) if compute_uv else s
    full = bool(full_matrices and compute_uv and a.shape[-1] != a.shape[-2])
    found = SVDResult(*bind(svd_p, a, full=full))
    return found if compute_uv else found.S


def _singular_values(a: Any) -> Any:
    return _svd(a, compute_uv=False)


def _qr(a: Any, mode: str = "reduced") -> Any:
    a = float_matrix(a, "np.linalg.qr", square=False)
    if mode not in ("reduced", "r", "complete"):
        raise UnsupportedError(
            f"np.linalg.qr with mode={mode!r} has no derivative rule, at {source_line()}; use mode='reduced'"
        )
    found = QRResult(*bind(qr_p, a, full=mode == "complete" and a.shape[-2] > a.shape[-1]))
    return found.R if mode == "r" else found


def _pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = NO_VALUE) -> Any:
    a = float_matrix(a, "np.linalg.pinv", square=hermitian)
    cut = rcond if rcond is not None else 1e-15 if rtol is NO_VALUE else rtol
    if isinstance(cut, Tracer) or np.ndim(0 if cut is None else cut):
        raise UnsupportedError(f"np.linalg.pinv takes one plain number as rcond, at {source_line()}")
    if cut is None:
        cut = max(a.shape[-2:]) * np.finfo(a.dtype).eps
    return bind(pinv_p, mirrored(a, lower=True) if hermitian else a, rtol=float(cut))


def _lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Any, ...]:
    """Least squares; residuals as of full rank (NumPy gives none of them below it, which is not known when tracing)."""
    a, b = float_matrix(a, "np.linalg.lstsq", square=False), array_of(b)
    if a.ndim != 2 or b.ndim not in (1, 2) or b.shape[0] != a.shape[0]:
        raise ShapeError(
            "np.linalg.lstsq takes one matrix, and one vector or matrix of as many rows, got shapes "
            f"{a.shape} and {b.shape}, at {source_line()}"
        )
    kind = np.result_type(a.dtype, b.dtype)
    a, b = (convert(x, kind) for x in (a, b))
    m, n = a.shape
    cut = np.finfo(kind).eps * max(m, n) if rcond is None else max(rcond, np.finfo(kind).eps)
    x = _pinv(a, cut) @ b
    s = bind(svd_p, a, full=False)[1]
    rank = np.sum(s > cut * s[:1]).astype(np.int32)
    rest = b - a @ x
    residuals = np.sum(rest * rest, axis=0)
    residuals = np.reshape(residuals, (1,)) if b.ndim == 1 else residuals
    return x, residuals if m > n else np.zeros(0, kind), rank, s


def _matrix_power(a: Any, n: int) -> Any:
    n = integer(n, "matrix_power: n")
    floats = float_matrix(a, "np.linalg.matrix_power", real=False)
    a = floats if n < 0 else array_of(a)
    if n == 0:
        return np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape) + np.zeros_like(a)
    if n < 0:
        a, n = _inv(a), -n
    if n == 3:
        return a @ a @ a  # in NumPy's order
    found, square = None, a
    while n:
        if n & 1:
            found = square if found is None else found @ square
        n >>= 1
        square = square @ square if n else square
    return found


def _multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Any:
    """The product in the order of least cost (matrix chain multiplication)."""
    reject("multi_dot", out=(out, None))
    items = [array_of(a) for a in arrays]
    ndims = [a.ndim for a in items]
    if len(items) == 2:
        return contraction.dot(*items)
    if len(items) < 2 or set(ndims[1:-1]) - {2} or {ndims[0], ndims[-1]} - {1, 2}:
        raise ShapeError(
            "np.linalg.multi_dot takes at least two matrices, of which the first and the last may be vectors, got "
            f"{', '.join(str(a.shape) for a in items)}, at {source_line()}"
        )
    first, last = ndims[0] == 1, ndims[-1] == 1
    items[0] = items[0][None, :] if first else items[0]
    items[-1] = items[-1][:, None] if last else items[-1]
    sizes = [a.shape[0] for a in items] + [items[-1].shape[1]]
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for span in range(1, len(items)):
        for i in range(len(items) - span):
            j = i + span
            best[i, j] = min(
                (
                    best.get((i, k), (0.0, 0))[0]
                    + best.get((k + 1, j), (0.0, 0))[0]
                    + float(sizes[i] * sizes[k + 1] * sizes[j + 1]),
                    k,
                )
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Any:
        return items[i] if i == j else product(i, best[i, j][1]) @ product(best[i, j][1] + 1, j)

    found = product(0, len(items) - 1)
    return found[0, 0] if first and last else found[0] if first else found[:, 0] if last else found


# Norms ---------------------------------------------------------------------------------------------------
def _extreme(x: Any, order: Any, axes: Any, keepdims: bool = False) -> Any:
    """The largest of numbers that are not negative, 0 of none; the smallest if `order` is negative."""
    reduce = np.min if order < 0 else np.max if x.size else np.sum
    return reduce(x, axis=axes, keepdims=keepdims)


def _vector(x: Any, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    size = np.absolute(x)
    if order in (np.inf, -np.inf):
        return _extreme(size, order, axes, keepdims)
    if order == 0:
        return np.sum((x != 0).astype(size.dtype), axis=axes, keepdims=keepdims)
    if order == 1:
        return np.sum(size, axis=axes, keepdims=keepdims)
    if order == 2:
        return _euclidean(x, axes, keepdims)
    if isinstance(order, str):
        raise UnsupportedError(f"np.linalg.norm: no norm {order!r} of vectors, at {source_line()}")
    if order > 0:
        return np.sum(size**order, axis=axes, keepdims=keepdims) ** (1.0 / order)
    vanishes = np.any(size == 0, axis=axes, keepdims=True)  # a norm of 0, of slope 0
    found = np.sum(select(vanishes, 1.0, size) ** order, axis=axes, keepdims=True) ** (1.0 / order)
    found = select(vanishes, 0.0, found)
    return found if keepdims else np.squeeze(found, axis=axes)


def _euclidean(x: Any, axes: Any, keepdims: bool) -> Any:
    square = x * x if x.dtype.kind == "f" else np.real(x) ** 2 + np.imag(x) ** 2
    return np.sqrt(np.sum(square, axis=axes, keepdims=keepdims))


def _matrix(x: Any, order: Any, axes: tuple[int, int], keepdims: bool) -> Any:
    if order in (None, "fro", "f"):
        return _euclidean(x, axes, keepdims)
    if order in (1, -1, np.inf, -np.inf):
        summed, kept = axes if abs(order) == 1 else axes[::-1]
        sums = np.sum(np.absolute(x), axis=summed, keepdims=True)
        found = _extreme(sums, order, kept, keepdims=True)
        return found if keepdims else np.squeeze(found, axis=axes)
    if order not in (2, -2, "nuc"):
        raise UnsupportedError(f"np.linalg.norm: no norm {order!r} of matrices, at {source_line()}")
    values = bind(
        svd_p, float_matrix(np.moveaxis(x, axes, (-2, -1)), "np.linalg.norm", square=False), full=False
    )[1]
    values = select(values != 0, values, 0.0)  # slope 0 where they vanish
    found = np.sum(values, axis=-1) if order == "nuc" else _extreme(values, order, -1)
    return np.expand_dims(found, axes) if keepdims else found


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = array_of(x)
    x = x if x.dtype.kind in "fc" else convert(x, float)
    if axis is None and (ord is None or (ord in ("f", "fro") and x.ndim == 2) or (ord == 2 and x.ndim == 1)):
        return _euclidean(x, None, keepdims)
    axes = normal_axes(None, x.ndim) if axis is None else axis_list(axis, x.ndim, "norm")
    if len(axes) == 1:
        return _vector(x, 2 if ord is None else ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix(x, ord, (axes[0], axes[1]), keepdims)
    raise ShapeError(
        f"np.linalg.norm with ord={ord!r} of {len(axes)} axes, at {source_line()}; name one or two"
    )


def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = array_of(x)
    x = x if x.dtype.kind in "fc" else convert(x, float)
    return _vector(x, ord, normal_axes(axis, x.ndim, "vector_norm"), keepdims)


def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    x = float_matrix(x, "np.linalg.matrix_norm", square=False, real=False)
    return _matrix(x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


def _cond(x: Any, p: Any = None) -> Any:
    x = float_matrix(x, "np.linalg.cond", square=p not in (None, 2, -2))
    if 0 in x.shape[-2:]:
        raise ShapeError(f"np.linalg.cond of an empty matrix, shape {x.shape}, at {source_line()}")
    if p in (None, 2, -2):
        s = bind(svd_p, x, full=False)[1]
        above, below = (s[..., -1], s[..., 0]) if p == -2 else (s[..., 0], s[..., -1])
        return select(below == 0, np.inf, above / select(below == 0, 1.0, below))
    return _norm(x, p, (-2, -1)) * _norm(_inv(x), p, (-2, -1))


def _matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    if isinstance(tol, Tracer) or isinstance(rtol, Tracer):
        raise UnsupportedError(
            f"np.linalg.matrix_rank takes plain numbers as tol and rtol, at {source_line()}"
        )
    A = array_of(A)
    if A.ndim < 2:
        return np.any(A != 0).astype(np.intp)
    A = float_matrix(A, "np.linalg.matrix_rank", square=hermitian)
    return bind(matrix_rank_p, A, tol=tol, rtol=rtol, hermitian=hermitian)


# Tensors ---------------------------------------------------------------------------------------------------
def _tensorinv(a: Any, ind: int = 2) -> Any:
    a, ind = array_of(a), integer(ind, "tensorinv: ind")
    if ind <= 0:
        raise ShapeError(f"np.linalg.tensorinv: ind must be positive, got {ind}, at {source_line()}")
    count = int(np.prod(a.shape[ind:], dtype=np.int64))
    return np.reshape(_inv(np.reshape(a, (-1, count))), a.shape[ind:] + a.shape[:ind])


def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    a, b = array_of(a), array_of(b)
    if axes is not None:
        moved = axis_list(axes, a.ndim, "tensorsolve")
        a = np.transpose(a, (*(i for i in range(a.ndim) if i not in moved), *moved))
    shape = a.shape[b.ndim :]
    return np.reshape(solve(np.reshape(a, (b.size, -1)), np.ravel(b)), shape)


def _last(function: Callable[..., Any]) -> Callable[..., Any]:
    """``numpy.linalg``'s form of a function, over the last two axes."""
    return lambda x, /, *, offset=0, **options: function(x, offset, -2, -1, **options)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.linalg.solve: solve,
    np.linalg.inv: _inv,
    np.linalg.det: _det,
    np.linalg.slogdet: _slogdet,
    np.linalg.cholesky: _cholesky,
    np.linalg.eigh: _eigh,
    np.linalg.eigvalsh: lambda a, UPLO="L": _eigh(a, UPLO).eigenvalues,
    np.linalg.svd: _svd,
    np.linalg.qr: _qr,
    np.linalg.pinv: _pinv,
    np.linalg.lstsq: _lstsq,
    np.linalg.matrix_power: _matrix_power,
    np.linalg.multi_dot: _multi_dot,
    np.linalg.norm: _norm,
    np.linalg.cond: _cond,
    np.linalg.matrix_rank: _matrix_rank,
    np.linalg.tensorinv: _tensorinv,
    np.linalg.tensorsolve: _tensorsolve,
}
_ALIASES: dict[str, Callable[..., Any]] = {
    "svdvals": _singular_values,
    "vector_norm": _vector_norm,
    "matrix_norm": _matrix_norm,
    "matmul": lambda x1, x2, /: contraction.matmul(x1, x2),
    "tensordot": lambda x1, x2, /, *, axes=2: contraction.tensordot(x1, x2, axes),
    "matrix_transpose": lambda x, /: _flip(array_of(x)),
    "diagonal": _last(_VALUES[np.diagonal]),
    "trace": _last(_VALUES[np.trace]),
}
FUNCTIONS |= {getattr(np.linalg, name): rule for name, rule in _ALIASES.items() if hasattr(np.linalg, name)}
