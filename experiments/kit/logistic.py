"""Two-class logistic regression with a squared penalty, written by hand: data, loss, minimum and its derivative.

Notation: x (features, rows); y = 1 or -1; w = argmin mean log(1 + exp(-y xw)) + exp(u)/2 |w|^2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from kit.data import Rows, split


def rows(dataset: str, seed: int) -> list[Rows]:
    """Training and validation rows, y = 1 or -1, columns scaled by the training rows; x is (features, rows)."""
    from sklearn.datasets import load_breast_cancer, load_digits

    if dataset == "synthetic":
        rng = np.random.default_rng([seed, 7])
        x = rng.standard_normal((800, 150)) * (rng.random((800, 150)) < 0.1)
        y = np.sign(x @ rng.standard_normal(150) + 2.0 * rng.standard_normal(800))
    else:
        x, y = (load_breast_cancer if dataset == "breast_cancer" else load_digits)(return_X_y=True)
        y = 2.0 * y - 1.0 if dataset == "breast_cancer" else 1.0 - 2.0 * (y % 2)
    parts = split(x, y, seed, len(x) // 2, len(x) - len(x) // 2)
    mean, scale = parts[0]["x"].mean(axis=0), parts[0]["x"].std(axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    return [{"x": ((part["x"] - mean) / scale).T.copy(), "y": part["y"]} for part in parts]


def loss(w: Any, data: Rows) -> Any:
    """The mean logistic loss; for the engine and for NumPy alike."""
    return np.mean(np.logaddexp(0.0, -data["y"] * (w @ data["x"])))


def newton(train: Rows, u: float, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The minimum and its Hessian, written by hand: Newton's method."""
    x, y, n = train["x"], train["y"], len(train["y"])
    for _ in range(50):
        p = expit(w @ x)
        hessian = (x * (p * (1.0 - p))) @ x.T / n + np.exp(u) * np.eye(len(w))
        gradient = -x @ (y * expit(-y * (w @ x))) / n + np.exp(u) * w
        if np.linalg.norm(gradient) < 1e-12:
            break
        w = w - np.linalg.solve(hessian, gradient)
    return w, hessian


def derivative(train: Rows, valid: Rows, u: float) -> tuple[np.ndarray, float, float]:
    """w, the loss on the validation rows there, and its derivative by u: dF/du = -F_w H^-1 exp(u) w."""
    w, hessian = newton(train, u, np.zeros(len(train["x"])))
    margin = valid["y"] * (w @ valid["x"])
    slope = -valid["x"] @ (valid["y"] * expit(-margin)) / len(margin)
    return (
        w,
        float(np.mean(np.log1p(np.exp(-margin)))),
        float(-slope @ np.linalg.solve(hessian, np.exp(u) * w)),
    )
