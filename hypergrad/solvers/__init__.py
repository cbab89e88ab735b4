"""Matrix-free solvers of A x = b: ``solve(product, b, x0=, tolerance=, max_iterations=) -> Solution``."""

from hypergrad.solvers.base import Product, Solution, Solver
from hypergrad.solvers.cg import cg
from hypergrad.solvers.dense import dense
from hypergrad.solvers.krylov import gmres, minres
from hypergrad.solvers.stationary import fixed_point, neumann

SOLVERS: dict[str, Solver] = {
    "cg": cg,
    "dense": dense,
    "fixed_point": fixed_point,
    "gmres": gmres,
    "minres": minres,
    "neumann": neumann,
}

__all__ = [
    "SOLVERS",
    "Product",
    "Solution",
    "Solver",
    "cg",
    "dense",
    "fixed_point",
    "gmres",
    "minres",
    "neumann",
]
