"""At which steps the inner loss is taken."""

from __future__ import annotations

import numpy as np

__all__ = ["CURVE_POINTS", "curve_positions"]

CURVE_POINTS = 200


def curve_positions(length: int, points: int = CURVE_POINTS) -> np.ndarray:
    """At most `points` evenly spaced indices of a curve of `length` points, the first and the last among them."""
    if length <= points:
        return np.arange(length)
    return np.rint(np.linspace(0, length - 1, points)).astype(np.int64)
