"""MINRES and GMRES, as SciPy has them, with the true residual and the number of products.

Sources: Paige & Saunders (1975), for symmetric A; Saad & Schultz (1986), for any A.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.solvers.base import Product, Products, Solution, conclude

__all__ = ["gmres", "minres"]

_EPS = float(np.finfo(float).eps)
_STRICTER = 1e-3
_ROUNDS = 10  # SciPy stops by an estimate of the residual; what is left is solved for again


def minres(
    product: Product,
    b: np.ndarray,
    x0: np.ndarray | None = None,
    tolerance: float = 1e-12,
    max_iterations: int | None = None,
) -> Solution:
    """x with A x = b for symmetric A, definite or not: ‖b − A x‖ is the smallest over Krylov spaces.

    Arguments and result as in `hypergrad.solvers.cg`; None products: 10 n + 100.
    """
    limit = 10 * b.size + 100 if max_iterations is None else max_iterations

    def run(operator: Any, r: np.ndarray, relative: float, left: int) -> np.ndarray:
        from scipy.sparse.linalg import minres as scipy_minres

        # SciPy compares ‖r‖ with rtol ‖A‖ ‖x‖, which is more than ‖b‖
        return scipy_minres(operator, r, rtol=max(_STRICTER * relative, _EPS), maxiter=left)[0]

    return _rounds(run, product, b, x0, tolerance, limit)


def gmres(
    product: Product,
    b: np.ndarray,
    x0: np.ndarray | None = None,
    tolerance: float = 1e-12,
    max_iterations: int | None = None,
    restart: int = 100,
) -> Solution:
    """x with A x = b for any A: ‖b − A x‖ is the smallest over Krylov spaces of at most `restart` products.

    Keeps `restart` vectors, then starts anew. Other arguments and result as in `hypergrad.solvers.cg`; None products:
    5 n + 50.
    """
    limit = 5 * b.size + 50 if max_iterations is None else max_iterations

    def run(operator: Any, r: np.ndarray, relative: float, left: int) -> np.ndarray:
        from scipy.sparse.linalg import gmres as scipy_gmres

        length = max(1, min(restart, r.size, left))
        rounds = max(1, left // length)
        return scipy_gmres(operator, r, rtol=relative, atol=0.0, restart=length, maxiter=rounds)[0]

    return _rounds(run, product, b, x0, tolerance, limit)


def _rounds(
    run: Any, product: Product, b: np.ndarray, x0: np.ndarray | None, tolerance: float, limit: int
) -> Solution:
    """Solve for what is left of b until the true residual is small enough or falls no more."""
    from scipy.sparse.linalg import LinearOperator

    counted = Products(product)
    x = np.zeros_like(b, dtype=float) if x0 is None else np.array(x0, dtype=float)
    target, left = 0.5 * tolerance * float(np.linalg.norm(b)), np.inf
    operator = LinearOperator((b.size, b.size), matvec=counted, dtype=float)
    for _ in range(_ROUNDS):
        r = b - counted(x) if x.any() else b.astype(float)
        now = float(np.linalg.norm(r))
        if not now > target or now >= 0.5 * left or counted.count >= limit:
            break
        left = now
        x = x + run(operator, r, max(target / now, _EPS), limit - counted.count)
    return conclude(counted, b, x, tolerance)
