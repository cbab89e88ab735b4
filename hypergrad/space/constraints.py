"""Constraints that are known without training: functions of hparams, or texts that `relations` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError
from hypergrad.parameters import Parameter
from hypergrad.space.relations import Relation

__all__ = ["Constraint", "Unstored", "functions", "named", "violated"]

Constraint = Callable[[dict[str, Any]], bool]


class Unstored:
    """Stands for a constraint in a space that was read from a store, which keeps the names only."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, hparams: Any) -> bool:
        raise SpaceError(
            f"the constraint {self.__name__!r} is known by name only, since a store keeps no functions; "
            "make the space anew with Space(..., constraints=) and open the study with it"
        )


def functions(constraints: Any) -> tuple[Constraint, ...]:
    """The constraints as a tuple, texts as relations, or a SpaceError where one cannot be called."""
    if isinstance(constraints, Parameter | Mapping | str) or not hasattr(constraints, "__iter__"):
        raise SpaceError(
            f"constraints is {constraints!r}, expected a list of functions of hparams, or of texts "
            'such as "a + b <= 1"; '
            'a hyperparameter of that name is given as Space({"constraints": ...})'
        )
    found = tuple(Relation(each) if isinstance(each, str) else each for each in constraints)
    for constraint in found:
        if not callable(constraint):
            raise SpaceError(f"a constraint is {constraint!r}, expected a function of hparams or a text")
    return found


def named(constraint: Any) -> str:
    """How a constraint is called, in errors and in stores."""
    return str(getattr(constraint, "__name__", type(constraint).__name__))


def violated(constraints: Iterable[Constraint], hparams: dict[str, Any]) -> str | None:
    """The name of the first constraint that refuses `hparams`; see `Space.violated`."""
    for constraint in constraints:
        answer = constraint(hparams)
        if not isinstance(answer, bool | np.bool_):
            raise SpaceError(
                f"the constraint {named(constraint)!r} answered {answer!r}, expected True or False"
            )
        if not answer:
            return named(constraint)
    return None
