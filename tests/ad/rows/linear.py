"""Rows of hypergrad.ad.primitives.linear."""

from __future__ import annotations

import numpy as np
from examples import COLUMN, CUBE, EMPTY, INTS, SQUARE, ZERO_D, Example, M, V, ex

import hypergrad as hg
from hypergrad.ad.primitives import linear

ROWS: dict[str, list[Example]] = {
    "convert": [
        ex(lambda x: x.astype(int) * 2, V, smooth=False),
        ex(lambda x: x.astype(bool), V, smooth=False),
        ex(lambda n: n.astype(float) / 3, INTS, smooth=False),
        ex(lambda n, x: n * x, INTS, V),
    ],
    "reshape": [
        ex(lambda x: x.reshape(3, 2) * 2, M), ex(lambda x: x.reshape(-1), M),
        ex(lambda x: np.reshape(x, (2, -1)), V),
        ex(lambda x: x.T.reshape(6), M), ex(lambda x: x.reshape(3, 0), EMPTY),
        ex(lambda x: x.reshape(1, 1), ZERO_D),
        ex(np.ravel, CUBE), ex(lambda x: x.flatten(), M), ex(np.squeeze, COLUMN),
        ex(lambda x: np.expand_dims(x, (0, 2)), V), ex(np.atleast_3d, V), ex(np.atleast_2d, ZERO_D),
    ],
    "permute": [
        ex(lambda x: x.T * 2, M), ex(lambda x: x.T, CUBE), ex(lambda x: np.transpose(x, (2, 0, 1)), CUBE),
        ex(lambda x: x.transpose(1, 2, 0), CUBE), ex(lambda x: np.swapaxes(x, 0, -1), CUBE),
        ex(lambda x: np.moveaxis(x, (0, 2), (-1, 0)), CUBE), ex(lambda x: x.mT, CUBE),
        ex(np.transpose, EMPTY),
    ],
    "broadcast_to": [
        ex(lambda x: np.broadcast_to(x, (2, 3)) * M, COLUMN), ex(lambda x: np.broadcast_to(x, 3), ZERO_D),
        ex(lambda x: np.broadcast_to(x, (0, 4)), V), ex(lambda x: np.tile(x, (2, 3)), M),
        ex(lambda x: np.repeat(x, 3), M),
        ex(lambda x: np.repeat(x, 2, axis=1), M), ex(lambda x: np.stack(np.broadcast_arrays(x, M)), COLUMN),
    ],
    "reduce_sum": [
        ex(np.sum, M), ex(lambda x: x.sum(axis=-1, keepdims=True), M), ex(lambda x: np.sum(x, (0, 2)), CUBE),
        ex(np.sum, EMPTY), ex(lambda x: np.sum(x, axis=0), EMPTY), ex(lambda x: x.mean(axis=(0, 1)), CUBE),
        ex(np.add.reduce, M), ex(lambda x: np.add.reduce(x, axis=(0, 1), keepdims=True), M),
        ex(lambda x: np.var(x, axis=1), M), ex(lambda x: np.std(x, ddof=1), M),
        ex(lambda x: np.std(x, axis=0), M),
        ex(lambda x: np.var(x, axis=0, keepdims=True, correction=1), CUBE),
        ex(lambda n: np.sum(n > 1), INTS, smooth=False),
        ex(lambda x: np.mean(x, axis=1), M), ex(np.trace, SQUARE),
        ex(lambda x: np.sum(x, axis=()) + np.sum(x), M),
    ],
    "stop_gradient": [
        ex(lambda x: hg.stop_gradient(np.sign(x)) * x, V),
        ex(lambda x: linear.stop_gradient(np.floor(x)), V),
    ],
}  # fmt: skip
