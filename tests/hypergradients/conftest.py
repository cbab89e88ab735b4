"""A small classifier whose hyperparameters are read in every place there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hypergrad as hg


@pytest.fixture(scope="session")
def classifier() -> Callable[..., hg.BilevelProblem]:
    """``classifier(**changes)``: softmax regression, 20 rows of 3 features, 3 classes; reads lr, mu, l2, scale."""
    rng = np.random.default_rng(2)
    data = {
        name: {"x": rng.standard_normal((n, 3)), "y": rng.integers(0, 3, n)}
        for name, n in (("train", 20), ("valid", 12), ("test", 9))
    }

    def init(hparams: Any, rng: Any) -> Any:
        return {"w": hparams["scale"] * rng.standard_normal((3, 3)), "b": np.zeros(3)}

    def cross_entropy(params: Any, hparams: Any, batch: Any) -> Any:
        return hg.nn.softmax_cross_entropy(batch["x"] @ params["w"] + params["b"], batch["y"]).mean()

    def inner_loss(params: Any, hparams: Any, batch: Any) -> Any:
        return cross_entropy(params, hparams, batch) + 0.5 * np.sum(hparams["l2"] * params["w"] ** 2)

    def make(**changes: Any) -> hg.BilevelProblem:
        return hg.BilevelProblem(
            **{
                "init": init,
                "inner_loss": inner_loss,
                "outer_loss": cross_entropy,
                "train": data["train"],
                "valid": data["valid"],
                "test": data["test"],
                "optimizer": hg.optim.Momentum("lr", "mu"),
                "steps": 12,
                "batch_size": 6,
                **changes,
            }
        )

    return make


@pytest.fixture
def hparams() -> dict[str, Any]:
    return {"lr": 0.2, "mu": 0.6, "l2": np.array([[0.1], [0.05], [0.2]]), "scale": 0.5}
