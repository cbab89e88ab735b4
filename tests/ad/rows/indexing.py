"""Rows of hypergrad.ad.primitives.indexing."""

from __future__ import annotations

import numpy as np
from examples import BITS, CUBE, EMPTY, INTS, Example, M, V, ex

import hypergrad as hg

ROWS: dict[str, list[Example]] = {
    "index": [
        ex(lambda x: x[1], M), ex(lambda x: x[..., None], M), ex(lambda x: x[::-2], V),
        ex(lambda x: x[-1:0:-1, ::2], M),
        ex(lambda x: x[1, None, -2:], M), ex(lambda x: x[5:2], V), ex(lambda x: x[1, 2], M),
        ex(lambda x: np.flip(x), M), ex(lambda x: np.flip(x, axis=0), M), ex(lambda x: np.split(x, 2)[1], V),
        ex(lambda x: np.split(x, [1, 3], axis=-1)[1], M), ex(lambda x: np.array_split(x, 3)[0], V),
        ex(lambda x: x[0] * next(iter(x[1:])), M), ex(lambda x: x[2::-1], CUBE[0]),
    ],
    "scatter": [
        ex(hg.grad(lambda x: np.sum(x[1:] ** 3)), V), ex(hg.grad(lambda x: np.sum(np.sin(x[..., ::-2]))), M),
    ],
    "gather": [
        ex(lambda x: x[[1, 0, 1]], M), ex(lambda x: x[[1, 0], :, None], M),
        ex(lambda x: x[:, [[0, 2], [1, 1]]], M),
        ex(lambda x: x[BITS], V), ex(lambda x: x[M > 0], M), ex(lambda x: x[0, :, [1, 2]], CUBE),
        ex(lambda x: x[[0, 1], ..., [1, 2]], CUBE), ex(lambda x: x[np.array([-1, 0]), 1:, ::-1], CUBE),
        ex(lambda x: x[[]], V), ex(lambda x: x[np.array([], int)], EMPTY),
        ex(lambda x: np.take(x, [2, 0], axis=1), M),
        ex(lambda x: np.take(x, [4, 0]), M),
        ex(lambda x: np.take_along_axis(x, np.array([[2], [0]]), axis=1), M),
        ex(lambda x, n: x[n], V, np.array([0, 3, 3])), ex(lambda x, n: x[n], V, np.array(2)),
        ex(lambda x, n: x[n, n + 1], M, np.array([0, 1])),
        ex(lambda n: np.take_along_axis(V, n, 0), INTS % 4, smooth=False),
        ex(lambda x: np.repeat(x, [1, 0, 2], axis=1), M), ex(lambda x: np.diagonal(x, 1), M),
        ex(lambda x: x[[True, False]], M),
    ],
    "scatter_add": [
        ex(hg.grad(lambda x: np.sum(x[[1, 0, 1]] ** 3)), M),
        ex(hg.grad(lambda x: np.sum(x[0, :, [1, 2]] ** 3)), CUBE),
    ],
}  # fmt: skip
