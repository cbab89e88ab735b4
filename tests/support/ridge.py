"""A ridge regression whose minimum and hypergradient are known in closed form."""

from __future__ import annotations

import numpy as np

import hypergrad as hg


def off(found, expected):
    """Distance over the norm of the leaf."""
    return np.linalg.norm(np.subtract(found, expected)) / np.linalg.norm(expected)


class Ridge:
    """½ mean (x w − y)² + ½ Σ l2 w², outer ½ mean (x w − y)² + ½ outer²: w* and its derivative in closed form."""

    def __init__(self, penalty, dtype=float):
        rng = np.random.default_rng(6)
        self.x, self.y, self.vx, self.vy = (
            rng.standard_normal(shape).astype(dtype) for shape in ((30, 6), 30, (20, 6), 20)
        )
        self.h = {"lr": 0.3, "l2": penalty, "outer": 0.4}
        full = np.broadcast_to(penalty, 6)
        a = self.x.T @ self.x / 30 + np.diag(full)
        self.w = np.linalg.solve(a, self.x.T @ self.y / 30)
        slope = self.vx.T @ (self.vx @ self.w - self.vy) / 20
        each = -np.linalg.solve(a, slope) * self.w
        self.gradient = each if np.shape(penalty) else each.sum()

    def problem(self, steps, optimizer=None, batch_size=None, dtype=float, **changes):
        def inner_loss(p, h, b):
            return 0.5 * np.mean((b["x"] @ p["w"] - b["y"]) ** 2) + 0.5 * np.sum(h["l2"] * p["w"] ** 2)

        return hg.BilevelProblem(
            **{
                "init": lambda h, rng: {"w": np.zeros(6, dtype)},
                "inner_loss": inner_loss,
                "outer_loss": lambda p, h, v: (
                    0.5 * np.mean((v["x"] @ p["w"] - v["y"]) ** 2) + 0.5 * h["outer"] ** 2
                ),
                "train": {"x": self.x, "y": self.y},
                "valid": {"x": self.vx, "y": self.vy},
                "optimizer": optimizer or hg.optim.SGD("lr"),
                "steps": steps,
                "batch_size": batch_size,
                **changes,
            }
        )
