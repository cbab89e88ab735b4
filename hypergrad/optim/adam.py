"""Adam (Kingma & Ba 2015, algorithm 1): bias-corrected, with eps outside the square root as in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hypergrad.errors import ProblemError
from hypergrad.optim.base import Optimizer, Rate, decayed

__all__ = ["Adam"]


@dataclass(frozen=True)
class Adam(Optimizer):
    """g' = g + weight_decay w;  m' = b1 m + (1 - b1) g';  v' = b2 v + (1 - b2) g'²;
    w' = w - lr / (1 - b1^t) m' / (sqrt(v') / sqrt(1 - b2^t) + eps), t = 1..T.

    Differentiable also where g = 0 has kept v' at 0: the slope of sqrt is taken to be 0 there.

    Attributes:
        lr: learning rate, natural units.
        betas: (b1, b2), each in [0, 1). One that changes from step to step corrects the bias by 1 - b_t^t.
        eps: added to the square root, natural units.
        weight_decay: of all parameters, 0 or more, through the gradient (`AdamW` decouples it); the number 0
            costs nothing.
    """

    slots: ClassVar[tuple[str, ...]] = ("mean", "square")
    coupled: ClassVar[bool] = True

    factors: ClassVar[tuple[str, ...]] = ("betas/0", "betas/1")

    lr: Rate = 1e-3
    betas: tuple[Rate, Rate] = (0.9, 0.999)
    eps: Rate = 1e-8
    weight_decay: Rate = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.betas, tuple | list) or len(self.betas) != 2:
            raise ProblemError(f"{type(self).__name__}(betas=...) takes a pair (b1, b2), got {self.betas!r}")
        object.__setattr__(self, "betas", tuple(self.betas))
        super().__post_init__()

    def derived(self, rates: Mapping[str, Any], t: np.ndarray) -> dict[str, Any]:
        return {
            "rate": rates["lr"] / (1.0 - rates["betas/0"] ** t),
            "scale": 1.0 / np.sqrt(1.0 - rates["betas/1"] ** t),
        }

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        b1, b2 = rate["betas/0"], rate["betas/1"]
        g = decayed(g, w, rate["weight_decay"])
        mean = b1 * slots[0] + (1.0 - b1) * g
        square = b2 * slots[1] + (1.0 - b2) * (g * g)
        return w - rate["rate"] * (mean / (np.sqrt(square) * rate["scale"] + rate["eps"])), (mean, square)
