"""Heavy-ball momentum (Polyak 1964) in PyTorch's form: m' = momentum m + g, w' = w - lr m'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hypergrad.optim.base import Optimizer, Rate, decayed
from hypergrad.optim.exact import MomentumForm

__all__ = ["Momentum"]


@dataclass(frozen=True)
class Momentum(Optimizer):
    """m' = momentum m + g + weight_decay w; w' = w - lr m'.

    Polyak's and Maclaurin's form puts lr inside m; both agree while lr is constant.

    Attributes:
        lr: learning rate, natural units.
        momentum: in [0, 1).
        weight_decay: of all parameters, 0 or more; the number 0 costs nothing.
    """

    slots: ClassVar[tuple[str, ...]] = ("momentum",)
    coupled: ClassVar[bool] = True

    factors: ClassVar[tuple[str, ...]] = ("momentum",)

    lr: Rate = 0.1
    momentum: Rate = 0.9
    weight_decay: Rate = 0.0

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        m = rate["momentum"] * slots[0] + decayed(g, w, rate["weight_decay"])
        return w - rate["lr"] * m, (m,)

    def reversal(self, rates: Mapping[str, Any]) -> MomentumForm:
        return MomentumForm(decay=rates["momentum"], slope=rates["lr"])
