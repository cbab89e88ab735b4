"""What the solvers of A x = b have in common: A is known by its products alone.

Notation: A (n, n), b (n,), x (n,), residual r = b − A x; ‖·‖ is the Euclidean norm; u the unit roundoff of float64.

A solution counts as converged when ‖r‖ <= tolerance·‖b‖ + 10 u ‖A‖ ‖x‖: the second term is what rounding leaves
even of the exact solution (Rigal & Gaches 1967; Higham 2002, theorem 7.1), with ‖A‖ estimated from below by the
largest ‖A v‖ / ‖v‖ of the products that were taken. Where that exceeds ‖b‖, A is singular to rounding, and nothing has
converged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Product", "Products", "Solution", "Solver", "conclude"]

Product = Callable[[np.ndarray], np.ndarray]
Solver = Callable[..., "Solution"]


@dataclass(frozen=True)
class Solution:
    """What a solver found.

    Attributes:
        x: (n,).
        residual: ‖b − A x‖ / ‖b‖, taken anew at the end, not from a recurrence; 0 for b = 0.
        iterations: products with A that were taken, the one for `residual` included.
        converged: whether `residual` is what was asked for, or what rounding allows.
        smallest: estimate of the smallest eigenvalue of A that b excites, negative where cg has seen a direction of
            negative curvature (smallest singular value for "dense"); nan where the solver learns nothing of it.
        note: why it did not converge, one sentence; empty where it did.
        largest: estimate of ‖A‖, from below.
    """

    x: np.ndarray
    residual: float
    iterations: int
    converged: bool
    smallest: float = float("nan")
    note: str = ""
    largest: float = float("nan")


class Products:
    """Products with A, counted.

    Attributes:
        count: products taken.
        norm: largest ‖A v‖ / ‖v‖ seen.
        finite: whether all of them were.
    """

    def __init__(self, product: Product) -> None:
        self._product = product
        self.count = 0
        self.norm = 0.0
        self.finite = True

    def __call__(self, v: np.ndarray) -> np.ndarray:
        found = np.asarray(self._product(v), dtype=float)
        self.count += 1
        self.finite = self.finite and bool(np.isfinite(found).all())
        length = float(np.linalg.norm(v))
        if length > 0.0:
            stretch = float(np.linalg.norm(found)) / length
            self.norm = max(self.norm, stretch) if np.isfinite(stretch) else self.norm
        return found


def conclude(
    products: Products,
    b: np.ndarray,
    x: np.ndarray,
    tolerance: float,
    *,
    smallest: float = float("nan"),
    note: str = "",
) -> Solution:
    """The solution with its true residual.

    Args:
        note: why the solver gave up, if it knows.
    """
    if not np.isfinite(x).all():
        note = note or "it is not finite"
        return Solution(x, float("nan"), products.count, False, smallest, note, products.norm)
    size = float(np.linalg.norm(b))
    residual = float(np.linalg.norm(b - products(x)))
    rounding = 10.0 * np.finfo(float).eps * products.norm * float(np.linalg.norm(x))
    singular = rounding > size > 0.0
    converged = residual <= tolerance * size + (0.0 if singular else rounding)
    relative = residual / size if size > 0.0 else residual
    if converged:
        note = ""
    elif singular and residual <= rounding:
        note = "A is singular to rounding"
    elif not note:
        note = f"the residual is {relative:.1e} after {products.count} products, above {tolerance:.1e}"
    return Solution(x, relative, products.count, bool(converged), smallest, note, products.norm)
