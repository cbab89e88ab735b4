"""RMSProp (Tieleman & Hinton 2012, lecture 6.5; centred: Graves 2013, eq. 38-45), with eps outside the square
root as in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hypergrad.errors import ProblemError
from hypergrad.optim.base import Optimizer, Rate, decayed, is_off

__all__ = ["RMSProp"]


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """g' = g + weight_decay w;  v' = alpha v + (1 - alpha) g'²;  u = g' / (sqrt(v') + eps);
    m' = momentum m + u;  w' = w - lr m'.

    Centred: a' = alpha a + (1 - alpha) g', and sqrt(v' - a'²) instead of sqrt(v').
    Differentiable also where g = 0 has kept v' at 0: the slope of sqrt is taken to be 0 there.

    Attributes:
        lr: learning rate, natural units.
        alpha: in [0, 1]: what remains of the mean of squares after a step.
        eps: added to the square root, natural units.
        momentum: in [0, 1); the number 0 costs nothing.
        weight_decay: of all parameters, 0 or more; the number 0 costs nothing.
        centered: whether the square of the mean is taken off the mean of squares. Where rounding makes their
            difference negative it counts as 0.
    """

    options: ClassVar[tuple[str, ...]] = ("centered",)
    coupled: ClassVar[bool] = True

    factors: ClassVar[tuple[str, ...]] = ("alpha", "momentum")

    lr: Rate = 0.01
    alpha: Rate = 0.99
    eps: Rate = 1e-8
    momentum: Rate = 0.0
    weight_decay: Rate = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.centered, bool):
            raise ProblemError(f"RMSProp(centered=...) takes True or False, got {self.centered!r}")
        super().__post_init__()

    @property
    def slots(self) -> tuple[str, ...]:
        heavy = not is_off(self.momentum)
        return ("square", *(["mean"] if self.centered else []), *(["momentum"] if heavy else []))

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        old, alpha = dict(zip(self.slots, slots, strict=True)), rate["alpha"]
        g = decayed(g, w, rate["weight_decay"])
        new = {"square": alpha * old["square"] + (1.0 - alpha) * (g * g)}
        variance = new["square"]
        if self.centered:
            new["mean"] = alpha * old["mean"] + (1.0 - alpha) * g
            variance = np.maximum(variance - new["mean"] * new["mean"], 0.0)
        step = g / (np.sqrt(variance) + rate["eps"])
        if "momentum" in old:
            step = new["momentum"] = rate["momentum"] * old["momentum"] + step
        return w - rate["lr"] * step, tuple(new[name] for name in self.slots)
