"""Which points and which derivative rows to keep when there are more than the model can afford.

Notation (as in `gp`), and::

    C        covariance of the derivative rows, per length-scale, given all values
    p        their prior variance, ν their noise variance
    h_i      min(1, 1/ℓ_i)
    w        promise of a point, 4^(−2 rank/(n − 1)), rank 0 for the smallest value: 1 for the best, 1/16 for the worst

A row by x_i tells how f changes over one length-scale, of which the unit cube holds h_i where ℓ_i > 1; so h_i² C_aa is
the variance of f along that coordinate which the values leave open, and p/(p + ν) the share of it that a noisy row can
tell. Rows are taken greedily by the largest w h² p/(p + ν) C_aa, where C is after each step conditioned on the rows
taken: a pivoted Cholesky factorisation, in which rows that repeat what nearby rows have told fall behind. (Greedy
choice by conditional variance: Seeger et al. 2003; Krause et al. 2008 on how near greedy choices come to the best.)
"""

from __future__ import annotations

import numpy as np

from hypergrad.bayesopt.gp import Hyperparameters
from hypergrad.bayesopt.kernels import Blocks, Kernel
from hypergrad.bayesopt.observations import Observations

__all__ = ["choose_derivatives", "choose_points", "promise"]


def promise(values: np.ndarray) -> np.ndarray:
    """w (n,): 1 for the smallest value down to 1/16 for the largest, by rank; equal values share the better rank."""
    ordered = np.sort(values)
    rank = np.searchsorted(ordered, values)
    return 4.0 ** (-2.0 * rank / max(len(values) - 1, 1))


def choose_derivatives(kernel: Kernel, theta: Hyperparameters, data: Observations, count: int) -> np.ndarray:
    """Index (at most `count`,) of the derivative rows that tell most, best first.

    At most max(3 count, 300) rows, those with the largest prior score, take part in the greedy choice, which costs
    O(n m² + m³) for m of them.

    Args:
        theta: hyperparameters in the units of `data`, such as a fit to the values gave.
    """
    rows = data.rows
    total = len(rows.points)
    if count <= 0 or total == 0:
        return np.zeros(0, dtype=int)
    if total <= count:
        return np.arange(total)
    from scipy.linalg import lapack

    lengths = theta.lengthscales[kernel.first[rows.coordinates]]
    prior = -2.0 * theta.signal * float(kernel.profile.derivatives(np.zeros(1), 1)[1][0])
    noise = lengths**2 * (data.derivative_noise + theta.gradient_noise)
    weight = promise(data.values)[rows.points] * np.minimum(1.0, 1.0 / lengths) ** 2 * prior / (prior + noise)
    limit = max(3 * count, 300)
    candidates = np.sort(np.argsort(-weight, kind="stable")[:limit])
    among = data.keep(candidates)
    n, root = len(data), np.sqrt(weight[candidates])
    matrix = Blocks(kernel, among.points, among.rows).matrix(theta.lengthscales, theta.signal)
    np.einsum("ii->i", matrix)[:n] += data.value_noise + theta.noise + 1e-10 * theta.signal
    factor = lapack.dpotrf(matrix[:n, :n], lower=1)[0]
    half = lapack.dtrtrs(factor, matrix[:n, n:], lower=1)[0]
    left_open = matrix[n:, n:] - half.T @ half
    np.einsum("ii->i", left_open)[...] += 1e-8 * prior
    left_open *= root[:, None]
    left_open *= root
    pivots = lapack.dpstrf(left_open, lower=1, tol=0.0)[1] - 1
    return candidates[pivots[:count]]


def choose_points(data: Observations, count: int) -> np.ndarray:
    """Index (at most `count`,) of points: the best quarter by value, then each time the one farthest from the taken."""
    n = len(data)
    if n <= count:
        return np.arange(n)
    order = np.argsort(data.values, kind="stable")
    taken = list(order[: max(count // 4, 1)])
    x = data.points.x
    far = np.full(n, np.inf)
    for point in taken:
        np.minimum(far, ((x - x[point]) ** 2).sum(axis=1), out=far)
    far[taken] = -1.0
    while len(taken) < count:
        point = int(np.argmax(far))
        taken.append(point)
        np.minimum(far, ((x - x[point]) ** 2).sum(axis=1), out=far)
        far[taken] = -1.0
    return np.sort(np.array(taken))
