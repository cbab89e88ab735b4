"""Nesterov's accelerated gradient (Nesterov 1983) in PyTorch's form: a look ahead along the new momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypergrad.optim.base import decayed
from hypergrad.optim.exact import MomentumForm
from hypergrad.optim.momentum import Momentum

__all__ = ["Nesterov"]


@dataclass(frozen=True)
class Nesterov(Momentum):
    """g' = g + weight_decay w;  m' = momentum m + g';  w' = w - lr (g' + momentum m').

    Sutskever et al. (2013, eq. 3-4) take the gradient at w + momentum m instead; in the variable
    w + momentum m theirs is this rule, while lr and momentum are constant.

    Attributes:
        lr, momentum, weight_decay: as in `Momentum`.
    """

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        g = decayed(g, w, rate["weight_decay"])
        m = rate["momentum"] * slots[0] + g
        return w - rate["lr"] * (g + rate["momentum"] * m), (m,)

    def reversal(self, rates: Mapping[str, Any]) -> MomentumForm:
        return MomentumForm(rates["momentum"], rates["lr"] * rates["momentum"], rates["lr"])
