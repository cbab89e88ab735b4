"""Nesterov's accelerated gradient (Nesterov 1983; Sutskever et al. 2013) in PyTorch's form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hypergrad.optim.base import Optimizer, Rate
from hypergrad.optim.exact import MomentumForm

__all__ = ["Nesterov"]


@dataclass(frozen=True)
class Nesterov(Optimizer):
    """m' = momentum m + g; w' = w - lr (g + momentum m').

    Attributes:
        lr: learning rate, natural units.
        momentum: in [0, 1).
    """

    slots: ClassVar[tuple[str, ...]] = ("momentum",)

    lr: Rate = 0.1
    momentum: Rate = 0.9

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        m = rate["momentum"] * slots[0] + g
        return w - rate["lr"] * (g + rate["momentum"] * m), (m,)

    def reversal(self, rates: Mapping[str, Any]) -> MomentumForm:
        return MomentumForm(rates["momentum"], rates["lr"] * rates["momentum"], rates["lr"])
