"""Rows of hypergrad.ad.primitives.linalg."""

from __future__ import annotations

import numpy as np
from examples import SQUARE, Example, M, V, ex

ROWS: dict[str, list[Example]] = {
    "solve": [
        ex(np.linalg.solve, SQUARE, V[:2]), ex(np.linalg.solve, SQUARE, M),
        ex(lambda a: np.linalg.solve(a, M), SQUARE),
        ex(np.linalg.solve, np.stack([SQUARE, 2 * SQUARE, SQUARE.T]), M),
        ex(np.linalg.solve, np.stack([SQUARE, SQUARE.T]), V[:2]),
        ex(lambda b: np.linalg.solve(SQUARE, b), np.stack([M, -M])),
    ],
}  # fmt: skip
