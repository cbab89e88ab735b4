"""The arguments of parameters, checked and made canonical."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError

__all__ = ["LIMIT", "Conditions", "conditions", "flag", "integer", "nested", "number", "plain", "same"]

LIMIT = 2**40  # beyond it a bin of a logarithmic Int is narrower than the spacing of doubles near 1

Conditions = tuple[tuple[str, tuple[Any, ...]], ...]


def number(value: Any, what: str) -> float:
    """`value` as a finite float; refuses booleans, strings and arrays."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise SpaceError(f"{what} is {value!r}, expected a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise SpaceError(f"{what} is {found}, expected a finite number")
    return found


def integer(value: Any, what: str) -> int:
    """`value` as an int of moderate size; refuses booleans and floats."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise SpaceError(f"{what} is {value!r}, expected an integer")
    found = operator.index(value)
    if abs(found) > LIMIT:
        raise SpaceError(f"{what} is {found}, expected at most 2**40 in magnitude; use a logarithmic Float")
    return found


def flag(value: Any, what: str) -> bool:
    """`value` as a bool."""
    if not isinstance(value, bool | np.bool_):
        raise SpaceError(f"{what} is {value!r}, expected True or False")
    return bool(value)


def nested(array: np.ndarray) -> Any:
    """`array` as nested tuples of floats: hashable and comparable."""
    return tuple(map(nested, array)) if array.ndim else float(array)


def plain(value: Any, what: str, advice: str) -> Any:
    """`value` as a string, a boolean, an int, a finite float or None."""
    found = value.item() if isinstance(value, np.generic) else value
    if found is not None and not isinstance(found, str | bool | int | float):
        raise SpaceError(f"{what} is {value!r}, expected a string, a number, a boolean or None; {advice}")
    if isinstance(found, float) and not math.isfinite(found):
        raise SpaceError(f"{what} is {found}, expected a finite number")
    return found


def same(one: Any, two: Any) -> bool:
    """Whether two plain values are equal; True is not 1."""
    return isinstance(one, bool) == isinstance(two, bool) and type(one == two) is bool and one == two


def conditions(active_if: Any, kind: str) -> Conditions | None:
    """``active_if`` as sorted pairs (path of another hyperparameter, its allowed values).

    Args:
        active_if: dict of paths to one allowed value or to a list of them; or what this function returned.
        kind: of the parameter, for errors.

    Raises:
        SpaceError: anything else.
    """
    if active_if is None:
        return None
    what = f"active_if of {kind}"
    if not isinstance(active_if, Mapping):
        try:
            active_if = dict(active_if)
        except (TypeError, ValueError):
            raise SpaceError(
                f"{what} is {active_if!r}, expected a dict such as {{'optimizer': 'momentum'}}"
            ) from None
    if not active_if:
        raise SpaceError(f"{what} is empty, expected a dict such as {{'optimizer': 'momentum'}}")
    pairs = []
    for name, allowed in active_if.items():
        if not isinstance(name, str):
            raise SpaceError(f"{what} has the key {name!r}, expected the name of a hyperparameter")
        values = allowed if isinstance(allowed, list | tuple) else [allowed]
        if not values:
            raise SpaceError(f"{what} allows no value of {name!r}, expected at least one")
        advice = "give one value or a list of them"
        pairs.append((name, tuple(plain(value, f"{what}, {name!r},", advice) for value in values)))
    return tuple(sorted(pairs, key=lambda pair: pair[0]))
