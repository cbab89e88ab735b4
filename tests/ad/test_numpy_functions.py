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
        ex(np.vander, V, exact=False), ex(lambda x: np.vander(x, 3, increasing=True), V, exact=False),
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
        (lambda x: np.pad(x, 1, mode="mean"), "mode='mean'"),
        (lambda x: np.compress(x > 0, x), "must be known when tracing"),
        (lambda x: np.quantile(x, 1.5), r"q must lie in \[0, 1\]"),
        (lambda x: np.quantile(x, 0.5, method="inverted_cdf"), "no rule for method"),
        (lambda x: np.convolve(x, np.ones((2, 2))), "two vectors"),
        (lambda x: np.partition(x, 9), "outside an axis"),
        (lambda x: np.median(x[:0]), "no values"),
        (lambda x: np.bincount((x > 0).astype(int)), "no fixed length"),
    ],
)
def test_refusals_say_why(function, words):
    with pytest.raises(HypergradError, match=words):
        hg.compile(function)(V)
