"""What the linear tasks share: outputs x w + b, and a penalty ½ Σ_g l2 · l2_group_g · |w_g|²."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad.space import Float
from hypergrad.tasks.base import L2, Task
from hypergrad.tasks.data import Dataset

__all__ = ["Linear"]


@dataclass(frozen=True)
class Linear(Task, ABC):
    """A linear model, with one layer of weights (p, K) and biases (K,), which are not penalised.

    Adds to the space ``scale``, the deviation of an initial weight times √p, and ``l2``.
    """

    def parameters(self, dataset: Dataset) -> dict[str, Float]:
        return {
            "scale": Float(1e-3, 1.0, log=True, default=0.1),
            "l2": Float(1e-5, 1.0, log=True, default=L2),
        }

    def initial(self, features: int, outputs: int, hparams: Mapping[str, Any], rng: Any) -> dict[str, Any]:
        w = rng.standard_normal((features, outputs)) / np.sqrt(features)
        return {"w": hparams["scale"] * w, "b": np.zeros(outputs)}

    def outputs(self, params: Mapping[str, Any], x: Any) -> Any:
        return x @ params["w"] + params["b"]

    def penalty(self, params: Mapping[str, Any], hparams: Mapping[str, Any], factor: Any) -> Any:
        return 0.5 * hparams["l2"] * np.sum(factor * params["w"] ** 2)
