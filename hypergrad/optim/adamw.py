"""AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2) in PyTorch's form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hypergrad.optim.adam import Adam
from hypergrad.optim.base import Rate, is_off

__all__ = ["AdamW"]


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam's step from (1 - lr weight_decay) w instead of w; its moments are those of g alone.

    The paper multiplies weight_decay by the schedule's factor only, PyTorch and this rule by the whole lr.

    Attributes:
        lr, betas, eps: as in `Adam`.
        weight_decay: of all parameters, 0 or more; the number 0 costs nothing.
    """

    coupled: ClassVar[bool] = False

    weight_decay: Rate = 0.01

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        decay = rate["weight_decay"]
        shrunk = w if is_off(decay) else w * (1.0 - rate["lr"] * decay)
        return super().update(shrunk, g, slots, {**rate, "weight_decay": 0.0})
