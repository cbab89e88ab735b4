"""Rows of hypergrad.ad.primitives.order, and the functions of order."""

from __future__ import annotations

import numpy as np
from examples import CUBE, INTS, ZERO_D, Example, M, P, V, ex

GAPS = np.array([[0.3, np.nan, 1.9, -2.4], [np.nan, 0.2, 0.7, 1.1]])


def holes(x):
    """Rows with missing entries."""
    return np.where(np.isnan(GAPS), np.nan, x * np.nan_to_num(GAPS))


ROWS: dict[str, list[Example]] = {
    "argsort": [
        ex(np.sort, V), ex(lambda x: np.sort(x, axis=0), M), ex(lambda x: np.sort(x, None), CUBE),
        ex(lambda x: np.sort(x[:0]), V), ex(np.argsort, M, smooth=False),
        ex(lambda x: x[np.argsort(-x)], V), ex(lambda x: np.sort(x, kind="stable", axis=1), CUBE),
        ex(np.median, V), ex(np.median, V[:3]), ex(lambda x: np.median(x, axis=1, keepdims=True), CUBE),
        ex(lambda x: np.median(x, axis=(0, 2)), CUBE),
        *(
            ex(lambda x, m=method: np.quantile(x, [0.1, 0.5, 0.83], axis=-1, method=m), CUBE, exact=False)
            for method in (
                "linear", "lower", "higher", "nearest", "midpoint", "hazen", "weibull", "median_unbiased",
                "normal_unbiased", "interpolated_inverted_cdf",
            )
        ),
        ex(lambda x: np.quantile(x, 0.3), M), ex(lambda x: np.percentile(x, [30.0, 71.0], axis=0), M),
        ex(lambda x: np.percentile(x, 25, axis=(0, 1), keepdims=True), CUBE),
        ex(lambda x: np.nanmedian(holes(x), axis=1), V), ex(lambda x: np.nanquantile(holes(x), 0.4, axis=1), V),
        ex(lambda x: np.nanpercentile(holes(x), [10, 60]), V),
    ],
    "argpartition": [
        ex(lambda x: np.partition(x, 2), V), ex(lambda x: np.partition(x, (0, -1), axis=0), M),
        ex(lambda x: np.argpartition(x, 1), V, smooth=False),
    ],
    "lexsort": [ex(lambda x, y: np.lexsort((x, y)), V, P, smooth=False)],
    "searchsorted": [
        ex(lambda x: np.searchsorted(np.sort(V), x), M, smooth=False),
        ex(lambda x: np.digitize(x, [-1.0, 0.0, 1.0]), M, smooth=False),
        ex(lambda x: np.digitize(x, [1.0, 0.0], right=True), ZERO_D, smooth=False),
        ex(lambda x: np.searchsorted(np.sort(x), 0.4, side="right"), V, smooth=False),
        ex(lambda x: np.interp(x, [-2.0, 0.5, 3.0], [1.0, 4.0, 2.0]), V, exact=False),
        ex(lambda x, f: np.interp(x, np.array([-1.0, 0.5, 1.0, 3.0]), f, left=0.5, right=-1.0), V, P, exact=False),
        ex(lambda x: np.interp([-3.0, 0.1, 9.0], np.sort(x), P), V, exact=False),
        ex(lambda x: np.interp(x, [0.2, 0.95, 2.45], [1.0, 4.0, 2.0], period=3.0), M, exact=False),
        ex(lambda n: np.searchsorted(np.arange(3), n), INTS, smooth=False),
    ],
}  # fmt: skip
