"""What an inner optimiser is: a pure step on whole vectors, whose rates are hyperparameters.

Notation: w parameters (n,), g gradient (n,), each slot a vector, t = 0..T-1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from hypergrad import tree
from hypergrad.errors import ProblemError, nearest
from hypergrad.optim.exact import MomentumForm
from hypergrad.optim.reader import Rate, Reader, Schedule

__all__ = ["Optimizer", "Rate", "children", "decayed", "is_off", "keys_of", "lookup"]


class Optimizer(Reader, ABC):
    """An update rule. Subclasses are frozen dataclasses whose fields are rates, or `options`.

    Each rate is a number, a key of the hyperparameters ("opt/lr" for a nested one), or a schedule. A
    hyperparameter that is a dict over the top-level keys of the parameters gives one rate a layer.

    Attributes:
        options: fields that are no rates.
        initial: rates that are read once, for the first slots.
        factors: rates that are decay factors, in [0, 1).
        coupled: whether a rate weight_decay enters through the gradient alone, as `decayed` has it, so that training
            descends the inner loss plus weight_decay/2 |w|².
        full_batch: whether every step must see the same rows.
        curvature: whether `update` reads the Hessian of the inner loss at w, (n, n), as the rate "hessian".

    Raises:
        ProblemError: a rate that is none of these, or a schedule of what is read once.
    """

    initial: ClassVar[tuple[str, ...]] = ()
    factors: ClassVar[tuple[str, ...]] = ()
    full_batch: ClassVar[bool] = False
    coupled: ClassVar[bool] = False
    curvature: ClassVar[bool] = False

    def __post_init__(self) -> None:
        rates = self.rates()
        for name in self.initial:
            if isinstance(rates[name], Schedule):
                raise ProblemError(
                    f"{type(self).__name__}({name}=...) is read once, before the first step; "
                    f"write a number or a key of hparams, not {rates[name]!r}"
                )

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of what the rule remembers beside w."""
        return ()

    def slot_sizes(self, n: int) -> tuple[int, ...]:
        """Length of each slot for n parameters."""
        return (n,) * len(self.slots)

    def first_slots(self, n: int, rate: Mapping[str, Any]) -> tuple[Any, ...]:
        """The slots before the first step, each broadcast to its length.

        Args:
            rate: the rates named in `initial`: each a number, an array () or an array (n,).
        """
        return (0.0,) * len(self.slots)

    def derived(self, rates: Mapping[str, Any], t: np.ndarray) -> dict[str, Any]:
        """More rows of shape (T,) that depend on the rates and the step alone (bias corrections).

        Args:
            rates: each a number, an array () or an array (T,).
            t: the steps 1..T, shape (T,), float.
        """
        return {}

    def check(self, hparams: Any) -> None:
        """Raise ProblemError where numbers in hparams are outside the domain of what else a step reads."""

    def bound(self, hparams: Any, start: Any) -> dict[str, Any]:
        """What else a step reads of the hyperparameters, given to `update` among the rates.

        Args:
            start: the layout of the parameters (`hypergrad.unroll.layout.Layout`).
        """
        return {}

    def ahead(self, w: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]) -> Any:
        """Where the gradient of a step is taken, (n,)."""
        return w

    def reversal(self, rates: Mapping[str, Any]) -> MomentumForm | None:
        """What `hg.Reversible` needs to undo the steps of this rule; None: it cannot.

        Args:
            rates: each of one shape, float64.
        """
        return None

    @abstractmethod
    def update(
        self, w: Any, g: Any, slots: tuple[Any, ...], rate: Mapping[str, Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        """New parameters and slots, given the rates (and derived rows) of this step.

        Args:
            w, g: parameters and gradient, (n,).
            slots: one vector for each of `slots`, of the length that `slot_sizes` says.
            rate: each a number, an array () or an array (n,).
        """


def keys_of(rate: Rate) -> set[str]:
    """The hyperparameters that a rate reads."""
    if isinstance(rate, Schedule):
        return {key for part in rate.rates().values() for key in keys_of(part)}
    return {rate} if isinstance(rate, str) else set()


def is_off(rate: Any) -> bool:
    """Whether a rate is the number 0, so that the step may leave out what it multiplies."""
    return isinstance(rate, int | float | np.floating) and rate == 0


def decayed(g: Any, w: Any, decay: Any) -> Any:
    """g + decay w, the gradient of the loss plus decay/2 |w|²."""
    return g if is_off(decay) else g + decay * w


def children(node: Any) -> dict[str, Any]:
    """Subtrees of a dict, list, tuple, named tuple or dataclass, named as in `tree.paths`; {} for a leaf."""
    keys = tree.structure(node).keys
    if isinstance(node, dict):
        return {str(key): node[key] for key in keys}
    if isinstance(node, list | tuple):
        return dict(zip(map(str, keys), node, strict=True))
    return {key: getattr(node, key) for key in keys}


def lookup(hparams: Any, key: str) -> Any:
    """The hyperparameter, or the subtree, at a path like "opt/lr".

    Raises:
        ProblemError: there is none; suggests the nearest key.
    """
    top = children(hparams)
    if key in top:
        return top[key]
    found = hparams
    for part in key.split("/"):
        below = children(found)
        if part not in below:
            choices = [path for path in tree.paths(hparams) if path]
            close = nearest(key, [*choices, *top])
            hint = f"did you mean {close!r}?" if close else f"it has {', '.join(choices) or 'no keys'}"
            raise ProblemError(f"the optimizer reads hparams[{key!r}], which hparams lacks; {hint}")
        found = below[part]
    return found
