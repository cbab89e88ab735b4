"""What a run.py declares: stages, quantities, tables and figures.

A declared function stays the function that it was. Its arguments are found by name:

==================  ===============================================================================================
argument            what is passed
==================  ===============================================================================================
an axis             its value: the function runs once for each. ``seed`` is an axis; others stand in ``[axes]``
a parameter         its value in ``[parameters]`` of config.toml
a stage             its result. Where that stage has an axis which the function does not take, a dict from the
                    axis's values to the results; of several such axes nested dicts, in the order of its arguments
``canvas``          in a figure: an empty matplotlib Figure, 6 by 4 inches
==================  ===============================================================================================
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from hypergrad.errors import ExperimentError

__all__ = ["CANVAS", "ROLES", "Declared", "declared", "figure", "quantities", "stage", "table"]

CANVAS = "canvas"
ROLES = ("stage", "quantities", "table", "figure")
_MARK = "__hypergrad_experiment__"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declared:
    """A function of a run.py and what it is for.

    Attributes:
        name: of the function, by which others ask for its result.
        function: the function.
        role: one of `ROLES`.
        alone: whether nothing else may run beside it, as where it measures time or memory.
        arguments: names of its arguments.
        optional: those of them that have a default.
    """

    name: str
    function: Callable[..., Any]
    role: str
    alone: bool
    arguments: tuple[str, ...]
    optional: frozenset[str]


@overload
def stage(function: F) -> F: ...
@overload
def stage(*, alone: bool = False) -> Callable[[F], F]: ...
def stage(function: Any = None, *, alone: bool = False) -> Any:
    """Declare a stage: a computation whose result is kept, and computed again only when its code or inputs change.

    It returns numbers, strings, booleans, None, arrays of numbers, and lists, tuples and dicts (string keys) of them.

    Args:
        function: when used without parentheses.
        alone: nothing else runs while it does; for what measures time or memory.
    """
    return _marked("stage", alone) if function is None else _marked("stage", alone)(function)


def quantities(function: F) -> F:
    """Declare the figures to compare with expected.json: a dict from names to numbers or booleans.

    A function that takes ``seed`` gives them for each seed; they are reported as a mean with its interval.
    """
    return _marked("quantities", False)(function)


def table(function: F) -> F:
    """Declare a table: a pandas DataFrame or a list of dicts, written to table.md and NAME.csv."""
    return _marked("table", False)(function)


def figure(function: F) -> F:
    """Declare a figure: draws on its argument ``canvas``, written to NAME.svg and NAME.png."""
    return _marked("figure", False)(function)


def _marked(role: str, alone: bool) -> Callable[[F], F]:
    def mark(function: F) -> F:
        _check(role, function)
        setattr(function, _MARK, (role, alone))
        return function

    return mark


def _check(role: str, function: Any) -> None:
    """Raise unless it is a plain function, whose code can be told."""
    if not inspect.isfunction(function):
        raise ExperimentError(
            f"@{role} is on {getattr(function, '__name__', function)!r}, which is a {type(function).__name__}, "
            f"expected a function; write @{role} above def, without other decorators"
        )


def declared(namespace: dict[str, Any]) -> dict[str, Declared]:
    """The declared functions of a module, by name, in the order in which they stand there.

    Raises:
        ExperimentError: something else than a function is declared, as one that a further decorator has wrapped.
    """
    found: dict[str, Declared] = {}
    for name, value in namespace.items():
        mark = None if isinstance(value, type) else getattr(value, _MARK, None)
        if not isinstance(mark, tuple) or any(value is other.function for other in found.values()):
            continue
        role, alone = mark
        _check(role, value)
        arguments = inspect.signature(value).parameters.values()
        names = tuple(argument.name for argument in arguments)
        optional = frozenset(a.name for a in arguments if a.default is not inspect.Parameter.empty)
        found[name] = Declared(name, value, role, alone, names, optional)
    return found
