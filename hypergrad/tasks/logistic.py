"""Logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hypergrad.errors import DataError
from hypergrad.tasks.base import cross_entropy
from hypergrad.tasks.data import Dataset
from hypergrad.tasks.linear import Linear

__all__ = ["Logistic"]


@dataclass(frozen=True)
class Logistic(Linear):
    """Softmax regression with a penalty on squared weights.

    mean -log softmax(x w + b)_y + ½ Σ_g l2 · l2_group_g · |w_g|², with one output a class, also for two.
    """

    name: ClassVar[str] = "logistic"

    def row_loss(self, dataset: Dataset) -> Any:
        if dataset.kind != "classification":
            raise DataError(
                f"logistic predicts classes, but the target {dataset.target!r} of {dataset.name} is a quantity; "
                "use ridge or mlp"
            )
        return cross_entropy
