"""Rows of hypergrad.ad.primitives.sequence, and the functions of sequences."""

from __future__ import annotations

import numpy as np
from examples import CUBE, EMPTY, Example, M, P, V, ex

import hypergrad as hg

HOLES = V * [1, 0, 1, 0]

ROWS: dict[str, list[Example]] = {
    "cumprod": [
        ex(np.cumprod, V), ex(np.cumprod, HOLES), ex(lambda x: np.cumprod(x, axis=1), CUBE), ex(np.cumprod, EMPTY),
        ex(lambda x: x.cumprod(0), M), ex(lambda x: np.nancumprod(x), M),
    ],
    "recurrence": [
        ex(hg.grad(lambda x: np.sum(np.cumprod(x) ** 2)), V),
        ex(hg.grad(lambda x: np.sum(np.cumprod(x, axis=1) * np.cos(CUBE))), CUBE),
    ],
    "convolve": [
        ex(np.convolve, V, P[:2]), ex(np.convolve, P[:2], V), ex(lambda a, b: np.convolve(a, b, "same"), V, P[:3]),
        ex(lambda a, b: np.convolve(a, b, "valid"), P[:2], V), ex(lambda a: np.convolve(a, a), V),
        ex(np.correlate, V, P[:2]), ex(lambda a, b: np.correlate(a, b, "full"), P[:2], V),
        ex(lambda a, b: np.correlate(a, b, "same"), P[:3], V), ex(lambda a, b: np.correlate(a, b, "same"), V, P[:2]),
        ex(np.polymul, V, P),
    ],
}  # fmt: skip
