"""Proximal gradient descent: the inner problem is inner_loss(w) + Ω(w), Ω a penalty with a proximal map.

Notation: as in `hypergrad.optim.base`; Ω and prox as in `hypergrad.optim.penalties`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from hypergrad.errors import ProblemError
from hypergrad.optim.base import Optimizer, Rate
from hypergrad.optim.penalties import L1, Penalty

__all__ = ["FISTA", "ISTA", "Proximal"]


@dataclass(frozen=True)
class Proximal(Optimizer, ABC):
    """A gradient step on inner_loss, then the proximal map of a penalty that inner_loss leaves out.

    The curve of inner losses is without the penalty.

    Attributes:
        lr: step size η; at most 1 / λ_max of the Hessian of inner_loss (FISTA), below 2 / λ_max (ISTA).
        penalty: Ω.
    """

    options: ClassVar[tuple[str, ...]] = ("penalty",)

    lr: Rate = 0.1
    penalty: Penalty = field(default_factory=L1)

    def __post_init__(self) -> None:
        if not isinstance(self.penalty, Penalty):
            raise ProblemError(
                f"{type(self).__name__}(penalty=...) takes a penalty of hg.optim such as L1('alpha'), "
                f"got {self.penalty!r}"
            )
        super().__post_init__()

    def check(self, hparams: Any) -> None:
        self.penalty.check(hparams)

    def bound(self, hparams: Any, start: Any) -> dict[str, Any]:
        return {"penalty": self.penalty.bind(hparams, start)}

    def step(self, rate: Mapping[str, Any]) -> Any:
        """η > 0 of a proximal gradient step whose fixed points are those of this rule, a number or an array (n,).

        Args:
            rate: as in `update`.
        """
        return rate["lr"]


@dataclass(frozen=True)
class ISTA(Proximal):
    """w' = prox_{lr Ω}(w − lr g) (Daubechies, Defrise & De Mol 2004; Combettes & Wajs 2005)."""

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        return self.penalty.prox(w - rate["lr"] * g, rate["lr"], rate["penalty"]), ()


@dataclass(frozen=True)
class FISTA(Proximal):
    """y = w + β_t (w − w₋₁); w' = prox_{lr Ω}(y − lr ∇inner_loss(y)).

    β_t = (θ_t − 1) / θ_{t+1}, θ_1 = 1, θ_{t+1} = (1 + √(1 + 4 θ_t²)) / 2 (Beck & Teboulle 2009, sec. 4).
    """

    @property
    def slots(self) -> tuple[str, ...]:
        return ("previous",)

    def derived(self, rates: Mapping[str, Any], t: np.ndarray) -> dict[str, Any]:
        theta, beta = 1.0, np.empty(len(t))
        for k in range(len(t)):
            after = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * theta * theta))
            beta[k], theta = (theta - 1.0) / after, after
        return {"beta": beta}

    def ahead(self, w: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]) -> Any:
        return w + rate["beta"] * (w - slots[0])

    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        y = self.ahead(w, slots, rate)
        return self.penalty.prox(y - rate["lr"] * g, rate["lr"], rate["penalty"]), (w,)
