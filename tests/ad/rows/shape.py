"""Rows of hypergrad.ad.primitives.shape."""

from __future__ import annotations

import numpy as np
from examples import COLUMN, ZERO_D, Example, M, P, V, ex

from hypergrad.ad.primitives import shape

ROWS: dict[str, list[Example]] = {
    "concatenate": [
        ex(lambda x, y: np.concatenate([x, y, [1.5]]), V, P),
        ex(lambda x, y: np.concatenate((x, y), axis=1), M, COLUMN),
        ex(lambda x: np.concatenate([x, x], axis=None), M),
        ex(lambda x, y: np.stack([x, y, V], axis=1), V, P),
        ex(lambda x: np.stack([x, 2.0, 3]), ZERO_D), ex(lambda x, y: np.vstack([x, y]), V, P),
        ex(lambda x, y: np.hstack([x, y]), M, COLUMN), ex(lambda x, y: np.column_stack([x, y]), V, P),
        ex(lambda x: np.concatenate([x, np.zeros((0, 3))]), M), ex(lambda x: np.roll(x, 2), M),
        ex(lambda x: np.roll(x, (1, -1), axis=(0, 1)), M), ex(lambda x: np.linspace(x[0], x[1], 5), V),
    ],
    "split": [
        ex(lambda x: shape.split(x, (1, 3))[1] * 2 if not isinstance(x, np.ndarray) else x[1:] * 2, V),
        ex(lambda x: shape.split(x, (1, 0, 2), 1)[2] if not isinstance(x, np.ndarray) else x[:, 1:], M),
    ],
}  # fmt: skip
