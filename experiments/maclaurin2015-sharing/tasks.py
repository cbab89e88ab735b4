"""Eight related tasks: four alphabets of five digits each, upright and turned by a quarter."""

import numpy as np
from sklearn.datasets import load_digits

ALPHABETS = ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9), (0, 2, 4, 6, 8), (1, 3, 5, 7, 9))
TURNS = (0, 1)
TASKS = len(ALPHABETS) * len(TURNS)  # upright first


def images(seed, rows):
    """Pixels (tasks, classes, rows, 64), centred; no digit occurs twice."""
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng([seed, 0])
    left = [list(rng.permutation(np.flatnonzero(y == digit))) for digit in range(10)]
    found = np.empty((TASKS, 5, rows, 64))
    for task in range(TASKS):
        turn, alphabet = divmod(task, len(ALPHABETS))
        for k, digit in enumerate(ALPHABETS[alphabet]):
            drawn, left[digit] = left[digit][:rows], left[digit][rows:]
            square = x[drawn].reshape(rows, 8, 8) / 16.0
            found[task, k] = np.rot90(square, TURNS[turn], axes=(1, 2)).reshape(rows, 64)
    return found - found.mean(axis=(0, 1, 2))


def part(pixels, rows):
    """Some rows of each class: {"x": (tasks, n, 64), "y": (tasks, n)}."""
    chosen = pixels[:, :, rows]
    tasks, classes, count, size = chosen.shape
    labels = np.tile(np.repeat(np.arange(classes), count), (tasks, 1))
    return {"x": chosen.reshape(tasks, classes * count, size), "y": labels}
