"""The leaves of a space that are no parameters: fixed values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError

__all__ = ["constant", "equal", "listed", "text"]


def constant(value: Any, name: str) -> Any:
    """A fixed value as it appears in hparams: a string, boolean, int, float, None or an own array of numbers."""
    found = value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value
    if isinstance(found, np.ndarray) and found.size and found.dtype.kind in "fiub":
        if found.dtype.kind != "f" or np.isfinite(found).all():
            return np.array(found, np.float64 if found.dtype.kind == "f" else None)
    elif (
        found is None
        or isinstance(found, str | bool | int)
        or (isinstance(found, float) and math.isfinite(found))
    ):
        return found
    raise SpaceError(
        f"{name!r} is {value!r}, expected a Float, Int, Categorical, Ordinal, a dict of them, or a fixed value: "
        "a finite number, a string, a boolean, None or an array of finite numbers"
    )


def equal(given: Any, fixed: Any) -> bool:
    """Whether a value is the constant; True is not 1, but 1 is 1.0."""
    try:
        one, two = np.asarray(given), np.asarray(fixed)
    except ValueError:
        return False
    if (one.dtype.kind == "b") != (two.dtype.kind == "b") or one.shape != two.shape:
        return False
    return bool(np.all(one == two))


def text(constants: Mapping[str, Any]) -> str:
    """The constants as text, the same for equal ones."""
    return json.dumps(listed(constants), sort_keys=True)


def listed(value: Any) -> Any:
    """`value` with tuples and arrays as lists, as JSON returns them."""
    if isinstance(value, dict):
        return {key: listed(below) for key, below in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [listed(below) for below in value] if isinstance(value, list | tuple) else value
