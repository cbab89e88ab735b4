"""What every method would do with a problem, and cost: the table behind `hypergrad grad --explain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypergrad.errors import DerivativeError
from hypergrad.hypergradients.base import Method, chosen
from hypergrad.hypergradients.plan import Plan
from hypergrad.hypergradients.prepare import unrolled

__all__ = ["Offer", "offers"]


@dataclass(frozen=True)
class Offer:
    """What one method would do.

    Attributes:
        name: of the method, in METHODS.
        plan: its cost; None where it cannot differentiate this problem.
        refusal: why not; empty where it can.
    """

    name: str
    plan: Plan | None
    refusal: str = ""


def offers(
    methods: Mapping[str, Callable[[], Method]],
    problem: Any,
    hparams: Any,
    seed: int = 0,
    wrt: Sequence[str] | str | None = None,
) -> list[Offer]:
    """The plan of each method, or why it has none; nothing is trained. Arguments as in `hypergradient`."""
    found = []
    for name, make in methods.items():
        trajectory = unrolled(problem, hparams, seed)
        try:
            method, asked = make(), chosen(trajectory, wrt)
            if wrt is not None:
                method.named(trajectory, asked)
            found.append(Offer(name, method.plan(trajectory, asked)))
        except DerivativeError as error:
            found.append(Offer(name, None, str(error)))
    return found
