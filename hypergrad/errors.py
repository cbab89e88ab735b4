"""The exception family.

::

    HypergradError
    ├── TracingError (TypeError)            a traced value was used where tracing cannot follow
    │   └── UnsupportedError                a NumPy or SciPy function that has no rule
    ├── ShapeError (ValueError)             shapes that do not fit
    ├── TreeError (ValueError)              trees of different structure, or a leaf that is not an array
    ├── DerivativeError (ValueError)        the derivative asked for does not exist, or a check of one failed
    │   └── RangeError                      these numbers are outside those that a method can hold; others may not be
    ├── NonFiniteError (ArithmeticError)    inside hg.debug(): a number that is not finite, and where it arose
    ├── ProblemError (ValueError)           a training problem that contradicts itself
    ├── SpaceError (ValueError)             a search space, or a point that is not in it
    ├── DataError (ValueError)              a table that cannot be learned from
    ├── UnknownNameError (LookupError)      a name that no registry holds
    ├── ExperimentError (ValueError)        an experiment folder that cannot be read, run or written
    ├── StudyError (ValueError)             a study used against its own record
    │   └── ExhaustedError                  every configuration of a finite space has been tried
    └── StoreError (OSError)                the file of studies is unreadable, locked, full or corrupt

Every message says what was expected, what was got, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DataError",
    "DerivativeError",
    "ExhaustedError",
    "ExperimentError",
    "HypergradError",
    "NonFiniteError",
    "ProblemError",
    "RangeError",
    "ShapeError",
    "SpaceError",
    "StoreError",
    "StudyError",
    "TracingError",
    "TreeError",
    "UnknownNameError",
    "UnsupportedError",
    "nearest",
    "unknown_name",
]


class HypergradError(Exception):
    """The base of every error that hypergrad raises on purpose."""


class TracingError(HypergradError, TypeError):
    """A traced value was used where tracing cannot follow (``if``, ``float()``, ...)."""


class UnsupportedError(TracingError):
    """A NumPy or SciPy function that has no rule was called on a traced value."""


class ShapeError(HypergradError, ValueError):
    """Shapes that do not fit together."""


class TreeError(HypergradError, ValueError):
    """Trees of different structure, or a leaf that is not an array."""


class DerivativeError(HypergradError, ValueError):
    """The derivative asked for does not exist, or a check of one failed."""


class RangeError(DerivativeError):
    """At these hyperparameters a number is outside the range of the method, which may hold elsewhere."""


class NonFiniteError(HypergradError, ArithmeticError):
    """Inside `hypergrad.debug`: a number that is not finite, and where it arose."""


class ProblemError(HypergradError, ValueError):
    """A training problem that contradicts itself."""


class SpaceError(HypergradError, ValueError):
    """A search space that contradicts itself, or a point that is not in it."""


class DataError(HypergradError, ValueError):
    """A table that cannot be read or learned from."""


class UnknownNameError(HypergradError, LookupError):
    """A name that no registry holds."""


class ExperimentError(HypergradError, ValueError):
    """An experiment folder that cannot be read, run or written."""


class StudyError(HypergradError, ValueError):
    """A study used against its own record."""


class ExhaustedError(StudyError):
    """Every configuration of a finite space has been tried, so that there is nothing left to ask for."""


class StoreError(HypergradError, OSError):
    """The file of studies is unreadable, locked, full or corrupt."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice closest in spelling to `name`, ignoring case; None when none is close."""
    by_folded = {str(choice).casefold(): str(choice) for choice in choices}
    found = difflib.get_close_matches(str(name).casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def unknown_name(
    kind: str, name: str, choices: Iterable[str], error: type[HypergradError] = UnknownNameError
) -> HypergradError:
    """The error for an unknown `name` of some `kind`: suggests the nearest choice, or lists all.

    >>> raise unknown_name("task", "rige", ["ridge", "mlp"])
    Traceback (most recent call last):
    hypergrad.errors.UnknownNameError: no task 'rige'; did you mean 'ridge'?
    """
    choices = [str(choice) for choice in choices]
    close = nearest(name, choices)
    hint = f"did you mean {close!r}?" if close else f"choose from {', '.join(choices) or 'nothing'}"
    return error(f"no {kind} {name!r}; {hint}")
