"""Rows of hypergrad.ad.primitives.indexing."""

from __future__ import annotations

import numpy as np
from examples import BITS, CUBE, EMPTY, INTS, Example, M, V, ex

import hypergrad as hg


def put(key, value=None):
    """``y = x**2; y[key] = value`` (default: of y itself, turned around)."""

    def f(x, *more):
        y = x**2
        index = more[0] if key is None else key
        y[index] = np.sin(y[index])[..., ::-1] * 3 if value is None else value(x)
        return y

    return f


def add_at(key, value):
    def f(x, *more):
        y = x**2
        np.add.at(y, more[0] if key is None else key, value(x))
        return y

    return f


def last_wins(x, n):
    y = np.zeros_like(x)
    y[n] = x
    return y


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
    "update": [
        ex(put(1), M), ex(put((slice(None), 0), lambda x: x[0, 0] * 3), M), ex(put(slice(None, None, -2)), V),
        ex(put((..., None, slice(1, None))), M), ex(put(0, lambda x: x[1]), M), ex(put((0, 1), lambda x: 5.0), M),
        ex(put([1, 0, 1], lambda x: np.stack([x[0], x[1], x[0] * x[1]])), M), ex(put(np.array([2, 0])), V),
        ex(put((slice(None), [2, 0])), M), ex(put((0, slice(None), [1, 2]), lambda x: x[1, :, :2].T), CUBE),
        ex(put(BITS), V), ex(put(M > 0, lambda x: x[0, 0]), M), ex(put([], lambda x: 1.0), V),
        ex(put(None), V, np.array([0, 3, 3])), ex(put(None, lambda x: x[1]), V, np.array(2)),
        ex(put([[0, 0], [0, 1]], lambda x: np.outer(x[:2], x[2:])), V), ex(last_wins, V, np.array([1, -3, 0, 1])),
        ex(put((slice(None), 0), lambda x: 1.0), EMPTY), ex(put(INTS > 0, lambda x: [1.0, 2.0, 3.0]), V),
    ],
    "add_at": [
        ex(add_at([1, 0, 1], lambda x: x[:3] ** 3), V), ex(add_at(([0, 0], slice(None, 2)), lambda x: x[0, 0]), M),
        ex(add_at(None, lambda x: np.sin(x)), V, np.array([0, -1, 3, 3])), ex(add_at(1, lambda x: x[0]), M),
        ex(add_at((0, slice(None), [1, 1]), lambda x: x[1, :, :2].T), CUBE),
    ],
}  # fmt: skip
