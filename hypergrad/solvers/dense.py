"""A assembled from its products with the unit vectors, and factorised."""

from __future__ import annotations

import numpy as np

from hypergrad.solvers.base import Product, Products, Solution, conclude

__all__ = ["dense"]

_REFINEMENTS = 4


def dense(
    product: Product,
    b: np.ndarray,
    x0: np.ndarray | None = None,
    tolerance: float = 1e-12,
    max_iterations: int | None = None,
) -> Solution:
    """x with A x = b from the singular value decomposition of A: n products, n² numbers kept, O(n³) operations.

    Singular values below n u σ_max count as zero, so that x is the shortest least-squares solution where A is singular;
    its residual then says whether b lies in the range of A.

    Args:
        x0, max_iterations: not read: nothing is iterated.
        product, b, tolerance: as in `hypergrad.solvers.cg`.

    Returns:
        A `Solution` whose `smallest` is σ_min.
    """
    counted = Products(product)
    n = b.size
    matrix = np.empty((n, n))
    unit = np.zeros(n)
    for i in range(n):
        unit[i] = 1.0
        matrix[:, i] = counted(unit)
        unit[i] = 0.0
    if n == 0 or not np.isfinite(matrix).all():
        return conclude(counted, b, np.full(n, np.nan), tolerance, note="a product with A is not finite")
    u, s, vt = np.linalg.svd(matrix)
    counted.norm = max(counted.norm, float(s[0]))
    keep = s > n * np.finfo(float).eps * s[0]
    x, left = np.zeros(n), np.inf
    for _ in range(_REFINEMENTS):  # with true products, which lose less than the matrix of them
        r = b - counted(x) if x.any() else b
        if not float(np.linalg.norm(r)) < 0.5 * left:
            break
        left = float(np.linalg.norm(r))
        x = x + vt[keep].T @ ((u[:, keep].T @ r) / s[keep])
    note = "" if keep.all() else f"A is singular: {int(n - keep.sum())} of its {n} singular values are zero"
    return conclude(counted, b, x, tolerance, smallest=float(s[-1]), note=note)
