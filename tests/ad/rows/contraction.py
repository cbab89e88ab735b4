"""Rows of hypergrad.ad.primitives.contraction."""

from __future__ import annotations

import numpy as np
from examples import CUBE, SQUARE, Example, M, V, ex

ROWS: dict[str, list[Example]] = {
    "matmul": [
        *(
            ex(lambda a, b: a @ b, np.cos(np.arange(np.prod(n))).reshape(n), np.sin(np.arange(np.prod(m))).reshape(m))
            for n, m in [
                ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
                ((2, 3), (5, 3, 4)),
                ((5, 2, 3), (3,)), ((3,), (5, 3, 2)), ((4, 1, 2, 3), (5, 3, 2)), ((2, 0), (0, 3)),
                ((0, 2), (2, 3)),
            ]
        ),
        ex(np.dot, M, M.T), ex(lambda x: x.dot(x), V), ex(np.dot, CUBE, CUBE.reshape(3, 4, 2), exact=False),
        ex(np.inner, M, CUBE.reshape(4, 2, 3), exact=False),
        ex(lambda a, b: np.tensordot(a, b, ((1, 0), (1, 2))), M, CUBE.reshape(4, 3, 2)),
        ex(np.vdot, M, M + 1), ex(lambda a: np.tensordot(a, a, 2), M), ex(lambda a: a @ a, SQUARE),
        ex(lambda a: np.ones((3, 2)) @ a, M),
    ],
}  # fmt: skip
