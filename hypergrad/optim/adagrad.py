"""Adagrad (Duchi et al. 2011, eq. 1 with diagonal matrices), with eps outside the square root as in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hypergrad.optim.base import Optimizer, Rate, decayed, is_off

__all__ = ["Adagrad"]


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """g' = g + weight_decay w;  v' = v + g'²;  w' = w - lr / (1 + (t - 1) lr_decay) g' / (sqrt(v') + eps), t = 1..T.

    Differentiable also where g = 0 has kept v' at 0: the slope of sqrt is taken to be 0 there.

    Attributes:
        lr: learning rate, natural units.
        lr_decay: 0 or more.
        weight_decay: of all parameters, 0 or more; the number 0 costs nothing.
        initial_accumulator_value: v before the first step, 0 or more; a number or a key, no schedule.
        eps: added to the square root, natural units.
    """

    slots: ClassVar[tuple[str, ...]] = ("square",)
    initial: ClassVar[tuple[str, ...]] = ("initial_accumulator_value",)
    coupled: ClassVar[bool] = True

    lr: Rate = 0.01
    lr_decay: Rate = 0.0
    weight_decay: Rate = 0.0
    initial_accumulator_value: Rate = 0.0
    eps: Rate = 1e-10

    def first_slots(self, n: int, rate: Mapping[str, Any]) -> tuple[Any, ...]:
        return (rate["initial_accumulator_value"],)

    def derived(self, rates: Mapping[str, Any], t: np.ndarray) -> dict[str, Any]:
        decay = rates["lr_decay"]
        return {} if is_off(decay) else {"rate": rates["lr"] / (1.0 + (t - 1.0) * decay)}

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        g = decayed(g, w, rate["weight_decay"])
        square = slots[0] + g * g
        lr = rate["rate"] if "rate" in rate else rate["lr"]
        return w - lr * (g / (np.sqrt(square) + rate["eps"])), (square,)
