"""Rows of hypergrad.ad.primitives.reduction."""

from __future__ import annotations

import numpy as np
from examples import CUBE, EMPTY, INTS, Example, M, V, ex

ROWS: dict[str, list[Example]] = {
    "reduce_max": [
        ex(np.max, V), ex(lambda x: np.max(x, axis=(0, 2)), CUBE),
        ex(lambda x: x.max(axis=-1, keepdims=True), M),
        ex(np.maximum.reduce, M), ex(lambda x: np.max(x, axis=0), EMPTY.T),
    ],
    "reduce_min": [
        ex(np.min, V), ex(lambda x: np.min(x, axis=(0, 2)), CUBE), ex(lambda x: x.min(axis=0), M),
        ex(np.minimum.reduce, M),
    ],
    "reduce_prod": [
        ex(np.prod, V), ex(np.prod, V * [1, 0, 1, 1]), ex(np.prod, V * [1, 0, 1, 0]),
        ex(lambda x: x.prod(axis=1), M),
        ex(lambda x: np.prod(x, axis=(0, 2), keepdims=True), CUBE), ex(np.prod, EMPTY),
        ex(np.multiply.reduce, M),
        ex(np.prod, V[:1]),
    ],
    "any": [ex(np.any, V, smooth=False), ex(lambda x: np.any(x > 1, axis=0), M, smooth=False)],
    "all": [ex(np.all, V, smooth=False), ex(lambda x: (x > 1).all(axis=-1, keepdims=True), M, smooth=False)],
    "argmax": [ex(np.argmax, M, smooth=False),
    ex(lambda x: x.argmax(axis=1, keepdims=True), M, smooth=False)],
    "argmin": [ex(np.argmin, M, smooth=False), ex(lambda x: np.argmin(x, 0), M, smooth=False)],
    "cumsum": [
        ex(np.cumsum, M), ex(lambda x: x.cumsum(axis=1), M), ex(lambda x: np.cumsum(x, -2), CUBE),
        ex(np.cumsum, EMPTY),
        ex(lambda n: np.cumsum(n > 1), INTS, smooth=False),
    ],
}  # fmt: skip
