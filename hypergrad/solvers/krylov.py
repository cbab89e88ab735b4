"""MINRES, and GMRES as SciPy has it, with the true residual and the number of products.

Sources: Paige & Saunders (1975), for symmetric A; Saad & Schultz (1986), for any A.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from hypergrad.solvers.base import Product, Products, Solution, conclude

__all__ = ["gmres", "minres"]

_EPS = float(np.finfo(float).eps)
_RESTART = 100
_ROUNDS = 10  # both stop by an estimate of the residual; what is left is solved for again

_Run = Callable[[Products, np.ndarray, float, int], np.ndarray]


def minres(
    product: Product,
    b: np.ndarray,
    x0: np.ndarray | None = None,
    tolerance: float = 1e-12,
    max_iterations: int | None = None,
) -> Solution:
    """x with A x = b for symmetric A, definite or not: ‖b − A x‖ is the smallest over Krylov spaces.

    The short recurrence keeps five vectors, and rounding in it leaves a residual of κ(A)² u (Sleijpen, van der Vorst &
    Modersitzki 2000): where that is too much, rounds of `gmres`, which leave κ(A) u, go on from there.

    Arguments and result as in `hypergrad.solvers.cg`; None products: 10 n + 100.
    """
    limit = 10 * b.size + 100 if max_iterations is None else max_iterations

    return _rounds((_lanczos, _arnoldi), product, b, x0, tolerance, limit)


def _lanczos(product: Products, b: np.ndarray, relative: float, left: int) -> np.ndarray:
    """MINRES from 0 until its own estimate of ‖r‖ / ‖b‖ is below `relative`.

    v orthonormal, β beside the diagonal of the Lanczos matrix, (c, s) the rotations that make it triangular, d the
    columns that the solution is a sum of, φ the residual's norm with its sign.
    """
    x, before, v = np.zeros_like(b), np.zeros_like(b), b
    older, old = np.zeros_like(b), np.zeros_like(b)
    c0 = c1 = 1.0
    s0 = s1 = 0.0
    beta = first = phi = float(np.linalg.norm(b))
    for _ in range(left):
        v = v / beta
        moved = product(v)
        diagonal = float(moved @ v)
        after = moved - diagonal * v - (beta * before if before.any() else 0.0)
        beta, last = float(np.linalg.norm(after)), beta
        corner = c1 * diagonal - c0 * s1 * last
        pivot = float(np.hypot(corner, beta))
        if not pivot > 0.0:  # singular, and the residual lies in the null space; or not finite
            break
        d = (v - s0 * last * older - (s1 * diagonal + c0 * c1 * last) * old) / pivot
        c0, c1, s0, s1 = c1, corner / pivot, s1, beta / pivot
        x = x + c1 * phi * d
        phi = -s1 * phi
        before, v, older, old = v, after, old, d
        if not abs(phi) > relative * first or not beta > _EPS * product.norm:
            break
    return x


def gmres(
    product: Product,
    b: np.ndarray,
    x0: np.ndarray | None = None,
    tolerance: float = 1e-12,
    max_iterations: int | None = None,
    restart: int = _RESTART,
) -> Solution:
    """x with A x = b for any A: ‖b − A x‖ is the smallest over Krylov spaces of at most `restart` products.

    Keeps `restart` vectors, then starts anew. Other arguments and result as in `hypergrad.solvers.cg`; None products:
    5 n + 50.
    """
    limit = 5 * b.size + 50 if max_iterations is None else max_iterations

    return _rounds((partial(_arnoldi, restart=restart),), product, b, x0, tolerance, limit)


def _arnoldi(
    product: Products, b: np.ndarray, relative: float, left: int, restart: int = _RESTART
) -> np.ndarray:
    """GMRES from 0 until its own estimate of ‖r‖ / ‖b‖ is below `relative`."""
    from scipy.sparse.linalg import LinearOperator
    from scipy.sparse.linalg import gmres as scipy_gmres

    operator = LinearOperator((b.size, b.size), matvec=product, dtype=float)
    length = max(1, min(restart, b.size, left))
    rounds = max(1, left // length)
    return scipy_gmres(operator, b, rtol=relative, atol=0.0, restart=length, maxiter=rounds)[0]


def _rounds(
    runs: Sequence[_Run],
    product: Product,
    b: np.ndarray,
    x0: np.ndarray | None,
    tolerance: float,
    limit: int,
) -> Solution:
    """Solve for what is left of b until the true residual is small enough or falls no more by the last of `runs`."""
    counted = Products(product)
    x = np.zeros_like(b, dtype=float) if x0 is None else np.array(x0, dtype=float)
    target, left = 0.5 * tolerance * float(np.linalg.norm(b)), np.inf
    best, waiting = x, list(runs)
    for more in reversed(range(_ROUNDS + 1)):
        r = b - counted(x) if x.any() else b.astype(float)
        now = float(np.linalg.norm(r))
        fell = now < 0.5 * left
        if now < left:
            best, left, rest = x, now, r
        if not now > target or counted.count >= limit or not more or not counted.finite:
            break
        if not fell:
            waiting.pop(0)
            if not waiting:
                break
        x = best + waiting[0](counted, rest, max(target / left, _EPS), limit - counted.count)
    return conclude(counted, b, best, tolerance)
