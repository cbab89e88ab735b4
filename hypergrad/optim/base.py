"""What an inner optimiser is: a pure step on whole vectors, whose rates are hyperparameters.

Notation: w parameters (n,), g gradient (n,), each slot a vector (n,) that starts at 0, t = 0..T-1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from hypergrad import tree
from hypergrad.errors import ProblemError, nearest
from hypergrad.optim.exact import MomentumForm
from hypergrad.optim.schedules import Schedule

__all__ = ["Optimizer", "Rate", "children", "lookup"]

Rate = float | str | Schedule


class Optimizer(ABC):
    """An update rule. Subclasses are frozen dataclasses whose fields are rates, or `options`.

    Each rate is a number, a key of the hyperparameters ("opt/lr" for a nested one), or a schedule. A
    hyperparameter that is a dict over the top-level keys of the parameters gives one rate a layer.

    Raises:
        ProblemError: a rate that is none of these.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        self.rates()

    def rates(self) -> dict[str, Rate]:
        """Rate of each name; a tuple field ``betas`` becomes ``betas/0``, ``betas/1``."""
        found: dict[str, Rate] = {}
        for field in fields(self):  # type: ignore[arg-type]
            if field.name in self.options:
                continue
            value = getattr(self, field.name)
            parts = (
                {f"{field.name}/{i}": v for i, v in enumerate(value)}
                if isinstance(value, tuple | list)
                else {field.name: value}
            )
            for name, rate in parts.items():
                if isinstance(rate, bool) or not isinstance(
                    rate, int | float | str | np.floating | np.integer | Schedule
                ):
                    raise ProblemError(
                        f"{type(self).__name__}({field.name}=...) takes a number, a key of hparams or a "
                        f"schedule, got {rate!r}"
                    )
                found[name] = rate if isinstance(rate, str | Schedule) else float(rate)
        return found

    def derived(self, rates: Mapping[str, Any], t: np.ndarray) -> dict[str, Any]:
        """More rows of shape (T,) that depend on the rates and the step alone (bias corrections).

        Args:
            rates: each a number, an array () or an array (T,).
            t: the steps 1..T, shape (T,), float.
        """
        return {}

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
            slots: one vector (n,) for each of `slots`.
            rate: each a number, an array () or an array (n,).
        """


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
