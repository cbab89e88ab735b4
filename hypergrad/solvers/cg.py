"""Conjugate gradients for symmetric positive definite A (Hestenes & Stiefel 1952)."""

from __future__ import annotations

import numpy as np

from hypergrad.solvers.base import Product, Products, Solution, conclude

__all__ = ["cg"]

_ROUNDING = 100.0 * float(np.finfo(float).eps)


def cg(
    product: Product,
    b: np.ndarray,
    x0: np.ndarray | None = None,
    tolerance: float = 1e-12,
    max_iterations: int | None = None,
) -> Solution:
    """x with A x = b by conjugate gradients: the energy ½ xᵀA x − bᵀx falls, over Krylov spaces.

    Error in the energy norm after k products: 2 ((√κ − 1) / (√κ + 1))ᵏ. Where the recurrence has drifted from the true
    residual, it is started again, so that an ill-conditioned A is solved as far as rounding allows.

    Args:
        product: v (n,) -> A v (n,).
        b: right-hand side, (n,).
        x0: where to start (a warm start), (n,); None: 0.
        tolerance: on ‖b − A x‖ / ‖b‖.
        max_iterations: products; None: 10 n + 100.

    Returns:
        A `Solution`; not converged, with a note that says so, where a direction of negative curvature shows that A is
        not positive definite. `smallest` is the smallest Ritz value or curvature, an estimate of λ_min from above.
    """
    counted = Products(product)
    limit = 10 * b.size + 100 if max_iterations is None else max_iterations
    x = np.zeros_like(b, dtype=float) if x0 is None else np.array(x0, dtype=float)
    size = float(np.linalg.norm(b))
    smallest, note, target = float("nan"), "", 0.5 * tolerance * size
    left = np.inf
    while counted.count < limit:
        r = b - counted(x) if x.any() else b.astype(float)
        now = float(np.linalg.norm(r))
        if not now > target or now >= 0.5 * left or counted.count >= limit:
            break
        left = now
        x, ritz, note = _sweep(counted, r, x, target, limit)
        smallest = np.fmin(smallest, ritz)
        if note:
            break
    return conclude(counted, b, x, tolerance, smallest=float(smallest), note=note)


def _sweep(
    product: Products, r: np.ndarray, x: np.ndarray, target: float, limit: int
) -> tuple[np.ndarray, float, str]:
    """Conjugate gradients from one residual on: x, the smallest Ritz value, and why it broke off."""
    x, p, rr = x.copy(), r.copy(), float(r @ r)
    steps: list[float] = []
    ratios: list[float] = []
    note, lowest = "", np.nan
    while product.count < limit and np.sqrt(rr) > target:
        ap = product(p)
        curvature = float(p @ ap)
        if not curvature > 0.0:
            if curvature < -_ROUNDING * product.norm * float(p @ p):
                note = "A is not positive definite (a direction of negative curvature)"
                lowest = curvature / float(p @ p)
            elif np.isnan(curvature):
                note = "a product with A is not finite"
            else:
                note = "A is singular (a direction of no curvature)"
            break
        step = rr / curvature
        x += step * p
        r = r - step * ap
        before, rr = rr, float(r @ r)
        steps.append(step)
        ratios.append(rr / before)
        p = r + ratios[-1] * p
    return x, float(np.fmin(_ritz(steps, ratios), lowest)), note


def _ritz(steps: list[float], ratios: list[float]) -> float:
    """The smallest eigenvalue of the Lanczos matrix that the steps α and ratios β of the recurrence hold.

    T_kk = 1/α_k + β_{k-1}/α_{k-1}, T_{k,k+1} = √β_k / α_k (Golub & Van Loan 2013, sec. 11.3.5).
    """
    count = min(len(steps), 200)
    if not count:
        return float("nan")
    alpha, beta = np.array(steps[:count]), np.array(ratios[:count])
    diagonal = 1.0 / alpha
    diagonal[1:] += beta[:-1] / alpha[:-1]
    beside = np.sqrt(beta[:-1]) / alpha[:-1]
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    return float(np.linalg.eigvalsh(matrix)[0]) if np.isfinite(matrix).all() else float("nan")
