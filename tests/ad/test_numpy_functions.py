# ruff: noqa: E501 - a table
"""NumPy's functions that are compositions: values as NumPy's, derivatives of both modes as differences."""

from __future__ import annotations

import numpy as np
import pytest
from examples import BITS, CUBE, INTS, SQUARE, ZERO_D, Example, M, P, V, ex

import hypergrad as hg
from hypergrad.ad.forward import evaluate
from hypergrad.errors import HypergradError

GAPS = np.array([[0.3, np.nan, 1.9, -2.4], [np.nan, 0.2, 0.7, 1.1]])


def holes(x):
    """Rows with missing entries."""
    return np.where(np.isnan(GAPS), np.nan, x * np.nan_to_num(GAPS))


LONG = np.sin(np.arange(7.0) * 1.3)
GRID = np.array([0.0, 0.5, 1.3, 1.9, 3.0, 3.2, 4.0])

EXAMPLES: dict[str, list[Example]] = {
    "average": [
        ex(np.average, M), ex(lambda x, w: np.average(x, weights=w), V, P),
        ex(lambda x, w: np.average(x, axis=1, weights=w), M, P[:3]),
        ex(lambda x: np.stack(np.average(x, axis=0, weights=M + 3, returned=True)), M),
        ex(lambda x: np.average(x, axis=0, keepdims=True), CUBE),
    ],
    "cov": [
        ex(np.cov, M), ex(lambda x: np.cov(x, rowvar=False), M), ex(np.cov, V), ex(lambda x: np.cov(x, bias=True), CUBE[0]),
        ex(np.cov, V, P), ex(lambda x: np.cov(x, ddof=0, aweights=[1.0, 2.0, 0.5]), M),
        ex(lambda x: np.cov(x, fweights=[1, 2, 3]), M),
    ],
    "corrcoef": [ex(np.corrcoef, CUBE[0]), ex(np.corrcoef, V, P)],
    "bincount": [ex(lambda w: np.bincount([0, 2, 2, 5], weights=w, minlength=8), V)],
    "nan": [
        ex(lambda x: np.nansum(holes(x), axis=0), V), ex(lambda x: np.nanmean(holes(x), axis=1), V),
        ex(lambda x: np.nanvar(holes(x), axis=1, ddof=1), V), ex(lambda x: np.nanstd(holes(x)), V),
        ex(lambda x: np.nanmax(holes(x), axis=1), V), ex(lambda x: np.nanmin(holes(x)), V),
        ex(lambda x: np.nanprod(holes(x)), V), ex(lambda x: np.nancumsum(holes(x), axis=1), V),
        ex(lambda x: np.nan_to_num(holes(x), nan=2.0), V), ex(lambda x: np.nanargmax(holes(x)), V, smooth=False),
        ex(lambda x: np.nan_to_num(x / np.array([0.0, 1.0, 0.0, 2.0])), V, smooth=False),
    ],
    "where and initial": [
        *(ex(lambda x, f=f: f(x, where=M > 0), M, exact=False) for f in (np.sum, np.mean, np.prod, np.var, np.std)),
        *(ex(lambda x, f=f: f(x, axis=1, keepdims=True, where=[True, False, True]), M, exact=False) for f in (np.sum, np.mean, np.prod, np.var)),
        *(ex(lambda x, f=f: f(x, axis=0, where=[[True], [False]], initial=0.4), M) for f in (np.max, np.min)),
        ex(lambda x: np.sum(x, axis=0, initial=2), M, exact=False), ex(lambda x: np.prod(x, initial=3.0), M, exact=False), ex(lambda x: np.max(x, initial=9.0), M),
        ex(lambda x: np.max(x[:0], initial=-1), V, smooth=False), ex(lambda x: np.maximum.reduce(x, axis=1, initial=0.5, where=M > -1), M),
        ex(lambda x: np.any(x > 0, axis=1, where=[True, False, False]), M, smooth=False), ex(lambda x: np.all(x > 0, where=M > 0), M, smooth=False),
        ex(lambda x: np.var(x, axis=0, mean=np.mean(x, axis=0, keepdims=True)), M), ex(lambda x: np.var(x, dtype=float), M),
        ex(lambda x: np.var(x, axis=1, where=M > -9, ddof=1, mean=np.mean(x, axis=1, keepdims=True)), M, exact=False),
        ex(lambda x: np.nanvar(holes(x), axis=1, where=[True, True, True, False]), V, exact=False), ex(lambda x: np.nanmean(holes(x), where=GAPS > -9), V),
    ],
    "histogram": [
        ex(lambda w: np.histogram(LONG, bins=3, weights=w)[0], GRID), ex(lambda w: np.histogram(LONG, bins=[-0.5, 0.2, 0.9], weights=w)[0], GRID, exact=False),
        ex(lambda w: np.histogram(LONG, bins=3, range=(-0.5, 1), weights=w, density=True)[0], GRID + 1, exact=False),
    ],
    "quantile": [
        *(
            ex(lambda x, m=m, q=q: np.quantile(x, q, method=m), LONG, exact=False)
            for m in ("inverted_cdf", "averaged_inverted_cdf", "closest_observation")
            for q in (0.0, 1 / 7, 3 / 14, 2 / 7, 0.5, 0.6, 1.0)
        ),
    ],
    "ranges": [
        ex(lambda a: np.linspace(a, 2.0, 5, axis=-1), V), ex(lambda a, b: np.linspace(a, b, 3, axis=1), M, M.T[:, 0]), ex(lambda a: np.linspace(a, 1, 4, retstep=True)[1], V),
        ex(lambda a: np.linspace(a, 9.0, 4, dtype=int), ZERO_D, smooth=False),
        ex(lambda a, b: np.logspace(a, b, 5), ZERO_D, ZERO_D + 1, exact=False), ex(lambda b: np.logspace(0.5, 1.5, 4, base=b), P, exact=False),
        ex(lambda a, b: np.geomspace(a, b, 5), P, P + 2, exact=False), ex(lambda a: np.geomspace(-a, -8.0, 4, endpoint=False), P, exact=False),
        ex(lambda a: np.geomspace(a, 8.0, 4, axis=1), P, exact=False), ex(lambda a: np.geomspace(a, 8.0, 1), P, exact=False),
    ],
    "windows": [
        ex(lambda x: np.lib.stride_tricks.sliding_window_view(x, 2), V), ex(lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 2)), M),
        ex(lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=1), CUBE), ex(lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 3), axis=(0, 0)), M[:, :2].repeat(2, 0)),
    ],
    "counting": [
        ex(lambda x: np.count_nonzero(x > 0, axis=0), M, smooth=False), ex(np.count_nonzero, M, smooth=False),
        ex(lambda x: np.isin(x, [0.3, 0.6]), M, smooth=False), ex(lambda x: np.allclose(x, x), M, smooth=False),
        ex(lambda x: np.array_equal(x, x + 0), M, smooth=False), ex(lambda x: np.array_equiv(x, x), M, smooth=False),
    ],
    "diff": [
        ex(np.diff, LONG), ex(lambda x: np.diff(x, 3), LONG), ex(lambda x: np.diff(x, axis=0), CUBE),
        ex(lambda x: np.diff(x, prepend=0.5, append=x[:1]), V), ex(lambda x: np.diff(x > 0), V, smooth=False),
        ex(lambda x: np.ediff1d(x, to_begin=[0.5], to_end=x[:2]), M), ex(lambda x: np.diff(x, 0), V),
    ],
    "gradient": [
        ex(np.gradient, LONG), ex(lambda x: np.gradient(x, 0.3, edge_order=2), LONG),
        ex(lambda x: np.gradient(x, GRID), LONG), ex(lambda x: np.gradient(x, GRID, edge_order=2), LONG),
        ex(lambda x, h: np.gradient(x, h), LONG, GRID), ex(lambda x: np.stack(np.gradient(x)), CUBE),
        ex(lambda x: np.gradient(x, axis=1), CUBE), ex(lambda x: np.gradient(x, [0.0, 0.3]), V[:2]),
        ex(lambda x: np.stack(np.gradient(x, 0.5, 2.0)), M),
    ],
    "trapezoid": [
        ex(np.trapezoid, LONG), ex(np.trapezoid, LONG, GRID), ex(lambda y: np.trapezoid(y, dx=0.3, axis=1), CUBE),
        ex(lambda y: np.trapezoid(y, [0.0, 1.0, 4.0], axis=1), CUBE),
    ],
    "unwrap": [ex(lambda x: np.unwrap(4.0 * x), LONG, exact=False), ex(lambda x: np.unwrap(3 * x, axis=0), CUBE, exact=False)],
    "polynomials": [
        ex(np.polyval, V, M, exact=False), ex(lambda p: np.polyval(p, 0.7), V, exact=False), ex(np.polyadd, V, P[:2]),
        ex(np.polysub, V[:2], P), ex(lambda p: np.polyder(p, 2), V), ex(np.polyint, V), ex(lambda p: np.polyint(p, 2, [1.0, 2.0]), V),
        ex(np.vander, V, exact=False), ex(np.poly, V, exact=False),
        ex(lambda y: np.polyfit(GRID, y, 2), LONG, exact=False), ex(lambda x: np.polyfit(x, LONG, 3), GRID, exact=False),
        ex(lambda w: np.polyfit(GRID, np.stack((LONG, GRID**2)).T, 2, w=w), GRID + 1, exact=False), ex(lambda x: np.vander(x, 3, increasing=True), V, exact=False),
    ],
    "sinc": [ex(np.sinc, V, exact=False), ex(np.sinc, ZERO_D, exact=False), ex(np.sinc, V * 0.0, exact=False), ex(np.sinc, V * 1e-4, exact=False)],
    "cumulative": [
        ex(lambda x: np.cumulative_sum(x, axis=1, include_initial=True), M), ex(lambda x: np.cumulative_prod(x), V),
        ex(lambda x: np.cumulative_prod(x, axis=0, include_initial=True), M),
    ],
    "pad": [
        ex(lambda x: np.pad(x, 2), V), ex(lambda x: np.pad(x, ((1, 0), (2, 3)), constant_values=1.5), M),
        ex(lambda x: np.pad(x, (1, 2), constant_values=((0.5, 1.0), (2.0, 3.0))), M),
        *(ex(lambda x, m=mode: np.pad(x, ((1, 1), (2, 1)), mode=m), M) for mode in ("edge", "reflect", "symmetric", "wrap")),
        ex(lambda x: np.pad(x, 5, mode="reflect"), V), ex(lambda x: np.pad(x, 1), ZERO_D),
        ex(lambda x: np.pad(x, [(1, 2)]), V),
        *(ex(lambda x, m=mode: np.pad(x, ((1, 1), (2, 0)), mode=m), M, exact=False) for mode in ("mean", "maximum", "minimum", "median", "linear_ramp")),
        *(ex(lambda x, m=mode: np.pad(x, 2, mode=m, stat_length=((2, 1), (1, 3))), M, exact=False) for mode in ("mean", "maximum")),
        ex(lambda x: np.pad(x, (2, 3), mode="linear_ramp", end_values=(-1.0, 4.0)), V, exact=False),
    ],
    "joining": [
        ex(lambda x: np.append(x, [1.0, 2.0]), M), ex(lambda x, y: np.append(x, y, axis=1), M, M),
        ex(lambda x: np.insert(x, 1, 5.0), V), ex(lambda x: np.insert(x, [0, 2, 4], x[:3]), V), ex(lambda x: np.insert(x, 1, 9.0, axis=1), M),
        ex(lambda x: np.insert(x, [0, 1], [[7.0], [8.0]], axis=1), M), ex(lambda x: np.insert(x, 1, [7.0, 8.0], axis=1), M),
        ex(lambda x: np.insert(x, slice(0, 3, 2), 1.0), V), ex(lambda x: np.insert(x, -1, [3.0, 4.0]), V),
        ex(lambda x: np.delete(x, [0, -1]), V), ex(lambda x: np.delete(x, 1, axis=1), M), ex(lambda x: np.delete(x, slice(1, 3)), V),
        ex(lambda x: np.delete(x, BITS), V), ex(lambda x: np.dstack([x, x * 2]), M),
        ex(lambda x: np.block([[x, np.ones((2, 1))], [np.zeros((1, 4))]]), M), ex(lambda x: np.block([x, x]), V),
        ex(lambda x: np.stack(np.meshgrid(x, [1.0, 2.0])), V), ex(lambda x, y: np.stack(np.meshgrid(x, y, indexing="ij")), V, P[:2]),
        ex(lambda x: np.resize(x, (3, 5)), M), ex(lambda x: np.unstack(x, axis=1)[1], CUBE), ex(lambda x: np.hsplit(x, [1])[1], M),
        ex(lambda x: np.vsplit(x, 2)[1], M), ex(lambda x: np.dsplit(x, 2)[0], CUBE), ex(lambda x: np.compress([True, False, True], x, axis=1), M),
        ex(lambda x: np.extract(M > 0, x), M), ex(lambda x: np.compress(BITS, x), V),
    ],
    "turning": [
        *(ex(lambda x, k=k: np.rot90(x, k), M) for k in range(-1, 4)), ex(lambda x: np.rot90(x, axes=(1, 2)), CUBE),
        ex(lambda x: np.rollaxis(x, 2), CUBE), ex(lambda x: np.rollaxis(x, 0, 3), CUBE), ex(np.matrix_transpose, CUBE),
        ex(np.diag, V), ex(lambda x: np.diag(x, -1), V), ex(lambda x: np.diag(x, 1), SQUARE), ex(lambda x: np.diagflat(x, 1), SQUARE),
    ],
    "choosing": [
        ex(lambda x: np.select([x > 1, x < 0], [x**2, np.sin(x)], default=3.0), V), ex(lambda x: np.select([x > 1], [x]), M),
        ex(lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda v: -(v**2), np.exp]), V),
        ex(lambda x: np.piecewise(x, [x > 1], [np.log, 0.5]), V), ex(lambda x: np.choose([0, 1, 1, 0], [x, x * 2]), V),
        ex(lambda x: np.choose(INTS % 2, [x, 7.0]), V),
        ex(lambda x: np.apply_along_axis(lambda r: r / np.sum(r**2), 1, x), CUBE), ex(lambda x: np.apply_along_axis(np.sum, 0, x), M, exact=False),
        ex(lambda x: np.apply_along_axis(lambda r: np.stack([r, 2 * r]), -1, x), M),
        ex(lambda x: np.apply_over_axes(np.sum, x, [0, 2]), CUBE, exact=False), ex(np.fix, V), ex(np.ptp, V), ex(lambda x: np.ptp(x, axis=1, keepdims=True), M),
    ],
    "einsum": [
        *(
            ex(lambda *a, s=subscripts: np.einsum(s, *a), *(np.cos(np.arange(1.0, np.prod(n) + 1)).reshape(n) for n in shapes), exact=False)
            for subscripts, *shapes in [
                ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij->ji", (2, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)),
                ("iij->j", (3, 3, 2)), ("ij->", (2, 3)), ("ij->j", (2, 3)), ("i,j->ij", (2,), (3,)), ("ij,ij->i", (2, 3), (2, 3)),
                ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("...ij,...jk->...ik", (2, 3, 4), (4, 5)), ("...ij->...ji", (2, 3, 4)),
                ("i...,i...->...", (2, 3), (2, 3)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("ij,kj,l->k", (2, 3), (4, 3), (2,)),
                ("i,i,i->", (3,), (3,), (3,)), ("abc,bd,cd->ad", (2, 3, 4), (3, 5), (4, 5)), ("ij,ji->", (2, 3), (3, 2)),
                ("ij,jj->i", (2, 3), (3, 3)), ("ba", (2, 3)), (" ij , jk -> k i ", (2, 3), (3, 2)), ("i,ij,j->", (2,), (2, 3), (3,)), (",i->i", (), (3,)),
            ]
        ),
        ex(lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [0, 2]), M, M.T, exact=False), ex(lambda a: np.einsum(a, [0, 0]), SQUARE, exact=False),
        ex(lambda a: np.einsum("ij,ij", a, M, optimize=True), M, exact=False), ex(lambda a: np.einsum("ij,ij->ij", a, a), M),
    ],
    "norm": [
        *(ex(lambda a, o=o: np.linalg.norm(a, o), CUBE[1], exact=False) for o in (None, "fro", 1, -1, np.inf, -np.inf)),
        *(ex(lambda v, o=o: np.linalg.norm(v, o), V, exact=False) for o in (None, 1, 2, 3, 0.5, np.inf, -np.inf, 0, -1)),
        ex(lambda a: np.linalg.norm(a, axis=1), M, exact=False), ex(lambda a: np.linalg.norm(a, 3, axis=0, keepdims=True), M, exact=False),
        ex(np.linalg.norm, CUBE, exact=False), ex(lambda a: np.linalg.vector_norm(a, axis=(0, 1)), CUBE, exact=False), ex(np.linalg.matrix_norm, CUBE, exact=False),
    ],
    "complex": [
        *(
            ex(lambda x, f=f: np.stack([np.real(f(x)), np.imag(f(x))]), V, exact=False)
            for f in (
                lambda x: np.mean(np.sqrt(x + 1j) ** 3), lambda x: np.where(x > 0, x * 1j, 2.0), lambda x: np.cumsum(np.sin(x * (0.3 + 1j))),
                lambda x: np.tanh(x + 1j) ** (2 + 1j), lambda x: np.linalg.solve(SQUARE + 1j, (x * 1j).reshape(2, 2)), lambda x: np.concatenate([x, 1j * x])[::-2],
                lambda x: np.prod(x + 1j), lambda x: (x * 1j) @ (x + 1j), lambda x: 1j / (1 + x * x), lambda x: np.outer(x, x * 1j) + x,
            )
        ),
        ex(lambda x: np.linalg.norm(x * (1 + 2j)), V, exact=False), ex(lambda x: np.iscomplex(x + 0j), V, smooth=False), ex(lambda x: np.abs(x + 0j), V, exact=False),
    ],
    "products": [
        ex(np.kron, M, V[:2]), ex(np.kron, SQUARE, SQUARE), ex(np.cross, M, M[::-1]),
        ex(lambda a, b: np.cross(a, b, axis=0), M.T, M.T[:, ::-1] * 2), ex(np.vecdot, M, M + 1, exact=False), ex(np.matvec, M, V[:3]),
        ex(np.vecmat, V[:2], M), ex(lambda *a: np.linalg.multi_dot(a), V[:2], M, M.T, exact=False), ex(lambda a: np.linalg.matrix_power(a, 5), SQUARE, exact=False),
        ex(lambda a: np.linalg.matrix_power(a, 0), SQUARE), ex(lambda a: np.linalg.trace(a), CUBE), ex(lambda a: np.linalg.diagonal(a, offset=1), CUBE),
        ex(np.linalg.outer, V, P), ex(np.linalg.matrix_transpose, CUBE), ex(np.linalg.vecdot, M, M, exact=False),
    ],
}  # fmt: skip
ALL = [pytest.param(e, id=f"{name}-{i}") for name, row in EXAMPLES.items() for i, e in enumerate(row)]


@pytest.mark.parametrize("example", ALL)
def test_values(example, program_of, same):
    narrow = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in map(np.asarray, example.args)]
    with np.errstate(all="ignore"):
        for args in (example.args, tuple(narrow)):
            expected = np.asarray(example.f(*args))
            program = program_of(
                lambda *a: np.asarray(example.f(*a)) if isinstance(example.f(*a), bool) else example.f(*a),
                args,
            )
            same(evaluate(program, args)[0], expected, exactly=example.exact and args is example.args)
            same(hg.compile(example.f)(*args), expected)


@pytest.mark.parametrize("example", [p for p in ALL if p.values[0].smooth])
def test_derivatives(example):
    hg.check_grads(example.f, example.args, order=2, rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: np.pad(x, 1, mode="empty"), "mode='empty'"),
        (lambda x: np.compress(x > 0, x), "must be known when tracing"),
        (lambda x: np.quantile(x, 1.5), r"q must lie in \[0, 1\]"),
        (lambda x: np.quantile(x, 0.5, method="mine"), "no rule for method"),
        (lambda x: np.convolve(x, np.ones((2, 2))), "two vectors"),
        (lambda x: np.partition(x, 9), "outside an axis"),
        (lambda x: np.median(x[:0]), "no values"),
        (lambda x: np.bincount((x > 0).astype(int)), "no fixed length"),
    ],
)
def test_refusals_say_why(function, words):
    with pytest.raises(HypergradError, match=words):
        hg.compile(function)(V)


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.sum(np.linalg.eigvalsh(a + a.T) ** 3),
        lambda a: np.sum(np.exp(np.linalg.eigh(a + a.T)[0])),
        lambda a: (lambda v: np.sum(v[:, 2:] @ v[:, 2:].T * TILT))(
            np.linalg.eigh(a + a.T + np.diag([0.0, 0.0, 1.0]))[1]
        ),
        lambda a: np.linalg.norm(a, "nuc"),
        lambda a: np.sum(np.linalg.pinv(a) * TILT),
        lambda a: (lambda u, s, vt: np.sum((u @ vt) * TILT))(*np.linalg.svd(a)),
        lambda a: np.linalg.det(a),
    ],
)
def test_repeated_values_give_the_derivative_of_what_does_not_depend_on_the_vectors(f):
    """At the identity all eigenvalues are equal: the gradient is the one of differences, never NaN."""
    hg.check_grads(f, (2.0 * np.eye(3),), order=1, rtol=1e-5)


TILT = np.array([[1.0, 2.0, 3.0], [2.0, -1.0, 0.5], [3.0, 0.5, 4.0]])


def test_norms_at_zero_have_slope_zero():
    for order in (None, 2, "fro"):
        x = np.zeros((2, 2)) if order == "fro" else np.zeros(3)
        assert not hg.grad(lambda x, order=order: np.linalg.norm(x, order))(x).any()
