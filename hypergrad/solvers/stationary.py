"""Neumann series and fixed-point iteration: x' = x + η (b − A x), which contracts where ‖I − η A‖ < 1.

The two are one recurrence: from x_0 = η b, after K products x is the truncated series η Σ_{k<=K} (I − η A)ᵏ b
(Lorraine et al. 2020, sec. 4.1); for A = I − J and η = 1 it is x' = Jᵀx + b, the iteration of the adjoint of a fixed
point (Christianson 1994; Grazzi et al. 2020, algorithm 2).
"""

from __future__ import annotations

import numpy as np

from hypergrad.solvers.base import Product, Products, Solution, conclude

__all__ = ["fixed_point", "largest_eigenvalue", "neumann"]


def neumann(
    product: Product,
    b: np.ndarray,
    x0: np.ndarray | None = None,
    tolerance: float = 1e-12,
    max_iterations: int | None = None,
    step: float | None = None,
    terms: int | None = None,
) -> Solution:
    """x = η Σ_{k<K} (I − η A)ᵏ b: error ρᴷ with ρ the spectral radius of I − η A.

    Args:
        product, b, tolerance: as in `hypergrad.solvers.cg`.
        x0: where to start; the series is then that of the residual.
        max_iterations: products; None: 10,000.
        step: η; None: 1 / (1.05 λ_max), with λ_max by 30 power iterations.
        terms: K: exactly as many, whatever the residual; then any residual counts as converged, for a truncated
            series is what was asked for. None: until the residual is small enough.
    """
    counted = Products(product)
    step = 1.0 / (1.05 * largest_eigenvalue(counted, b)) if step is None else step
    limit = 10_000 if max_iterations is None else max_iterations
    if terms is not None:
        x = _iterate(counted, b, x0, step, -1.0, counted.count + terms - (x0 is None))[0]
        found = conclude(counted, b, x, tolerance)
        finite = bool(np.isfinite(found.residual))
        return Solution(x, found.residual, found.iterations, finite, note="" if finite else found.note)
    x, note = _iterate(counted, b, x0, step, tolerance, limit)
    return conclude(counted, b, x, tolerance, note=note)


def fixed_point(
    product: Product,
    b: np.ndarray,
    x0: np.ndarray | None = None,
    tolerance: float = 1e-12,
    max_iterations: int | None = None,
    step: float | None = 1.0,
) -> Solution:
    """x' = x + η (b − A x), by default with η = 1: x' = (I − A) x + b.

    Arguments as in `neumann`.
    """
    counted = Products(product)
    step = 1.0 / (1.05 * largest_eigenvalue(counted, b)) if step is None else step
    limit = 10_000 if max_iterations is None else max_iterations
    x, note = _iterate(counted, b, x0, step, tolerance, limit)
    return conclude(counted, b, x, tolerance, note=note)


def _iterate(
    product: Products, b: np.ndarray, x0: np.ndarray | None, step: float, tolerance: float, limit: int
) -> tuple[np.ndarray, str]:
    x = step * b if x0 is None else np.array(x0, dtype=float)
    target = 0.5 * tolerance * float(np.linalg.norm(b))
    first = np.inf
    while product.count < limit:
        r = b - product(x)
        size = float(np.linalg.norm(r))
        if size <= target:
            break
        if not size < 1e6 * first:
            return x, "the series diverges: the spectral radius of I - step A is above 1"
        first = min(first, size)
        rounding = np.finfo(float).eps * product.norm * float(np.linalg.norm(x))
        if tolerance >= 0.0 and size <= rounding:
            break
        x = x + step * r
    return x, ""


def largest_eigenvalue(
    product: Product, like: np.ndarray, iterations: int = 30, margin: float = 1e-3
) -> float:
    """|λ|_max of A by power iteration from a fixed random vector, until it changes by less than `margin`.

    Returns:
        1.0 where A is zero.
    """
    v = np.random.default_rng(0).standard_normal(like.size)
    found = 0.0
    for _ in range(iterations):
        v = v / np.linalg.norm(v)
        v = product(v)
        before, found = found, float(np.linalg.norm(v))
        if not np.isfinite(found) or found == 0.0 or abs(found - before) <= margin * found:
            break
    return found if found > 0.0 and np.isfinite(found) else 1.0
