"""What reads hyperparameters as rates: optimisers, and the schedules of their rates.

Notation: T steps t = 0..T-1. A rate is a number, a key of the hyperparameters, or a schedule. A hyperparameter
that is a dict over the top-level keys of the parameters gives one rate a layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from hypergrad.errors import ProblemError

__all__ = ["Rate", "Reader", "Schedule"]


class Reader:
    """A frozen dataclass whose fields are rates, or `options`.

    Attributes:
        options: fields that are no rates.

    Raises:
        ProblemError: a rate that is neither a number, a key, nor a schedule.
    """

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


class Schedule(Reader, ABC):
    """A rate that changes from step to step, evaluated for all steps at once, outside the training step.

    Its own rates (where it starts, where it ends) may be keys, and are then differentiated, or other schedules.

    Attributes:
        arrays: fields that are the key of an array (one entry a step, a knot or a window).
        domains: field -> (what its numbers must be, the test of them).
    """

    arrays: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in self.arrays:
            key = getattr(self, name)
            if not isinstance(key, str):
                raise ProblemError(f"{type(self).__name__} takes a key of hparams, got {key!r}")
        for name, rate in self.rates().items():
            if isinstance(rate, float):
                self.check(name, np.asarray(rate), f"{name}")

    @property
    def domains(self) -> Mapping[str, tuple[str, Callable[[np.ndarray], Any]]]:
        return {}

    @abstractmethod
    def rows(self, values: Mapping[str, Any], steps: int) -> Any:
        """The rate at each step, of shape (steps,).

        Args:
            values: of each field that is no option: a number, an array () or a row (steps,); an array of any
                shape for one of `arrays`.

        Raises:
            ProblemError: an array of the wrong shape.
        """

    def check(self, field: str, value: np.ndarray, where: str) -> None:
        """Raise ProblemError where numbers of a field are outside its domain.

        Args:
            where: what the user calls them.
        """
        if field in self.domains:
            what, test = self.domains[field]
            wrong = np.asarray(value)[~np.asarray(test(value))]
            if wrong.size:
                name = "knots" if field in self.arrays else field
                raise ProblemError(f"{self!r} needs {what} {name}, got {where} = {wrong.flat[0]}")


Rate = float | str | Schedule
