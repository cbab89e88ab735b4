"""Spaces written by people, as TOML or JSON.

::

    lr = {type = "float", low = 1e-4, high = 1.0, log = true, default = 0.1}
    layers = {type = "int", low = 1, high = 4}
    batch = {type = "ordinal", choices = [16, 32, 64]}
    steps = 1000                       # a fixed value

    [opt]                              # a group
    kind = {type = "categorical", choices = ["sgd", "momentum"]}
    momentum = {type = "float", low = 0.5, high = 0.99, active_if = {"opt/kind" = "momentum"}}

A list of texts under ``constraints``, at the top, says which values go together; they come before the first group::

    constraints = ["layers * batch <= 128", "opt.momentum <= 0.9 or lr < 0.5"]

A text holds comparisons of arithmetic over the names of the space, and is never run as code: see
`hypergrad.space.relations`.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError, unknown_name
from hypergrad.space.core import Space
from hypergrad.space.description import KINDS

__all__ = ["read_space"]


def read_space(path: str | Path) -> Space:
    """The space that a file describes.

    A table with a ``type`` (float, int, categorical, ordinal) is a hyperparameter, and its other keys are the
    arguments of `Float`, `Int`, `Categorical` or `Ordinal`; a table without is a group; ``constraints`` at the top, a
    list of texts, holds for the whole space; anything else is a fixed value. The output of `Space.to_json` is read too.

    Args:
        path: ends in .toml or .json.

    Raises:
        SpaceError: the file cannot be read, or what it says is no space; names the file, and the key or the constraint
            and the place in it.
    """
    tree = _parsed(Path(path))
    try:
        if isinstance(tree, Mapping) and isinstance(tree.get("parameters"), list):
            return Space.from_json(tree)
        if not isinstance(tree, Mapping):
            raise SpaceError(f"expected a table of hyperparameters, got a {type(tree).__name__}")
        texts = _constraints(tree.get("constraints"))
        return Space(
            _group({key: node for key, node in tree.items() if texts is None or key != "constraints"}, ""),
            constraints=texts or (),
        )
    except SpaceError as error:
        raise SpaceError(f"{path}: {error}") from None


def _parsed(path: Path) -> Any:
    """The content of the file as dicts, lists and scalars."""
    suffix = path.suffix.lower()
    if suffix not in (".toml", ".json"):
        raise SpaceError(f"{path} is no file of a space; write it as TOML or JSON, in a file that ends so")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SpaceError(f"{path} is no text in UTF-8; write the space as TOML or JSON") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpaceError(f"the space {path} cannot be read ({reason}); check the path") from None
    try:
        return tomllib.loads(text) if suffix == ".toml" else json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise SpaceError(f"{path} is nested too deeply for a space") from None
    except ValueError as error:
        raise SpaceError(f"{path} is no {suffix[1:].upper()}: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return found


def _constraints(node: Any) -> list[str] | None:
    """The texts under ``constraints``; None where there are none, or it is a hyperparameter, a group or numbers."""
    if isinstance(node, str) or (isinstance(node, list) and any(isinstance(each, str) for each in node)):
        if isinstance(node, str) or not all(isinstance(each, str) for each in node):
            raise SpaceError(
                f'constraints is {node!r}, expected a list of texts such as ["layers * width <= 4096"]'
            )
        return node
    return [] if node == [] else None


def _group(tree: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {key: _leaf(node, f"{prefix}{key}") for key, node in tree.items()}


def _leaf(node: Any, path: str) -> Any:
    if isinstance(node, Mapping):
        return _parameter(node, path) if isinstance(node.get("type"), str) else _group(node, f"{path}/")
    if isinstance(node, list):
        try:
            array = np.array(node)
        except ValueError:
            array = np.empty(0, object)
        if array.dtype.kind not in "fiub":
            raise SpaceError(
                f'{path!r} is a list of something else than numbers; for choices write {{type = "categorical", '
                "choices = [...]}"
            )
        return array
    return node


def _parameter(node: Mapping[str, Any], path: str) -> Any:
    if node["type"] not in KINDS:
        raise SpaceError(f"{path!r}: {unknown_name('type of hyperparameter', node['type'], KINDS)}")
    kind = KINDS[node["type"]]
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in node:
        if key != "type" and key not in fields:
            raise SpaceError(f"{path!r} ({node['type']}): {unknown_name('key', key, fields)}")
    for name, field in fields.items():
        if name not in node and field.default is dataclasses.MISSING:
            raise SpaceError(f"{path!r} ({node['type']}) lacks {name!r}; write {name} = ...")
    try:
        return kind(**{key: value for key, value in node.items() if key != "type"})
    except SpaceError as error:
        raise SpaceError(f"{path!r}: {error}") from None
