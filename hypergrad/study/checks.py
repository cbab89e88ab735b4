"""What users tell a study, checked and made canonical: the same bits now and after a resume."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError, StoreError, StudyError, unknown_name
from hypergrad.samplers.base import Sampler
from hypergrad.space import Float, Space
from hypergrad.study.codec import decode, encode
from hypergrad.study.store import StudyRow

__all__ = [
    "Settings",
    "amount",
    "bounds",
    "canonical_gradient",
    "canonical_hparams",
    "check_arguments",
    "curve",
    "described",
    "difference",
    "index",
    "number",
    "seed",
    "settings",
]


@dataclass(frozen=True)
class Settings:
    """What a study is made of.

    Attributes:
        space: Space.to_json().
        sampler: `described`.
        seed: of the study.
        info: whatever its maker wants to remember; not compared.
        constraints: largest feasible value of each black-box constraint, by name.
        origins: a description of each earlier study, as `earlier.Origin`.
    """

    space: dict[str, Any]
    sampler: dict[str, Any]
    seed: int
    info: dict[str, Any]
    constraints: dict[str, float] = dataclasses.field(default_factory=dict)
    origins: list[dict[str, Any]] | None = None


def number(value: Any, what: str) -> float:
    """`value` as a float; nan and inf are numbers.

    Raises:
        StudyError: not one real number.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, object)
    if array.size == 1 and array.dtype.kind in "fiu":
        return float(array.reshape(())[()])
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1023:  # beyond 64 bits
        return float(value)
    kind = f"an array of shape {array.shape}" if array.ndim else repr(value)
    raise StudyError(f"{what} is {kind}, expected one real number")


def amount(value: Any, what: str, finite: bool = True) -> float:
    """`value` as a float >= 0, finite unless told otherwise, or a StudyError."""
    found = number(value, what)
    if not found >= 0.0 or (finite and found == np.inf):
        raise StudyError(f"{what} is {found}, expected a number >= 0")
    return found


def index(value: Any, what: str) -> int:
    """`value` as an int, or a StudyError."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise StudyError(f"{what} is {value!r}, expected an integer")
    return operator.index(value)


def curve(values: Any, number: int) -> np.ndarray:
    """A learning curve as a vector of float64, or a StudyError."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "fiu"):
        raise StudyError(
            f"the curve of trial {number} has the shape {array.shape} and the type {array.dtype}, "
            "expected a vector of numbers"
        )
    return array.astype(np.float64)


def canonical_hparams(space: Space, hparams: Mapping[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
    """`hparams` with the types that `Space.from_unit` returns, and their point in the unit cube, (d,).

    Raises:
        SpaceError: not a point of the space.
    """
    unit = space.to_unit(hparams)

    def conform(like: Mapping, node: Mapping, prefix: str) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key, below in like.items():
            path, given = prefix + key, node.get(key, {})
            if isinstance(below, dict):
                built[key] = conform(below, given, path + "/")
            elif isinstance(below, np.ndarray | float) and path in space.parameters:
                # the very number, not its way through the cube
                built[key] = np.array(given, np.float64) if np.ndim(below) else float(given)
            else:
                built[key] = below
        return built

    return conform(space.from_unit(unit), hparams, ""), unit


def canonical_gradient(
    space: Space, hparams: Mapping[str, Any], gradient: Any, what: str
) -> tuple[dict[str, Any] | None, np.ndarray | None]:
    """The gradient as a full tree of float64, None at unknown leaves, and by unit coordinate.

    Entries at integers, choices and constants have no derivative here and become None; those at inactive
    hyperparameters are left out, as these are of hparams.

    Args:
        hparams: the trial's, canonical.
        gradient: natural units; missing and None leaves are unknown; None: nothing is known.
        what: how to name the gradient in an error.

    Returns:
        (tree like `hparams`, (d,) d value / d unit with nan where unknown); (None, None): nothing is known.

    Raises:
        StudyError: an unknown key, a wrong shape, or a leaf that is no array of real numbers.
    """

    def conform(like: Mapping, node: Any, prefix: str) -> dict[str, Any]:
        if node is None:
            node = {}
        if not isinstance(node, Mapping):
            where = f"{what} at {prefix[:-1]!r}" if prefix else what
            raise StudyError(
                f"{where} is a {type(node).__name__}, expected a dict with some of the keys {', '.join(like)}"
            )
        for key in node:
            if key not in like and prefix + key not in paths:
                names = [prefix + known for known in like]
                problem = unknown_name("hyperparameter", f"{prefix}{key}", names)
                raise StudyError(f"{what} names {problem}")
        built: dict[str, Any] = {}
        for key, below in like.items():
            path, given = prefix + key, node.get(key)
            if isinstance(below, dict):
                built[key] = conform(below, given, path + "/")
            elif given is None or not isinstance(space.parameters.get(path), Float):
                built[key] = None
            else:
                built[key] = _leaf(given, np.shape(below), f"{what} at {path!r}")
                known.append(path)
        return built

    known: list[str] = []
    paths = space.paths
    full = conform(hparams, gradient, "")
    if not known:
        return None, None
    with np.errstate(over="ignore", invalid="ignore"):
        unit = space.gradient_to_unit(hparams, full)
    return full, unit


def _leaf(value: Any, shape: tuple[int, ...], what: str) -> float | np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "fiu":
        raise StudyError(f"{what} is {value!r}, expected real numbers of shape {shape}, or None")
    if array.shape != shape:
        raise StudyError(f"{what} has the shape {array.shape}, expected {shape}")
    return array.astype(np.float64) if shape else float(array)


def described(sampler: Sampler) -> dict[str, Any]:
    """The class and the settings of a sampler, for a comparison on reopening.

    Raises:
        StudyError: a setting that cannot be stored.
    """

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return {"name": type(value).__name__, "fields": fields}
        return value

    whole = plain(sampler)
    if not isinstance(whole, dict):
        whole = {"name": type(sampler).__name__, "fields": {}}
    return decode(encode(whole, f"the sampler {type(sampler).__name__}"))


def _spelled(description: Mapping[str, Any]) -> str:
    fields = ", ".join(f"{name}={value!r}" for name, value in description["fields"].items())
    return f"{description['name']}({fields})"


def settings(row: StudyRow, store: str) -> Settings:
    """The settings of a stored study.

    Raises:
        StoreError: the row is damaged.
    """
    try:
        found = Settings(
            decode(row.space),
            decode(row.sampler),
            row.seed,
            decode(row.info),
            decode(row.constraints),
            decode(row.origins),
        )
        Space.from_json(found.space)
        _spelled(found.sampler)
        return found
    except (SpaceError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StoreError(
            f"the study {row.name!r} in {store} is damaged: {error}; use a copy of the file"
        ) from error


def difference(stored: Settings, given: Settings) -> str | None:
    """How a stored study differs from the one asked for, as "the seed 0, not 1"; None: it does not."""
    if encode(stored.space) != encode(given.space):
        return _space_difference(stored.space, given.space)
    if encode(stored.sampler) != encode(given.sampler):
        return f"the sampler {_spelled(stored.sampler)}, not {_spelled(given.sampler)}"
    if stored.seed != given.seed:
        return f"the seed {stored.seed}, not {given.seed}"
    if stored.constraints != given.constraints or list(stored.constraints) != list(given.constraints):
        return f"the constraints {_bounds(stored.constraints)}, not {_bounds(given.constraints)}"
    if given.origins is not None:
        was, now = ([origin["key"] for origin in each or ()] for each in (stored.origins, given.origins))
        if was != now:
            return f"the earlier studies {', '.join(was) or 'none'}, not {', '.join(now) or 'none'}"
    return None


def _bounds(constraints: Mapping[str, float]) -> str:
    return ", ".join(f"{name} <= {bound!r}" for name, bound in constraints.items()) or "none"


def bounds(given: Any, name: str) -> dict[str, float]:
    """The constraints of a study as a dict of finite bounds, or a StudyError."""
    what = f"the constraints of study {name!r}"
    if isinstance(given, str) or not isinstance(given, Mapping | Iterable):
        raise StudyError(
            f"{what} are {given!r}, expected a list of names or a dict such as {{'latency': 0.3}}"
        )
    pairs = given.items() if isinstance(given, Mapping) else [(each, 0.0) for each in given]
    found: dict[str, float] = {}
    for each, bound in pairs:
        if not isinstance(each, str) or not each:
            raise StudyError(f"{what} hold {each!r}, expected a name such as 'latency'")
        if each in found:
            raise StudyError(f"{what} hold {each!r} twice")
        found[each] = number(bound, f"the bound of the constraint {each!r}")
        if not np.isfinite(found[each]):
            raise StudyError(f"the bound of the constraint {each!r} is {bound!r}, expected a finite number")
    return found


def _space_difference(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    stored_space, given_space = Space.from_json(stored), Space.from_json(given)
    old = {**stored_space.parameters, **stored_space.constants}
    new = {**given_space.parameters, **given_space.constants}
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            return f"a space with the hyperparameter {name!r}, which is not in the space given"
        if name not in old:
            return f"a space without the hyperparameter {name!r}"
        before, after = old[name], new[name]
        if type(before) is not type(after):
            return f"{name!r} as {type(before).__name__}, not {type(after).__name__}"
        if name in stored_space.constants:
            if repr(before) != repr(after):
                return f"{name!r} fixed at {_short(before)}, not {_short(after)}"
            continue
        for entry in dataclasses.fields(before):
            was, now = getattr(before, entry.name), getattr(after, entry.name)
            if repr(was) != repr(now):
                return f"{entry.name}={_short(was)} of {name!r}, not {_short(now)}"
    was, now = stored.get("constraints", []), given.get("constraints", [])
    if was != now:
        return f"the constraints {_named(was)}, not {_named(now)}"
    return "another description of the same space"


def _named(constraints: Any) -> str:
    """The constraints of a description of a space."""
    names = [each["text"] if isinstance(each, Mapping) else each for each in constraints]
    return ", ".join(names) or "none"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_arguments(name: Any, space: Any, sampler: Any, key: Any) -> None:
    """Refuse what `Study` cannot be made of, by a StudyError."""
    if not isinstance(name, str) or not name:
        raise StudyError(f"the name of the study is {name!r}, expected a string such as 'digits'")
    if key is not None and (not isinstance(key, str) or not key):
        raise StudyError(f"the key of the study is {key!r}, expected a string or None")
    if not isinstance(space, Space):
        raise StudyError(f"the space of study {name!r} is {space!r}, expected a Space")
    if sampler is not None and not isinstance(sampler, Sampler):
        raise StudyError(
            f"the sampler of study {name!r} is {sampler!r}, expected one such as samplers.Random()"
        )


def seed(value: Any) -> int:
    """A seed that SQLite can hold, or a StudyError."""
    number = index(value, "the seed")
    if not 0 <= number < 2**63:
        raise StudyError(f"the seed is {number}, expected an integer from 0 to 2**63 - 1")
    return number
