"""Ridge regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hypergrad.tasks.base import half_squared_error
from hypergrad.tasks.data import Dataset
from hypergrad.tasks.linear import Linear

__all__ = ["Ridge"]


@dataclass(frozen=True)
class Ridge(Linear):
    """Linear least squares with a penalty on squared weights.

    mean ½ |x w + b - y|² + ½ Σ_g l2 · l2_group_g · |w_g|². On classes, y is one-hot and the largest output
    is the class, as in scikit-learn's RidgeClassifier.

    Source: Hoerl & Kennard (1970).
    """

    name: ClassVar[str] = "ridge"

    def row_loss(self, dataset: Dataset) -> Any:
        return half_squared_error

    def targets(self, dataset: Dataset, y: np.ndarray) -> np.ndarray:
        return np.eye(dataset.outputs)[y] if dataset.kind == "classification" else y[:, None]
