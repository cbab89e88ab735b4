"""Training there and back with gradients written by hand."""

import numpy as np
from kit import reference

from hypergrad import tree
from hypergrad.optim.exact import Exact, MomentumForm


def flat(params):
    """All leaves as one vector."""
    return np.concatenate([np.ravel(leaf) for leaf in tree.flatten(params)[0]])


def there_and_back(params, train, rows, momentum, lr):
    """There and back, in exact numbers and in float64, with gradients written by hand."""
    steps = len(rows)
    start, structure = flat(params), tree.flatten(params)[1]
    ends = np.cumsum([np.size(leaf) for leaf in tree.flatten(params)[0]])[:-1]
    shapes = [np.shape(leaf) for leaf in tree.flatten(params)[0]]

    def gradient(w, t):
        leaves = [part.reshape(shape) for part, shape in zip(np.split(w, ends), shapes, strict=True)]
        found = reference.gradient(structure.unflatten(leaves), train["x"][rows[t]], train["y"][rows[t]])
        return flat({name: found[name] for name in params})

    now = [0]
    fraction = 52
    form = MomentumForm(np.full((steps, 1), momentum), np.full((steps, 1), lr))
    exact = Exact(form, [start.size], start, fraction, lambda w: gradient(w * 2.0**-fraction, now[0]))
    first = exact.w.copy()
    w, m = first * 2.0**-fraction, np.zeros_like(start)
    path = [w]
    for t in range(steps):
        now[0] = t
        exact.step(t)
        m = momentum * m + gradient(w, t)
        w = w - lr * m
        path.append(w)
    kept, there = exact.store.used, exact.w * 2.0**-fraction
    drift = []
    with np.errstate(all="ignore"):
        for t in range(steps - 1, -1, -1):
            now[0] = t
            exact.undo(t)
            w = w + lr * m
            m = (m - gradient(w, t)) / momentum
            drift.append(np.linalg.norm(w - path[t]) / np.linalg.norm(path[t]))
    regained = np.array_equal(exact.w, first) and not exact.v.any() and exact.store.used == 0
    return {
        "regained": bool(regained),
        "bits": 8.0 * kept / (start.size * steps),
        "moved": float(np.linalg.norm(there - path[0]) / np.linalg.norm(path[0])),
        "from_floats": float(np.linalg.norm(there - path[-1]) / np.linalg.norm(path[-1])),
        "drift": np.nan_to_num(drift, nan=np.inf, posinf=np.inf),
    }
