"""Stochastic gradient descent: w' = w - lr g (Robbins & Monro 1951)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypergrad.optim.base import Optimizer, Rate

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD(Optimizer):
    """w' = w - lr g.

    Attributes:
        lr: learning rate, natural units.
    """

    lr: Rate = 0.1

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        return w - rate["lr"] * g, ()
