"""Bundled data, split and spoilt by a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["breast_cancer", "digits"]

Rows = dict[str, np.ndarray]


def digits(seed: int, train: int, valid: int, wrong: float) -> tuple[Rows, Rows, Rows, np.ndarray]:
    """Digits (1,797 rows of 64 pixels in [0, 1], 10 classes) in three parts by a permutation drawn from `seed`.

    Args:
        train, valid: rows; the others are the test rows.
        wrong: share of training rows whose label is replaced by another class, each equally likely.

    Returns:
        training, validation and test rows, each ``{"x": (n, 64), "y": (n,)}`` with the pixels' training mean taken off,
        and which training labels are wrong, (train,) bool.
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    x, y = bunch.data / 16.0, bunch.target.astype(np.int64)
    rng = np.random.default_rng([seed, 1])
    first, second, third = np.split(rng.permutation(len(y)), [train, train + valid])
    centre = x[first].mean(axis=0)
    parts = [{"x": x[rows] - centre, "y": y[rows]} for rows in (first, second, third)]
    spoilt = np.zeros(train, bool)
    spoilt[rng.permutation(train)[: round(wrong * train)]] = True
    shift = rng.integers(1, 10, size=train)
    parts[0]["y"] = np.where(spoilt, (parts[0]["y"] + shift) % 10, parts[0]["y"])
    return parts[0], parts[1], parts[2], spoilt


def breast_cancer(seed: int, train: int, valid: int, wrong: float) -> tuple[Rows, Rows, Rows]:
    """Breast cancer (569 rows of 30 features, 2 classes), standardised by its training rows, else as `digits`."""
    from sklearn.datasets import load_breast_cancer

    bunch: Any = load_breast_cancer()
    x, y = bunch.data, bunch.target.astype(np.float64)
    rng = np.random.default_rng([seed, 2])
    first, second, third = np.split(rng.permutation(len(y)), [train, train + valid])
    centre, width = x[first].mean(axis=0), x[first].std(axis=0)
    parts = [{"x": (x[rows] - centre) / width, "y": y[rows]} for rows in (first, second, third)]
    flipped = rng.permutation(train)[: round(wrong * train)]
    parts[0]["y"][flipped] = 1.0 - parts[0]["y"][flipped]
    return parts[0], parts[1], parts[2]
