"""Stochastic gradient descent: w' = w - lr g (Robbins & Monro 1951)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hypergrad.optim.base import Optimizer, Rate, decayed

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD(Optimizer):
    """w' = w - lr (g + weight_decay w).

    Attributes:
        lr: learning rate, natural units.
        weight_decay: of all parameters, 0 or more; the number 0 costs nothing.
    """

    coupled: ClassVar[bool] = True

    lr: Rate = 0.1
    weight_decay: Rate = 0.0

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        return w - rate["lr"] * decayed(g, w, rate["weight_decay"]), ()
