"""Data hyper-cleaning (Franceschi et al. 2017, sec. 5.1): a weight for each training example, some labels wrong.

Notation
    λ (n,)                weights, 0 <= λ_i <= 1 and Σ λ_i <= R
    l(w; x, y)            cross-entropy of softmax regression, nats
    L(w, λ) = Σ λ_i l(w; x_i, y_i) / n                 the inner loss, trained for T full-batch steps of momentum
    E(w) = mean of l over clean validation examples     the outer loss
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import hypergrad as hg
from kit import networks, reference

Rows = dict[str, np.ndarray]
CLASSES = 10


@dataclass(frozen=True)
class Cleaning:
    """One data set with wrong labels.

    Attributes:
        train: with wrong labels.
        wrong: (n,) bool, which ones.
        valid, test: clean.
    """

    train: Rows
    wrong: np.ndarray
    valid: Rows
    test: Rows

    def problem(self, steps: int, lr: float, momentum: float) -> hg.BilevelProblem:
        """Training on weighted examples, hyperparameters ``{"weights": (n,)}``."""
        return hg.BilevelProblem(
            init=lambda hparams, rng: start(self.train),
            inner_loss=lambda params, hparams, batch: (
                hparams["weights"] @ losses(params, batch) / len(self.wrong)
            ),
            outer_loss=lambda params, hparams, batch: losses(params, batch).mean(),
            train=self.train,
            valid=self.valid,
            optimizer=hg.optim.Momentum(lr=lr, momentum=momentum),
            steps=steps,
        )

    def by_hand(self, weights: np.ndarray, steps: int, lr: float, momentum: float) -> float:
        """The outer loss after the training of `problem`, written in NumPy."""
        params = fit(self.train, steps, lr, momentum, weights)
        return reference.loss(params, self.valid["x"], self.valid["y"])


def noisy(parts: list[Rows], share: float, seed: int) -> Cleaning:
    """Wrong labels, uniform over the other nine, for a share of the first of three parts: train, valid, test."""
    train, valid, test = parts
    rng = np.random.default_rng([seed, 1])
    n = len(train["y"])
    wrong = np.zeros(n, bool)
    wrong[rng.permutation(n)[: round(share * n)]] = True
    other = (train["y"] + rng.integers(1, CLASSES, n)) % CLASSES
    return Cleaning({"x": train["x"], "y": np.where(wrong, other, train["y"])}, wrong, valid, test)


def start(rows: Rows) -> networks.Params:
    """Softmax regression at zero."""
    return {"layer1": {"w": np.zeros((rows["x"].shape[1], CLASSES)), "b": np.zeros(CLASSES)}}


def losses(params: networks.Params, batch: Rows) -> np.ndarray:
    """Cross-entropy of each row, nats."""
    return hg.nn.softmax_cross_entropy(networks.logits(params, batch["x"]), batch["y"])


def fit(
    rows: Rows, steps: int, lr: float, momentum: float, weights: np.ndarray | None = None
) -> networks.Params:
    """Softmax regression after full-batch momentum from zero, written by hand."""
    batches = np.broadcast_to(np.arange(len(rows["y"])), (steps, len(rows["y"])))
    return reference.momentum_training(start(rows), rows, batches, lr, momentum, weights=weights)


def project(weights: np.ndarray, radius: float) -> np.ndarray:
    """The nearest point of {0 <= λ_i <= 1, Σ λ_i <= R}: clip(λ - τ, 0, 1), the least τ >= 0 that keeps to R."""
    clipped = np.clip(weights, 0.0, 1.0)
    if clipped.sum() <= radius:
        return clipped
    low, high = 0.0, float(weights.max())
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.clip(weights - middle, 0.0, 1.0).sum() > radius else (low, middle)
    return np.clip(weights - high, 0.0, 1.0)


def joined(first: Rows, second: Rows) -> Rows:
    """The rows of both."""
    return {key: np.concatenate([first[key], second[key]]) for key in first}
