# ruff: noqa: E501 - a table
"""Rows of hypergrad.ad.primitives.linalg, and numpy.linalg."""

from __future__ import annotations

import numpy as np
from examples import CUBE, SQUARE, Example, M, V, ex

from hypergrad.ad.primitives.linalg import cofactors_p
from hypergrad.ad.trace import bind

RNG = np.random.default_rng(5)
A = RNG.standard_normal((3, 3)) + 3 * np.eye(3)
STACK = RNG.standard_normal((2, 3, 3)) + 2 * np.eye(3)
TALL, WIDE = RNG.standard_normal((4, 3)), RNG.standard_normal((2, 4))
TALLS = RNG.standard_normal((2, 4, 2))
SINGULAR = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [5.0, 7.0, 9.0]])


def spd(x):
    return x @ np.swapaxes(x, -1, -2) + np.eye(x.shape[-1])


def projector(f):
    """What does not depend on the signs of vectors."""
    return lambda x: f(x) ** 2


def E(f, *args, smooth=True):
    return ex(f, *args, smooth=smooth, exact=False)


ROWS: dict[str, list[Example]] = {
    "solve": [
        ex(np.linalg.solve, SQUARE, V[:2]), ex(np.linalg.solve, SQUARE, M),
        ex(lambda a: np.linalg.solve(a, M), SQUARE),
        ex(np.linalg.solve, np.stack([SQUARE, 2 * SQUARE, SQUARE.T]), M),
        ex(np.linalg.solve, np.stack([SQUARE, SQUARE.T]), V[:2]),
        ex(lambda b: np.linalg.solve(SQUARE, b), np.stack([M, -M])),
        E(np.linalg.tensorsolve, np.stack([A, A.T, A @ A], axis=1).reshape(3, 3, 3)[:, :, 0], V[:3]),
    ],
    "inv": [
        E(np.linalg.inv, A), E(np.linalg.inv, STACK), E(lambda a: np.linalg.matrix_power(a, -2), A),
        E(lambda a: np.linalg.tensorinv(a.reshape(3, 3), ind=1), A), E(lambda a: np.linalg.cond(a, 1), A),
    ],
    "det": [E(np.linalg.det, A), E(np.linalg.det, STACK), E(np.linalg.det, SINGULAR), E(np.linalg.det, A[:1, :1])],
    "cofactors": [E(lambda a: bind(cofactors_p, a), a) for a in (A, STACK, SINGULAR, 2.0 * np.eye(3), np.zeros((2, 2)), A[:1, :1])],
    "slogdet": [E(lambda a: np.linalg.slogdet(a)[1], A), E(lambda a: np.linalg.slogdet(spd(a)).logabsdet, STACK), E(lambda a: np.linalg.slogdet(a)[0], A)],
    "cholesky": [E(lambda a: np.linalg.cholesky(spd(a)), A), E(lambda a: np.linalg.cholesky(spd(a)), STACK), E(np.linalg.cholesky, spd(A))],
    "eigh": [
        E(lambda a: np.linalg.eigh(spd(a))[0], A), E(np.linalg.eigvalsh, STACK), E(lambda a: np.linalg.eigvalsh(a, "U"), A),
        E(projector(lambda a: np.linalg.eigh(a).eigenvectors), A), E(projector(lambda a: np.linalg.eigh(spd(a))[1]), STACK),
    ],
    "svd": [
        *(E(lambda a: np.linalg.svd(a, compute_uv=False), a) for a in (A, TALL, WIDE, TALLS)),
        *(E(projector(lambda a, i=i: np.linalg.svd(a, full_matrices=False)[i]), a) for a in (A, TALL, WIDE, TALLS) for i in (0, 2)),
        *(E(lambda a, o=o: np.linalg.norm(a, o), TALL) for o in ("nuc", 2, -2)),
        E(lambda a: np.linalg.norm(a, "nuc", axis=(0, 2), keepdims=True), CUBE + A[0, 0]), E(np.linalg.cond, A), E(lambda a: np.linalg.cond(a, -2), A),
        E(lambda a: np.linalg.norm(a, 2, axis=(-1, 0)), TALLS), E(np.linalg.svdvals, TALL),
    ],
    "pinv": [
        *(E(np.linalg.pinv, a) for a in (A, TALL, WIDE, TALLS)),
        E(lambda a: np.linalg.lstsq(a, V, rcond=None)[0], TALL), E(lambda a: np.linalg.lstsq(a, V, rcond=None)[1], TALL), E(lambda a, b: np.linalg.lstsq(a, b, rcond=None)[0], WIDE, M[:, :2]),
    ],
    "qr": [
        *(E(lambda a, i=i: np.linalg.qr(a)[i], a) for a in (A, TALL, WIDE, TALLS) for i in (0, 1)),
        E(lambda a: np.linalg.qr(a, "r"), TALL),
    ],
    "matrix_rank": [E(np.linalg.matrix_rank, SINGULAR, smooth=False)],
}  # fmt: skip
