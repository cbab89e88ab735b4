"""How much each input of a function on the unit cube matters: Sobol indices, and the derivative-based measure.

Notation
--------
u        uniform on [0, 1]^d; g a group of coordinates, u' an independent copy of u
f_g      f at u with the coordinates of g taken from u'
V        Var f(u)
S_g      first-order index Var(E[f | u_g]) / V, the share of V that g explains alone
T_g      total index E[Var(f | u without g)] / V, the share in which g takes part; S_g <= T_g
ν_i      E[(∂f/∂u_i)²], the derivative-based global sensitivity measure (DGSM)

Estimators on n points (A, B) of a scrambled Sobol sequence in 2d dimensions, A_g = A with the coordinates g of B::

    S_g = mean(f(B) (f(A_g) − f(A))) / V        (Saltelli et al. 2010, table 2 (b), here with f − mean(f))
    T_g = mean((f(A) − f(A_g))²) / (2 V)        (Jansen 1999; Saltelli et al. 2010, table 2 (f))

Bound: T_i <= ν_i / (π² V), by the Poincaré inequality of the unit interval (Sobol & Kucherenko 2009, theorem 2), and
T_g <= Σ_{i in g} ν_i / (π² V) for a group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Indices", "poincare", "sobol_indices", "uniform"]


@dataclass(frozen=True)
class Indices:
    """Sobol indices of k groups of coordinates.

    Attributes:
        first, total: (k,); nan where V is 0.
        first_error, total_error: (k,) standard errors over the independent scramblings.
        mean, variance: of f(u).
        evaluations: of f.
    """

    first: np.ndarray
    total: np.ndarray
    first_error: np.ndarray
    total_error: np.ndarray
    mean: float
    variance: float
    evaluations: int


def uniform(count: int, dimension: int, seed: int, stream: int = 0) -> np.ndarray:
    """`count` points of a scrambled Sobol sequence, (count, dimension); count a power of two."""
    from scipy.stats import qmc

    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(stream,)))
    return qmc.Sobol(dimension, scramble=True, seed=rng).random(count)


def sobol_indices(
    function: Callable[[np.ndarray], np.ndarray],
    dimension: int,
    groups: Sequence[np.ndarray],
    *,
    points: int = 1024,
    repeats: int = 8,
    seed: int = 0,
) -> Indices:
    """Sobol indices of a function of the unit cube, by groups of coordinates.

    Args:
        function: points (q, d) -> finite values (q,).
        dimension: d.
        groups: k indices of coordinates, each a group; a coordinate may be in several.
        points: n, a power of two.
        repeats: independent scramblings, >= 2, whose spread gives the standard errors.
        seed: of the scramblings.
    """
    k = len(groups)
    first, total = np.empty((repeats, k)), np.empty((repeats, k))
    means, squares = np.empty(repeats), np.empty(repeats)
    for repeat in range(repeats):
        both = uniform(points, 2 * dimension, seed, repeat)
        a, b = both[:, :dimension], both[:, dimension:]
        at_a, at_b = function(a), function(b)
        together = np.concatenate([at_a, at_b])
        means[repeat] = together.mean()
        squares[repeat] = together.var()
        for index, columns in enumerate(groups):
            mixed = a.copy()
            mixed[:, columns] = b[:, columns]
            at_mixed = function(mixed)
            first[repeat, index] = np.mean((at_b - means[repeat]) * (at_mixed - at_a))
            total[repeat, index] = 0.5 * np.mean((at_a - at_mixed) ** 2)
    variance = float(squares.mean())
    none = not variance > 1e-24 * max(float(np.abs(means).max()), 1e-300) ** 2
    scale = math.nan if none else 1.0 / variance
    root = math.sqrt(repeats)

    def error(found: np.ndarray) -> np.ndarray:
        """Of the ratio of two means, to first order."""
        away = found - found.mean(axis=0) * scale * squares[:, None]
        return away.std(axis=0, ddof=1) * scale / root

    return Indices(
        first=first.mean(axis=0) * scale,
        total=total.mean(axis=0) * scale,
        first_error=error(first),
        total_error=error(total),
        mean=float(means.mean()),
        variance=variance,
        evaluations=repeats * points * (k + 2),
    )


def poincare(measure: np.ndarray, variance: float) -> np.ndarray:
    """The upper bound ν / (π² V) of the total index; nan where V is 0."""
    return np.asarray(measure, float) / (math.pi**2 * variance) if variance > 0.0 else measure * math.nan
