"""Mean squared error of hypergradients that the steps of a window share.

Notation
    g_t    hypergradient of the rate of step t in a run, (T,); mu_t its mean over runs, MSE_1 the mean of its variances
    W      window: each step is given the mean of g over its window; its error is its distance from mu_t
    c      largest correlation of two steps; L largest |mu_{t+1} - mu_t|
Theorem 4.1: MSE_W < (1 + c (W - 1)) / W MSE_1 + L^2 (W^2 - 1) / 12.
"""

import numpy as np


def errors_by_window(found, windows):
    """Mean squared error of shared hypergradients for each window, and the bound of theorem 4.1.

    Variance of the window's mean, plus the squared distance of the window's mean from the mean of each step; the latter
    less its own sampling error.
    """
    runs, steps = found.shape
    mean, single = found.mean(axis=0), found.var(axis=0, ddof=1).mean()
    most = float(np.max(np.corrcoef(found.T) - np.eye(steps)))
    drift = float(np.max(np.abs(np.diff(mean))))
    mse, bound = [], []
    for w in windows:
        parts = mean.reshape(-1, w)
        variance = found.reshape(runs, -1, w).mean(axis=2).var(axis=0, ddof=1).mean()
        bias = np.mean((parts - parts.mean(axis=1, keepdims=True)) ** 2) - (single - variance) / runs
        mse.append(variance + max(bias, 0.0))
        bound.append((1 + most * (w - 1)) / w * single + drift**2 * (w * w - 1) / 12)
    return np.array(mse), np.array(bound)
