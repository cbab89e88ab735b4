# ruff: noqa: E501 - a table
"""numpy.linalg, einsum and products against JAX in float64: values, both modes, second order, compiled."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(11)


def well(*shape):
    """Random matrices with singular values around 3."""
    return RNG.standard_normal(shape) * 0.4 + 3.0 * np.eye(*shape[-2:])


def graded(*shape):
    """Matrices whose singular values (and eigenvalues of the symmetric part) are well apart."""
    m, n = shape[-2:]
    return RNG.standard_normal(shape) * 0.3 + np.eye(m, n) * (1.5 * np.arange(1, n + 1))


def spd(xp, a):
    return a @ xp.swapaxes(a, -1, -2) + xp.eye(a.shape[-1])


def sym(xp, a):
    return 0.5 * (a + xp.swapaxes(a, -1, -2))


SQUARES = [(1, 1), (3, 3), (2, 3, 3), (2, 1, 3, 3)]
RECTANGLES = [(3, 3), (4, 2), (2, 4), (2, 4, 3), (2, 2, 3, 4)]
ON_SQUARES = {
    "inv": lambda xp, a: xp.linalg.inv(a),
    "det": lambda xp, a: xp.linalg.det(a),
    "log det": lambda xp, a: xp.linalg.slogdet(a)[1],
    "sign": lambda xp, a: xp.linalg.slogdet(a)[0] * xp.sum(a, axis=(-2, -1)),
    "cholesky": lambda xp, a: xp.linalg.cholesky(spd(xp, a)),
    "upper cholesky": lambda xp, a: xp.linalg.cholesky(spd(xp, a), upper=True),
    "eigh values": lambda xp, a: xp.linalg.eigh(sym(xp, a))[0],
    "eigh vectors": lambda xp, a: xp.linalg.eigh(sym(xp, a))[1] ** 2,
    "eigvalsh": lambda xp, a: xp.linalg.eigvalsh(sym(xp, a), UPLO="U"),
    "power": lambda xp, a: xp.linalg.matrix_power(0.3 * a, 5),
    "inverse power": lambda xp, a: xp.linalg.matrix_power(a, -3),
    "solve twice": lambda xp, a: xp.linalg.solve(a, xp.linalg.solve(xp.swapaxes(a, -1, -2), xp.eye(a.shape[-1]))),
    "cond": lambda xp, a: xp.linalg.cond(a),
    "cond 1": lambda xp, a: xp.linalg.cond(a, 1),
    "trace": lambda xp, a: xp.linalg.trace(a @ a),
    "symmetric svd": lambda xp, a: xp.linalg.svd(sym(xp, a), hermitian=True)[1],
    "symmetric pinv": lambda xp, a: xp.linalg.pinv(sym(xp, a), hermitian=True),
}  # fmt: skip
ON_RECTANGLES = {
    "singular values": lambda xp, a: xp.linalg.svd(a, compute_uv=False),
    "U": lambda xp, a: xp.linalg.svd(a, full_matrices=False)[0] ** 2,
    "V": lambda xp, a: xp.linalg.svd(a, full_matrices=False)[2] ** 2,
    "polar factor": lambda xp, a: (lambda u, s, v: u @ v)(*xp.linalg.svd(a, full_matrices=False)),
    "pinv": lambda xp, a: xp.linalg.pinv(a),
    "Q": lambda xp, a: xp.linalg.qr(a)[0] ** 2,
    "R": lambda xp, a: xp.linalg.qr(a, mode="r") ** 2,
    **{f"norm {o}": lambda xp, a, o=o: xp.linalg.norm(a, o, axis=(-2, -1)) for o in ("fro", "nuc", 2, -2, 1, -1, np.inf, -np.inf)},
    **{f"norm of vectors {o}": lambda xp, a, o=o: xp.linalg.norm(a, o, axis=-1, keepdims=True) for o in (None, 1, 2, 3, 2.5, 0.5, -1, np.inf, -np.inf)},
    "kept": lambda xp, a: xp.linalg.norm(a, "nuc", axis=(-1, 0), keepdims=True),
    "vector norm": lambda xp, a: xp.linalg.vector_norm(a, axis=(-1, 0), keepdims=True, ord=3),
    "matrix norm": lambda xp, a: xp.linalg.matrix_norm(a, ord=2, keepdims=True),
    "svdvals": lambda xp, a: xp.linalg.svdvals(a),
    "diagonal": lambda xp, a: xp.linalg.diagonal(a, offset=1),
}  # fmt: skip
NO_JAX_DERIVATIVE = {("Q", "wide"), ("R", "wide")}


@pytest.mark.parametrize("shape", SQUARES)
@pytest.mark.parametrize("name", ON_SQUARES)
def test_square(name, shape, against_jax, single_precision):
    f = ON_SQUARES[name]
    against_jax(f, graded(*shape), tolerance=1e-11)
    single_precision(f, graded(*shape))


@pytest.mark.parametrize("shape", RECTANGLES)
@pytest.mark.parametrize("name", ON_RECTANGLES)
def test_rectangle(name, shape, against_jax, single_precision):
    if (name, "wide" if shape[-1] > shape[-2] else "") in NO_JAX_DERIVATIVE:
        pytest.skip("JAX has no rule for it; the rows of tests/ad have")
    f = ON_RECTANGLES[name]
    against_jax(f, graded(*shape), tolerance=1e-11)
    single_precision(f, graded(*shape))


PAIRS = {
    "lstsq": (lambda xp, a, b: xp.linalg.lstsq(a, b)[0], (4, 3), (4, 2)),
    "lstsq of a vector": (lambda xp, a, b: xp.linalg.lstsq(a, b)[0], (4, 3), (4,)),
    "lstsq residuals": (lambda xp, a, b: xp.linalg.lstsq(a, b)[1], (4, 3), (4, 2)),
    "multi_dot": (lambda xp, *a: xp.linalg.multi_dot(a), (2, 5), (5, 3), (3, 4), (4,)),
    "tensorsolve": (lambda xp, a, b: xp.linalg.tensorsolve(a.reshape(2, 3, 2, 3), b), (6, 6), (2, 3)),
    "tensorsolve along axes": (lambda xp, a, b: xp.linalg.tensorsolve(a.reshape(2, 3, 6), b, axes=(0, 1)), (6, 6), (6,)),
    "tensorinv": (lambda xp, a: xp.linalg.tensorinv(a.reshape(2, 3, 6), ind=2), (6, 6)),
    "kron": (lambda xp, a, b: xp.kron(a, b), (2, 3), (3, 2)),
    "kron of unequal": (lambda xp, a, b: xp.kron(a, b), (2, 2, 3), (3,)),
    "cross": (lambda xp, a, b: xp.cross(a, b), (4, 3), (3,)),
    "cross along axes": (lambda xp, a, b: xp.cross(a, b, axisa=0, axisb=1, axisc=0), (3, 4), (4, 3)),
    "linalg.cross": (lambda xp, a, b: xp.linalg.cross(a, b, axis=0), (3, 4), (3, 4)),
    "vecdot": (lambda xp, a, b: xp.vecdot(a, b), (2, 3), (4, 1, 3)),
    "vecdot along": (lambda xp, a, b: xp.vecdot(a, b, axis=0), (3, 2), (3, 2)),
    "linalg.vecdot": (lambda xp, a, b: xp.linalg.vecdot(a, b, axis=0), (3, 2), (3, 2)),
    "matvec": (lambda xp, a, b: xp.matvec(a, b), (2, 3, 4), (5, 1, 4)),
    "vecmat": (lambda xp, a, b: xp.vecmat(a, b), (5, 1, 3), (2, 3, 4)),
    "outer": (lambda xp, a, b: xp.linalg.outer(a, b), (3,), (2,)),
    "tensordot": (lambda xp, a, b: xp.linalg.tensordot(a, b, axes=((0, -1), (1, 0))), (2, 3, 4), (4, 2)),
    "matmul": (lambda xp, a, b: xp.linalg.matmul(a, b), (2, 3, 4), (4, 2)),
    "matrix_transpose": (lambda xp, a: xp.sin(xp.linalg.matrix_transpose(a)), (2, 3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_of_several(name, against_jax, single_precision):
    f, *shapes = PAIRS[name]
    args = [well(*s) if len(s) > 1 else RNG.standard_normal(s) for s in shapes]
    against_jax(f, *args, tolerance=1e-11)
    single_precision(f, *args)


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ii", (3, 3)), ("iij->ji", (3, 3, 2)), ("iii->i", (3, 3, 3)), ("ij->", (2, 3)),
    ("...", (2, 3)), ("...i->...", (2, 3)), ("i...j,...jk->...ik", (2, 5, 3), (5, 3, 4)), ("...a,...a", (2, 1, 3), (4, 3)),
    ("aB,Bc", (2, 3), (3, 4)), ("bij,bjk,bkl->bil", (2, 3, 4), (2, 4, 3), (2, 3, 2)), ("ij,jk,kl,lm->im", (2, 3), (3, 4), (4, 2), (2, 5)),
    ("ab,cd->dbca", (2, 3), (4, 5)), ("ij,ij,ij->j", (2, 3), (2, 3), (2, 3)), ("iij,jkk->ik", (2, 2, 3), (3, 4, 4)), ("ij,k->j", (2, 3), (4,)),
    (",ij->ji", (), (2, 3)), ("b...,b...->b...", (2, 3, 4), (2, 1, 4)), ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)), ("ba,ca->bc", (2, 0), (3, 0)),
]  # fmt: skip


@pytest.mark.parametrize("case", EINSUMS, ids=lambda case: case[0])
def test_einsum(case, against_jax, single_precision):
    subscripts, *shapes = case
    args = [RNG.standard_normal(s) for s in shapes]
    for optimize in (False, True, "greedy"):
        against_jax(lambda xp, *a, o=optimize: xp.sin(xp.einsum(subscripts, *a, optimize=o)), *args)
    single_precision(lambda xp, *a: xp.einsum(subscripts, *a), *args)


def test_einsum_of_sublists(against_jax):
    a, b = RNG.standard_normal((2, 3)), RNG.standard_normal((3, 4))
    against_jax(lambda xp, a, b: xp.einsum(a, [0, 1], b, [1, 2]), a, b)
    against_jax(lambda xp, a, b: xp.einsum(a, [25, 26], b, [26, 1]), a, b)
    against_jax(lambda xp, a, b: xp.einsum(a, [..., 1], b, [1, 2], [2, ...]), a, b)
