"""Nested dicts of hyperparameters: walked, copied, and read by path, as ``"opt/lr"``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError, unknown_name
from hypergrad.parameters import Parameter
from hypergrad.space.constants import constant

__all__ = ["build", "copied", "known", "leaves", "walk"]


def walk(tree: Mapping, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, parameter or constant) of each leaf, in sorted order of the keys, as in hypergrad.tree.

    Raises:
        SpaceError: a key that is no name, an empty group, or a leaf that is neither.
    """
    for key in tree:
        if not isinstance(key, str) or not key or "/" in key:
            raise SpaceError(
                f"{key!r} is no name for a hyperparameter, expected a string without '/'; nest dicts instead"
            )
    for key in sorted(tree):
        node, here = tree[key], (*path, key)
        if isinstance(node, Mapping):
            if not node:
                raise SpaceError(f"the group {'/'.join(here)!r} of the space is empty, expected parameters")
            yield from walk(node, here)
        else:
            yield here, node if isinstance(node, Parameter) else constant(node, "/".join(here))


def copied(tree: Mapping) -> dict[str, Any]:
    """New dicts all the way down, with the same leaves."""
    return {key: copied(node) if isinstance(node, Mapping) else node for key, node in tree.items()}


def build(
    tree: Mapping, values: Mapping[str, Any], constants: Mapping[str, Any], prefix: str = ""
) -> dict[str, Any]:
    """The nested dict of the values by path and the constants, in the order in which `tree` was written.

    A leaf without a value is left out, and so is a group of which nothing is left.
    """
    built: dict[str, Any] = {}
    for key, node in tree.items():
        path = prefix + key
        if isinstance(node, dict):
            below = build(node, values, constants, path + "/")
            if below:
                built[key] = below
        elif path in constants:
            value = constants[path]
            built[key] = value.copy() if isinstance(value, np.ndarray) else value
        elif path in values:
            built[key] = values[path]
    return built


def leaves(expected: Mapping, tree: Any, what: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Leaves of `tree` by path; and of each missing path, the shortest missing one above it.

    Args:
        expected: which keys there may be.
        tree: nested dict.
        what: how errors call it.

    Raises:
        SpaceError: an unknown key, or a leaf where a dict is expected.
    """
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}

    def lost(below: Any, path: str, top: str) -> None:
        if not isinstance(below, dict):
            missing[path] = top
            return
        for key, node in below.items():
            lost(node, f"{path}/{key}", top)

    def visit(expected: Mapping, node: Any, prefix: str) -> None:
        if not isinstance(node, Mapping):
            where = f"{what} at {prefix[:-1]!r}" if prefix else what
            raise SpaceError(f"{where} is {node!r}, expected a dict with the keys {', '.join(expected)}")
        for key in node:
            if key not in expected:
                raise unknown_name(
                    "hyperparameter", f"{prefix}{key}", [prefix + known for known in expected], SpaceError
                )
        for key, below in expected.items():
            path = prefix + key
            if key not in node:
                lost(below, path, path)
            elif isinstance(below, dict):
                visit(below, node[key], path + "/")
            else:
                found[path] = node[key]

    visit(expected, tree, "")
    return found, missing


def known(gradient: Any) -> Any:
    """A gradient without the None in it."""
    if not isinstance(gradient, Mapping):
        return gradient
    return {key: known(below) for key, below in gradient.items() if below is not None}
