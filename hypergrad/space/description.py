"""A space as JSON, the same text for equal spaces, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError, unknown_name
from hypergrad.parameters import Categorical, Fidelity, Float, Int, Ordinal, Parameter
from hypergrad.space.constants import listed
from hypergrad.space.constraints import Constraint, Unstored, named
from hypergrad.space.relations import Relation

__all__ = ["KINDS", "describe", "rebuild"]

KINDS: dict[str, type[Parameter]] = {
    "float": Float,
    "int": Int,
    "categorical": Categorical,
    "ordinal": Ordinal,
    "fidelity": Fidelity,
}
_UNSET = {
    "logit": False,
    "step": 1,
    "active_if": None,
}  # left out of JSON, as stores made before them have it


def describe(
    parameters: Mapping[str, Parameter], constants: Mapping[str, Any], constraints: Sequence[Constraint]
) -> dict[str, Any]:
    """The description of a space; see `Space.to_json`."""
    entries = []
    for name, parameter in parameters.items():
        kind = next(k for k, v in KINDS.items() if isinstance(parameter, v))
        fields = listed(asdict(parameter))
        for key, unset in _UNSET.items():
            if fields.get(key, unset) == unset:
                fields.pop(key, None)
        if "active_if" in fields:
            fields["active_if"] = dict(fields["active_if"])
        entries.append({"path": name.split("/"), "kind": kind, **fields})
    described: dict[str, Any] = {"parameters": entries}
    if constants:
        described["constants"] = [
            {"path": name.split("/"), "array" if isinstance(value, np.ndarray) else "value": listed(value)}
            for name, value in constants.items()
        ]
    if constraints:
        described["constraints"] = [
            {"text": each.text} if isinstance(each, Relation) else named(each) for each in constraints
        ]
    return described


def rebuild(description: Mapping[str, Any]) -> tuple[dict[str, Any], list[Constraint]]:
    """The tree of parameters and constants that `describe` described, and its constraints, or what stands for them.

    Raises:
        SpaceError: not such a description.
    """
    tree: dict[str, Any] = {}

    def put(path: list[str], leaf: Any) -> None:
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = leaf

    try:
        for entry in description["parameters"]:
            fields = dict(entry)
            path, kind = fields.pop("path"), fields.pop("kind")
            if kind not in KINDS:
                raise unknown_name("kind of parameter", kind, KINDS, SpaceError)
            put(path, KINDS[kind](**fields))
        for entry in description.get("constants", ()):
            put(entry["path"], np.array(entry["array"]) if "array" in entry else entry["value"])
        constraints: list[Constraint] = [
            Relation(each["text"]) if isinstance(each, Mapping) else Unstored(each)
            for each in description.get("constraints", ())
        ]
        return tree, constraints
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise SpaceError(
            f"this describes no space, expected the output of Space.to_json: {error!r}"
        ) from None
